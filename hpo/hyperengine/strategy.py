"""Which point is next: one utility each time, or a portfolio of them. Values are MAXIMISED.

    strategy = BayesianStrategy(sampler, utility_gen="ei", rbf_gamma=2.0, io_save_dir="session")
    point = strategy.next_proposal()
    strategy.add_point(point, value)

Options with a prefix go to what they are about: rbf_ to the kernel, pi_, ei_, ucb_ and rand_
to the utilities, mc_ to the maximizer, io_ to where points and values are kept.

    symbol  meaning                                                      shape
    f       values before this one                                         (n,)
    a       weight of the latest score, `alpha`                            scalar
    S       score of each method of a portfolio                            (k,)

    S_i <- a (value - mean f) + (1 - a) S_i,  where method i proposed       (1)
    p_i = exp(S_i) / sum_j exp(S_j)                                        (2)

Source: hyperengine.bayesian.strategy. There, (2) is computed once and holds for ever, while
all scores are 0; a misspelt option has no effect; a value of NaN makes every later
proposal a random one. Here it counts as the least value of the others.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOption, InvalidOptionValue, did_you_mean
from hpo.hyperengine.sampler import (
    BaseSampler,
    BaseUtilityMaximizer,
    DefaultSampler,
    MonteCarloUtilityMaximizer,
)
from hpo.hyperengine.utility import (
    BaseUtility,
    ExpectedImprovement,
    ProbabilityOfImprovement,
    RadialBasisFunction,
    RandomPoint,
    UpperConfidenceBound,
)
from hpo.surrogate.saved_arrays import SavedArrays

__all__ = [
    "BaseBayesianStrategy",
    "BaseStrategy",
    "BayesianPortfolioStrategy",
    "BayesianStrategy",
]

Floats = npt.NDArray[np.float64]
Options = Mapping[str, Any]
UtilityGen = Callable[[Floats, Floats, Any, Any, Options], BaseUtility]

KERNELS: Mapping[str, Callable[[Options], Any]] = {
    "rbf": lambda options: RadialBasisFunction(**options_of("rbf_", options)),
}
MU_PRIORS: Mapping[str, Callable[[Floats], Any]] = {"mean": np.mean, "max": np.max}
MAXIMIZERS: Mapping[str, Callable[[Any, BaseSampler, Options], Any]] = {
    "mc": lambda utility, sampler, options: MonteCarloUtilityMaximizer(
        utility, sampler, **options_of("mc_", options)
    ),
}
UTILITIES: Mapping[str, UtilityGen] = {
    "pi": lambda points, values, kernel, mu_prior, options: ProbabilityOfImprovement(
        points, values, kernel, mu_prior, **options_of("pi_", options)
    ),
    "ei": lambda points, values, kernel, mu_prior, options: ExpectedImprovement(
        points, values, kernel, mu_prior, **options_of("ei_", options)
    ),
    "ucb": lambda points, values, kernel, mu_prior, options: UpperConfidenceBound(
        points, values, kernel, mu_prior, **options_of("ucb_", options)
    ),
    "rand": lambda points, values, kernel, mu_prior, options: RandomPoint(
        points, values, **options_of("rand_", options)
    ),
}
_PREFIXES = ("rbf_", "pi_", "ei_", "ucb_", "rand_", "mc_", "io_")


def options_of(prefix: str, options: Options) -> dict[str, Any]:
    """The options with a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in options.items()
        if name.startswith(prefix)
    }


def generator_of(name: str, given: Any, known: Mapping[str, Any]) -> Any:
    """What is known by a name; a function is itself.

    Raises:
        InvalidOption: it is neither.
    """
    if callable(given):
        return given
    if isinstance(given, str) and given in known:
        return known[given]
    hint = did_you_mean(str(given), known)
    raise InvalidOption(
        f"{name} must be one of {', '.join(sorted(known))}, or a function, not {given!r}{hint}"
    )


