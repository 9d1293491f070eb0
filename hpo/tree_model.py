"""What TPE thinks: the trials as arrays, the two estimators, the candidates and their scores.

`hpo.tpe` asks for one suggestion after another; here is how each comes about:

    History   the trials in order, and which branch of the space to look into
    Model     l and g of one branch
    Lot       the candidates for one suggestion, with log l and log g
    Crowd     several lots at once, each pick keeping the others away

Symbols and shapes are those of `hpo.tpe` and `hpo.surrogate.joint`.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from hpo.algobase import as_integer, as_real, choose_root_first, known_rows
from hpo.observations import Observations
from hpo.partial import ranking_losses
from hpo.space import Hyperparameter, Space
from hpo.surrogate.axes import MOST_VALUES, Axes, Points
from hpo.surrogate.bandit import Tally, choose_branch, tally_branches
from hpo.surrogate.edges import log_thinness
from hpo.surrogate.joint import JointParzen
from hpo.surrogate.smoothing import smoothed_losses
from hpo.surrogate.split import count_below, fraction_below, least
from hpo.surrogate.weights import improvement_weights
from hpo.trial_points import TrialPoints

__all__ = ["Branch", "Crowd", "History", "Lot", "Model", "Options", "axes_of"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
# The choices that were decided beforehand, root first: pairs (label, branch).
Branch = tuple[tuple[str, int], ...]

# How many trials the prior weighs in a wide l.
_WIDE_PRIOR_WEIGHT = 5.0
# Smoothing compares every trial with every other: of more than these, only the best
# half and the latest half.
_MAX_SMOOTHED = 500
# So many suggestions' candidates are scored in one go: more would not fit the cache.
_LOTS_AT_ONCE = 8
# Scaled coordinates farther from 0 count as this far when suggestions keep their distance.
_FARTHEST = 1e6
# So many estimators are kept for each experiment: one trial more often changes neither of
# them, and a conditional space has two for every branch.
_MAX_FITS = 32


@dataclass(frozen=True)
class Options:
    """How `suggest` works; see there.

    Raises:
        InvalidOption: one of them is of the wrong type or out of range.
    """

    prior_weight: float = 1.0
    n_startup_jobs: int = 10
    n_EI_candidates: int = 24
    gamma: float | None = None
    below_fraction: float = 0.10
    least_sigma: float = 0.03
    max_kernels: int = 256
    noisy: bool = False

    def __post_init__(self) -> None:
        as_real("prior_weight", self.prior_weight, at_least=0.0)
        as_integer("n_startup_jobs", self.n_startup_jobs, at_least=0)
        as_integer("n_EI_candidates", self.n_EI_candidates, at_least=1)
        if self.gamma is not None:
            as_real("gamma", self.gamma, above=0.0)
        as_real("below_fraction", self.below_fraction, above=0.0)
        as_real("least_sigma", self.least_sigma, above=0.0)
        as_integer("max_kernels", self.max_kernels, at_least=2)


class History:
    """The trials as arrays.

    Attributes:
        rows: in `observations`, in order of suggestion; shape (N,).
        losses: NaN for a trial that failed or still runs; shape (N,). Of a noisy
            objective they are smoothed.
    """

    def __init__(self, space: Space, observations: Observations, options: Options) -> None:
        self.space, self.options = space, options
        self.axes = axes_of(space)
        self.observations = observations
        self._kept = Kept.of(observations, space)
        self._tallies: dict[tuple[str, Branch], Tally | None] = {}
        self.rows = known_rows(observations)
        self.losses = ranking_losses(observations)[self.rows]
        variances = observations.loss_variances[self.rows]
        if options.noisy or (variances > 0).any():
            self.losses = self._smoothed(variances)

    def choose_branch(self, rng: np.random.Generator) -> Branch:
        """Decide one choice that has hyperparameters in its branches, and those above it."""
        deciding = self.space.deciding_choices
        if not deciding:
            return ()
        target = list(deciding)[int(rng.integers(len(deciding)))]
        decided: Branch = ()
        for label in (*self.space.choices_above(target), target):
            tally = self._tally(label, decided)
            if tally is not None:
                decided += ((label, choose_branch(rng, tally)),)
        return decided

    def _tally(self, label: str, decided: Branch) -> Tally | None:
        """How the branches of a choice did, the choices above it decided; None if it is inactive.

        Counted once, because many suggestions may be made from the same trials.
        """
        key = (label, decided)
        if key not in self._tallies:
            above, found = dict(decided), None
            if label in self.space.active_labels(above):
                places = self.inside(above)
                branches = self.observations.column(label)[self.rows[places]]
                n_branches = self.space.deciding_choices[label]
                found = tally_branches(branches, self.losses[places], n_branches)
            self._tallies[key] = found
        return self._tallies[key]

    def inside(self, decided: Mapping[str, int]) -> Rows:
        """Places in `rows` of the trials that took these branches."""
        if not decided:
            return np.arange(len(self.rows))
        is_inside = np.ones(len(self.rows), dtype=np.bool_)
        for label, branch in decided.items():
            is_inside &= self.observations.column(label)[self.rows] == branch
        return np.flatnonzero(is_inside)

    def fit(self, places: Rows, weights: Floats, prior_weight: float) -> JointParzen:
        """The estimator whose kernels are these trials; kept, because the next may need it."""
        least_sigma = self.options.least_sigma
        key = (
            prior_weight, least_sigma, weights.tobytes(),
            self.observations.configurations[self.rows[places]].tobytes(),
        )  # fmt: skip
        fits = self._kept.fits
        found = fits.pop(key, None)
        if found is None:
            points = self.points(places)
            found = JointParzen(self.axes, points, weights, prior_weight, least_sigma)
        # The last used stand last.
        fits[key] = found
        while len(fits) > _MAX_FITS:
            fits.popitem(last=False)
        return found

    def points(self, places: Rows) -> Points:
        """Trials as the estimators see them."""
        return self._kept.points.at(self.observations, self.rows[places])

    def _smoothed(self, variances: Floats) -> Floats:
        """Smoothed losses of the best trials, and of the latest; of others the losses."""
        known = np.flatnonzero(~np.isnan(self.losses))
        if len(known) > _MAX_SMOOTHED:
            best = known[np.argsort(self.losses[known], kind="stable")[: _MAX_SMOOTHED // 2]]
            known = np.union1d(best, known[-_MAX_SMOOTHED // 2 :])
        smoothed: Floats = self.losses.copy()
        points = self.points(known)
        smoothed[known] = smoothed_losses(
            points.u, points.codes, self.losses[known], variances[known]
        )
        return smoothed


class Kept:
    """What later suggestions from the same experiment can use again.

    Attributes:
        points: the trials in unit coordinates.
        fits: the estimators, the last used last.
    """

    def __init__(self, space: Space) -> None:
        self.points = TrialPoints(space)
        self.fits: OrderedDict[tuple[Any, ...], JointParzen] = OrderedDict()
        self._space = space

    @classmethod
    def of(cls, observations: Observations, space: Space) -> Kept:
        """What is kept for an experiment; nothing of another space's."""
        kept = _kept.get(observations)
        if kept is None or kept._space is not space:
            kept = _kept[observations] = cls(space)
        return kept


