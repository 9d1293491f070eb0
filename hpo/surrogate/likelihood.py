"""How likely hyperparameters of a Gaussian process are, and which are the most likely.

    symbol   meaning                                                     shape
    p        log l_1 .. log l_G, log v, log t, and log shape if it counts   (P,)
    M        a a^T - K^-1, with a = K^-1 y                                 (n, n)
    W        M * v k'(s), elementwise                                       (n, n)
    r        row sums of W                                                 (n,)

    log p(y | p) = -(y a + 2 sum log L_ii + n log 2 pi) / 2                (1)
    d/dp_j       = sum(M * dK/dp_j) / 2                                     (2)
    d/dlog l_f   = -2 (sum_i r_i x_if^2 - x_f^T W x_f) / l_f^2              (3)

(3) is (2) with the squares expanded, so that no array of shape (n, n, F) is needed.

Each parameter has a log-normal prior; what is maximised is (1) plus their logarithms.
The prior of the lengthscales grows with the square root of their number, as the
distance of two random inputs does: in many dimensions the function would otherwise
be thought unpredictable before it was seen. The noise is small unless the data say
otherwise.

Source: Rasmussen and Williams, "Gaussian processes for machine learning", (5.8) and
(5.9); the scaled prior is that of Hvarfner, Hellsten and Nardi, "Vanilla Bayesian
optimization performs great in high dimensions", 2024, with numbers of our own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.surrogate.gaussian_process import (
    Groups,
    Hyperparameters,
    Posterior,
    cholesky,
)
from hpo.surrogate.kernels import Kernel, squared_distances

__all__ = ["Likelihood", "Priors", "fitted"]

Floats = npt.NDArray[np.float64]

# Of the logarithms; so wide that only degenerate data reach them.
_LENGTHSCALE_BOUNDS = (math.log(5e-3), math.log(1e3))
_SIGNAL_BOUNDS = (math.log(1e-2), math.log(1e3))
_NOISE_CEILING = math.log(10.0)
_SHAPE_BOUNDS = (math.log(1e-2), math.log(1e3))
_MAX_ITERATIONS = 60
# Of so many random points for each restart the likeliest becomes its start.
_DRAWS_PER_RESTART = 4


@dataclass(frozen=True)
class Priors:
    """Normal priors of the logarithms, as (mean, standard deviation).

    Attributes:
        lengthscale: of log l / sqrt(G).
        signal, noise: of log v and log t, where the targets' variance is 1.
        shape: of the logarithm of the rational quadratic kernel's shape.
        least_noise: t is never less.
    """

    lengthscale: tuple[float, float] = (-0.7, 1.0)
    signal: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (-6.0, 3.0)
    shape: tuple[float, float] = (0.0, 1.0)
    least_noise: float = 1e-6


class Likelihood:
    """The likelihood of hyperparameters, given observations.

    Args:
        kernel: the correlation.
        X, y: inputs and targets, whose variance should be about 1; (n, F) and (n,).
        groups: number of each feature's lengthscale, shape (F,); default: each its own.
        priors: of the hyperparameters.
        extra_noise: of each observation, beside t, shape (n,); None: 0.
    """

    def __init__(
        self,
        kernel: Kernel,
        X: Floats,
        y: Floats,
        groups: Groups | None = None,
        priors: Priors | None = None,
        *,
        extra_noise: Floats | None = None,
    ) -> None:
        self.kernel, self.X, self.y = kernel, X, y
        self.groups = np.arange(X.shape[1]) if groups is None else groups
        self.n_lengthscales = int(self.groups.max()) + 1 if self.groups.size else 0
        self.priors = Priors() if priors is None else priors
        self._extra_noise = extra_noise
        self._means, self._deviations = self._normals()
        # Around the middle the expanded squares keep their digits.
        self._centred = X - X.mean(axis=0)

    # --- the vector of parameters ---

    def _normals(self) -> tuple[Floats, Floats]:
        mean, deviation = self.priors.lengthscale
        mean += 0.5 * math.log(max(self.n_lengthscales, 1))
        pairs = [(mean, deviation)] * self.n_lengthscales
        pairs += [self.priors.signal, self.priors.noise]
        pairs += [self.priors.shape] if self.kernel.has_shape else []
        means, deviations = np.array(pairs).T
        return means, deviations

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Of each parameter, length P."""
        noise = (math.log(self.priors.least_noise), _NOISE_CEILING)
        shape = [_SHAPE_BOUNDS] if self.kernel.has_shape else []
        return [_LENGTHSCALE_BOUNDS] * self.n_lengthscales + [_SIGNAL_BOUNDS, noise, *shape]

    @property
    def most_likely_before(self) -> Floats:
        """The prior's mode, shape (P,)."""
        return self._within(self._means)

    def draws(self, rng: np.random.Generator, n: int) -> Floats:
        """Random parameters, from the prior; shape (n, P)."""
        draws = self._means + self._deviations * rng.standard_normal((n, len(self._means)))
        return self._within(draws)

    def _within(self, parameters: Floats) -> Floats:
        low, high = np.array(self.bounds).T
        return np.clip(parameters, low, high)

    def as_parameters(self, hyperparameters: Hyperparameters) -> Floats:
        """The vector of logarithms, shape (P,)."""
        numbers = [hyperparameters.signal_variance, hyperparameters.noise_variance]
        numbers += [hyperparameters.shape] if self.kernel.has_shape else []
        return self._within(np.log(np.concatenate([hyperparameters.lengthscales, numbers])))

    def as_hyperparameters(self, parameters: Floats) -> Hyperparameters:
        """The inverse of `as_parameters`."""
        numbers = np.exp(parameters)
        shape = float(numbers[-1]) if self.kernel.has_shape else 1.0
        signal, noise = numbers[self.n_lengthscales : self.n_lengthscales + 2].tolist()
        return Hyperparameters(numbers[: self.n_lengthscales], signal, noise, shape)

    def posterior(self, hyperparameters: Hyperparameters) -> Posterior:
        """The process at given hyperparameters."""
        return Posterior(
            self.kernel, hyperparameters, self.X, self.y, self.groups, self._extra_noise
        )

    # --- how likely it is ---

    def log_density(self, parameters: Floats) -> tuple[float, Floats]:
        """(1) plus the logarithm of the prior, up to a constant; and its gradient, shape (P,)."""
        value, gradient = self.log_likelihood(parameters)
        z = (parameters - self._means) / self._deviations
        return value - 0.5 * float(z @ z), gradient - z / self._deviations

    def log_likelihood(self, parameters: Floats) -> tuple[float, Floats]:
        """Equations (1) and (2); the gradient has the shape (P,)."""
        from scipy.linalg import cho_solve, lapack

        given = self.as_hyperparameters(parameters)
        scaled = self._centred / given.lengthscales[self.groups]
        squares = squared_distances(scaled, scaled)
        correlation, slope = self.kernel.value_and_slope(squares, given.shape)
        covariance = given.signal_variance * correlation
        covariance[np.diag_indices_from(covariance)] += given.noise_variance
        if self._extra_noise is not None:
            covariance[np.diag_indices_from(covariance)] += self._extra_noise
        factor = cholesky(covariance, given.signal_variance)
        weights = cho_solve((factor, True), self.y, check_finite=False)
        value = -0.5 * float(self.y @ weights) - float(np.log(np.diag(factor)).sum())
        value -= 0.5 * len(self.y) * math.log(2.0 * math.pi)

        inverse, _ = lapack.dpotri(factor, lower=1)
        matrix = np.outer(weights, weights) - _mirrored(inverse)
        by_noise = 0.5 * given.noise_variance * float(np.trace(matrix))
        matrix *= given.signal_variance
        by_signal = 0.5 * float(np.vdot(matrix, correlation))
        by_lengthscales = self._by_lengthscales(matrix * slope, scaled)
        tail = [by_signal, by_noise]
        if self.kernel.has_shape:
            by_shape = self.kernel.slope_by_log_shape(squares, given.shape)
            tail.append(0.5 * float(np.vdot(matrix, by_shape)))
        return value, np.concatenate([by_lengthscales, tail])

    def _by_lengthscales(self, slopes: Floats, scaled: Floats) -> Floats:
        """Equation (3), summed over the features of each group; shape (G,)."""
        of_features = slopes.sum(axis=1) @ scaled**2 - np.einsum(
            "if,if->f", scaled, slopes @ scaled
        )
        sums = np.bincount(self.groups, -2.0 * of_features, minlength=self.n_lengthscales)
        return np.asarray(sums, dtype=np.float64)


