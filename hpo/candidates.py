"""TPE's candidates: drawn from l, scored by both estimators, kept apart from each other.

    Way         what they are drawn from
    draw_lots   the candidates of several suggestions, drawn and scored in one go
    Lot         the candidates for one suggestion, with log l and log g
    Crowd       several lots at once, each pick keeping the others away

Symbols and shapes are those of `hpo.tpe` and `hpo.surrogate.joint`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.algobase import choose_root_first
from hpo.space import Space
from hpo.surrogate.axes import Axes, Points
from hpo.surrogate.edges import log_thinness
from hpo.surrogate.joint import log_densities
from hpo.surrogate.weights import RUNNING_WEIGHT
from hpo.tree_model import Model

__all__ = ["Crowd", "Lot", "Way", "draw_lots"]

Floats = npt.NDArray[np.float64]

# So many suggestions' candidates are scored in one go: more would gain nothing, because
# they do not fit the cache.
_LOTS_AT_ONCE = 16
# Scaled coordinates farther from 0 count as this far when suggestions keep their distance.
_FARTHEST = 1e6
_LOG_RUNNING_WEIGHT = math.log(RUNNING_WEIGHT)
# A loss that is better by one deviation counts as much as a ratio of e^10.
_OUTLOOK_WEIGHT = 10.0
# So many combinations of options an integer can tell apart.
_MOST_NUMBERS = 2**62


class Way(Enum):
    """How candidates are drawn.

    NEAR: from l.
    WIDE: from an l in which the prior weighs more: where trials are few, all over the space.
    ANEW: from l, but on one axis or two from the prior, and there l has no say.
        Among many peaks a search is often right on all axes but one, where it took the wrong
        peak. No point in between is any better, and no draw from all over the space as good.
    """

    NEAR = auto()
    WIDE = auto()
    ANEW = auto()


def draw_lots(
    model: Model,
    rng: np.random.Generator,
    way: Way,
    n_lots: int = 1,
    *,
    with_outlook: bool = False,
) -> Iterator[Lot]:
    """Draw candidates from l, and score them, for several suggestions at once.

    Args:
        with_outlook: whether a regression of the losses has a say in the score.
    """
    n_candidates = model.history.options.n_EI_candidates
    while n_lots > 0:
        n_now = min(_LOTS_AT_ONCE, n_lots)
        drawn = Candidates(model, rng, way, n_now, with_outlook=with_outlook)
        for place in range(n_now):
            yield Lot(drawn, place * n_candidates, n_candidates)
        n_lots -= n_now


class Candidates:
    """Draws from l, and what both estimators say of them.

    Attributes:
        is_active: {label: in which candidates it is active}, arrays of shape (C,); None
            where all labels always are.
        points: the candidates as the estimators see them.
        is_anew: which of their coordinates are drawn from the prior; shape (D, C). None
            where none are.
        log_l, log_g: of each candidate; shape (C,).
        log_thinness: by how much g is too low next to the bounds; shape (C,).
        outlook: what a regression of the losses adds to the score; shape (C,).
    """

    def __init__(
        self,
        model: Model,
        rng: np.random.Generator,
        way: Way,
        n_lots: int,
        *,
        with_outlook: bool = False,
    ) -> None:
        self.model = model
        space, axes = model.history.space, model.history.axes
        coordinates = space.coordinates
        l, g = model.fit(is_wide=way is Way.WIDE)  # noqa: E741
        self.points = points = l.sample(rng, n_lots * model.history.options.n_EI_candidates)
        for label, branch in model.decided.items():
            points.codes[coordinates.options.index(label)] = branch
        self.is_anew = self._draw_anew(rng, n_lots) if way is Way.ANEW else None
        self._x, self._options = coordinates.from_unit(points.u), points.codes
        discrete = slice(axes.n_continuous, None)
        if axes.slots.other_axes or self.is_anew is not None:
            # What was drawn there is rounded now.
            points.u[discrete] = coordinates.to_unit(self._x)[discrete]
            points.numbers = coordinates.numbers(self._x[discrete])
        if axes.slots.other_axes:
            points.ends = coordinates.cells(self._x[discrete])
        self.is_active: Mapping[str, npt.NDArray[np.bool_]] | None = None
        if space.is_flat:
            points.is_complete = True
        else:
            self._deactivate(space)
        if self.is_anew is None:
            self.log_l, self.log_g = log_densities((l, g), points)
        else:
            self.log_l = l.log_density(self._without(self.is_anew))
            self.log_g = g.log_density(points)
        self.log_thinness = log_thinness(points.u[axes.bounded], g.usual_sigmas[axes.bounded])
        self.outlook: Floats = np.zeros(len(points))
        if with_outlook and model.outlook is not None:
            self.outlook = _OUTLOOK_WEIGHT * model.outlook(points)

    def _draw_anew(self, rng: np.random.Generator, n_lots: int) -> npt.NDArray[np.bool_]:
        """Draw some axes from the prior, others for each lot; returns `is_anew`."""
        u = self.points.u
        is_anew = rng.random((len(u), n_lots)) * len(u) < 1.0
        is_anew[rng.integers(len(u), size=n_lots), np.arange(n_lots)] = True
        is_anew = is_anew.repeat(len(self.points) // n_lots, axis=1)
        np.copyto(u, self.model.history.axes.prior_quantiles(rng.random(u.shape)), where=is_anew)
        return is_anew

    def _without(self, is_anew: npt.NDArray[np.bool_]) -> Points:
        """The points, some of their coordinates as if they were inactive."""
        points, split = self.points, self.model.history.axes.n_continuous
        u = np.where(is_anew, np.nan, points.u)
        numbers = np.where(is_anew[split:], -1, points.numbers)
        return Points(u, points.codes, numbers, points.ends)

    def _deactivate(self, space: Space) -> None:
        """Take out of the points what is not active in them."""
        coordinates, points = space.coordinates, self.points
        columns = dict(zip(coordinates.numeric, self._x, strict=True))
        columns.update(zip(coordinates.options, self._options, strict=True))
        self.is_active = space.active_masks(columns, len(points))
        points.codes, split = points.codes.copy(), self.model.history.axes.n_continuous
        # The three kinds of coordinates, with what stands where a label is inactive.
        coordinates_of: Sequence[tuple[npt.NDArray[Any], Sequence[str], float]] = (
            (points.u, coordinates.numeric, np.nan),
            (points.numbers, coordinates.numeric[split:], -1),
            (points.codes, coordinates.options, -1),
        )
        for rows, labels, blank in coordinates_of:
            for row, label in zip(rows, labels, strict=True):
                np.copyto(row, blank, where=~self.is_active[label])

    @property
    def least_sigmas(self) -> Floats:
        """The least deviation of a kernel on each axis, shape (D, 1)."""
        history = self.model.history
        return np.maximum(history.options.least_sigma, history.axes.half_cells)

    @cached_property
    def scaled(self) -> Floats:
        """Coordinates in units of the least deviation, NaN where inactive; shape (C, D).

        Candidates stand one below the other, because few are looked at at a time.
        """
        # Far out, where squares lose digits, distances need not be exact.
        scaled = (self.points.u / self.least_sigmas).clip(-_FARTHEST, _FARTHEST)
        return np.ascontiguousarray(scaled.T)

    def numbers_at(self, place: int) -> dict[str, float]:
        """{label: number} of one candidate, active or not."""
        numbers = self._x[:, place].tolist() + self._options[:, place].tolist()
        places = self.model.history.space.coordinates.places
        return {label: numbers[own] for label, own in places.items()}


class Lot:
    """The candidates for one suggestion.

    Attributes:
        drawn: where they are among others that were drawn with them.
        log_l, log_g, outlook: of each candidate; shape (C,).
        picked: the candidate that was looked at last.
    """

    def __init__(self, drawn: Candidates, start: int, n: int) -> None:
        self.drawn, self.place = drawn, slice(start, start + n)
        self.model = drawn.model
        self.log_l, self.log_g = drawn.log_l[self.place], drawn.log_g[self.place]
        self.outlook = drawn.outlook[self.place]
        self.picked = 0

    @property
    def anew(self) -> tuple[str, ...]:
        """Labels that were drawn from the prior in all of the candidates."""
        is_anew = self.drawn.is_anew
        if is_anew is None:
            return ()
        numeric = self.model.history.space.coordinates.numeric
        return tuple(numeric[row] for row in is_anew[:, self.place.start].nonzero()[0])

    @property
    def score(self) -> Floats:
        """log l - log g, without what g lacks next to the bounds, and the outlook; shape (C,)."""
        log_thinness = self.drawn.log_thinness[self.place]
        return np.asarray(self.log_l - self.log_g + log_thinness + self.outlook)

    def by_score(self) -> Iterator[int]:
        """Candidates, the best first; sets `picked`."""
        for index in (-self.score).argsort(kind="stable").tolist():
            self.picked = index
            yield index

    def values(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """{label: value} of a candidate's active hyperparameters; a choice by index."""
        space, drawn = self.model.history.space, self.drawn
        place = self.place.start + index
        values: dict[str, Any] = drawn.numbers_at(place)
        if space.coordinates.free:
            return choose_root_first(space, rng, lambda label, _: values[label])
        if drawn.is_active is not None:
            is_active = drawn.is_active
            values = {label: number for label, number in values.items() if is_active[label][place]}
        for label, (low, high) in space.bounds_of_integers.items():
            if label in values:
                # Beyond 2^53 a float is not exact enough to stay inside the bounds.
                values[label] = int(max(low, min(values[label], high)))
        return values


