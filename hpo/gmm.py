"""brainiak's small optimiser: `fmin` over scipy distributions, one variable at a time.

    space = {"x": {"dist": scipy.stats.uniform(0, 1), "lo": 0, "hi": 1}}
    best = fmin(loss_fn, space, max_evals=40, trials=[])

Every variable has one Gaussian mixture through its good values, the best 15 %,
and one through the others. The next value is the one where the first is large
compared with the second, unless that is too close to a value tried before.

    symbol  meaning                                            shape
    x       values tried so far, of one variable                 (n,)
    y       their losses                                         (n,)
    s_i     width of the Gaussian around x_i                     (n,)
    m_i     its mass between the limits                          (n,)
    w_i     its weight, the given one divided by m_i             (n,)

    p(t) = sum_i w_i N(t; x_i, s_i) / sum_i w_i,   0 outside the limits   (1)

Source: brainiak.hyperparamopt.hpo, whose names, arguments and rules these are, but
for this: `seed` makes a search repeatable; the caller's space is left as it was;
random values lie between the limits, too, and those of discrete distributions are
whole; a loss of NaN counts as bad. A single good value, or good values of equal
loss, weigh the same, where brainiak divided 0 by 0.
"""

from __future__ import annotations

import inspect
import logging
import math
import numbers
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.algobase import as_integer, as_real
from hpo.exceptions import (
    AllTrialsFailed,
    BadSearchSpace,
    InvalidLoss,
    InvalidOptionValue,
    InvalidTrial,
)
from hpo.surrogate import truncnorm
from hpo.surrogate.mixture import NormalMixture
from hpo.surrogate.split import split_by_loss

__all__ = ["fmin", "get_next_sample", "get_sigma", "gmm_1d_distribution"]

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Seed = int | np.random.Generator | None

_GOOD_SHARE = 0.15
_N_CANDIDATES = 1000
# A candidate is too close to a tried value within the tried range / (10 n).
_CLOSENESS = 0.1
# How often a distribution is asked for a value between the limits.
_MAX_REDRAWS = 10_000
_LOSS = "loss"


# --- the search -----------------------------------------------------------------


def fmin(
    loss_fn: Callable[[dict[str, Any]], float],
    space: Mapping[str, Mapping[str, Any]],
    max_evals: int,
    trials: MutableSequence[dict[str, Any]],
    init_random_evals: int = 30,
    explore_prob: float = 0.2,
    *,
    seed: Seed = None,
) -> dict[str, Any]:
    """Minimise `loss_fn`; every variable is searched by itself.

    Args:
        loss_fn: called with {name: value}, returns the loss.
        space: {name: {"dist": a distribution with rvs(), "lo": number, "hi": number}};
            "lo" and "hi" are the limits of the variable, default none.
        max_evals: how many evaluations to add to `trials`.
        trials: {name: value, ..., "loss": loss} of each evaluation so far; grows in place.
        init_random_evals: so many evaluations of this call are drawn at random first, but
            none if `trials` held more than these already.
        explore_prob: probability of a random draw afterwards.
        seed: makes the search repeatable; None: fresh entropy.

    Returns:
        The entry of `trials` with the least loss, the very object.

    Raises:
        ValueError: a distribution has no rvs, an argument makes no sense, or a trial has no loss.
        InvalidLoss: `loss_fn` returned no number; the trials before it are kept.
        AllTrialsFailed: every loss is NaN, or there are no trials at all.

    Source: brainiak.hyperparamopt.hpo.fmin.
    """
    variables = _variables(space)
    n_evals = as_integer("max_evals", max_evals, at_least=0)
    n_random = as_integer("init_random_evals", init_random_evals, at_least=0)
    explore_prob = _probability("explore_prob", explore_prob)
    rng = np.random.default_rng(seed)
    _check_trials(trials)
    if len(trials) > n_random:
        n_random = 0
    for step in range(n_evals):
        explores = step < n_random or rng.random() <= explore_prob
        values = {
            variable.name: variable.draw(rng) if explores else variable.propose(trials, rng)
            for variable in variables
        }
        trials.append(_evaluate(loss_fn, values))
        how = "drawn at random" if explores else "proposed"
        logger.info("trial %d, %s: %s", len(trials), how, trials[-1])
    return _best(trials)


