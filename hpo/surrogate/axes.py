"""What the joint estimators know of hyperparameters and configurations.

    symbol    meaning                                                         shape
    C         number of points                                                 scalar
    D, O      number of numeric axes (continuous ones first), of choices        scalars
    E         number of discrete axes, the last E of the D                      scalar
    S, S'     number of slots: what has few enough different values; of those
              among the discrete axes                                         scalars
    F         number of their values together                                  scalar
    U, V      the most different values of the trials, the most cells, on any
              of the S'                                                       scalars
    u         coordinates, NaN where inactive (see hpo.space.coordinates)       (D, C)
    codes     numbers of options, -1 where inactive                            (O, C)
    numbers   numbers of cells on the discrete axes, -1 where inactive         (E, C)

A choice, and a discrete axis, of few values is a slot: an estimator tabulates its
factor for each value once, and a point picks its column. The columns of all slots
stand side by side, so one matrix product looks all of them up: `features` has a
1 where a point has the column's value.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hpo.surrogate.cells import CellKernels
from hpo.surrogate.recent import Recent

__all__ = ["LEAST_PROBABILITY", "MOST_VALUES", "Axes", "Points", "SlotKernels", "Slots", "summed"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
# Lower ends, upper ends and middles of all the cells of an axis.
Cells = tuple[Floats, Floats, Floats]

# A slot has no more values than these, and all slots together no more than those.
MOST_VALUES = 64
_MOST_COLUMNS = 2048
# An option of probability 0 may have been tried all the same: its log must be a number.
LEAST_PROBABILITY = 1e-290
# For so many sets of cells the kernels are kept.
_MOST_KEPT = 32


@dataclass(frozen=True, eq=False)
class Axes:
    """What the estimator must know of the hyperparameters.

    Attributes:
        n_continuous: how many of the numeric axes are continuous, or have cells so narrow
            that they count as such; these come first.
        low, high: bounds of the coordinates: 0 and 1, or infinite; shape (D, 1).
        half_cells: half the width of a value's cell, 0 for continuous axes; shape (D, 1).
        option_priors: p0 of each choice, O arrays.
        cells: of each discrete axis the lower ends, upper ends and middles of all its
            cells, or None where these are too many to list; E of them, or none at all.
    """

    n_continuous: int
    low: Floats
    high: Floats
    half_cells: Floats
    option_priors: Sequence[Floats]
    cells: Sequence[Cells | None] = ()

    @functools.cached_property
    def prior_mus(self) -> Floats:
        """Centre of the prior on each axis, shape (D, 1)."""
        return np.where(np.isfinite(self.high), 0.5, 0.0)

    @functools.cached_property
    def is_bounded(self) -> bool:
        """Whether all axes have bounds."""
        return bool(np.isfinite(self.high).all())

    @functools.cached_property
    def bounded(self) -> slice | Codes:
        """Which axes have bounds, and no cells at all: as an index."""
        own = slice(0, self.n_continuous)
        found = np.flatnonzero(np.isfinite(self.high[own]) & (self.half_cells[own] == 0.0))
        return slice(0, len(found)) if (found == np.arange(len(found))).all() else found

    @functools.cached_property
    def n_options(self) -> Floats:
        """Number of options of each choice, shape (O,)."""
        return np.array([len(p0) for p0 in self.option_priors], dtype=np.float64)

    @functools.cached_property
    def cumulative_priors(self) -> Sequence[Floats]:
        """p0 of each choice, `summed`."""
        return [summed(p0) for p0 in self.option_priors]

    @functools.cached_property
    def padded_cumulative_priors(self) -> Floats | None:
        """The same as one array (O, 1, V), if no choice has too many options."""
        longest = max(map(len, self.option_priors), default=0)
        if longest > MOST_VALUES:
            return None
        return _filled(self.cumulative_priors, longest, np.inf)[:, None]

    @functools.cached_property
    def slots(self) -> Slots:
        """What is tabulated."""
        return Slots.of(self.option_priors, self.cells, len(self.low) - self.n_continuous)

    def cell_kernels(
        self, axes: Sequence[int], centres: Floats, least_sigma: float
    ) -> CellKernels:
        """The kernels on some discrete axes, counted from 0; `centres` as there."""
        rows = [self.n_continuous + axis for axis in axes]
        least = np.maximum(least_sigma, self.half_cells[rows])
        return CellKernels(centres, self.prior_mus[rows], self.low[rows], self.high[rows], least)

    def slot_kernels(
        self, numbers: Codes, sizes: Sequence[int], least_sigma: float
    ) -> tuple[list[SlotKernels], Codes]:
        """The kernels on the slots among the discrete axes, for several sets of trials.

        They are kept: trials come and go, but seldom the first or last one in a cell.

        Args:
            numbers: of each trial the cell on these axes, -1 where inactive; shape (S', n).
            sizes: how many trials each set has; they stand side by side.

        Returns:
            The kernels of each set; and of each trial the column of its kernel, shape (S', n).
        """
        n_slots, n_cells = self.slots.middles.shape
        sets, rows = np.arange(len(sizes)).repeat(sizes), self.slots.rows
        # One more column gathers the trials in which an axis is inactive.
        is_taken = np.zeros((len(sizes), n_slots, n_cells + 1), dtype=np.bool_)
        is_taken[sets, rows, numbers] = True
        is_taken[:, :, -1] = False
        found = self._recent_kernels.get_all(
            [(own.tobytes(), least_sigma) for own in is_taken],
            lambda lacking: self._kernels_on(is_taken[lacking], least_sigma),
        )
        columns = np.array([kernels.columns for kernels in found])
        return found, columns[sets, rows, numbers]

    @functools.cached_property
    def _recent_kernels(self) -> Recent[SlotKernels]:
        return Recent(_MOST_KEPT)

    def _kernels_on(
        self, is_taken: npt.NDArray[np.bool_], least_sigma: float
    ) -> list[SlotKernels]:
        """The kernels of each set, from where its trials are, shape (sets, S', V + 1)."""
        slots, n_sets = self.slots, len(is_taken)
        columns: Codes = is_taken.cumsum(axis=2, dtype=np.int64)
        columns *= is_taken
        centres = np.full((*columns.shape[:2], int(columns.max(initial=0)) + 1), np.nan)
        taken = sets, rows, cells = is_taken.nonzero()
        centres[sets, rows, columns[taken]] = slots.middles[rows, cells]
        # To `CellKernels` every slot of every set is an axis.
        lower, upper = (np.concatenate([ends] * n_sets) for ends in (slots.lower, slots.upper))
        kernels = self.cell_kernels(
            list(slots.axes) * n_sets, centres.reshape(lower.shape[0], -1), least_sigma
        )
        log_masses = kernels.log_masses(lower, upper).reshape(*centres.shape, -1)
        cumulative = np.exp(log_masses).cumsum(axis=3)
        # The last cell takes what rounding left over.
        np.copyto(cumulative, np.inf, where=slots.is_from_last[:, None])
        return [SlotKernels(*each) for each in zip(columns, log_masses, cumulative, strict=True)]


class SlotKernels(NamedTuple):
    """Kernels on the S' slots among the discrete axes, which have at most V cells.

    Attributes:
        columns: of each cell its kernel; shape (S', V + 1), the last column is 0, for
            an inactive axis.
        log_masses: of each kernel in each cell; shape (S', U + 1, V). There is a kernel for
            each cell that any trial is in, and the prior's.
        cumulative: the masses, summed from the first cell on; infinite from the last one
            on. Same shape.
    """

    columns: Codes
    log_masses: Floats
    cumulative: Floats


@dataclass(frozen=True, eq=False)
class Slots:
    """Which choices and discrete axes are tabulated, and where their columns stand.

    Attributes:
        choices, other_choices: numbers of those that are slots, and of those that are not.
        axes, other_axes: the same for the discrete axes, counted from 0.
        row: of each column, its slot's place in the codes above the numbers; shape (F,).
        value: of each column, its option or cell; shape (F, 1).
        p0: of each column of a choice, the option's prior probability, or what stands for
            0; shape (F', 1).
        n_options: of each such column, how many options its choice has; shape (F', 1).
        lower, upper, middles: of the cells of the slots among the axes, each row filled
            up to the longest; shape (S', V).
        n_cells: how many cells each of them has.
    """

    choices: Sequence[int]
    other_choices: Sequence[int]
    axes: Sequence[int]
    other_axes: Sequence[int]
    row: npt.NDArray[np.int64]
    value: npt.NDArray[np.int64]
    p0: Floats
    n_options: Floats
    lower: Floats
    upper: Floats
    middles: Floats
    n_cells: Sequence[int]

    @functools.cached_property
    def log_p0(self) -> Floats:
        """The logarithm of `p0`."""
        return np.log(self.p0)

    @functools.cached_property
    def own_axes(self) -> slice | Codes:
        """`axes` as an index of the discrete axes: all of them, most of the time."""
        return np.array(self.axes) if self.other_axes else slice(None)

    @functools.cached_property
    def is_cell(self) -> slice | npt.NDArray[np.bool_]:
        """Which of the S' V places, row by row, are cells: as an index."""
        lengths = np.array(self.n_cells, dtype=np.int64).reshape(-1, 1)
        is_cell = (np.arange(self.middles.shape[1]) < lengths).ravel()
        return slice(None) if is_cell.all() else is_cell

    @functools.cached_property
    def rows(self) -> Codes:
        """Numbers of the slots among the axes, counted from 0; shape (S', 1)."""
        return np.arange(len(self.middles))[:, None]

    @functools.cached_property
    def is_from_last(self) -> npt.NDArray[np.bool_]:
        """Which cells are an axis' last one, or none of its own; shape (S', V)."""
        last = np.array(self.n_cells, dtype=np.int64).reshape(-1, 1) - 1
        return np.arange(self.middles.shape[1]) >= last

    @classmethod
    def of(
        cls, option_priors: Sequence[Floats], cells: Sequence[Cells | None], n_axes: int
    ) -> Slots:
        """Take what is small, as long as there is room."""
        sizes = [len(p0) for p0 in option_priors]
        sizes += [MOST_VALUES + 1 if each is None else len(each[0]) for each in cells]
        sizes += [MOST_VALUES + 1] * (len(option_priors) + n_axes - len(sizes))
        taken, n_columns = [], 0
        for place, size in enumerate(sizes):
            if size <= MOST_VALUES and n_columns + size <= _MOST_COLUMNS:
                taken.append(place)
                n_columns += size
        others = sorted(set(range(len(sizes))) - set(taken))
        n_choices = len(option_priors)
        axes = [place - n_choices for place in taken if place >= n_choices]
        choices = [place for place in taken if place < n_choices]
        ends = [each for each in (cells[axis] for axis in axes) if each is not None]
        longest = max((len(lower) for lower, *_ in ends), default=0)
        return cls(
            choices, [place for place in others if place < n_choices],
            axes, [place - n_choices for place in others if place >= n_choices],
            row=np.repeat(np.array(taken, dtype=np.int64), [sizes[place] for place in taken]),
            value=np.concatenate([np.arange(0), *(np.arange(sizes[place]) for place in taken)])[
                :, None
            ],
            p0=np.maximum(
                np.concatenate([np.empty(0), *(option_priors[choice] for choice in choices)]),
                LEAST_PROBABILITY,
            )[:, None],
            n_options=np.repeat(
                [float(sizes[choice]) for choice in choices], [sizes[choice] for choice in choices]
            )[:, None],
            lower=_filled([lower for lower, *_ in ends], longest, 0.0),
            upper=_filled([upper for _, upper, _ in ends], longest, 1.0),
            middles=_filled([middle for *_, middle in ends], longest, 0.5),
            n_cells=[len(lower) for lower, *_ in ends],
        )  # fmt: skip


def summed(probabilities: Floats) -> Floats:
    """Sums from the first one on, to be searched for a random number from 0 to 1.

    Infinite from the last one on that is not 0: that takes what rounding left over.
    """
    sums = probabilities.cumsum()
    sums[sums.searchsorted(sums[-1]) :] = np.inf
    return sums


def _filled(rows: Sequence[Floats], length: int, filler: float) -> Floats:
    table = np.full((len(rows), length), filler)
    for own, row in zip(table, rows, strict=True):
        own[: len(row)] = row
    return table


@dataclass(eq=False)
class Points:
    """Configurations as the estimator sees them.

    Attributes:
        u: coordinates, shape (D, C), NaN where inactive.
        codes: numbers of options, shape (O, C), -1 where inactive.
        numbers: numbers of the cells in `Axes.cells`, shape (E, C), -1 where inactive.
        ends: lower and upper ends of the cells on the discrete axes, shape (E, C) each;
            needed for densities where an axis is no slot.
        is_complete: whether all of `u` is known not to be NaN, but in blanks.
    """

    u: Floats
    codes: Codes
    numbers: Codes
    ends: tuple[Floats, Floats] | None = None
    is_complete: bool = False

    def __len__(self) -> int:
        return int(max(self.u.shape[1], self.codes.shape[1]))

    def with_blank(self) -> Points:
        """The same, and one more in which nothing is active."""

        def longer(array: npt.NDArray[Any], blank: float) -> npt.NDArray[Any]:
            end = np.full((len(array), 1), blank, dtype=array.dtype)
            return np.concatenate([array, end], axis=1)

        return Points(
            longer(self.u, np.nan),
            longer(self.codes, -1),
            longer(self.numbers, -1),
        )

    def features(self, axes: Axes) -> Floats:
        """What an estimator's table is multiplied with, (3 (D - E) + 1 + F, C).

        On the continuous axes u^2, u and 1, which are 0 where inactive; then 1; then the
        slots' columns.
        """
        split, slots = axes.n_continuous, axes.slots
        features = np.empty((3 * split + 1 + len(slots.row), len(self)))
        u, is_active = self.u[:split], features[2 * split : 3 * split]
        positions = features[split : 2 * split]
        if self.is_complete:
            positions[:] = u
            is_active.fill(1.0)
        else:
            np.equal(u, u, out=is_active)
            np.copyto(positions, np.where(is_active, u, 0.0))
        np.multiply(positions, positions, out=features[:split])
        features[3 * split] = 1.0
        if len(slots.row):
            seen = np.concatenate([self.codes, self.numbers]).take(slots.row, axis=0)
            np.equal(seen, slots.value, out=features[3 * split + 1 :])
        return features
