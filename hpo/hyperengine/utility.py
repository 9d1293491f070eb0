"""What a point promises: utilities over a Gaussian process. Values are MAXIMISED.

    symbol    meaning                                                    shape
    X, f      points tried so far and their values                        (n, d), (n,)
    m         what is expected where nothing is known                      scalar
    t         number of points tried so far                                scalar
    mu, s     mean and standard deviation at a point                       scalars

    mu = m + k(x, X) K^-1 (f - m),  s^2 = k(x, x) - k(x, X) K^-1 k(X, x)   (1)
    K  = k(X, X) + noise_sigma^2 I                                          (2)
    PI = P(value > max f + epsilon),  EI = E max(value - max f - epsilon, 0)  (3)
    UCB = mu + beta s,  beta^2 = 2 log(d t^2 pi^2 / (6 delta))               (4)

The kernel is 1 at distance 0, so values should be of the order of 1, as accuracies are.

Source: hyperengine.bayesian. There, the variance s^2 stands where (3) and (4) have s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOptionValue
from hpo.surrogate.acquisition import (
    confidence_width,
    expected_improvement,
    probability_of_improvement,
    upper_confidence_bound,
)
from hpo.surrogate.gaussian_process import cholesky

__all__ = [
    "BaseGaussianUtility",
    "BaseKernel",
    "BaseUtility",
    "ExpectedImprovement",
    "ProbabilityOfImprovement",
    "RadialBasisFunction",
    "RandomPoint",
    "UpperConfidenceBound",
]

Floats = npt.NDArray[np.float64]


# --- kernels ------------------------------------------------------------------------


class BaseKernel:
    """How alike the values at two points are."""

    def id(self, batch_x: Floats) -> Floats:
        """k(x, x) of each point, shape (n,)."""
        raise NotImplementedError

    def compute(self, batch_x: Floats, batch_y: Floats | None = None) -> Floats:
        """k(x, y) of each pair, shape (n, m); without batch_y, of batch_x with itself."""
        raise NotImplementedError


class RadialBasisFunction(BaseKernel):
    """exp(-gamma distance).

    Args:
        gamma: how fast likeness fades, above 0.
        metric: the distance, by scipy's name for `scipy.spatial.distance.cdist`;
            **params: its other arguments.
    """

    def __init__(self, gamma: float = 0.5, metric: str = "sqeuclidean", **params: Any) -> None:
        if not gamma > 0:
            raise InvalidOptionValue(f"rbf_gamma must be above 0, not {gamma!r}")
        self._gamma, self._metric, self._params = gamma, metric, params

    def id(self, batch_x: Floats) -> Floats:
        """1 for each point."""
        return np.ones(len(batch_x))

    def compute(self, batch_x: Floats, batch_y: Floats | None = None) -> Floats:
        """exp(-gamma distance) of each pair, shape (n, m)."""
        from scipy.spatial.distance import cdist

        x = np.atleast_2d(batch_x)
        y = x if batch_y is None else np.atleast_2d(batch_y)
        distances = cdist(x, y, self._metric, **self._params)
        return np.asarray(np.exp(-self._gamma * distances))


# --- utilities ----------------------------------------------------------------------


class BaseUtility:
    """What points promise, given points and values so far.

    Args:
        points: shape (n, d), or (n,) for one dimension.
        values: shape (n,).
        iteration: t; default n.

    Raises:
        InvalidOptionValue: the two do not belong together.
    """

    def __init__(
        self, points: npt.ArrayLike, values: npt.ArrayLike, iteration: int | None = None
    ) -> None:
        self.points = np.asarray(points, dtype=np.float64)
        self.values = np.asarray(values, dtype=np.float64)
        if self.points.ndim == 1:
            self.points = self.points.reshape(-1, 1)
        if self.points.ndim != 2 or self.values.shape != self.points.shape[:1]:
            raise InvalidOptionValue(
                f"points of the shape {self.points.shape} do not go with values of the shape "
                f"{self.values.shape}; give (n, d) and (n,)"
            )
        self.dimension = self.points.shape[1]
        self.iteration = len(self.points) if iteration is None else iteration

    def compute_values(self, batch: Floats) -> Floats:
        """What each point promises, shape (m,), for points of the shape (m, d)."""
        raise NotImplementedError


class RandomPoint(BaseUtility):
    """Every point promises the same, so any random one will do."""

    def compute_values(self, batch: Floats) -> Floats:
        """0 for each point."""
        return np.zeros(len(batch))


class BaseGaussianUtility(BaseUtility):
    """What points promise, by a Gaussian process; equations (1) and (2).

    Args:
        points, values, iteration: see `BaseUtility`; at least one point.
        kernel: k.
        mu_prior: m, a number; or an array of n + 1, one for each of the points and one for
            wherever else.
        noise_sigma: standard deviation of the noise in values.
    """

    def __init__(
        self,
        points: npt.ArrayLike,
        values: npt.ArrayLike,
        kernel: BaseKernel,
        mu_prior: npt.ArrayLike = 0.0,
        noise_sigma: float = 0.0,
        iteration: int | None = None,
    ) -> None:
        super().__init__(points, values, iteration)
        from scipy.linalg import cho_solve

        self.kernel = kernel
        prior = np.broadcast_to(np.asarray(mu_prior, dtype=np.float64), len(self.values) + 1)
        covariance = kernel.compute(self.points)
        covariance[np.diag_indices_from(covariance)] += noise_sigma**2
        self._factor = cholesky(covariance, 1.0)
        self._weights = cho_solve((self._factor, True), self.values - prior[:-1])
        self._mu_elsewhere = float(prior[-1])
        self.max_value = float(self.values.max())

    def mean_and_std(self, batch: Floats) -> tuple[Floats, Floats]:
        """mu and s at each point, each of the shape (m,); equation (1)."""
        from scipy.linalg import solve_triangular

        cross = self.kernel.compute(self.points, batch)
        half = solve_triangular(self._factor, cross, lower=True)
        variance = self.kernel.id(batch) - np.einsum("ij,ij->j", half, half)
        return self._mu_elsewhere + cross.T @ self._weights, np.sqrt(np.maximum(variance, 0.0))


class _Improvement(BaseGaussianUtility):
    """What depends on the largest value so far; 0 where s < epsilon."""

    def __init__(
        self,
        points: npt.ArrayLike,
        values: npt.ArrayLike,
        kernel: BaseKernel,
        mu_prior: npt.ArrayLike = 0.0,
        noise_sigma: float = 0.0,
        iteration: int | None = None,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(points, values, kernel, mu_prior, noise_sigma, iteration)
        self.epsilon = epsilon

    def compute_values(self, batch: Floats) -> Floats:
        """What each point promises, shape (m,)."""
        mu, s = self.mean_and_std(batch)
        is_known = s < max(self.epsilon, np.finfo(np.float64).tiny)
        # Acquisitions minimise, so all signs are turned.
        promised = self._acquisition(-mu, np.where(is_known, 1.0, s), -self.max_value)
        return np.asarray(np.where(is_known, 0.0, promised))

    def _acquisition(self, mean: Floats, std: Floats, best: float) -> Floats:
        raise NotImplementedError


class ProbabilityOfImprovement(_Improvement):
    """PI of equation (3)."""

    def _acquisition(self, mean: Floats, std: Floats, best: float) -> Floats:
        return probability_of_improvement(mean, std, best, self.epsilon)


class ExpectedImprovement(_Improvement):
    """EI of equation (3)."""

    def _acquisition(self, mean: Floats, std: Floats, best: float) -> Floats:
        return expected_improvement(mean, std, best, self.epsilon)


class UpperConfidenceBound(BaseGaussianUtility):
    """Equation (4).

    Args:
        delta: the smaller, the more is explored; above 0.
        The others: see `BaseGaussianUtility`.
    """

    def __init__(
        self,
        points: npt.ArrayLike,
        values: npt.ArrayLike,
        kernel: BaseKernel,
        mu_prior: npt.ArrayLike = 0.0,
        noise_sigma: float = 0.0,
        iteration: int | None = None,
        delta: float = 0.5,
    ) -> None:
        super().__init__(points, values, kernel, mu_prior, noise_sigma, iteration)
        if not delta > 0:
            raise InvalidOptionValue(f"ucb_delta must be above 0, not {delta!r}")
        self.beta = confidence_width(self.iteration, self.dimension, delta)

    def compute_values(self, batch: Floats) -> Floats:
        """What each point promises, shape (m,)."""
        mu, s = self.mean_and_std(batch)
        return upper_confidence_bound(-mu, s, kappa=self.beta)