def _variables(space: Mapping[str, Mapping[str, Any]]) -> list[_Variable]:
    if not space:
        raise BadSearchSpace('the space is empty; give at least one {name: {"dist": ...}}')
    return [_Variable.of(name, given) for name, given in space.items()]


def _probability(name: str, value: Any) -> float:
    probability = as_real(name, value)
    if not 0.0 <= probability <= 1.0:
        raise InvalidOptionValue(f"{name} must lie between 0 and 1, not {value!r}")
    return probability


def _check_trials(trials: Sequence[Mapping[str, Any]]) -> None:
    for place, trial in enumerate(trials):
        if not isinstance(trial.get(_LOSS), numbers.Real):
            raise InvalidTrial(
                f"trials[{place}] has no number as its {_LOSS!r}: {dict(trial)!r}; leave it out",
                trial,
            )


def _evaluate(
    loss_fn: Callable[[dict[str, Any]], float], values: Mapping[str, Any]
) -> dict[str, Any]:
    # The entry itself is handed over, so that what loss_fn writes into it is
    # kept, except over the values: later proposals are computed from them.
    entry = dict(values)
    loss = _as_loss(loss_fn(entry), values)
    return {**entry, **values, _LOSS: loss}


def _as_loss(returned: Any, values: Mapping[str, Any]) -> float:
    try:
        return float(np.asarray(returned).item())
    except (TypeError, ValueError):
        raise InvalidLoss(
            f"loss_fn returned {returned!r} for {dict(values)!r}; it must return one number"
        ) from None


