"""What the joint estimators know of hyperparameters and configurations.

    symbol    meaning                                                         shape
    C         number of points                                                 scalar
    D, O      number of numeric axes (continuous ones first), of choices        scalars
    E         number of discrete axes, the last E of the D                      scalar
    F         number of values of all slots (see hpo.surrogate.slots)          scalar
    V         the most options of any choice                                   scalar
    u         coordinates, NaN where inactive (see hpo.space.coordinates)       (D, C)
    codes     numbers of options, -1 where inactive                            (O, C)
    numbers   numbers of cells on the discrete axes, -1 where inactive         (E, C)

A choice, and a discrete axis, of few values is a slot: an estimator tabulates its
factor for each value once, and a point picks its column. The columns of all axes
stand side by side, so one matrix product looks all of them up and adds them up:
`features` says what a point takes of each column. In logarithms, these are

    constants    of each continuous axis: what its factor has where u = 0, taken where it
                 is active
    total        their sum, instead of them, for points in which all of them are active
    squares, linear    of each continuous axis: what u^2 and u are multiplied with
    weight       of the kernel
    values       of the slots' values

Of the values a point takes only one for each slot. Of many points these are kept in a
sparse matrix, because most of a product with the others is adding up zeros.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hpo.surrogate.cells import CellKernels
from hpo.surrogate.slots import MOST_VALUES, Cells, SlotKernels, Slots, filled
from hpo.surrogate.special import special

__all__ = ["MOST_VALUES", "Axes", "Features", "Layout", "Points", "summed"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

# With more features of values than these, it is quicker to look for those that are not 0.
_MOST_DENSE = 1 << 15
# Keeps a quantile off 0, where it would be infinite.
_LEAST_QUANTILE = 2.0**-54


class Layout(NamedTuple):
    """Where the columns of an estimator's table stand; see above."""

    constants: slice
    total: int
    squares: slice
    linear: slice
    weight: int
    values: slice


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

    def prior_quantiles(self, p: Floats) -> Floats:
        """Coordinates below which the prior has these probabilities.

        Args:
            p: from 0 to less than 1; shape (D, n).
        """
        if self.is_bounded:
            return p
        quantiles = special().ndtri(np.maximum(p, _LEAST_QUANTILE))
        return np.where(np.isfinite(self.high), p, quantiles)

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
        """The same as one array (O, V), if no choice has too many options."""
        longest = max(map(len, self.option_priors), default=0)
        if longest > MOST_VALUES:
            return None
        return filled(self.cumulative_priors, longest, np.inf)

    @functools.cached_property
    def layout(self) -> Layout:
        """Of the estimators' tables."""
        n = self.n_continuous
        weight = 3 * n + 1
        return Layout(
            constants=slice(0, n),
            total=n,
            squares=slice(n + 1, 2 * n + 1),
            linear=slice(2 * n + 1, weight),
            weight=weight,
            values=slice(weight + 1, weight + 1 + len(self.slots.row)),
        )

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

    def slot_kernels(self, least_sigma: float) -> SlotKernels:
        """The kernels on the slots among the discrete axes; kept."""
        if least_sigma not in self._slot_kernels:
            rows = [self.n_continuous + axis for axis in self.slots.axes]
            self._slot_kernels[least_sigma] = SlotKernels(
                self.slots, self.prior_mus[rows], self.low[rows], self.high[rows],
                np.maximum(least_sigma, self.half_cells[rows]),
            )  # fmt: skip
        return self._slot_kernels[least_sigma]

    @functools.cached_property
    def _slot_kernels(self) -> dict[float, SlotKernels]:
        return {}


def summed(probabilities: Floats) -> Floats:
    """Sums from the first one on, to be searched for a random number from 0 to 1.

    Infinite from the last one on that is not 0: that takes what rounding left over.
    """
    sums = probabilities.cumsum()
    sums[sums.searchsorted(sums[-1]) :] = np.inf
    return sums


class Features(NamedTuple):
    """What points take of the columns of a table.

    Attributes:
        dense: of complete points from `Layout.total` on, of others from the first column;
            shape (number of columns, C).
        chosen: of the values, if there are many; shape (C, F), sparse. Then they are not
            among the others.
    """

    dense: Floats
    chosen: Any = None


@dataclass(eq=False)
class Points:
    """Configurations as the estimator sees them.

    Attributes:
        u: coordinates, shape (D, C), NaN where inactive.
        codes: numbers of options, shape (O, C), -1 where inactive.
        numbers: numbers of the cells in `Axes.cells`, shape (E, C), -1 where inactive.
        ends: lower and upper ends of the cells on the discrete axes, shape (E, C) each;
            needed for densities where an axis is no slot.
        is_complete: whether all axes and choices are known to be active everywhere, but in
            blanks.
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

    def features(self, axes: Axes) -> Features:
        """What is taken of the columns of a table."""
        layout, slots = axes.layout, axes.slots
        is_sparse = len(slots.row) * len(self) > _MOST_DENSE
        features = np.empty((layout.values.start if is_sparse else layout.values.stop, len(self)))
        features[layout.total] = self.is_complete
        features[layout.weight] = 1.0
        u, positions = self.u[: axes.n_continuous], features[layout.linear]
        if self.is_complete:
            positions[:] = u
        else:
            is_active = features[layout.constants]
            np.equal(u, u, out=is_active)
            np.copyto(positions, np.where(is_active, u, 0.0))
        np.multiply(positions, positions, out=features[layout.squares])
        seen = np.concatenate([self.codes, self.numbers])
        if not is_sparse:
            features[layout.values] = seen.astype(np.int8).take(slots.row, axis=0) == slots.value
        dense = features[layout.total :] if self.is_complete else features
        return Features(dense, slots.chosen(seen) if is_sparse else None)
