"""How thin a mixture of truncated normals is next to a bound.

    symbol  meaning                                                    shape
    u       coordinates, bounds 0 and 1, NaN where inactive              (D, C)
    s       a usual deviation of the kernels on each axis                (D, 1)
    t       distance to a bound in deviations, u / s and (1 - u) / s     (D, C) each
    b       density of a mixture whose centres lie evenly from the
            bound on, relative to that far from it

    b(t) = int_0^inf phi(t - v) / Phi(v) dv                                (1)

A truncated normal keeps its mass inside the bounds, but there are centres on one side
of the bound only: b(0) = log 2. Where trials lie evenly, the estimator of the many
trials that are not good is therefore a third too low at each bound, and a search for
the largest l / g sticks to borders and corners for no other reason. Dividing by b
removes that. On discrete axes nothing is corrected: there, the best value often is the
first or the last, and what is too low is the less the wider a cell.

Source: (1) is the boundary bias of Jones, "Simple boundary correction for kernel
density estimation", Statistics and Computing 3 (1993), for truncated kernels.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

__all__ = ["log_thinness"]

Floats = npt.NDArray[np.float64]

# From so many deviations on, a bound is not felt.
_FARTHEST = 5.0
# The table has so many entries for each deviation, interpolated between so many integrals.
_N_ENTRIES, _N_INTEGRALS = 4096, 50
# Trapezia for (1): the integrand is smooth, and nothing beyond so many deviations.
_WIDTH = 9.0
_N_TRAPEZIA = 900


def log_thinness(u: Floats, sigmas: Floats) -> Floats:
    """log b, summed over both bounds of all active axes, to 2.2e-4 each; shape (C,)."""
    widths = 1.0 / sigmas
    from_low = u * widths
    from_high = widths - from_low
    thinness = _log_b(np.minimum(from_low, from_high))
    # Between bounds that are far apart only the nearer one is felt.
    if np.minimum.reduce(widths, axis=None, initial=np.inf) < 2.0 * _FARTHEST:
        thinness += _log_b(np.maximum(from_low, from_high))
    return np.asarray(np.add.reduce(thinness, axis=0))


def _log_b(t: Floats) -> Floats:
    """The logarithm of (1), 0 where `t` is NaN; shape of `t`."""
    # What is inactive counts as far from any bound.
    places = np.fmin(t, _FARTHEST) * _N_ENTRIES
    return _tabulated().take(places.astype(np.int64))


@functools.cache
def _tabulated() -> Floats:
    """log b in the middle of each entry, and 0 behind the last one."""
    from scipy.special import ndtr

    grid = np.arange(0, _FARTHEST * _N_INTEGRALS + 1) / _N_INTEGRALS
    v = np.linspace(0.0, _FARTHEST + _WIDTH, _N_TRAPEZIA + 1)
    heights = np.exp(-0.5 * (grid[:, None] - v) ** 2) / (math.sqrt(2.0 * math.pi) * ndtr(v))
    heights[:, [0, -1]] *= 0.5
    log_b = np.log(heights.sum(axis=1) * (v[1] - v[0]))
    middles = (np.arange(_FARTHEST * _N_ENTRIES) + 0.5) / _N_ENTRIES
    return np.append(np.interp(middles, grid, log_b), 0.0)
