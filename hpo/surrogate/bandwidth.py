"""Bandwidths: how far around itself an observation speaks.

    symbol  meaning                                                      shape
    D, n    number of axes, of observations                                scalars
    u       positions on each axis, NaN where inactive                     (D, n)
    n_d     number of observations with a position on axis d               (D, 1)
    s       deviations                                                     (D, n)

    s_i   = clip(max(u_i - left neighbour, right neighbour - u_i), s_min, 1)   (1)
    s_min = max(least, (1 + n_d)^-2)                                           (2)

Neighbours are the nearest observations on that axis; the ends of the range and
the prior's centre are not counted among them, or else kernels next to a border
would be too wide to find an optimum there. An observation without any neighbour
has deviation 1, the width of the range.

Source: Watanabe, "Tree-structured Parzen estimator", arXiv 2304.11127, section 3.3.4
("magic clipping" with exponent 2); optuna's `consider_endpoints=False`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# A kernel is never narrower than this share of the range.
LEAST_SIGMA = 0.03


def larger_gap_bandwidths(
    u: Floats,
    least: float = LEAST_SIGMA,
    sizes: Sequence[int] = (),
    *,
    is_complete: bool = False,
) -> Floats:
    """Equation (1), on every axis by itself.

    Args:
        u: positions, shape (D, n), NaN where inactive.
        least: lower limit of the deviations.
        sizes: for several sets of observations, side by side in `u`: how many each set
            has. The last of each set must be inactive everywhere.
        is_complete: whether all but these last ones are active everywhere.

    Returns:
        Shape (D, n); 1 where inactive.
    """
    n_axes, n = u.shape
    if n == 0:
        return np.ones((n_axes, 0))
    sizes = sizes or (n,)
    order = flat_order(u, sizes)
    limits: npt.ArrayLike = least
    # In (2) the number of observations matters only while they are few.
    if not is_complete or min(sizes) ** -2.0 > least:
        starts = [end - size for end, size in zip(itertools.accumulate(sizes), sizes, strict=True)]
        n_active = np.add.reduceat(u == u, starts, axis=1, dtype=np.float64)
        limits = least_sigmas(n_active, least).repeat(sizes, axis=1)
    sigmas = np.empty(u.shape)
    sigmas.put(order, ascending_bandwidths(u.take(order), limits))
    return sigmas


def least_sigmas(n_active: Floats, least: npt.ArrayLike) -> Floats:
    """Equation (2)."""
    return np.asarray(np.maximum(least, (1.0 + n_active) ** -2.0))


def ascending_bandwidths(u: Floats, limits: npt.ArrayLike) -> Floats:
    """Equation (1) for positions that ascend in each set, NaN last."""
    gaps = np.empty((len(u), u.shape[1] + 1))
    gaps[:, 0] = gaps[:, -1] = np.nan
    np.subtract(u[:, 1:], u[:, :-1], out=gaps[:, 1:-1])
    # A gap next to a NaN is none: fmax passes it over. So no gap reaches from one set to
    # the next either.
    larger = np.fmax(gaps[:, :-1], gaps[:, 1:])
    np.maximum(larger, limits, out=larger)
    # Without a neighbour, and where inactive, no gap is left, and fmin takes the 1.
    return np.fmin(larger, 1.0, out=larger)


def flat_order(u: Floats, sizes: Sequence[int]) -> npt.NDArray[np.int64]:
    """Where the ascending values of each row stand in `u.ravel()`, shape as u; NaN last.

    Args:
        sizes: the columns are in sets of so many, and each set is sorted by itself.
    """
    order: npt.NDArray[np.int64] = np.empty(u.shape, dtype=np.int64)
    start = 0
    for size in sizes:
        own = slice(start, start + size)
        np.add(u[:, own].argsort(axis=1, kind="stable"), start, out=order[:, own])
        start += size
    order += np.arange(0, u.size, u.shape[1])[:, None]
    return order
