"""Slots: what has so few different values that an estimator tabulates them.

    symbol    meaning                                                         shape
    S'        number of slots among the discrete axes                          scalar
    V         the most cells of any of them                                    scalar
    F, F'     number of values of all slots, of those that are choices          scalars
    n         number of trials                                                 scalar

Which kernels a set of trials has on such an axis is known by which cells are taken
(`hpo.surrogate.bandwidth`). Of the many trials that are not good one more seldom takes a
new cell, so the kernels that were integrated last are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.surrogate.bandwidth import ascending_bandwidths, least_sigmas
from hpo.surrogate.cells import log_masses_inside
from hpo.surrogate.recent import Recent

__all__ = ["LEAST_PROBABILITY", "MOST_VALUES", "Cells", "SlotKernels", "Slots", "filled"]

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
        row: of each column, its slot's place in the codes above the numbers; shape (F,).
        value: of each column, its option or cell, in one byte; shape (F, 1).
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

    @functools.cached_property
    def own_axes(self) -> slice | Codes:
        """`axes` as an index of the discrete axes: all of them, most of the time."""
        return np.array(self.axes) if self.other_axes else slice(None)

    @functools.cached_property
    def is_cell(self) -> slice | npt.NDArray[np.bool_]:
        """Which of the S' V places, row by row, are cells: as an index."""
        is_cell = (np.arange(self.middles.shape[1]) < self._lengths).ravel()
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
        ends = [each for each in (cells[axis] for axis in axes) if each is not None]
        longest = max((len(lower) for lower, *_ in ends), default=0)
        return cls(
            choices, [place for place in others if place < n_choices],
            axes, [place - n_choices for place in others if place >= n_choices],
            row=np.repeat(np.array(taken, dtype=np.int64), [sizes[place] for place in taken]),
            value=np.concatenate(
                [np.arange(0, dtype=np.int8)]
                + [np.arange(sizes[place], dtype=np.int8) for place in taken]
            )[:, None],
            p0=np.maximum(
                np.concatenate([np.empty(0), *(option_priors[choice] for choice in choices)]),
                LEAST_PROBABILITY,
            )[:, None],
            n_options=np.repeat(
                [float(sizes[choice]) for choice in choices], [sizes[choice] for choice in choices]
            )[:, None],
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
        self._recent: Recent[Floats] = Recent(_MOST_KEPT)

    def of_trials(self, numbers: Codes, sizes: Sequence[int]) -> list[Floats]:
        """The kernels of several sets of trials, one around each cell that is taken.

        Args:
            numbers: of each trial the cell, -1 where inactive; shape (S', n).
            sizes: how many trials each set has; they stand side by side.

        Returns:
            For each set the logarithms of the kernels' masses in all cells, shape
            (S', V + 1, V): of the kernel around each taken cell, at the end of the prior's;
            meaningless elsewhere.
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

    def _integrated(self, is_taken: npt.NDArray[np.bool_]) -> Floats:
        """Kernels around the taken cells, as `of_trials` returns them.

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
        return log_masses