def _best(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    comparable = [trial for trial in trials if not math.isnan(trial[_LOSS])]
    if not comparable:
        raise AllTrialsFailed(
            f"none of {len(trials)} trials has a loss that is a number; "
            "raise max_evals, or let loss_fn return one"
        )
    return min(comparable, key=lambda trial: trial[_LOSS])


@dataclass(frozen=True)
class _Variable:
    """One variable of the space, checked."""

    name: str
    dist: Any
    low: float
    high: float
    takes_random_state: bool
    is_integer: bool

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any]) -> _Variable:
        """Read one entry of the space, which is not changed."""
        if name == _LOSS:
            raise BadSearchSpace(
                f"a variable cannot be called {_LOSS!r}, which is the name of the loss in trials"
            )
        if not isinstance(given, Mapping):
            raise BadSearchSpace(
                f'variable {name!r} must be given as {{"dist": ..., "lo": ..., "hi": ...}}, '
                f"not {given!r}"
            )
        dist: Any = given.get("dist")
        if not callable(getattr(dist, "rvs", None)):
            raise BadSearchSpace(
                f"Unknown distribution type for variable {name!r}: {dist!r} has no method rvs; "
                "give a scipy distribution, such as scipy.stats.uniform(0, 1)"
            )
        low, high = _checked_limits(given.get("lo"), given.get("hi"), f"variable {name!r}: ")
        parameters = inspect.signature(dist.rvs).parameters.values()
        return cls(
            name,
            dist,
            low,
            high,
            takes_random_state=any(
                parameter.name == "random_state" or parameter.kind is parameter.VAR_KEYWORD
                for parameter in parameters
            ),
            # scipy's mark of a discrete distribution: a probability mass, no density.
            is_integer=hasattr(dist, "pmf"),
        )

    def draw(self, rng: np.random.Generator) -> Any:
        """A value of the distribution between the limits; a Python number if it is one."""
        for _ in range(_MAX_REDRAWS):
            drawn = self.dist.rvs(random_state=rng) if self.takes_random_state else self.dist.rvs()
            value = drawn.item() if isinstance(drawn, np.generic) else drawn
            if self.low <= value <= self.high:
                return value
        raise BadSearchSpace(
            f"variable {self.name!r}: of {_MAX_REDRAWS} values of its distribution none lies "
            f"between lo = {self.low:g} and hi = {self.high:g}; make the two agree"
        )

    def propose(self, trials: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> Any:
        """The value to try next; a random one while the trials tell too little."""
        tried = [
            (trial[self.name], trial[_LOSS])
            for trial in trials
            # Trials of another space, or of wider limits, may be among them.
            if self.name in trial and self.low <= trial[self.name] <= self.high
        ]
        if len(tried) < 2 or not any(loss < math.inf for _, loss in tried):
            return self.draw(rng)
        values, losses = np.array(tried, dtype=np.float64).T
        proposed = get_next_sample(values, losses, self.low, self.high, seed=rng)
        if not self.is_integer:
            return proposed
        return int(np.clip(np.rint(proposed), np.ceil(self.low), np.floor(self.high)))


# --- the model ------------------------------------------------------------------


def get_next_sample(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    min_limit: float = -math.inf,
    max_limit: float = math.inf,
    *,
    seed: Seed = None,
) -> float:
    """The value of one variable to try next.

    Args:
        x: values tried so far, shape (n,), n >= 2.
        y: their losses, shape (n,); NaN or infinite where there is none.
        min_limit, max_limit: the limits of the variable.
        seed: makes the draws repeatable.

    Returns:
        Of 1000 candidates drawn from the mixture through the good values, the one
        where it is largest relative to the mixture through the others, among those
        at least (max(x) - min(x)) / (10 n) away from every tried value. If all are
        closer, the one furthest away.

    Raises:
        ValueError: fewer than two values, or none with a finite loss.

    Source: brainiak.hyperparamopt.hpo.get_next_sample.
    """
    values, losses = _checked_points("x", x), np.asarray(y, dtype=np.float64)
    if values.size < 2 or values.shape != losses.shape:
        raise InvalidOptionValue(
            "x and y must hold the same number of values, at least two, "
            f"but their shapes are {values.shape} and {losses.shape}"
        )
    # An infinite loss is no good one, however few there are.
    losses = np.where(losses < math.inf, losses, math.nan)
    is_good = split_by_loss(losses, math.ceil(_GOOD_SHARE * values.size))
    if not is_good.any():
        raise InvalidOptionValue(f"y holds no loss to learn from: {y!r}")
    spread = float(np.ptp(values))
    limits = (min_limit, max_limit)
    good = gmm_1d_distribution(
        values[is_good], *limits, _improvements(losses[is_good]), lone_sigma=spread or 1.0
    )
    rest = gmm_1d_distribution(values[~is_good], *limits, lone_sigma=spread or 1.0)
    candidates = good.get_samples(_N_CANDIDATES, seed=seed)
    distances = _distance_to_nearest(candidates, values)
    is_far = distances >= _CLOSENESS * spread / values.size
    if not is_far.any():
        return float(candidates[distances.argmax()])
    # Logarithms, for where both densities underflow.
    log_ratio = good.log_pdf(candidates) - rest.log_pdf(candidates)
    return float(candidates[np.where(is_far, log_ratio, -math.inf).argmax()])


def _improvements(losses: Floats) -> Floats:
    """Weights of the good values: 1 for the least loss, 0 for the largest; 1 if all are equal."""
    with np.errstate(over="ignore", invalid="ignore"):
        weights: Floats = (losses.max() - losses) / np.ptp(losses)
    return weights if np.isfinite(weights).all() else np.ones_like(losses)


def _distance_to_nearest(positions: Floats, values: Floats) -> Floats:
    """Distance from each position to the nearest of the values, shape as positions."""
    fenced = np.concatenate([[-math.inf], np.sort(values), [math.inf]])
    place = np.searchsorted(fenced, positions)
    return np.asarray(np.minimum(positions - fenced[place - 1], fenced[place] - positions))


def get_sigma(
    x: npt.ArrayLike, min_limit: float = -math.inf, max_limit: float = math.inf
) -> Floats:
    """The width of the Gaussian around each point.

    It is the larger of the distances to the nearest strictly smaller and the
    nearest strictly larger one among the other points and the limits; where that
    is infinite, the smaller of the two.

    Args:
        x: points, finite, shape (n,).
        min_limit, max_limit: the limits of the variable.

    Returns:
        Widths, shape (n,); infinite where there is neither a limit nor a different point.

    Source: brainiak.hyperparamopt.hpo.get_sigma.
    """
    points = _checked_points("x", x)
    fence = np.unique(np.concatenate([points, [-math.inf, min_limit, max_limit, math.inf]]))
    to_left = points - fence[np.searchsorted(fence, points, side="left") - 1]
    to_right = fence[np.searchsorted(fence, points, side="right")] - points
    larger, smaller = np.maximum(to_left, to_right), np.minimum(to_left, to_right)
    return np.asarray(np.where(np.isinf(larger), smaller, larger))


class gmm_1d_distribution:
    """A Gaussian mixture through the points of one variable, cut at its limits; equation (1).

    Args:
        x: points, finite, shape (n,), n >= 1.
        min_limit, max_limit: the limits of the variable.
        weights: of the points, at least 0 and not all 0; a number or shape (n,).
        lone_sigma: width where `get_sigma` finds neither a limit nor a different point.

    Attributes:
        points, N, min_limit, max_limit: as given, and how many points there are.
        sigma: width around each point, shape (N,).
        weights: the given ones, each divided by its Gaussian's mass between the limits.
        W_sum: their sum.

    Raises:
        ValueError: an argument makes no sense.

    Source: brainiak.hyperparamopt.hpo.gmm_1d_distribution.
    """

    def __init__(
        self,
        x: npt.ArrayLike,
        min_limit: float = -math.inf,
        max_limit: float = math.inf,
        weights: npt.ArrayLike = 1.0,
        *,
        lone_sigma: float = 1.0,
    ) -> None:
        self.points = _checked_points("x", x)
        if not self.points.size:
            raise InvalidOptionValue("x holds no point, but a mixture needs at least one")
        self.N = self.points.size
        self.min_limit, self.max_limit = _checked_limits(min_limit, max_limit)
        widths = get_sigma(self.points, self.min_limit, self.max_limit)
        self.sigma = np.where(np.isinf(widths), lone_sigma, widths)
        masses = truncnorm.mass(
            (self.min_limit - self.points) / self.sigma,
            (self.max_limit - self.points) / self.sigma,
        )
        given = _checked_weights(weights, self.N)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            self.weights: Floats = given / masses
        if not np.isfinite(self.weights).all():
            raise InvalidOptionValue(
                f"x holds points too far outside of the limits {self.min_limit:g} and "
                f"{self.max_limit:g}: {self.points[~np.isfinite(self.weights)].tolist()}; "
                "leave them out"
            )
        self.W_sum = float(self.weights.sum())
        # (1) leaves the mass of the cut mixture as it is, which is less than 1.
        self._mass = float(given.sum()) / self.W_sum
        self._mixture = NormalMixture(
            self.weights / self.W_sum,
            self.points,
            self.sigma,
            low=self.min_limit,
            high=self.max_limit,
        )

    def __call__(self, x: npt.ArrayLike) -> Any:
        """The same as `get_gmm_pdf`."""
        return self.get_gmm_pdf(x)

    def get_gmm_pdf(self, x: npt.ArrayLike) -> Any:
        """The likelihood (1) of a number, or of every number of an array, in its shape."""
        likelihood = np.exp(self.log_pdf(x))
        return likelihood if likelihood.ndim else float(likelihood)

    def log_pdf(self, x: npt.ArrayLike) -> Floats:
        """Logarithm of the likelihood (1), in the shape of x; -inf outside the limits."""
        positions = np.asarray(x, dtype=np.float64)
        log_density = self._mixture.log_density(positions.ravel()).reshape(positions.shape)
        return np.asarray(log_density + math.log(self._mass))

    def get_samples(self, n: int, *, seed: Seed = None) -> Floats:
        """Draw `n` values in proportion to (1), shape (n,)."""
        return self._mixture.sample(np.random.default_rng(seed), as_integer("n", n, at_least=0))


# --- what is checked ------------------------------------------------------------


def _checked_points(name: str, points: npt.ArrayLike) -> Floats:
    checked = np.asarray(points, dtype=np.float64)
    if checked.ndim != 1 or not np.isfinite(checked).all():
        raise InvalidOptionValue(f"{name} must be a list of finite numbers, not {points!r}")
    return checked


def _checked_weights(weights: npt.ArrayLike, n_points: int) -> Floats:
    checked = np.asarray(weights, dtype=np.float64)
    if checked.shape not in ((), (n_points,)):
        raise InvalidOptionValue(
            f"weights must be one number or {n_points}, one for each point, not {weights!r}"
        )
    if not (np.isfinite(checked).all() and (checked >= 0).all() and checked.any()):
        raise InvalidOptionValue(f"weights must be at least 0 and not all 0, not {weights!r}")
    return np.broadcast_to(checked, n_points)


def _checked_limits(low: Any, high: Any, where: str = "") -> tuple[float, float]:
    try:
        lowest = -math.inf if low is None else float(low)
        highest = math.inf if high is None else float(high)
    except (TypeError, ValueError):
        lowest = highest = math.nan
    if not lowest < highest:
        raise InvalidOptionValue(
            f"{where}the limits are {low!r} and {high!r}, but they must be numbers, "
            "the lower one first"
        )
    return lowest, highest
