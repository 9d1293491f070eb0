"""Slots: what has so few different values that an estimator tabulates them.

    symbol    meaning                                                         shape
    S'        number of slots among the discrete axes                          scalar
    V         the most cells of any of them                                    scalar
    F, F'     number of values of all slots, of those that are choices          scalars
    R         number of kernels that were needed so far                        scalar
    n         number of trials                                                 scalar

A kernel on such an axis is known by the cell it is around, the neighbour that its deviation
reaches to, and, while these are few, how many cells are taken (`hpo.surrogate.bandwidth`).
There are not many such kernels and all experiments on the space share them, so each is
integrated over all cells once.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
# For so many sets of taken cells it is kept which kernels they need.
_MOST_KEPT = 32


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

    Attributes:
        log_masses: of each kernel in each cell; shape (R, V).
        cumulative: the masses, summed from the first cell on; infinite from the last one
            on. Same shape.
    """

    def __init__(
        self, slots: Slots, prior_mus: Floats, low: Floats, high: Floats, least: Floats
    ) -> None:
        n_slots, n_cells = slots.middles.shape
        self._slots, self._low, self._high, self._least = slots, low, high, least
        # From so many taken cells on their number has no say in a deviation.
        self._most_counted = min(n_cells, math.ceil(least.min() ** -0.5))
        # Of each axis, cell, neighbour (the last one is nobody) and number of taken cells.
        shape = n_slots, n_cells, n_cells + 1, self._most_counted + 1
        self._kernels = np.full(shape, -1, dtype=np.int32)
        self._middles = np.append(slots.middles, np.full((n_slots, 1), np.inf), axis=1)
        self.log_masses = self.cumulative = np.empty((0, n_cells))
        self._recent: Recent[Codes] = Recent(_MOST_KEPT)
        self._lock = threading.Lock()
        # The first ones are the priors'.
        self._add(slots.rows[:, 0], prior_mus[:, 0], np.ones(n_slots))

    def of_trials(self, numbers: Codes, sizes: Sequence[int]) -> Codes:
        """Which kernel each trial has on each axis, for several sets of trials.

        Args:
            numbers: of each trial the cell, -1 where inactive; shape (S', n).
            sizes: how many trials each set has; they stand side by side.

        Returns:
            Rows of `log_masses`; shape (S', n).
        """
        sets, rows = np.arange(len(sizes)).repeat(sizes), self._slots.rows
        # One more column gathers the trials in which an axis is inactive.
        is_taken = np.zeros((len(sizes), len(rows), self.log_masses.shape[1] + 1), np.bool_)
        is_taken[sets, rows, numbers] = True
        kernels = self._recent.get_all(
            [own.tobytes() for own in is_taken],
            lambda lacking: list(self._of_cells(is_taken[lacking][:, :, :-1])),
        )
        return np.array(kernels)[sets, rows, numbers]

    def _of_cells(self, is_taken: npt.NDArray[np.bool_]) -> Codes:
        """Which kernel is around each taken cell, for several sets.

        Args:
            is_taken: shape (sets, S', V).

        Returns:
            Shape (sets, S', V + 1), the prior's at the end; meaningless where not taken.
        """
        n_cells, rows, middles = is_taken.shape[2], self._slots.rows, self._slots.middles
        cells = np.arange(n_cells)
        # The neighbours on either side, where the last column of `_middles` is nobody.
        left, right = np.full((2, *is_taken.shape), n_cells)
        last = np.maximum.accumulate(np.where(is_taken, cells, -1), axis=2)
        left[:, :, 1:] = last[:, :, :-1]
        following = np.where(is_taken, cells, n_cells)[:, :, ::-1]
        right[:, :, :-1] = np.minimum.accumulate(following, axis=2)[:, :, -2::-1]
        to_left, to_right = (
            middles - self._middles[rows, left],
            self._middles[rows, right] - middles,
        )
        # Nobody is at infinity, and nearer than anybody.
        to_right[right == n_cells] = -np.inf
        neighbours = np.where(to_right > to_left, right, left)
        counts = np.minimum(is_taken.sum(axis=2, keepdims=True), self._most_counted)
        keys = rows, cells, neighbours, counts
        kernels = np.empty((*is_taken.shape[:2], n_cells + 1), dtype=np.int64)
        kernels[:, :, :-1], kernels[:, :, -1:] = self._kernels[keys], rows
        is_new = is_taken & (kernels[:, :, :-1] < 0)
        if is_new.any():
            new = [np.broadcast_to(key, is_taken.shape)[is_new] for key in keys]
            # Several searches of one space may run in threads.
            with self._lock:
                kernels[:, :, :-1][is_new] = self._kernels[tuple(new)] = self._integrate(*new)
        return kernels

    def _integrate(self, rows: Codes, cells: Codes, neighbours: Codes, counts: Codes) -> Codes:
        """Add kernels, told by their keys; shape (r,) each."""
        mus = self._middles[rows, cells]
        gaps = np.abs(self._middles[rows, neighbours] - mus)
        # Whoever has no neighbour has the greatest deviation.
        sigmas = np.maximum(gaps, np.maximum(self._least[rows, 0], (1.0 + counts) ** -2.0))
        return self._add(rows, mus, np.minimum(sigmas, 1.0))

    def _add(self, rows: Codes, mus: Floats, sigmas: Floats) -> Codes:
        slots, first = self._slots, len(self.log_masses)
        log_masses = log_masses_inside(
            slots.lower[rows], slots.upper[rows], mus[:, None], sigmas[:, None],
            self._low[rows], self._high[rows],
        )  # fmt: skip
        cumulative = np.exp(log_masses).cumsum(axis=1)
        # The last cell takes what rounding left over.
        np.copyto(cumulative, np.inf, where=slots.is_from_last[rows])
        self.log_masses = np.concatenate([self.log_masses, log_masses])
        self.cumulative = np.concatenate([self.cumulative, cumulative])
        return np.arange(first, len(self.log_masses))
