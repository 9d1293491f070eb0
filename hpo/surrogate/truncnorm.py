"""The standard normal restricted to an interval, accurate however far out it lies.

    symbol  meaning                                       shape
    a, b    ends of the interval in units of sigma, a <= b  any, broadcast
    Z       mass of the interval, Phi(b) - Phi(a)            as a, b
    phi     density of the standard normal
    Phi     its distribution function

The difference of two values of Phi loses all its digits where both are close to
1, or to each other, and vanishes beyond 38 sigma. So an interval on the right is
mirrored to the left, where Phi is small and exact; a narrow one is integrated by
a series; one beyond the range of floating point is handled in logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * float(np.log(2.0 * np.pi))

# Below this width, in units of sigma and of 1 / |midpoint|, three terms of the
# series are exact to 1e-16.
_NARROW = 0.02

# Phi(-37.5) = 5e-308 is about the smallest that floating point holds in full.
_DEEPEST = -37.5

# An interval this narrow has a flat density to 1e-6, finer than the
# rounding of log Phi would allow an inverse to be.
_FLAT = 1e-6


def mass(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return Z = Phi(b) - Phi(a), elementwise; 0 for an empty interval (a >= b).

    Relative accuracy is about 1e-13, until Z is too small for a float.
    """
    from scipy.special import ndtr

    lower, upper = _mirrored_to_the_left(*_as_floats(a, b))
    with np.errstate(invalid="ignore"):
        width = upper - lower
    result = np.asarray(ndtr(upper) - ndtr(lower))
    is_narrow = width < _NARROW
    if is_narrow.any():
        log_series = _log_mass_by_series(lower[is_narrow], upper[is_narrow])
        result[is_narrow] = np.where(np.isnan(log_series), result[is_narrow], np.exp(log_series))
    return result


def log_mass(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return log Z, elementwise; -inf for an empty interval. As accurate as `mass`, at any Z."""
    lower, upper = _mirrored_to_the_left(*_as_floats(a, b))
    with np.errstate(divide="ignore"):
        result = np.asarray(np.log(mass(lower, upper)))
    is_deep = (upper < _DEEPEST) & (lower < upper)
    if is_deep.any():
        result[is_deep] = _log_mass_in_logs(lower[is_deep], upper[is_deep])
    return result


def log_pdf(x: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return log(phi(x) / Z), elementwise: -inf outside [a, b]."""
    points, lower, upper = _as_floats(x, a, b)
    inside = (lower <= points) & (points <= upper)
    density = -0.5 * points**2 - _LOG_SQRT_2PI - log_mass(lower, upper)
    return np.where(inside, density, -np.inf)


def ppf(u: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Inverse distribution function: the x in [a, b] with (Phi(x) - Phi(a)) / Z = u.

    Args:
        u: probabilities in [0, 1]; of a uniform draw this makes a draw from the
            truncated normal, at the same cost however small Z is.
    """
    probability, lower, upper = _as_floats(u, a, b)
    # Work on the side where Phi is small: x -> -x turns u into 1 - u.
    mirror = lower > -upper
    left, right = _mirrored_to_the_left(lower, upper)
    share = np.where(mirror, 1.0 - probability, probability)
    x = _ppf_on_the_left(share, left, right)
    is_flat = (right - left) * np.maximum(1.0, np.abs(left)) < _FLAT
    with np.errstate(invalid="ignore"):
        x = np.where(is_flat, left + share * (right - left), x)
    x = np.where(mirror, -x, x)
    # Rounding must not carry a draw over its bound.
    return np.clip(x, lower, upper)


def _ppf_on_the_left(share: Floats, left: Floats, right: Floats) -> Floats:
    from scipy.special import log_ndtr, ndtri_exp

    with np.errstate(divide="ignore"):
        log_target = np.logaddexp(log_ndtr(left), np.log(share) + log_mass(left, right))
    # The sum may round to just above log 1.
    return np.asarray(ndtri_exp(np.minimum(log_target, 0.0)))


def _as_floats(*arrays: npt.ArrayLike) -> Sequence[Floats]:
    return np.broadcast_arrays(*(np.asarray(array, dtype=np.float64) for array in arrays))


def _mirrored_to_the_left(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    # The one of [a, b] and [-b, -a] whose midpoint is not positive.
    return np.minimum(a, -b), np.minimum(b, -a)


def _log_mass_by_series(a: Floats, b: Floats) -> Floats:
    """log Z of narrow intervals, by the Taylor series about the midpoint m; NaN for wide ones.

    Z = phi(m) w (1 + He2(m) w^2 / 24 + He4(m) w^4 / 1920 + ...), with the width w
    and the Hermite polynomials He2 = m^2 - 1, He4 = m^4 - 6 m^2 + 3. The series
    is in powers of w m, so the further out, the narrower it has to be.
    """
    midpoint, width = 0.5 * (a + b), np.maximum(b - a, 0.0)
    is_narrow = width * np.maximum(1.0, np.abs(midpoint)) < _NARROW
    m2, w2 = np.where(is_narrow, midpoint, 0.0) ** 2, np.where(is_narrow, width, 0.0) ** 2
    correction = (m2 - 1.0) * w2 / 24.0 + (m2**2 - 6.0 * m2 + 3.0) * w2**2 / 1920.0
    with np.errstate(divide="ignore"):
        log_z = -0.5 * m2 - _LOG_SQRT_2PI + np.log(width) + np.log1p(correction)
    return np.where(is_narrow, log_z, np.nan)


def _log_mass_in_logs(a: Floats, b: Floats) -> Floats:
    """log Z of intervals on the left, however far out."""
    from scipy.special import log_ndtr

    log_upper = log_ndtr(b)
    with np.errstate(divide="ignore"):
        log_difference = log_upper + np.log1p(-np.exp(log_ndtr(a) - log_upper))
    log_series = _log_mass_by_series(a, b)
    return np.where(np.isnan(log_series), log_difference, log_series)