class Crowd:
    """The candidates of several lots, M together, which must keep out of each other's way."""

    def __init__(self, lots: Sequence[Lot]) -> None:
        self._lots, self._n_candidates = lots, len(lots[0].log_g)
        points = [(lot.drawn.points, lot.place) for lot in lots]
        codes = np.concatenate([every.codes[:, place] for every, place in points], axis=1)
        # The weighted sum of the kernels of g at each candidate.
        self._log_sums = np.concatenate(
            [lot.log_g + math.log(lot.model.total_weight_of_rest) for lot in lots]
        )
        axes = lots[0].model.history.axes
        # Candidates with the same options have the same number.
        self._kinds = _numbered(codes, [len(p0) for p0 in axes.option_priors])
        self._log_peaks = _log_peaks(axes, lots[0].drawn.least_sigmas)
        scaled = np.concatenate([lot.drawn.scaled[lot.place] for lot in lots])
        # Products with `_left` are sums over the axes that are active in both points.
        self._is_complete = all(every.is_complete for every, _ in points)
        if self._is_complete:
            lengths = 0.5 * np.einsum("cd,cd->c", scaled, scaled)[:, None]
            right = [scaled, lengths, np.ones_like(lengths)]
        else:
            is_active = scaled == scaled
            np.copyto(scaled, 0.0, where=~is_active)
            right = [scaled, scaled * scaled, is_active]
        self._right = np.concatenate(right, axis=1)

    def _left(self, place: int) -> Floats:
        """What `_right` is multiplied with, to have the log of a kernel around a candidate."""
        own = self._right[place]
        if self._is_complete:
            left: Floats = own.copy()
            left[-2:] = -1.0, self._log_peaks.sum() - own[-2]
            return left
        scaled, squares, is_active = own.reshape(3, -1)
        log_peaks = self._log_peaks - 0.5 * squares
        return np.concatenate([scaled, -0.5 * is_active, log_peaks * is_active])

    def in_turn(self) -> Iterator[Lot]:
        """The lots; what was picked from one counts as one more kernel of the later ones' g.

        The kernel has the least deviation everywhere, and is not cut at the bounds:
        near enough, because all it has to do is to keep the next ones away. Where a
        hyperparameter is inactive in either the prior stands, whose density is about 1.
        """
        n = self._n_candidates
        for number, lot in enumerate(self._lots):
            start = number * n
            sums = self._log_sums[start : start + n]
            total_weight = lot.model.total_weight_of_rest + number * RUNNING_WEIGHT
            lot.log_g = sums - math.log(total_weight)
            yield lot
            self._avoid(start + lot.picked, start + n)

    def _avoid(self, picked: int, start: int) -> None:
        """Add a kernel around a candidate to the sums from `start` on."""
        near = start + (self._kinds[start:] == self._kinds[picked]).nonzero()[0]
        if near.size:
            log_kernel = self._right[near] @ self._left(picked) + _LOG_RUNNING_WEIGHT
            self._log_sums[near] = np.logaddexp(self._log_sums[near], log_kernel)


