"""Kernels on discrete axes of too many values for a table: only some cells are integrated.

    symbol    meaning                                                         shape
    E         number of discrete axes                                          scalar
    n         number of trials                                                 scalar
    U         the most different values on any axis                            scalar
    C         number of cells asked for                                        scalar
    column    of each trial its kernel, 0 where inactive                       (E, n)

The kernel in column 0 is the prior's; where an axis has fewer than U values, the rest
of its row is the prior's, too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpo.surrogate import truncnorm
from hpo.surrogate.bandwidth import ascending_bandwidths, flat_order, least_sigmas
from hpo.surrogate.special import special

__all__ = ["CellKernels", "distinct", "log_masses_inside"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

# A difference of two values of Phi that is a smaller share of them has lost digits, and
# is computed with more care.
_LEAST_SHARE = 1e-5


class CellKernels:
    """One kernel for each different value on each axis, and the prior's.

    Args:
        centres: ascending from column 1 on, NaN in column 0 and where an axis has fewer
            values than another; shape (E, U + 1).
        prior_mus: centre of the prior on each axis, shape (E, 1).
        low, high: bounds of the coordinates, shape (E, 1).
        least: no deviation is smaller, shape (E, 1).
    """

    def __init__(
        self, centres: Floats, prior_mus: Floats, low: Floats, high: Floats, least: Floats
    ) -> None:
        self.mus: Floats = np.where(np.isnan(centres), prior_mus, centres)
        self.sigmas = np.ones(centres.shape)
        if centres.shape[1] > 1:
            values = centres[:, 1:]
            n_values = (values == values).sum(axis=1, keepdims=True)
            self.sigmas[:, 1:] = ascending_bandwidths(values, least_sigmas(n_values, least))
        self._low, self._high = low, high

    def log_masses(self, lower: Floats, upper: Floats, u: Floats, axes: Codes) -> Floats:
        """Logarithm of each kernel's mass in cells, relative to that inside the bounds.

        Args:
            lower, upper: ends of the cells, shape (E', C).
            u: the values themselves. Where the ends of a cell are one number, because far
                from 0 a float cannot tell them apart, the density there stands in.
            axes: to which axes the E' rows belong.

        Returns:
            Shape (E', U + 1, C).
        """
        mus, sigmas = self.mus[axes][:, :, None], self.sigmas[axes][:, :, None]
        low, high = self._low[axes][:, :, None] - mus, self._high[axes][:, :, None] - mus
        log_masses = log_masses_inside(
            lower[:, None] - mus, upper[:, None] - mus, low, high, sigmas
        )
        is_point = lower == upper
        if is_point.any():
            densities = -0.5 * ((u[:, None] - mus) / sigmas) ** 2 - np.log(sigmas)
            densities -= _log_inside(low, high, sigmas)
            np.copyto(log_masses, densities, where=is_point[:, None])
        return log_masses


def log_masses_inside(
    lower: Floats, upper: Floats, low: Floats, high: Floats, sigmas: Floats
) -> Floats:
    """Logarithm of a normal's mass between two ends, relative to that between the bounds.

    Args:
        lower, upper: the ends, counted from the normal's centre.
        low, high: the bounds, counted from there as well.
        sigmas: its deviation; all of them broadcast.
    """
    log_masses = _log_mass(lower / sigmas, upper / sigmas)
    return np.asarray(log_masses - _log_inside(low, high, sigmas))


def _log_inside(low: Floats, high: Floats, sigmas: Floats) -> Floats:
    # The centre lies inside the bounds, so neither Phi can be deep in the wrong tail.
    ndtr = special().ndtr
    return np.asarray(np.log(ndtr(high / sigmas) - ndtr(low / sigmas)))


def distinct(u: Floats) -> tuple[Floats, Codes]:
    """The different values in each row, NaN apart.

    Args:
        u: shape (E, n).

    Returns:
        centres: as `CellKernels` takes them, shape (E, U + 1).
        columns: where in `centres` each value stands, 0 for NaN; shape (E, n).
    """
    n_rows, n = u.shape
    if n == 0:
        return np.full((n_rows, 1), np.nan), np.zeros((n_rows, 0), dtype=np.int64)
    order = flat_order(u, (n,))
    ascending = u.ravel()[order]
    is_nan = np.isnan(ascending)
    is_new = np.ones((n_rows, n), dtype=np.bool_)
    # Each NaN differs from the next.
    np.not_equal(ascending[:, 1:], ascending[:, :-1], out=is_new[:, 1:])
    in_order = np.cumsum(is_new & ~is_nan, axis=1)
    n_distinct = int(in_order[:, -1].max())
    in_order[is_nan] = 0
    centres = np.full((n_rows, n_distinct + 1), np.nan)
    centres[np.arange(n_rows)[:, None], in_order] = ascending
    centres[:, 0] = np.nan
    columns = np.empty(u.size, dtype=np.int64)
    columns[order] = in_order
    return centres, columns.reshape(u.shape)


def _log_mass(a: Floats, b: Floats) -> Floats:
    """log(Phi(b) - Phi(a)), elementwise, accurate in the tails; -inf where a >= b."""
    ndtr = special().ndtr
    # On the left Phi is small, and exact to all digits.
    left, right = np.minimum(a, -b), np.minimum(b, -a)
    phi_right = ndtr(right)
    masses = phi_right - ndtr(left)
    is_imprecise = masses <= _LEAST_SHARE * phi_right
    # A difference of equal values may be rounded to less than 0.
    log_masses: Floats = np.full(masses.shape, -np.inf)
    np.log(masses, out=log_masses, where=masses > 0.0)
    if is_imprecise.any():
        log_masses[is_imprecise] = truncnorm.log_mass(left[is_imprecise], right[is_imprecise])
    return log_masses
