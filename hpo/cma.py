"""CMA-ES: a normal distribution over all hyperparameters, moved and shaped by the good trials.

For spaces of numbers only, and a few hundred trials or more. The trials that have
ended, in the order in which they were suggested, are dealt into generations, and
each generation updates the distribution: so its state follows from the trials, and
nothing else is stored. Trials that still run are ignored; what comes meanwhile is
drawn from the distribution that there is. Of a generation, complete trials are the best,
then those that were stopped, by how far they came and by their loss (hpo.partial), and
trials that failed the worst.

    symbol    meaning                                                     shape
    D         number of hyperparameters                                    scalar
    u         unit coordinates (hpo.space.coordinates)                      (D, n)
    y         search coordinates: the prior's middle half is about [.3, .7]  (D,)
    m, std    mean and standard deviations of the distribution over y       (D,)
    popsize   number of trials in a generation                             scalar

A discrete value stands for its whole cell of the y axis; told to the distribution
is a place in the cell, drawn as the distribution itself would have drawn it, because
the cell's middle would make it collapse. Where the distribution has become narrower
than a cell, now and then a neighbouring value is proposed all the same.

A search that has converged starts again elsewhere, with a generation twice as large.

Source: the package `cmaes`, for the updates and the restarts with a growing population.
"""

from __future__ import annotations

import copy
import functools
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.algobase import (
    Seed,
    as_integer,
    as_real,
    as_seed,
    known_rows,
    reject_unknown_options,
    suggestion_rng,
)
from hpo.document import Document, Tid
from hpo.exceptions import BadSearchSpace, InvalidOption
from hpo.observations import Observations
from hpo.partial import ranking_losses_of
from hpo.provenance import Provenance
from hpo.space import Normal, Space
from hpo.space.coordinates import Coordinates
from hpo.surrogate import truncnorm

