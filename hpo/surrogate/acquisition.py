"""Acquisitions: how much is to be gained by evaluating a point, given what a model says of it.

Losses are minimised. Every acquisition here is to be maximised: the larger, the better.

    symbol   meaning                                                        shape
    mean, std  the model's prediction at each point, std > 0                  (m,)
    best     the least loss so far, as the model sees it                     scalar
    z        (best - margin - mean) / std                                     (m,)
    phi, Phi  density and distribution function of the standard normal

    EI  = E max(best - margin - f, 0) = std (z Phi(z) + phi(z))               (1)
    PI  = P(f < best - margin) = Phi(z)                                       (2)
    UCB = kappa std - mean                                                    (3)

UCB is the upper confidence bound of what is gained, that is, the lower one of the loss
with its sign turned. Where nothing good is expected EI and PI are too small for a
float, and so flat that no gradient leads out; their logarithms have neither fault and
the same maximum.

    log EI = log std + log h(z),  h(z) = z Phi(z) + phi(z)                    (4)
    h(z)   = phi(z) (1 - |z| q(z)),  q(z) = Phi(z) / phi(z)  for z < -1        (5)

q is scipy's scaled complementary error function, which is exact at any z; 1 - |z| q
cancels beyond z = -1e3, where its series 1/z^2 - 3/z^4 takes over.

Source: Jones, Schonlau and Welch, "Efficient global optimization of expensive black-box
functions", 1998, equation (15) for (1); Srinivas et al., "Gaussian process optimization
in the bandit setting", 2010, theorem 1 for the size of kappa; (5) follows from (4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "Acquisition",
    "LogExpectedImprovement",
    "LogProbabilityOfImprovement",
    "UpperConfidenceBound",
    "confidence_width",
    "expected_improvement",
    "log_expected_improvement",
    "log_probability_of_improvement",
    "probability_of_improvement",
    "upper_confidence_bound",
]

Floats = npt.NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
# Below the first, (4) loses digits; below the second (5) does.
_CANCELS, _FAR = -1.0, -1e3


def expected_improvement(
    mean: npt.ArrayLike, std: npt.ArrayLike, best: float, margin: float = 0.0
) -> Floats:
    """Equation (1), of the shape of `mean`; exact, until it is too small for a float."""
    return np.asarray(np.exp(log_expected_improvement(mean, std, best, margin)))


def log_expected_improvement(
    mean: npt.ArrayLike, std: npt.ArrayLike, best: float, margin: float = 0.0
) -> Floats:
    """Equation (4), of the shape of `mean`; finite for any finite z."""
    z = _gap(mean, std, best, margin)
    return np.asarray(np.log(std) + _log_h(z))


def probability_of_improvement(
    mean: npt.ArrayLike, std: npt.ArrayLike, best: float, margin: float = 0.0
) -> Floats:
    """Equation (2), of the shape of `mean`."""
    from scipy.special import ndtr

    return np.asarray(ndtr(_gap(mean, std, best, margin)))


def log_probability_of_improvement(
    mean: npt.ArrayLike, std: npt.ArrayLike, best: float, margin: float = 0.0
) -> Floats:
    """The logarithm of (2), of the shape of `mean`; finite for any z down to -1e153."""
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr(_gap(mean, std, best, margin)))


def upper_confidence_bound(
    mean: npt.ArrayLike, std: npt.ArrayLike, best: float = 0.0, kappa: float = 2.0
) -> Floats:
    """Equation (3), of the shape of `mean`; `best` is not used."""
    return np.asarray(kappa * np.asarray(std) - np.asarray(mean))


def confidence_width(n_observations: int, n_dims: int, delta: float = 0.5) -> float:
    """kappa = sqrt(2 log(d t^2 pi^2 / (6 delta))), for t observations in d dimensions.

    With probability 1 - delta the function lies inside the bounds, on a finite grid.
    """
    t, d = max(n_observations, 1), max(n_dims, 1)
    return math.sqrt(max(2.0 * math.log(d * t * t * math.pi**2 / (6.0 * delta)), 0.0))


# --- with slopes, for those that climb ------------------------------------------------


class Acquisition(Protocol):
    """A rule that says how good points are, and which way is up."""

    def value(self, mean: Floats, std: Floats, best: float) -> Floats:
        """The larger the better, shape (m,)."""
        ...

    def slopes(self, mean: Floats, std: Floats, best: float) -> tuple[Floats, Floats]:
        """Derivatives of the value by `mean` and by `std`, each of shape (m,)."""
        ...


@dataclass(frozen=True)
class LogExpectedImprovement:
    """Equation (4)."""

    margin: float = 0.0

    def value(self, mean: Floats, std: Floats, best: float) -> Floats:
        """log EI."""
        return log_expected_improvement(mean, std, best, self.margin)

    def slopes(self, mean: Floats, std: Floats, best: float) -> tuple[Floats, Floats]:
        """-Phi / EI by the mean, phi / EI by the standard deviation."""
        z = _gap(mean, std, best, self.margin)
        scale = -np.log(std) - _log_h(z)
        return -np.exp(_log_ndtr(z) + scale), np.exp(_log_phi(z) + scale)


@dataclass(frozen=True)
class LogProbabilityOfImprovement:
    """The logarithm of equation (2).

    Without a margin it would be largest at the best point itself.
    """

    margin: float = 0.01

    def value(self, mean: Floats, std: Floats, best: float) -> Floats:
        """log PI."""
        return log_probability_of_improvement(mean, std, best, self.margin)

    def slopes(self, mean: Floats, std: Floats, best: float) -> tuple[Floats, Floats]:
        """-q / std by the mean, -z q / std by the standard deviation, with q = phi / Phi."""
        z = _gap(mean, std, best, self.margin)
        ratio = np.exp(_log_phi(z) - _log_ndtr(z)) / std
        return -ratio, -z * ratio


@dataclass(frozen=True)
class UpperConfidenceBound:
    """Equation (3)."""

    kappa: float = 2.0

    def value(self, mean: Floats, std: Floats, best: float) -> Floats:
        """kappa std - mean."""
        return upper_confidence_bound(mean, std, best, self.kappa)

    def slopes(self, mean: Floats, std: Floats, best: float) -> tuple[Floats, Floats]:
        """-1 and kappa."""
        return np.full_like(mean, -1.0), np.full_like(std, self.kappa)


# --- the standard normal --------------------------------------------------------------


def _gap(mean: npt.ArrayLike, std: npt.ArrayLike, best: float, margin: float) -> Floats:
    return np.asarray((best - margin - np.asarray(mean, dtype=np.float64)) / np.asarray(std))


def _log_phi(z: Floats) -> Floats:
    return -0.5 * z * z - _LOG_SQRT_2PI


def _log_ndtr(z: Floats) -> Floats:
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr(z))


def _log_h(z: Floats) -> Floats:
    """log(z Phi(z) + phi(z)), elementwise: directly, by (5), or by its series."""
    z = np.asarray(z, dtype=np.float64)
    result = np.empty_like(z)
    is_near, is_far = z > _CANCELS, z < _FAR
    is_between = ~(is_near | is_far)
    for mask, formula in ((is_near, _near), (is_between, _between), (is_far, _far)):
        result[mask] = formula(z[mask])
    return result


def _near(z: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(np.log(z * ndtr(z) + np.exp(_log_phi(z))))


def _between(z: Floats) -> Floats:
    from scipy.special import erfcx

    # Phi(z) / phi(z) = sqrt(pi / 2) erfcx(-z / sqrt 2)
    quotient = math.sqrt(0.5 * math.pi) * erfcx(-z / math.sqrt(2.0))
    return np.asarray(_log_phi(z) + np.log1p(z * quotient))


def _far(z: Floats) -> Floats:
    return _log_phi(z) - 2.0 * np.log(-z) + np.log1p(-3.0 / (z * z))
