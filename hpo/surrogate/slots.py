"""Slots: what has so few different values that an estimator tabulates them.

    symbol    meaning                                                         shape
    S, S'     number of slots, of those among the discrete axes                 scalars
    V         the most cells of any of them                                    scalar
    F, F'     number of values but each slot's first, of choices alone          scalars
    n         number of trials                                                 scalar

The first value of a slot has no column of its own: what the others have is relative to it.

Which kernels a set of trials has on such an axis is known by which cells are taken
(`hpo.surrogate.bandwidth`). Of the many trials that are not good one more seldom takes a
new cell, so the kernels that were integrated last are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hpo.surrogate.bandwidth import ascending_bandwidths, least_sigmas
from hpo.surrogate.cells import log_masses_inside
from hpo.surrogate.recent import Recent

__all__ = [
    "LEAST_PROBABILITY",
    "MOST_VALUES",
    "CellTable",
    "Cells",
    "SlotKernels",
    "Slots",
    "filled",
]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
# Lower ends, upper ends and middles of all the cells of an axis.
Cells = tuple[Floats, Floats, Floats]

# A slot has no more values than these, and all slots together no more than those.
MOST_VALUES = 64
_MOST_COLUMNS = 2048
# An option of probability 0 may have been tried all the same: its log must be a number.
LEAST_PROBABILITY = 1e-290
# The kernels of so many sets of taken cells are kept.
_MOST_KEPT = 32


@dataclass(frozen=True, eq=False)
class Slots:
    """Which choices and discrete axes are tabulated, and where their columns stand.

    Attributes:
        choices, other_choices: numbers of those that are slots, and of those that are not.
        axes, other_axes: the same for the discrete axes, counted from 0.
        place: of each slot in the codes above the numbers; shape (S,).
        row: of each column, its slot's place there; shape (F,).
        value: of each column, its option or cell, in one byte; shape (F, 1).
        choice: of each column of a choice, which of `choices` that is; shape (F',).
        p0: prior probabilities, or what stands for 0, of the choices' first options, then of
            those that have columns; shape (S - S' + F', 1).
        n_options: of each of these, how many options its choice has; the same shape.
        lower, upper, middles: of the cells of the slots among the axes, each row filled
            up to the longest; shape (S', V).
        n_cells: how many cells each of them has.
    """

    choices: Sequence[int]
    other_choices: Sequence[int]
    axes: Sequence[int]
    other_axes: Sequence[int]
    place: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    value: npt.NDArray[np.int8]
    choice: npt.NDArray[np.int64]
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
    def option_rows(self) -> Codes:
        """Of each of `p0`, its choice's place in the codes."""
        return np.append(self.place[: len(self.choices)], self.row[: len(self.choice)])

    @functools.cached_property
    def options(self) -> npt.NDArray[np.int8]:
        """Of each of `p0`, which option it is; shape (S - S' + F', 1)."""
        first = np.zeros((len(self.choices), 1), dtype=np.int8)
        return np.append(first, self.value[: len(self.choice)], axis=0)

    @functools.cached_property
    def own_axes(self) -> slice | Codes:
        """`axes` as an index of the discrete axes: all of them, most of the time."""
        return np.array(self.axes) if self.other_axes else slice(None)

    @functools.cached_property
    def is_cell(self) -> slice | npt.NDArray[np.bool_]:
        """Which of S' (V - 1) places, row by row, are cells with a column: as an index."""
        is_cell = (np.arange(1, self.middles.shape[1]) < self._lengths).ravel()
        return slice(None) if is_cell.all() else is_cell

    @functools.cached_property
    def rows(self) -> Codes:
        """Numbers of the slots among the axes, counted from 0; shape (S', 1)."""
        return np.arange(len(self.middles))[:, None]

    @functools.cached_property
    def is_from_last(self) -> npt.NDArray[np.bool_]:
        """Which cells are an axis' last one, or none of its own; shape (S', V)."""
        return np.arange(self.middles.shape[1]) >= self._lengths - 1

    def cumulative(self, log_masses: Floats) -> Floats:
        """Masses, summed from the first cell on; infinite from the last one on.

        Args:
            log_masses: of kernels in all cells, shape (S', kernels, V).
        """
        sums = np.exp(log_masses).cumsum(axis=2)
        # The last cell takes what rounding left over.
        np.copyto(sums, np.inf, where=self.is_from_last[:, None])
        return sums

    @functools.cached_property
    def _lengths(self) -> Codes:
        return np.array(self.n_cells, dtype=np.int64).reshape(-1, 1)

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
        places = np.array(taken, dtype=np.int64)
        n_values = np.array([sizes[place] for place in taken], dtype=np.int64)
        values = [np.arange(1, n, dtype=np.int8) for n in n_values]
        # Of the choices: their first options, then all the others.
        n_options = n_values[: len(choices)]
        n_options_of = np.append(n_options, n_options.repeat(n_options - 1))
        priors = [option_priors[choice] for choice in choices]
        p0 = [part for own in (slice(1), slice(1, None)) for part in (p[own] for p in priors)]
        ends = [each for each in (cells[axis] for axis in axes) if each is not None]
        longest = max((len(lower) for lower, *_ in ends), default=0)
        return cls(
            choices, [place for place in others if place < n_choices],
            axes, [place - n_choices for place in others if place >= n_choices],
            place=places,
            row=places.repeat(n_values - 1),
            value=np.concatenate([np.empty(0, np.int8), *values])[:, None],
            choice=np.arange(len(choices)).repeat(n_options - 1),
            p0=np.maximum(np.concatenate([np.empty(0), *p0]), LEAST_PROBABILITY)[:, None],
            n_options=n_options_of.astype(np.float64)[:, None],
            lower=filled([lower for lower, *_ in ends], longest, 0.0),
            upper=filled([upper for _, upper, _ in ends], longest, 1.0),
            middles=filled([middle for *_, middle in ends], longest, 0.5),
            n_cells=[len(lower) for lower, *_ in ends],
        )  # fmt: skip


def filled(rows: Sequence[Floats], length: int, filler: float) -> Floats:
    """One row below the other, each filled up to a length."""
    table = np.full((len(rows), length), filler)
    for own, row in zip(table, rows, strict=True):
        own[: len(row)] = row
    return table


class CellTable(NamedTuple):
    """Kernels in logarithms, one around each cell that is taken, and at the end the prior's.

    Attributes:
        log_masses: in all cells, shape (S', V + 1, V); meaningless of a cell that is not taken.
        relative: the same of all cells but the first, less that of the first; shape
            (S', V + 1, V - 1).
    """

    log_masses: Floats
    relative: Floats


class SlotKernels:
    """The kernels on the slots among the discrete axes.

    Args:
        slots: which these are.
        prior_mus: centre of the prior on each of them, shape (S', 1).
        low, high: bounds of the coordinates, shape (S', 1).
        least: no deviation is smaller, shape (S', 1).
    """

    def __init__(
        self, slots: Slots, prior_mus: Floats, low: Floats, high: Floats, least: Floats
    ) -> None:
        self._slots, self._low, self._high, self._least = slots, low, high, least
        # Behind the cells stands the prior, which is nobody's neighbour.
        self._centres = np.append(slots.middles, prior_mus, axis=1)
        self._positions = np.append(slots.middles, np.full(prior_mus.shape, np.nan), axis=1)
        self._recent: Recent[CellTable] = Recent(_MOST_KEPT)

    def of_trials(self, numbers: Codes, sizes: Sequence[int]) -> list[CellTable]:
        """The kernels of several sets of trials.

        Args:
            numbers: of each trial the cell, -1 where inactive; shape (S', n).
            sizes: how many trials each set has; they stand side by side.
        """
        sets, rows = np.arange(len(sizes)).repeat(sizes), self._slots.rows
        is_taken = np.zeros((len(sizes), *self._centres.shape), np.bool_)
        is_taken[sets, rows, numbers] = True
        # Where no trial is inactive, the prior is needed all the same.
        is_taken[:, :, -1] = True
        return self._recent.get_all(
            [own.tobytes() for own in is_taken],
            lambda lacking: [self._integrated(is_taken[place]) for place in lacking],
        )

    def _integrated(self, is_taken: npt.NDArray[np.bool_]) -> CellTable:
        """Kernels around the taken cells.

        Args:
            is_taken: shape (S', V + 1).
        """
        slots = self._slots
        n_taken = is_taken.sum(axis=1, keepdims=True) - 1
        rows, cells = is_taken.nonzero()
        # In one row, because the priors keep the axes apart.
        limits = least_sigmas(n_taken, self._least)[rows, 0]
        sigmas = ascending_bandwidths(self._positions[rows, cells][None], limits)
        log_masses: Floats = np.zeros((*is_taken.shape, slots.middles.shape[1]))
        log_masses[rows, cells] = log_masses_inside(
            slots.lower[rows], slots.upper[rows], self._centres[rows, cells][:, None],
            sigmas.T, self._low[rows], self._high[rows],
        )  # fmt: skip
        return CellTable(log_masses, log_masses[:, :, 1:] - log_masses[:, :, :1])
