"""The distributions of a search space as objects with densities and probabilities.

    loguniform_gen(low, high)        X = exp(Z)                 a scipy distribution
    lognorm_gen(mu, sigma)           X = exp(Z)                 a scipy distribution
    quniform_gen(low, high, q)       X = q round(Z / q)         pmf, logpmf, rvs
    qloguniform_gen(low, high, q)    X = q round(exp(Z) / q)    pmf, logpmf, rvs
    qnormal_gen(mu, sigma, q)        X = q round(Z / q)         pmf, logpmf, rvs
    qlognormal_gen(mu, sigma, q)     X = q round(exp(Z) / q)    pmf, logpmf, rvs
    uniformint_gen(low, high)        X = round(Z)               pmf, logpmf, rvs

Z is uniform on [low, high], or normal with mu and sigma. A search itself uses
`hpo.space.priors`; these are for people who want to compute with one.

Source: the names and arguments are those of hyperopt.rdists.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from hpo.space.priors import Continuous, Normal, Uniform
from hpo.surrogate.truncnorm import log_mass

__all__ = [
    "lognorm_gen",
    "loguniform_gen",
    "qlognormal_gen",
    "qloguniform_gen",
    "qnormal_gen",
    "quniform_gen",
    "uniformint_gen",
]

Floats = NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)

# The methods below are those that scipy's base class means to be overridden; stubs of
# scipy, where they are installed, give each of them further arguments.
_ScipyDistribution: Any = scipy.stats.rv_continuous

# How far from a multiple of q, in steps, a number may lie and still be meant as one:
# 3 * 0.1 is not 0.3.
_ON_GRID = 1e-6


class loguniform_gen(_ScipyDistribution):  # type: ignore[misc]
    """X = exp(Z), Z uniform on [low, high]: hp.loguniform.

    Raises:
        BadSearchSpace: the bounds make no sense.
    """

    def __init__(self, low: float = 0, high: float = 1) -> None:
        prior = Uniform(low, high, is_log=True)
        super().__init__(a=prior.bounds[0], b=prior.bounds[1], name="loguniform")
        self._low, self._high = float(low), float(high)

    def _updated_ctor_param(self) -> dict[str, float]:
        # By this scipy rebuilds the distribution when it is frozen or pickled.
        return {"low": self._low, "high": self._high}

    def _pdf(self, x: Floats) -> Floats:
        return np.exp(self._logpdf(x))

    def _logpdf(self, x: Floats) -> Floats:
        return np.asarray(-np.log(x) - math.log(self._high - self._low))

    def _cdf(self, x: Floats) -> Floats:
        return np.asarray((np.log(x) - self._low) / (self._high - self._low))

    def _ppf(self, u: Floats) -> Floats:
        return np.exp((1.0 - u) * self._low + u * self._high)


class lognorm_gen(_ScipyDistribution):  # type: ignore[misc]
    """X = exp(Z), Z normal: hp.lognormal.

    Raises:
        BadSearchSpace: the arguments make no sense.
    """

    def __init__(self, mu: float = 0, sigma: float = 1) -> None:
        Normal(mu, sigma, is_log=True)
        super().__init__(a=0.0, name="lognormal")
        self._mu, self._sigma = float(mu), float(sigma)

    def _updated_ctor_param(self) -> dict[str, float]:
        return {"mu": self._mu, "sigma": self._sigma}

    def _pdf(self, x: Floats) -> Floats:
        return np.exp(self._logpdf(x))

    def _logpdf(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            log_x = np.log(x)
            z = (log_x - self._mu) / self._sigma
            log_density = -0.5 * z**2 - _LOG_SQRT_2PI - math.log(self._sigma) - log_x
        return np.where(x > 0.0, log_density, -np.inf)

    def _cdf(self, x: Floats) -> Floats:
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):
            return np.asarray(ndtr((np.log(x) - self._mu) / self._sigma))

    def _sf(self, x: Floats) -> Floats:
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):
            return np.asarray(ndtr((self._mu - np.log(x)) / self._sigma))

    def _ppf(self, u: Floats) -> Floats:
        from scipy.special import ndtri

        return np.asarray(np.exp(self._mu + self._sigma * ndtri(u)))


class _Quantised:
    """A distribution over the multiples of q.

    Args:
        prior: the distribution of the latent Z, with how it becomes X.
        q: as given; an int makes every value an int.
    """

    def __init__(self, prior: Continuous, q: float) -> None:
        self._prior = prior
        self.q = q

    def pmf(self, x: ArrayLike) -> Any:
        """Probability of each x; 0 for what is not a multiple of q.

        Returns:
            An array in the shape of `x`, or a float for a number.
        """
        return _unwrapped(np.exp(self._log_probability(x)))

    def logpmf(self, x: ArrayLike) -> Any:
        """Log of `pmf`, exact where the probability is too small for a float."""
        return _unwrapped(self._log_probability(x))

    def rvs(
        self,
        size: int | tuple[int, ...] = (),
        random_state: np.random.Generator | np.random.RandomState | int | None = None,
    ) -> Any:
        """Draw values: a number, or an array of shape `size`; ints where q is one.

        Args:
            random_state: a Generator, RandomState or seed; None draws fresh entropy.
        """
        if isinstance(random_state, np.random.RandomState):
            rng = np.random.default_rng(random_state.randint(2**31 - 1))
        else:
            rng = np.random.default_rng(random_state)
        shape = (size,) if isinstance(size, int) else tuple(size)
        values = np.asarray(self._prior.sample(rng, shape))
        if isinstance(self.q, (int, np.integer)):
            values = np.rint(values).astype(np.int64)
        return _unwrapped(values)

    def _log_probability(self, x: ArrayLike) -> Floats:
        steps = np.asarray(x, dtype=np.float64) / self.q
        nearest = np.rint(steps)
        # The numbers that are rounded to x.
        lower, upper = (nearest - 0.5) * self.q, (nearest + 0.5) * self.q
        log_p = self._log_latent_mass(self._latent(lower), self._latent(upper))
        is_on_grid = np.abs(steps - nearest) <= _ON_GRID
        # Below 0 both ends have the logarithm -inf: there is nothing between.
        return np.where(is_on_grid & ~np.isnan(log_p), log_p, -np.inf)

    def _latent(self, edge: Floats) -> Floats:
        if not self._prior.is_log:
            return edge
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(edge, 0.0))

    def _log_latent_mass(self, lower: Floats, upper: Floats) -> Floats:
        """Log of the probability that Z lies between, elementwise."""
        raise NotImplementedError


class _QuantisedUniform(_Quantised):
    """Z is uniform.

    Attributes:
        low, high: bounds of Z, as given.
        qlow, qhigh: least and largest value.
        xs, ps: every value, increasing, and its probability; shape (n,).
    """

    _prior: Uniform

    @property
    def low(self) -> float:
        return float(self._prior.low)

    @property
    def high(self) -> float:
        return float(self._prior.high)

    @property
    def qlow(self) -> float:
        return self._prior.bounds[0]

    @property
    def qhigh(self) -> float:
        return self._prior.bounds[1]

    @cached_property
    def xs(self) -> NDArray[Any]:
        first, last = (round(bound / self.q) for bound in self._prior.bounds)
        return np.arange(first, last + 1) * self.q

    @cached_property
    def ps(self) -> Floats:
        return np.asarray(self.pmf(self.xs))

    def _log_latent_mass(self, lower: Floats, upper: Floats) -> Floats:
        inside = np.minimum(upper, self.high) - np.maximum(lower, self.low)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(inside, 0.0) / (self.high - self.low)))


class quniform_gen(_QuantisedUniform):
    """X = q round(Z / q), Z uniform on [low, high]: hp.quniform.

    Raises:
        BadSearchSpace: an argument makes no sense.
    """

    def __init__(self, low: float, high: float, q: float) -> None:
        super().__init__(Uniform(low, high, q=q), q)


class qloguniform_gen(_QuantisedUniform):
    """X = q round(exp(Z) / q), Z uniform on [low, high]: hp.qloguniform.

    Raises:
        BadSearchSpace: an argument makes no sense.
    """

    def __init__(self, low: float, high: float, q: float) -> None:
        super().__init__(Uniform(low, high, q=q, is_log=True), q)


class uniformint_gen(quniform_gen):
    """X = round(Z), Z uniform on [low, high]: hp.uniformint.

    The two ends have half the probability of the integers between them.

    Raises:
        BadSearchSpace: the bounds make no sense.
    """

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low, high, 1)


class _QuantisedNormal(_Quantised):
    """Z is normal.

    Attributes:
        mu, sigma: mean and standard deviation of Z.
    """

    _prior: Normal

    @property
    def mu(self) -> float:
        return float(self._prior.mu)

    @property
    def sigma(self) -> float:
        return float(self._prior.sigma)

    def in_domain(self, x: ArrayLike) -> Any:
        """Whether each x is a value of the distribution."""
        steps = np.asarray(x, dtype=np.float64) / self.q
        is_on_grid = np.abs(steps - np.rint(steps)) <= _ON_GRID
        return is_on_grid & (np.rint(steps) >= 0.0) if self._prior.is_log else is_on_grid

    def _log_latent_mass(self, lower: Floats, upper: Floats) -> Floats:
        return log_mass((lower - self.mu) / self.sigma, (upper - self.mu) / self.sigma)


class qnormal_gen(_QuantisedNormal):
    """X = q round(Z / q), Z normal: hp.qnormal.

    Raises:
        BadSearchSpace: an argument makes no sense.
    """

    def __init__(self, mu: float, sigma: float, q: float) -> None:
        super().__init__(Normal(mu, sigma, q=q), q)


class qlognormal_gen(_QuantisedNormal):
    """X = q round(exp(Z) / q), Z normal: hp.qlognormal.

    Raises:
        BadSearchSpace: an argument makes no sense.
    """

    def __init__(self, mu: float, sigma: float, q: float) -> None:
        super().__init__(Normal(mu, sigma, q=q, is_log=True), q)


def _unwrapped(x: Any) -> Any:
    array = np.asarray(x)
    return array if array.ndim else array.item()