_kept: WeakKeyDictionary[Observations, Kept] = WeakKeyDictionary()


class Model:
    """l and g, fitted to the trials of one branch.

    Attributes:
        decided: the choices that were made beforehand, {label: branch}.
        good: places of the good trials in the history, in order.
        weights: of the good trials.
    """

    def __init__(self, history: History, decided: Mapping[str, int]) -> None:
        self.history, self.decided = history, decided
        options = history.options
        self._places = history.inside(decided)
        losses = history.losses[self._places] if decided else history.losses
        if options.gamma is None:
            n_losses = int(np.count_nonzero(~np.isnan(losses)))
            n_good = max(1, fraction_below(n_losses, options.below_fraction))
        else:
            n_good = count_below(len(losses), options.gamma)
        ranked = least(losses, n_good + 1)
        good = np.sort(ranked[:n_good])
        self.good = self._places[good]
        self._is_good = np.zeros(len(losses), dtype=np.bool_)
        self._is_good[good] = True
        # No loss is left where all the others failed or still run.
        threshold = float(losses[ranked[n_good]]) if len(ranked) > n_good else np.nan
        self.weights = improvement_weights(losses[good], threshold)

    @property
    def rest(self) -> Rows:
        """Places of all the other trials in the history, in order."""
        return self._places[~self._is_good]

    @cached_property
    def kernels_of_rest(self) -> Rows:
        """Places of the trials that are kernels of g: at most `max_kernels`.

        Of those that ended every second, fourth, eighth … is taken, counted from the
        first of the branch: so one more trial changes g little, or not at all.
        """
        limit = self.history.options.max_kernels
        is_pending = self.history.observations.is_pending[self.history.rows[self._places]]
        pending = np.flatnonzero(is_pending & ~self._is_good)
        is_ended = ~(is_pending | self._is_good)
        # Of those that run, at least the latest half of the limit.
        n_ended = np.count_nonzero(is_ended)
        pending = pending[-max(limit // 2, limit - n_ended) :]
        stride = 1
        while n_ended > limit - len(pending):
            stride *= 2
            n_ended = np.count_nonzero(is_ended[::stride])
        ended = stride * np.flatnonzero(is_ended[::stride])
        return np.asarray(self._places[np.sort(np.concatenate([ended, pending]))])

    def fit_l(self, *, is_wide: bool = False) -> JointParzen:
        """The estimator of the good trials."""
        prior_weight = self.history.options.prior_weight
        if is_wide:
            prior_weight *= _WIDE_PRIOR_WEIGHT
        return self.history.fit(self.good, self.weights, prior_weight)

    @cached_property
    def g(self) -> JointParzen:
        """The estimator of the others."""
        kernels = self.kernels_of_rest
        return self.history.fit(kernels, np.ones(len(kernels)), self.history.options.prior_weight)

    def margins(
        self, label: str, grid: Floats, *, of_values: bool = False
    ) -> tuple[Floats, Floats]:
        """log l and log g of one hyperparameter alone, at some of its values; shape (n,) each.

        Args:
            grid: values, or numbers of options; shape (n,).
            of_values: densities of the value itself, instead of its unit coordinate.
        """
        coordinates = self.history.space.coordinates
        x = np.full((len(coordinates.numeric), len(grid)), np.nan)
        codes = np.full((len(coordinates.options), len(grid)), -1, dtype=np.int64)
        log_slope: Floats = np.zeros(len(grid))
        if label in coordinates.options:
            codes[coordinates.options.index(label)] = grid.astype(np.int64)
        else:
            row = coordinates.numeric.index(label)
            x[row] = grid
            if of_values:
                log_slope = coordinates.log_jacobian(row, grid)
        ends = coordinates.cells(x[coordinates.n_continuous :])
        # Every other axis is inactive in these points, so it does not count.
        points = Points(coordinates.to_unit(x), codes, ends=ends)
        log_l, log_g = (each.log_density(points) for each in (self.fit_l(), self.g))
        return log_l + log_slope, log_g + log_slope

    def draw(self, rng: np.random.Generator, is_wide: bool, n_lots: int = 1) -> list[Lot]:
        """Draw candidates from l, and score them, for several suggestions at once."""
        n_candidates = self.history.options.n_EI_candidates
        lots: list[Lot] = []
        while len(lots) < n_lots:
            n_now = min(_LOTS_AT_ONCE, n_lots - len(lots))
            drawn = Candidates(self, rng, is_wide, n_now * n_candidates)
            lots += [Lot(drawn, place * n_candidates, n_candidates) for place in range(n_now)]
        return lots


class Candidates:
    """Draws from l, and what both estimators say of them.

    Attributes:
        is_active: {label: in which candidates it is active}, arrays of shape (C,).
        points: the candidates as the estimators see them.
        log_l, log_g: of each candidate; shape (C,).
        log_thinness: by how much g is too low next to the bounds; shape (C,).
        n_kernels: total weight of the kernels of g.
    """

    def __init__(self, model: Model, rng: np.random.Generator, is_wide: bool, n: int) -> None:
        self.model = model
        space = model.history.space
        coordinates = space.coordinates
        good, rest = model.fit_l(is_wide=is_wide), model.g
        u, codes = good.sample(rng, n)
        for label, branch in model.decided.items():
            codes[coordinates.options.index(label)] = branch
        x = coordinates.from_unit(u)
        axes, discrete = model.history.axes, slice(coordinates.n_continuous, None)
        numbers, ends = coordinates.numbers(x[discrete]), None
        if axes.slots.other_axes:
            u[discrete] = coordinates.to_unit(x)[discrete]
            ends = coordinates.cells(x[discrete])
        elif axes.slots.axes:
            u[discrete] = np.take_along_axis(axes.slots.middles, numbers, axis=1)
        columns = dict(zip(coordinates.numeric, x, strict=True))
        columns.update(zip(coordinates.options, codes, strict=True))
        self._x, self._options = x, codes
        self.is_active = space.active_masks(columns, n)
        if not space.is_flat:
            for row, label in enumerate(coordinates.numeric):
                u[row, ~self.is_active[label]] = np.nan
            numbers[np.isnan(u[discrete])] = -1
            codes = codes.copy()
            for row, label in enumerate(coordinates.options):
                codes[row, ~self.is_active[label]] = -1
        self.points = Points(u, codes, numbers, ends, is_complete=space.is_flat)
        features = self.points.features(axes)
        self.log_l, self.log_g = (each.log_density(self.points, features) for each in (good, rest))
        self.log_thinness = log_thinness(u[axes.bounded], rest.usual_sigmas[axes.bounded])
        self.n_kernels = len(model.kernels_of_rest) + model.history.options.prior_weight

    def numbers_at(self, place: int) -> dict[str, float]:
        """{label: number} of one candidate, active or not."""
        coordinates = self.model.history.space.coordinates
        numbers = dict(zip(coordinates.numeric, self._x[:, place].tolist(), strict=True))
        numbers.update(zip(coordinates.options, self._options[:, place].tolist(), strict=True))
        return numbers


class Lot:
    """The candidates for one suggestion.

    Attributes:
        drawn: where they are among others that were drawn with them.
        log_l, log_g: of each candidate; shape (C,).
        picked: the candidate that was looked at last.
    """

    def __init__(self, drawn: Candidates, start: int, n: int) -> None:
        self.drawn, self.place = drawn, slice(start, start + n)
        self.model = drawn.model
        self.log_l, self.log_g = drawn.log_l[self.place], drawn.log_g[self.place]
        self.picked = 0

    @property
    def score(self) -> Floats:
        """log l - log g, without what g lacks next to the bounds; shape (C,)."""
        return self.log_l - self.log_g + self.drawn.log_thinness[self.place]

    def by_score(self) -> Iterator[int]:
        """Candidates, the best first; sets `picked`."""
        for index in np.argsort(-self.score, kind="stable").tolist():
            self.picked = index
            yield index

    def values(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """{label: value} of a candidate's active hyperparameters; a choice by index."""
        space, drawn = self.model.history.space, self.drawn
        place = self.place.start + index
        numbers = drawn.numbers_at(place)
        if space.coordinates.free:
            return choose_root_first(space, rng, lambda label, _: numbers[label])
        return {
            label: _as_value(parameter, numbers[label])
            for label, parameter in space.hyperparameters.items()
            if drawn.is_active[label][place]
        }


def _as_value(parameter: Hyperparameter, number: float) -> Any:
    value = parameter.as_value(number)
    if parameter.prior is None or type(value) is float or parameter.options is not None:
        return value
    # Beyond 2^53 a float is not exact enough to stay inside the bounds.
    low, high = parameter.prior.bounds
    return max(low, min(value, high))


class Crowd:
    """The candidates of several lots, M together, which must keep out of each other's way."""

    def __init__(self, lots: Sequence[Lot]) -> None:
        points = [(lot.drawn.points, lot.place) for lot in lots]
        u = np.concatenate([every.u[:, place] for every, place in points], axis=1)
        codes = np.concatenate([every.codes[:, place] for every, place in points], axis=1)
        self._log_g = np.concatenate([lot.log_g for lot in lots])
        n_candidates = len(lots[0].log_g)
        self._n_kernels = np.repeat([lot.drawn.n_kernels for lot in lots], n_candidates)
        self._starts: dict[int, int] = {}
        for number, lot in enumerate(lots):
            start = number * n_candidates
            self._starts[id(lot)] = start
            # From now on a lot's scores are read from the common array.
            lot.log_g = self._log_g[start : start + n_candidates]
        axes, options = lots[0].model.history.axes, lots[0].model.history.options
        sigmas = np.maximum(options.least_sigma, axes.half_cells)
        # The density at a kernel's centre; on a discrete axis the probability of its cell.
        widths = np.where(axes.half_cells > 0, 2.0 * axes.half_cells, 1.0)
        peaks = widths / (sigmas * math.sqrt(2.0 * math.pi))
        log_peaks = np.log(np.where(axes.half_cells > 0, np.minimum(peaks, 1.0), peaks))
        is_active = ~np.isnan(u)
        # Far out, where squares lose digits, distances need not be exact.
        scaled = np.nan_to_num(u / sigmas).clip(-_FARTHEST, _FARTHEST)
        # Products of these are sums over the axes that are active in both points; (M, 3 D).
        squares = scaled * scaled
        self._right = np.concatenate([scaled, squares, is_active]).T.copy()
        weights = (log_peaks - 0.5 * squares) * is_active
        self._left = np.concatenate([scaled, -0.5 * is_active, weights]).T.copy()
        self._options = codes.T.copy()

    def avoid(self, lot: Lot) -> None:
        """Count what was picked from a lot as one more kernel of every lot's g.

        The kernel has the least deviation everywhere, and is not cut at the bounds:
        near enough, because all it has to do is to keep the next ones away. Where a
        hyperparameter is inactive in either the prior stands, whose density is about 1.
        """
        picked = self._starts[id(lot)] + lot.picked
        # Only those after it are still to be picked from.
        later = slice(self._starts[id(lot)] + len(lot.log_g), None)
        log_kernel = self._right[later] @ self._left[picked]
        is_elsewhere = (self._options[later] != self._options[picked]).any(axis=1)
        log_kernel[is_elsewhere] = -np.inf
        n, log_g = self._n_kernels[later], self._log_g[later]
        np.logaddexp(log_g + np.log(n), log_kernel, out=log_g)
        n += 1.0
        log_g -= np.log(n)


@functools.lru_cache(maxsize=32)
def axes_of(space: Space) -> Axes:
    """The space's axes, as the estimators know them."""
    coordinates = space.coordinates
    return Axes(
        coordinates.n_continuous, coordinates.low, coordinates.high,
        coordinates.half_cell, coordinates.option_priors, coordinates.all_cells(MOST_VALUES),
    )  # fmt: skip