class BaseStrategy:
    """Points and their values, kept between runs; a subclass proposes more.

    Args:
        sampler: draws random points.
        **params: options of the subclass; io_save_dir: directory where points and values
            are saved whenever one is added; io_load_dir: where they are loaded from first,
            if there are any.

    Raises:
        UnreadableSession: the file in io_load_dir is damaged, or is something else.
    """

    def __init__(self, sampler: BaseSampler, **params: Any) -> None:
        self._sampler, self._params = sampler, params
        self._points: Floats = np.empty((0, 0))
        self._values: Floats = np.empty(0)
        self._saved = SavedArrays(
            "strategy-session", ("points", "values"), **options_of("io_", params)
        )
        loaded = self._saved.load(self._defect_of)
        if loaded is not None and loaded["values"].size:
            self.import_from(loaded)

    @property
    def loaded_from(self) -> str | None:
        """The file that was continued from, if any."""
        return None if self._saved.loaded_from is None else str(self._saved.loaded_from)

    @property
    def iteration(self) -> int:
        """How many points there are."""
        return int(self._values.size)

    @property
    def points(self) -> Floats:
        """All points, oldest first, shape (n, d)."""
        return self._points

    @property
    def values(self) -> Floats:
        """Their values, shape (n,); NaN for what is no finite number."""
        return self._values

    def next_proposal(self) -> Floats:
        """The point to try next, shape (d,)."""
        raise NotImplementedError

    def add_point(self, point: npt.ArrayLike, value: float) -> None:
        """Learn from a point, and save it."""
        row = np.ravel(np.asarray(point, dtype=np.float64))
        self._points = np.vstack([self._points.reshape(-1, row.size), row])
        self._values = np.append(self._values, value if np.isfinite(value) else np.nan)
        self._saved.save(**self.export_to())

    def import_from(self, data: Mapping[str, Floats]) -> None:
        """Take over what `export_to` gave."""
        self._points, self._values = data["points"], data["values"]

    def export_to(self) -> dict[str, Floats]:
        """What is saved, by name."""
        return {"points": self._points, "values": self._values}

    def _defect_of(self, loaded: Mapping[str, Floats]) -> str | None:
        points, values = loaded["points"], loaded["values"]
        if points.size == values.size == 0:
            return None
        if points.ndim != 2 or values.shape != points.shape[:1]:
            return f"its points have the shape {points.shape} and its values {values.shape}"
        return None if np.isfinite(points).all() else "not all of its points are finite"


class BaseBayesianStrategy(BaseStrategy):
    """A strategy that asks utilities.

    Args:
        sampler: draws random points.
        mu_prior_gen: what is expected where nothing is known: a number, "mean" or "max" of
            the values, or a function of them.
        kernel_gen: "rbf", or a function of the options that gives a kernel.
        maximizer_gen: "mc", or a function (utility, sampler, options) that gives a maximizer.
        burn_in: so many points are drawn at random first.
        **params: options with prefixes.
    """

    known_options: tuple[str, ...] = ()

    def __init__(
        self,
        sampler: BaseSampler,
        *,
        mu_prior_gen: Any = "mean",
        kernel_gen: Any = "rbf",
        maximizer_gen: Any = "mc",
        burn_in: int = 1,
        **params: Any,
    ) -> None:
        generators = (kernel_gen, maximizer_gen)
        self._reject_unknown(params, any(map(callable, generators)))
        self._burn_in = burn_in
        self._mu_prior_gen: Callable[[Floats], Any] = (
            (lambda values: mu_prior_gen)
            if isinstance(mu_prior_gen, numbers.Real)
            else generator_of("mu_prior_gen", mu_prior_gen, MU_PRIORS)
        )
        self._kernel_gen = generator_of("kernel_gen", kernel_gen, KERNELS)
        self._maximizer_gen = generator_of("maximizer_gen", maximizer_gen, MAXIMIZERS)
        super().__init__(sampler, **params)

    def _reject_unknown(self, params: Options, has_own_generators: bool) -> None:
        # Functions of the user's own may read any option.
        if has_own_generators:
            return
        for name in params:
            if not name.startswith(_PREFIXES):
                known = ("mu_prior_gen", "kernel_gen", "maximizer_gen", "burn_in")
                hint = did_you_mean(name, (*known, *self.known_options))
                raise InvalidOption(f"{type(self).__name__} has no option {name!r}{hint}")

    def _random_point(self) -> Floats:
        point: Floats = self._sampler.sample(1)[0]
        return point

    def _maximizer(self, utility_gen: UtilityGen) -> BaseUtilityMaximizer:
        values = self._usable_values()
        utility = utility_gen(
            self._points,
            values,
            self._kernel_gen(self._params),
            self._mu_prior_gen(values),
            self._params,
        )
        maximizer: BaseUtilityMaximizer = self._maximizer_gen(utility, self._sampler, self._params)
        return maximizer

    def _usable_values(self) -> Floats:
        """Values with the least one in place of what is not known; 0 if none is known."""
        is_known = np.isfinite(self._values)
        least = self._values[is_known].min() if is_known.any() else 0.0
        return np.where(is_known, self._values, least)


