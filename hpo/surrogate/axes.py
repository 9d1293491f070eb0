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

import numpy as np
import numpy.typing as npt

from hpo.surrogate.cells import CellKernels
from hpo.surrogate.recent import Recent

__all__ = ["MOST_VALUES", "Axes", "Points", "SlotKernels", "Slots"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
# Lower ends, upper ends and middles of all the cells of an axis.
Cells = tuple[Floats, Floats, Floats]

# A slot has no more values than these, and all slots together no more than those.
MOST_VALUES = 64
_MOST_COLUMNS = 2048
# For so many sets of cells the kernels are kept.
_MOST_KEPT = 32


@dataclass(frozen=True, eq=False)
class Axes:
    """What the estimator must know of the hyperparameters.

    Attributes:
        n_continuous: how many of the numeric axes are continuous; these come first.
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
    def bounded(self) -> Codes:
        """Numbers of the continuous axes that have bounds."""
        return np.flatnonzero(np.isfinite(self.high[: self.n_continuous]))

    @functools.cached_property
    def n_options(self) -> Floats:
        """Number of options of each choice, shape (O,)."""
        return np.array([len(p0) for p0 in self.option_priors], dtype=np.float64)

    @functools.cached_property
    def cumulative_priors(self) -> Sequence[Floats]:
        """p0 of each choice, summed from the first option on."""
        return [np.cumsum(p0) for p0 in self.option_priors]

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

    def slot_kernels(self, numbers: Codes, least_sigma: float) -> tuple[SlotKernels, Codes]:
        """The kernels on the slots among the discrete axes.

        They are kept: trials come and go, but seldom the first or last one in a cell.

        Args:
            numbers: of each trial the cell on these axes, -1 where inactive; shape (S', n).

        Returns:
            The kernels; and of each trial the column of its kernel, shape (S', n).
        """
        middles = self.slots.middles
        # One more column gathers the trials in which an axis is inactive.
        is_taken = np.zeros((len(middles), middles.shape[1] + 1), dtype=np.bool_)
        rows = np.arange(len(middles))[:, None]
        is_taken[rows, numbers] = True
        is_taken[:, -1] = False
        found = self._recent_kernels.get(
            (is_taken.tobytes(), least_sigma), lambda: self._kernels_on(is_taken, least_sigma)
        )
        return found, found.columns[rows, numbers]

    @functools.cached_property
    def _recent_kernels(self) -> Recent[SlotKernels]:
        return Recent(_MOST_KEPT)

    def _kernels_on(self, is_taken: npt.NDArray[np.bool_], least_sigma: float) -> SlotKernels:
        slots = self.slots
        columns: Codes = np.cumsum(is_taken, axis=1, dtype=np.int64) * is_taken
        centres = np.full((len(columns), int(columns.max(initial=0)) + 1), np.nan)
        taken_rows, taken_cells = np.nonzero(is_taken)
        centres[taken_rows, columns[is_taken]] = slots.middles[taken_rows, taken_cells]
        kernels = self.cell_kernels(slots.axes, centres, least_sigma)
        return SlotKernels(kernels, columns, kernels.log_masses(slots.lower, slots.upper))


@dataclass(frozen=True, eq=False)
class SlotKernels:
    """Kernels on the S' slots among the discrete axes, which have at most V cells.

    Attributes:
        kernels: one for each cell that any trial is in, and the prior's.
        columns: of each cell its kernel; shape (S', V + 1), the last column is 0, for
            an inactive axis.
        log_masses: of each kernel in each cell; shape (S', U + 1, V).
    """

    kernels: CellKernels
    columns: Codes
    log_masses: Floats


@dataclass(frozen=True, eq=False)
class Slots:
    """Which choices and discrete axes are tabulated, and where their columns stand.

    Attributes:
        choices, other_choices: numbers of those that are slots, and of those that are not.
        axes, other_axes: the same for the discrete axes, counted from 0.
        row: of each column, its slot's place in the codes above the numbers; shape (F,).
        value: of each column, its option or cell; shape (F,).
        p0: of each column of a choice, the option's prior probability.
        n_options: of each such column, how many options its choice has.
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
            value=np.concatenate([np.arange(0), *(np.arange(sizes[place]) for place in taken)]),
            p0=np.concatenate([np.empty(0), *(option_priors[choice] for choice in choices)]),
            n_options=np.repeat(
                [float(sizes[choice]) for choice in choices], [sizes[choice] for choice in choices]
            ),
            lower=_filled([lower for lower, *_ in ends], longest, 0.0),
            upper=_filled([upper for _, upper, _ in ends], longest, 1.0),
            middles=_filled([middle for *_, middle in ends], longest, 0.5),
            n_cells=[len(lower) for lower, *_ in ends],
        )  # fmt: skip


def _filled(rows: Sequence[Floats], length: int, filler: float) -> Floats:
    table = np.full((len(rows), length), filler)
    for own, row in zip(table, rows, strict=True):
        own[: len(row)] = row
    return table


@dataclass(frozen=True, eq=False)
class Points:
    """Configurations as the estimator sees them.

    Attributes:
        u: coordinates, shape (D, C), NaN where inactive.
        codes: numbers of options, shape (O, C), -1 where inactive.
        numbers: numbers of the cells in `Axes.cells`, shape (E, C), -1 where inactive;
            None where points need not be in the middle of a cell.
        ends: lower and upper ends of the cells on the discrete axes, shape (E, C) each;
            needed where points have no `numbers`, or an axis is no slot.
        is_complete: whether nothing is inactive.
    """

    u: Floats
    codes: Codes
    numbers: Codes | None = None
    ends: tuple[Floats, Floats] | None = None
    is_complete: bool = False

    def __len__(self) -> int:
        return int(max(self.u.shape[1], self.codes.shape[1]))

    def features(self, axes: Axes) -> Floats:
        """What an estimator's table is multiplied with, (3 (D - E) + F, C).

        On the continuous axes u^2, u and 1, which are 0 where inactive; then the slots'
        columns, those of choices alone without `numbers`.
        """
        u = self.u[: axes.n_continuous]
        if self.is_complete:
            is_active, positions = np.ones_like(u), u
        else:
            is_active, positions = ~np.isnan(u), np.nan_to_num(u, nan=0.0)
        parts = [positions * positions, positions, is_active]
        slots, seen = axes.slots, self.codes
        if self.numbers is not None:
            seen = np.concatenate([seen, self.numbers])
        n_columns = len(slots.row) if self.numbers is not None else len(slots.p0)
        if n_columns:
            parts.append(seen[slots.row[:n_columns]] == slots.value[:n_columns, None])
        return np.concatenate(parts, dtype=np.float64)
