"""Criteria: how promising a point is whose outcome is predicted as a normal variable.

All are for maximising. To minimise, negate mean and threshold.

    symbol  meaning                                                shape
    X       the outcome, normal with `mean` and `var`
    s       its standard deviation, sqrt(var)                      as mean, var
    t       the threshold to improve on, `thresh`                  any, broadcast
    z       (mean - t) / s
    phi     density of the standard normal
    Phi     its distribution function
    h(z)    phi(z) + z Phi(z): the improvement in units of s

    EI = E[max(X - t, 0)] = s h(z)

Numbers in give a Python float out, arrays give an array.

Source: the names are those of hyperopt.criteria.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "UCB",
    "EI_empirical",
    "EI_gaussian",
    "EI_gaussian_empirical",
    "logEI_gaussian",
]

Floats = NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)

# Below this z the terms of h(z) cancel to the last digits, and four terms of
# its asymptotic series are exact to 1e-13.
_FAR_BELOW = -100.0


def EI_empirical(samples: ArrayLike, thresh: float) -> float:
    """Mean improvement of samples over a threshold.

    Args:
        samples: draws of the outcome, any shape, at least one.

    Raises:
        ValueError: there are no samples.
    """
    draws = np.asarray(samples, dtype=np.float64)
    if not draws.size:
        raise ValueError("samples is empty; an expected improvement needs at least one draw")
    return float(np.maximum(draws - thresh, 0.0).mean())


def EI_gaussian_empirical(
    mean: float, var: float, thresh: float, rng: np.random.Generator, N: int
) -> float:
    """Expected improvement estimated from `N` draws; `EI_gaussian` has the exact value."""
    return EI_empirical(rng.normal(mean, math.sqrt(_checked(var).item()), N), thresh)


def EI_gaussian(mean: ArrayLike, var: ArrayLike, thresh: ArrayLike) -> Any:
    """Expected improvement E[max(X - thresh, 0)].

    Without variance it is the improvement itself, or 0.

    Raises:
        ValueError: a variance is negative.
    """
    with np.errstate(under="ignore"):
        return _unwrapped(np.exp(_log_ei(mean, var, thresh)))


def logEI_gaussian(mean: ArrayLike, var: ArrayLike, thresh: ArrayLike) -> Any:
    """Log of `EI_gaussian`, exact where the improvement itself is too small for a float.

    Without variance it is the log of the improvement, or -inf.

    Raises:
        ValueError: a variance is negative.
    """
    return _unwrapped(_log_ei(mean, var, thresh))


def UCB(mean: ArrayLike, var: ArrayLike, zscore: ArrayLike) -> Any:
    """Upper confidence bound: mean + zscore * sqrt(var).

    Raises:
        ValueError: a variance is negative.
    """
    return _unwrapped(np.asarray(mean) + np.asarray(zscore) * np.sqrt(_checked(var)))


def _log_ei(mean: ArrayLike, var: ArrayLike, thresh: ArrayLike) -> Floats:
    above, sigma = np.broadcast_arrays(
        np.asarray(mean, dtype=np.float64) - np.asarray(thresh, dtype=np.float64),
        np.sqrt(_checked(var)),
    )
    is_certain = sigma == 0.0
    with np.errstate(divide="ignore", over="ignore"):
        z = above / np.where(is_certain, 1.0, sigma)
        log_improvement = np.log(np.maximum(above, 0.0))
        log_expectation = np.log(sigma) + _log_h(z)
    log_ei: Floats = np.where(is_certain, log_improvement, log_expectation)
    return log_ei


def _log_h(z: Floats) -> Floats:
    """log h(z), elementwise.

    h(z) = phi(z) (1 - t R(t)) with t = -z and Mills' ratio R(t) = Phi(-t) / phi(t), and
    1 - t R(t) = 1/t^2 - 3/t^4 + 15/t^6 - 105/t^8 + ... for large t.
    """
    from scipy.special import erfcx, ndtr

    # Each formula sees only numbers from where it holds: np.where evaluates them all.
    z_above = np.maximum(z, 0.0)
    near = np.clip(-z, 0.0, -_FAR_BELOW)
    far = np.maximum(-z, -_FAR_BELOW)
    phi_above = np.exp(-0.5 * z_above**2 - _LOG_SQRT_2PI)
    mills = math.sqrt(0.5 * math.pi) * erfcx(near / math.sqrt(2.0))
    step = 1.0 / far**2
    series = step * (1.0 - 3.0 * step * (1.0 - 5.0 * step * (1.0 - 7.0 * step)))
    log_phi = -0.5 * z**2 - _LOG_SQRT_2PI
    log_h: Floats = np.select(
        [z >= 0.0, z > _FAR_BELOW],
        [np.log(z_above * ndtr(z_above) + phi_above), log_phi + np.log1p(-near * mills)],
        log_phi + np.log(series),
    )
    return log_h


def _checked(var: ArrayLike) -> Floats:
    variances = np.asarray(var, dtype=np.float64)
    if np.any(variances < 0.0):
        raise ValueError(f"var is {variances.min()}, but a variance cannot be negative")
    return variances


def _unwrapped(x: Any) -> Any:
    array = np.asarray(x)
    return array if array.ndim else array.item()