class BayesianStrategy(BaseBayesianStrategy):
    """Always the same utility.

    Args:
        sampler: draws random points.
        utility_gen: "ucb", "ei", "pi" or "rand"; or a function (points, values, kernel,
            mu_prior, options) that gives a utility.
        **params: see `BaseBayesianStrategy`.
    """

    known_options = ("utility_gen",)

    def __init__(self, sampler: BaseSampler, *, utility_gen: Any = "ucb", **params: Any) -> None:
        self._method_gen: UtilityGen = generator_of("utility_gen", utility_gen, UTILITIES)
        super().__init__(sampler, **params)

    def next_proposal(self) -> Floats:
        """The point to try next, shape (d,)."""
        if self.iteration < self._burn_in:
            return self._random_point()
        return self._maximizer(self._method_gen).compute_max_point()


class BayesianPortfolioStrategy(BaseBayesianStrategy):
    """One of several utilities, drawn anew each time.

    Args:
        sampler: draws random points.
        methods: utilities, as `utility_gen` of `BayesianStrategy`; none twice by one name.
        probabilities: of each; None: by what it was worth, equations (1) and (2).
        alpha: a of (1).
        seed: makes the draws of methods repeatable; default: those of the sampler.
        **params: see `BaseBayesianStrategy`.

    Raises:
        InvalidOptionValue: the probabilities are no distribution over the methods.
    """

    known_options = ("methods", "probabilities", "alpha", "seed")

    def __init__(
        self,
        sampler: BaseSampler,
        methods: Sequence[Any] = ("ucb", "ei", "pi"),
        *,
        probabilities: Sequence[float] | None = None,
        alpha: float = 0.9,
        seed: int | np.random.Generator | None = None,
        **params: Any,
    ) -> None:
        if isinstance(methods, str) or not methods:
            raise InvalidOption(f"methods must be a list, such as ['ucb', 'pi'], not {methods!r}")
        self._methods: list[UtilityGen] = [
            generator_of("a method", method, UTILITIES) for method in methods
        ]
        self._fixed = None if probabilities is None else checked(probabilities, len(methods))
        self._alpha = alpha
        self._scores: Floats = np.zeros(len(methods))
        self._proposer: int | None = None
        shared = sampler.rng if seed is None and isinstance(sampler, DefaultSampler) else seed
        self._rng = np.random.default_rng(shared)
        super().__init__(sampler, **params)

    @property
    def scores(self) -> Floats:
        """What each method was worth, shape (k,)."""
        return self._scores

    @property
    def probabilities(self) -> Floats:
        """How probably each method proposes the next point, shape (k,)."""
        if self._fixed is not None:
            return self._fixed
        weights = np.exp(self._scores - self._scores.max())
        shares: Floats = weights / weights.sum()
        return shares

    def next_proposal(self) -> Floats:
        """The point to try next, shape (d,)."""
        if self.iteration < self._burn_in:
            return self._random_point()
        self._proposer = int(self._rng.choice(len(self._methods), p=self.probabilities))
        return self._maximizer(self._methods[self._proposer]).compute_max_point()

    def add_point(self, point: npt.ArrayLike, value: float) -> None:
        """Learn from a point and score the method that proposed it, and save both."""
        if self._proposer is not None and np.isfinite(value) and self.iteration:
            gain = value - float(self._usable_values().mean())
            score = self._scores[self._proposer]
            self._scores[self._proposer] = self._alpha * gain + (1 - self._alpha) * score
        self._proposer = None
        super().add_point(point, value)

    def import_from(self, data: Mapping[str, Floats]) -> None:
        """Take over what `export_to` gave; scores of other methods begin anew."""
        super().import_from(data)
        scores = data.get("scores", self._scores)
        if scores.shape == self._scores.shape and np.isfinite(scores).all():
            self._scores = scores

    def export_to(self) -> dict[str, Floats]:
        """What is saved, by name."""
        return {**super().export_to(), "scores": self._scores}


def checked(probabilities: Sequence[float], n_methods: int) -> Floats:
    """Probabilities of methods, shape (n_methods,), that sum to 1."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape != (n_methods,) or not (p >= 0).all() or not np.isclose(p.sum(), 1.0):
        raise InvalidOptionValue(
            f"probabilities must be {n_methods} numbers that sum to 1, one for each method, "
            f"not {probabilities!r}"
        )
    total: float = p.sum()
    return p / total
