"""What the joint estimators know of hyperparameters and configurations.

    symbol    meaning                                                         shape
    C         number of points                                                 scalar
    D, O      number of numeric axes (continuous ones first), of choices        scalars
    E         number of discrete axes, the last E of the D                      scalar
    S         number of slots: what has few enough different values            scalar
    F         number of their values together                                  scalar
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
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_VALUES", "Axes", "Points", "Slots"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Cells = tuple[Floats, Floats]

# A slot has no more values than these, and all slots together no more than those.
MOST_VALUES = 64
_MOST_COLUMNS = 2048


@dataclass(frozen=True, eq=False)
class Axes:
    """What the estimator must know of the hyperparameters.

    Attributes:
        n_continuous: how many of the numeric axes are continuous; these come first.
        low, high: bounds of the coordinates: 0 and 1, or infinite; shape (D, 1).
        half_cells: half the width of a value's cell, 0 for continuous axes; shape (D, 1).
        option_priors: p0 of each choice, O arrays.
        cells: of each discrete axis the lower and upper ends of all its cells, or None
            where these are too many to list; E of them, or none at all.
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
        lower, upper: ends of the cells of the slots among the axes, each row filled up
            to the longest; shape (slots among axes, most cells).
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
        longest = max((len(lower) for lower, _ in ends), default=0)
        filler = np.ones(longest)
        return cls(
            choices, [place for place in others if place < n_choices],
            axes, [place - n_choices for place in others if place >= n_choices],
            row=np.repeat(np.array(taken, dtype=np.int64), [sizes[place] for place in taken]),
            value=np.concatenate([np.arange(0), *(np.arange(sizes[place]) for place in taken)]),
            p0=np.concatenate([np.empty(0), *(option_priors[choice] for choice in choices)]),
            n_options=np.repeat(
                [float(sizes[choice]) for choice in choices], [sizes[choice] for choice in choices]
            ),
            lower=np.array([[*lower, *filler[len(lower) :] - 1.0] for lower, _ in ends]),
            upper=np.array([[*upper, *filler[len(upper) :]] for _, upper in ends]),
            n_cells=[len(lower) for lower, _ in ends],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Points:
    """Configurations as the estimator sees them.

    Attributes:
        u: coordinates, shape (D, C), NaN where inactive.
        lower, upper: ends of the cells on the discrete axes, shape (E, C); not looked at
            where `numbers` are given and every axis is a slot.
        codes: numbers of options, shape (O, C), -1 where inactive.
        numbers: numbers of the cells in `Axes.cells`, shape (E, C), -1 where inactive;
            None where points need not be in the middle of a cell.
        is_complete: whether nothing is inactive.
    """

    u: Floats
    lower: npt.NDArray[Any]
    upper: npt.NDArray[Any]
    codes: Codes
    numbers: Codes | None = None
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