__all__ = ["Options", "suggest", "suggest_values"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

VERSION = 2

# So many of the latest states are kept, for results that come out of order.
_SNAPSHOTS_KEPT = 16
# What lies further from the mean, in standard deviations, was not drawn from the
# distribution: it pulls no harder than the farthest draw could.
_FARTHEST = 5.0


@dataclass(frozen=True)
class Options:
    """How `suggest` works; see there.

    Raises:
        InvalidOption: one of them is of the wrong type or out of range.
    """

    sigma: float = 0.2
    popsize: int | None = None

    def __post_init__(self) -> None:
        as_real("sigma", self.sigma, above=0.0)
        if self.popsize is not None:
            as_integer("popsize", self.popsize, at_least=4)


_KNOWN_OPTIONS = ("sigma", "popsize")


def suggest(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: Seed,
    sigma: float = 0.2,
    popsize: int | None = None,
    **unknown: Any,
) -> list[Document]:
    """Propose one configuration for each id, drawn from the distribution so far.

    Args:
        new_ids: the tids of the trials to propose.
        domain: the `Domain` that is searched: at least two numbers, no choices.
        trials: the `Trials` so far.
        seed: with a tid and the trials it determines the tid's configuration.
        sigma: standard deviation of the first distribution, where the range of a
            hyperparameter is 1, and four deviations of a normal one; greater than 0.
        popsize: number of trials in a generation, at least 4; default 4 + 3 ln D.

    Returns:
        NEW documents, one for each id, not yet inserted.

    Raises:
        InvalidOption: an option is unknown, of the wrong type or out of range; or the
            package `cmaes` is missing.
        BadSearchSpace: the space has choices, conditions or a single hyperparameter.
    """
    reject_unknown_options("cma.suggest", unknown, _KNOWN_OPTIONS)
    options = Options(sigma, popsize)
    observations, seed_word = trials.observations(), as_seed(seed)
    values = [
        suggest_values(domain.space, observations, tid, seed_word, options, domain.search_seed)
        for tid in new_ids
    ]
    provenance = Provenance.of(
        "cma", VERSION, asdict(options), seed_word, domain.search_seed, observations
    )
    documents: list[Document] = domain.new_trials(
        trials,
        new_ids,
        values,
        [provenance.for_place(new_ids, place) for place in range(len(new_ids))],
    )
    return documents


def suggest_values(
    space: Space,
    observations: Observations,
    tid: Tid,
    seed: Seed,
    options: Options | None = None,
    search_seed: int | None = None,
) -> dict[str, Any]:
    """Choose one configuration: {label: value} of the hyperparameters.

    Args:
        search_seed: determines where restarts begin; None counts as 0.
    """
    options = Options() if options is None else options
    axes = _axes(space)
    state = _search(axes, observations, options, search_seed or 0).state_after(observations)
    rng = suggestion_rng(seed, tid)
    y = axes.without_standstill(state.draw(rng), state.popsize, rng)
    values = axes.values(y)
    return {
        label: space.hyperparameters[label].as_value(values[label])
        for label in space.hyperparameters
    }


# --- coordinates ------------------------------------------------------------------


class Axes:
    """Between values and the search coordinates y = middle + width u.

    Bounded hyperparameters keep their unit coordinates, in [0, 1]; of a normal one,
    whose u is in its deviations, four deviations are one unit.

    Attributes:
        labels: the hyperparameters, in the order of the axes.
        bounds: of y, infinite for normal kinds; shape (D, 2).

    Raises:
        BadSearchSpace: the space has choices, conditions or a single hyperparameter.
    """

    def __init__(self, space: Space) -> None:
        _require_numbers(space)
        self._coordinates = Coordinates(space.hyperparameters)
        self.labels = self._coordinates.numeric
        priors = [space.hyperparameters[label].prior for label in self.labels]
        is_normal = np.array([[isinstance(prior, Normal)] for prior in priors])
        self._middle = np.where(is_normal, 0.5, 0.0)
        self._width = np.where(is_normal, 0.25, 1.0)
        ends = (self._coordinates.low, self._coordinates.high)
        self.bounds = np.hstack([self._middle + self._width * end for end in ends])
        self._discrete = slice(self._coordinates.n_continuous, None)

    def __len__(self) -> int:
        return len(self.labels)

    def values(self, y: Floats) -> dict[str, float]:
        """{label: value} at y, shape (D,); discrete ones are rounded."""
        x = self._coordinates.from_unit((y[:, None] - self._middle) / self._width)
        return dict(zip(self.labels, x[:, 0].tolist(), strict=True))

    def columns(self, observations: Observations, rows: Rows) -> Floats:
        """The values of the trials in `rows`, shape (D, n)."""
        return np.array([observations.column(label)[rows] for label in self.labels])

    def cells(self, x: Floats) -> tuple[Floats, Floats]:
        """The least and the largest y that values stand for, each of the shape of `x`."""
        u = self._coordinates.to_unit(x)
        lower, upper = u.copy(), u.copy()
        ends = self._coordinates.cells(x[self._discrete].copy())
        lower[self._discrete], upper[self._discrete] = ends
        return self._middle + self._width * lower, self._middle + self._width * upper

    def without_standstill(self, y: Floats, popsize: int, rng: np.random.Generator) -> Floats:
        """Move y to a neighbouring cell on a few discrete axes.

        Each axis moves with probability 1 / (D popsize): once in a generation one of
        them does, which is the margin of cmaes.CMAwM.
        """
        moves = rng.random(len(self)) < 1.0 / (len(self) * popsize)
        directions = np.where(rng.random(len(self)) < 0.5, -1.0, 1.0)
        moves[: self._discrete.start] = False
        if not moves.any():
            return y
        x = self._coordinates.from_unit((y[:, None] - self._middle) / self._width)
        lower, upper = (edge[:, 0] for edge in self.cells(x))
        # A little over the edge of its own cell; the lowest may reach to minus infinity.
        step = np.minimum(0.25 * (upper - lower), 1.0)
        moved = np.where(directions < 0, lower - step, upper + step)
        moves &= np.isfinite(moved)
        return np.where(moves, np.clip(moved, self.bounds[:, 0], self.bounds[:, 1]), y)


@functools.lru_cache(maxsize=16)
def _axes(space: Space) -> Axes:
    return Axes(space)


def _require_numbers(space: Space) -> None:
    """Raise BadSearchSpace unless the space is numbers that are always active."""
    for label, parameter in space.hyperparameters.items():
        why = ""
        if parameter.options is not None or parameter.kind == "categorical":
            why = "is a choice"
        elif not parameter.is_always_active:
            why = "is active in some configurations only"
        elif parameter.prior is None:
            why = "has a distribution that depends on others, or is your own"
        if why:
            raise BadSearchSpace(
                f"cma.suggest searches numbers that every configuration has, but {label!r} {why}; "
                "use tpe.suggest for this space"
            )
    if len(space) < 2:
        raise BadSearchSpace(
            f"cma.suggest needs at least two hyperparameters, and the space has {len(space)}; "
            "use tpe.suggest for this space"
        )


# --- the distribution -------------------------------------------------------------


class State:
    """The distribution after some generations.

    Attributes:
        n_told: how many trials it has been told of.
        popsize: how many make the next generation.
    """

    def __init__(self, axes: Axes, options: Options, search_seed: int) -> None:
        self._axes, self._options, self._search_seed = axes, options, search_seed
        self._n_restarts = 0
        self.n_told = 0
        self._optimizer = self._started_at(np.full(len(axes), 0.5), options.popsize)

    def _started_at(self, mean: Floats, popsize: int | None) -> Any:
        return _cmaes().CMA(
            mean=mean,
            sigma=float(self._options.sigma),
            bounds=self._axes.bounds,
            population_size=popsize,
            seed=0,  # every draw brings its own
        )

    @property
    def popsize(self) -> int:
        return int(self._optimizer.population_size)

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw y, shape (D,), inside the bounds; the state stays what it was."""
        self._optimizer.reseed_rng(int(rng.integers(2**32)))
        y: Floats = self._optimizer.ask()
        return y

    def after(self, x: Floats, losses: Floats) -> State:
        """The state after one more generation.

        Args:
            x: its values, shape (D, popsize).
            losses: NaN for trials that failed, shape (popsize,).
        """
        state = copy.copy(self)
        state._optimizer = copy.deepcopy(self._optimizer)
        state.n_told = self.n_told + len(losses)
        if np.isfinite(losses).any():
            state._tell(x, losses)
        return state

    def _tell(self, x: Floats, losses: Floats) -> None:
        mean, std = self._optimizer.mean, _deviations(self._optimizer)
        rng = suggestion_rng(self._search_seed, self.n_told, purpose="cma places")
        y = _places(*self._axes.cells(x), mean[:, None], std[:, None], rng)
        reach = (_FARTHEST * std)[:, None]
        y = np.clip(y, mean[:, None] - reach, mean[:, None] + reach)
        self._optimizer.tell(list(zip(y.T, _finite(losses).tolist(), strict=True)))
        if self._optimizer.should_stop():
            self._restart()

    def _restart(self) -> None:
        self._n_restarts += 1
        rng = suggestion_rng(self._search_seed, self._n_restarts, purpose="cma restart")
        low, high = np.clip(self._axes.bounds.T, 0.0, 1.0)
        mean = low + rng.random(len(self._axes)) * (high - low)
        self._optimizer = self._started_at(mean, 2 * self.popsize)


def _deviations(optimizer: Any) -> Floats:
    """The standard deviation along each axis, shape (D,)."""
    # The package has no public name for them.
    return np.asarray(optimizer._sigma * np.sqrt(np.maximum(np.diag(optimizer._C), 1e-300)))


def _finite(losses: Floats) -> Floats:
    """Losses in the same order, with numbers in place of NaN, which is worst, and infinities."""
    finite = losses[np.isfinite(losses)]
    best, worst = finite.min() - 1.0, finite.max() + 1.0
    numbers: Floats = np.nan_to_num(losses, nan=worst, posinf=worst, neginf=best)
    return numbers


def _places(
    lower: Floats, upper: Floats, mean: Floats, std: Floats, rng: np.random.Generator
) -> Floats:
    """A place in each cell, drawn from the normal distribution within it; shape (D, n)."""
    y: Floats = lower.copy()
    draws = rng.random(y.shape)
    discrete = np.flatnonzero((upper > lower).any(axis=1))
    if discrete.size:
        low, high, m, s = lower[discrete], upper[discrete], mean[discrete], std[discrete]
        z = truncnorm.ppf(draws[discrete], (low - m) / s, (high - m) / s)
        y[discrete] = np.clip(m + s * z, low, high)
    return y


def _cmaes() -> Any:
    try:
        import cmaes
    except ImportError:
        raise InvalidOption(
            "cma.suggest needs the package cmaes; install it with: pip install 'hpo[cma]'"
        ) from None
    return cmaes


# --- from the trials to the distribution ------------------------------------------


class Search:
    """The states of one search, found again from its trials and kept while they hold."""

    def __init__(self, axes: Axes, options: Options, search_seed: int) -> None:
        self._axes = axes
        self._states = [State(axes, options, search_seed)]
        self._told_rows: Rows = np.empty(0, np.int64)
        self._told_losses: Floats = np.empty(0)

    def state_after(self, observations: Observations) -> State:
        """The state after all full generations of trials that have ended."""
        rows = known_rows(observations)
        rows = rows[~observations.is_pending[rows]]
        is_stopped = observations.is_stopped[rows]
        losses = np.where(is_stopped, observations.partial_losses[rows], observations.losses[rows])
        self._forget_from(self._n_unchanged(rows, losses))
        state = self._states[-1]
        while state.n_told + state.popsize <= len(rows):
            generation = rows[state.n_told : state.n_told + state.popsize]
            x = self._axes.columns(observations, generation)
            ranking = ranking_losses_of(observations, generation)
            state = state.after(*_with_all_values(x, ranking, self._axes))
            self._states.append(state)
        # The first one is where everything can be found from again.
        self._states[1:-_SNAPSHOTS_KEPT] = []
        self._told_rows, self._told_losses = rows[: state.n_told], losses[: state.n_told]
        return state

    def _n_unchanged(self, rows: Rows, losses: Floats) -> int:
        """How many of the trials that were told are still the first ones, with the same loss."""
        n = min(len(rows), len(self._told_rows))
        same = (rows[:n] == self._told_rows[:n]) & (
            (losses[:n] == self._told_losses[:n])
            | (np.isnan(losses[:n]) & np.isnan(self._told_losses[:n]))
        )
        return n if same.all() else int(np.argmin(same))

    def _forget_from(self, n_unchanged: int) -> None:
        self._states = [state for state in self._states if state.n_told <= n_unchanged]


def _with_all_values(x: Floats, losses: Floats, axes: Axes) -> tuple[Floats, Floats]:
    """Count a trial that lacks a value, of a space that has changed, as failed."""
    lacks = np.isnan(x).any(axis=0)
    if lacks.any():
        middle = list(axes.values(np.full(len(axes), 0.5)).values())
        x = np.where(np.isnan(x), np.array(middle)[:, None], x)
    return x, np.where(lacks, np.nan, losses)


_Searches = dict[tuple[Axes, Options, int], Search]
_SEARCHES: weakref.WeakKeyDictionary[Observations, _Searches] = weakref.WeakKeyDictionary()


def _search(axes: Axes, observations: Observations, options: Options, search_seed: int) -> Search:
    searches = _SEARCHES.setdefault(observations, {})
    key = (axes, options, search_seed)
    if key not in searches:
        searches[key] = Search(axes, options, search_seed)
    return searches[key]
