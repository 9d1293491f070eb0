"""Distribution functions of one normal or log-normal, as operations.

A log-normal variable x has a normal logarithm with mean `mu` and deviation
`sigma`. All arguments broadcast; deviations below `EPS` count as `EPS`.

Source: hyperopt.tpe, but for this: tails keep their digits, and outside its
support a log-normal has density and mass 0 instead of NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOptionValue
from hpo.pyll import scope
from hpo.surrogate import truncnorm

__all__ = ["EPS", "lognormal_cdf", "lognormal_lpdf", "normal_cdf", "qlognormal_lpdf"]

Floats = npt.NDArray[np.float64]

# The least deviation that is told from 0.
EPS = 1e-12


@scope.define
def normal_cdf(x: npt.ArrayLike, mu: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Probability of at most `x` under a normal."""
    from scipy.special import ndtr

    return np.asarray(ndtr(_standardised(x, mu, sigma)))


@scope.define
def lognormal_cdf(x: npt.ArrayLike, mu: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Probability of at most `x` under a log-normal.

    Raises:
        ValueError: a value of `x` is negative.
    """
    values = np.asarray(x, dtype=np.float64)
    if (values < 0.0).any():
        raise InvalidOptionValue(
            f"lognormal_cdf has a negative argument: {values.min():g}; cut the values at 0"
        )
    return normal_cdf(_log(values), mu, sigma)


@scope.define
def lognormal_lpdf(x: npt.ArrayLike, mu: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Log density of a log-normal at `x`; -inf where `x` is not positive."""
    log_x = _log(np.asarray(x, dtype=np.float64))
    deviation = _at_least_eps(sigma)
    # Where x is 0, log x is infinite: its density is set apart below.
    with np.errstate(invalid="ignore"):
        z = (log_x - np.asarray(mu, dtype=np.float64)) / deviation
        log_density = -0.5 * z**2 - np.log(deviation) - 0.5 * np.log(2.0 * np.pi) - log_x
    return np.where(np.isneginf(log_x), -np.inf, log_density)


@scope.define
def qlognormal_lpdf(x: npt.ArrayLike, mu: npt.ArrayLike, sigma: npt.ArrayLike, q: float) -> Floats:
    """Log probability that a log-normal lies in (x - q, x]; of this interval, what is positive.

    These are the cells of a variable that is rounded up to a multiple of `q`;
    of one rounded to the nearest, see `LGMM1_lpdf`.
    """
    values = np.asarray(x, dtype=np.float64)
    lower = _standardised(_log(values - q), mu, sigma)
    return truncnorm.log_mass(lower, _standardised(_log(values), mu, sigma))


def _standardised(x: npt.ArrayLike, mu: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    centred = np.asarray(x, dtype=np.float64) - np.asarray(mu, dtype=np.float64)
    return np.asarray(centred / _at_least_eps(sigma))


def _at_least_eps(sigma: npt.ArrayLike) -> Floats:
    deviation = np.asarray(sigma, dtype=np.float64)
    if (deviation < 0.0).any():
        raise InvalidOptionValue(f"sigma must not be negative, but is {deviation.min():g}")
    return np.maximum(deviation, EPS)


def _log(values: Floats) -> Floats:
    """log x; -inf for all that is not positive."""
    with np.errstate(divide="ignore"):
        log_values: Floats = np.log(np.maximum(values, 0.0))
    return log_values
