"""Slots: what has so few different values that an estimator tabulates them.

    symbol    meaning                                                         shape
    S'        number of slots among the discrete axes                          scalar
    V         the most cells of any of them                                    scalar
    M         number of kernels there can be on them, S' (V + 1)               scalar
    F, F'     number of values of all slots, of the choices alone                scalars
    n         number of trials                                                 scalar

Which kernels a set of trials has on such an axis is known by which cells are taken
(`hpo.surrogate.bandwidth`). Of the many trials that are not good one more seldom takes a
new cell, so the kernels that were integrated last are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
        row: of each column, where its slot stands in the codes above the numbers; shape (F,).
        value: of each column, its option or cell, in one byte; shape (F, 1).
        p0: prior probabilities of the choices' options, or what stands for 0; shape (F', 1).
        n_options: of each of these, how many options its choice has; shape (F', 1).
        lower, upper, middles: of the cells of the slots among the axes, each row filled
            up to the longest; shape (S', V).
        n_cells: how many cells each of them has.
    """

    choices: Sequence[int]
    other_choices: Sequence[int]
    axes: Sequence[int]
    other_axes: Sequence[int]
    row: npt.NDArray[np.int64]
    value: npt.NDArray[np.int8]
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

    def chosen(self, seen: Codes) -> Any:
        """Ones for the columns that points take, and zeros for all others.

        Args:
            seen: their codes above their numbers, -1 where inactive; shape (O + E, C).

        Returns:
            A sparse matrix of shape (C, F).
        """
        # Loaded when it is first needed, like all of scipy.
        from scipy.sparse import csr_matrix

        # Of each slot.
        first_columns = (self.value[:, 0] == 0).nonzero()[0]
        own = seen.take(self.row[first_columns], axis=0).T
        columns = np.maximum(own, 0) + first_columns
        ends = np.arange(0, own.size + 1, len(first_columns))
        ones = (own >= 0).ravel().astype(np.float64)
        return csr_matrix((ones, columns.ravel(), ends), shape=(len(own), len(self.row)))

    @functools.cached_property
    def own_axes(self) -> slice | Codes:
        """`axes` as an index of the discrete axes: all of them, most of the time."""
        return np.array(self.axes) if self.other_axes else slice(None)

    @functools.cached_property
    def is_cell(self) -> slice | npt.NDArray[np.bool_]:
        """Which of S' V places, row by row, are cells: as an index."""
        is_cell = (np.arange(self.middles.shape[1]) < self._lengths).ravel()
        return slice(None) if is_cell.all() else is_cell

    @functools.cached_property
    def rows(self) -> Codes:
        """Numbers of the slots among the axes, counted from 0; shape (S', 1)."""
        return np.arange(len(self.middles))[:, None]

    @functools.cached_property
    def kernel_rows(self) -> Codes:
        """Of each of M kernels, its slot's number; shape (M,)."""
        return self.rows[:, 0].repeat(self.middles.shape[1] + 1)

    def kernels(self, numbers: Codes) -> Codes:
        """Which kernel trials have on each of the slots among the axes.

        Those of a slot are its prior's, and then one around each cell.

        Args:
            numbers: of cells, -1 where inactive; shape (S', n).

        Returns:
            Numbers from 0 to M - 1, shape (S', n).
        """
        kernels: Codes = numbers + self._first_kernels
        return kernels

    @functools.cached_property
    def _first_kernels(self) -> Codes:
        return np.asarray(self.rows * (self.middles.shape[1] + 1) + 1)

    @functools.cached_property
    def is_from_last(self) -> npt.NDArray[np.bool_]:
        """Which cells are the last of each kernel's slot, or none of its own; shape (M, V)."""
        is_from_last = np.arange(self.middles.shape[1]) >= self._lengths - 1
        return is_from_last[self.kernel_rows]

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
        values = [np.arange(n, dtype=np.int8) for n in n_values]
        n_options = n_values[: len(choices)]
        p0 = [option_priors[choice] for choice in choices]
        ends = [each for each in (cells[axis] for axis in axes) if each is not None]
        longest = max((len(lower) for lower, *_ in ends), default=0)
        return cls(
            choices, [place for place in others if place < n_choices],
            axes, [place - n_choices for place in others if place >= n_choices],
            row=places.repeat(n_values),
            value=np.concatenate([np.empty(0, np.int8), *values])[:, None],
            p0=np.maximum(np.concatenate([np.empty(0), *p0]), LEAST_PROBABILITY)[:, None],
            n_options=n_options.repeat(n_options).astype(np.float64)[:, None],
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


@dataclass(frozen=True, eq=False)
class CellTable:
    """The kernels on the slots among the axes, those of one below those of the other.

    Attributes:
        slots: which these are.
        log_masses: logarithms of the kernels' masses in all cells of their slots, shape
            (M, V); meaningless where no trial has that kernel.
    """

    slots: Slots
    log_masses: Floats

    @functools.cached_property
    def cumulative(self) -> Floats:
        """Masses, summed from the first cell on; infinite from the last one on."""
        sums = np.exp(self.log_masses).cumsum(axis=1)
        # The last cell takes what rounding left over.
        np.copyto(sums, np.inf, where=self.slots.is_from_last)
        return sums


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
        self._slots, self._least = slots, least
        # Of each of the M kernels, the ends of its slot's cells and bounds from its centre on.
        centres = np.append(prior_mus, slots.middles, axis=1).reshape(-1, 1)
        self._lower, self._upper, self._low, self._high = (
            ends[slots.kernel_rows] - centres for ends in (slots.lower, slots.upper, low, high)
        )
        # The prior is nobody's neighbour.
        self._positions = np.insert(slots.middles, 0, np.nan, axis=1).ravel()
        self._recent: Recent[CellTable] = Recent(_MOST_KEPT)

    def of_trials(self, kernels: Codes, sizes: Sequence[int]) -> list[CellTable]:
        """The kernels of several sets of trials.

        Args:
            kernels: which one each trial has, as `Slots.kernels` tells; shape (S', n).
            sizes: how many trials each set has; they stand side by side.
        """
        is_taken = np.zeros((len(sizes), len(self._positions)), np.bool_)
        is_taken[np.arange(len(sizes)).repeat(sizes), kernels] = True
        # Where no trial is inactive, the prior is needed all the same.
        is_taken[:, :: self._slots.middles.shape[1] + 1] = True
        return self._recent.get_all(
            [own.tobytes() for own in is_taken],
            lambda lacking: [self._integrated(is_taken[place]) for place in lacking],
        )

    def _integrated(self, is_taken: npt.NDArray[np.bool_]) -> CellTable:
        """The priors, and the kernels around the taken cells.

        Args:
            is_taken: shape (M,).
        """
        slots = self._slots
        n_taken = is_taken.reshape(len(slots.rows), -1).sum(axis=1, keepdims=True) - 1
        (kernels,) = is_taken.nonzero()
        # In one row, because the priors keep the axes apart.
        limits = least_sigmas(n_taken, self._least)[slots.kernel_rows[kernels], 0]
        sigmas = ascending_bandwidths(self._positions[kernels][None], limits)
        log_masses: Floats = np.zeros((len(is_taken), slots.middles.shape[1]))
        log_masses[kernels] = log_masses_inside(
            self._lower[kernels], self._upper[kernels], self._low[kernels], self._high[kernels],
            sigmas.T,
        )  # fmt: skip
        return CellTable(slots, log_masses)
