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

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# A kernel is never narrower than this share of the range.
LEAST_SIGMA = 0.03


def larger_gap_bandwidths(u: Floats, least: npt.ArrayLike = LEAST_SIGMA) -> Floats:
    """Equation (1), on every axis by itself.

    Args:
        u: positions, shape (D, n), NaN where inactive.
        least: lower limit of the deviations; scalar or shape (D, 1).

    Returns:
        Shape (D, n); 1 where inactive.
    """
    n_axes, n = u.shape
    if n == 0:
        return np.ones((n_axes, 0))
    order = flat_order(u)
    ascending = u.take(order)
    gaps = np.empty((n_axes, n + 1))
    gaps[:, 0] = gaps[:, -1] = np.nan
    np.subtract(ascending[:, 1:], ascending[:, :-1], out=gaps[:, 1:-1])
    # NaN sorts last, and a gap next to it is none: fmax passes it over.
    larger = np.fmax(gaps[:, :-1], gaps[:, 1:])
    n_active: int | npt.NDArray[np.int64] = n
    is_any_inactive = np.isnan(ascending[:, -1]).any()
    if is_any_inactive:
        n_active = n - np.isnan(ascending).sum(axis=1, keepdims=True)
    if is_any_inactive or n == 1:
        # Without a neighbour, and where inactive, no gap is left.
        larger[np.isnan(larger)] = 1.0
    np.maximum(larger, np.maximum(least, (1.0 + n_active) ** -2.0), out=larger)
    sigmas = np.empty(u.shape)
    sigmas.put(order, np.minimum(larger, 1.0, out=larger))
    return sigmas


def flat_order(u: Floats) -> npt.NDArray[np.int64]:
    """Where the ascending values of each row stand in `u.ravel()`, shape as u; NaN last."""
    order: npt.NDArray[np.int64] = np.argsort(u, axis=1)
    order += np.arange(0, u.size, u.shape[1])[:, None]
    return order