def _log_peaks(axes: Axes, sigmas: Floats) -> Floats:
    """log of a kernel's factor at its centre, on each axis; shape (D,).

    It is a density, and on a discrete axis the probability of the centre's cell.
    """
    densities, widths = 1.0 / (sigmas * math.sqrt(2.0 * math.pi)), 2.0 * axes.half_cells
    is_discrete = np.arange(len(widths))[:, None] >= axes.n_continuous
    probabilities = np.minimum(densities * widths, 1.0)
    peaks = np.where(is_discrete & (widths > 0.0), probabilities, densities)
    return np.asarray(np.log(peaks)[:, 0])


def _numbered(codes: npt.NDArray[np.int64], n_options: Sequence[int]) -> npt.NDArray[np.int64]:
    """Equal numbers for equal columns, shape (M,).

    Args:
        codes: shape (O, M), from -1 to n_options - 1 in each row.
    """
    numbers, n_numbers = np.zeros(codes.shape[1], dtype=np.int64), 1
    for own, n in zip(codes, n_options, strict=True):
        if n_numbers * (n + 1) > _MOST_NUMBERS:
            numbers = np.unique(numbers, return_inverse=True)[1]
            n_numbers = len(numbers)
        numbers = numbers * (n + 1) + own
        numbers += 1
        n_numbers *= n + 1
    return numbers