def _mirrored(lower: Floats) -> Floats:
    """The symmetric matrix whose lower triangle is given."""
    triangle = np.tril(lower)
    whole: Floats = triangle + np.tril(triangle, -1).T
    return whole


def fitted(
    likelihood: Likelihood,
    rng: np.random.Generator,
    n_restarts: int = 3,
    known: Iterable[Hyperparameters] = (),
) -> Hyperparameters:
    """The likeliest hyperparameters that an ascent from several starts finds.

    Args:
        rng: draws the starts.
        n_restarts: number of starts that are drawn, besides the prior's mode; at least 0.
        known: further starts, such as what was found for fewer observations.
    """
    starts = [likelihood.as_parameters(each) for each in known]
    starts.append(likelihood.most_likely_before)
    if n_restarts:
        drawn = likelihood.draws(rng, n_restarts * _DRAWS_PER_RESTART)
        values = [likelihood.log_density(each)[0] for each in drawn]
        starts += [drawn[place] for place in np.argsort(values)[::-1][:n_restarts]]
    ends = [_ascent(likelihood, start) for start in starts]
    best, _ = max(ends, key=lambda end: end[1])
    return likelihood.as_hyperparameters(best)


def _ascent(likelihood: Likelihood, start: Floats) -> tuple[Floats, float]:
    """Where L-BFGS-B ends, shape (P,), and the log density there."""
    from scipy.optimize import minimize

    def downwards(parameters: Floats) -> tuple[float, Floats]:
        value, gradient = likelihood.log_density(parameters)
        return -value, -gradient

    end = minimize(
        downwards,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=likelihood.bounds,
        options={"maxiter": _MAX_ITERATIONS, "ftol": 1e-7, "gtol": 1e-4},
    )
    return end.x, -float(end.fun)
