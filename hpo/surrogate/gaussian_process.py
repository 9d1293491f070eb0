"""Gaussian processes: what is known of a function between the points where it was seen.

    symbol   meaning                                                     shape
    n, m, F  numbers of observations, of new inputs, of features           scalars
    G        number of lengthscales; features of one group share theirs    scalar
    X, y     inputs that were seen, and their targets                       (n, F), (n,)
    Z        new inputs                                                     (m, F)
    v, t     signal variance, noise variance                               scalars
    e        further noise of each observation, where it is known           (n,)
    K        v k(X, X) + t I + diag(e)                                     (n, n)
    L        its Cholesky factor, K = L L^T                                 (n, n)
    a        K^-1 y                                                        (n,)

    mean(z)  = v k(z, X) a                                                   (1)
    var(z)   = v - |L^-1 v k(X, z)|^2                                        (2)

Predictions are of the function, without the noise. Far from all observations they
return to mean 0 and variance v, so targets should have mean 0: `GaussianProcess`
sees to that, `Posterior` takes them as they are.

One more observation adds a row to L, at O(n^2) instead of O(n^3); targets can be
exchanged without a new factorisation.

Source: Rasmussen and Williams, "Gaussian processes for machine learning", algorithm 2.1.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOption, InvalidOptionValue
from hpo.surrogate.kernels import Kernel, kernel_named, squared_distances

__all__ = ["GaussianProcess", "Hyperparameters", "Posterior", "Prediction", "cholesky"]

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

# A matrix that rounding has left indefinite gets so much more noise, as shares of the
# signal variance, until it is not.
_EXTRA_NOISES = (0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)
# Below this share of the signal variance, a variance is rounding.
_LEAST_VARIANCE_SHARE = 1e-14


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """What a kernel is fitted by.

    Attributes:
        lengthscales: one for each group of features; shape (G,).
        signal_variance: v.
        noise_variance: t.
        shape: of the kernel, where it has one.
    """

    lengthscales: Floats
    signal_variance: float = 1.0
    noise_variance: float = 1e-6
    shape: float = 1.0


@dataclass(frozen=True, eq=False)
class Prediction:
    """Mean and standard deviation at m inputs, and how they change with the features.

    Attributes:
        mean, std: shape (m,).
        mean_slopes, std_slopes: derivatives by each feature, shape (m, F).
    """

    mean: Floats
    std: Floats
    mean_slopes: Floats
    std_slopes: Floats


class Posterior:
    """The process given observations, at fixed hyperparameters. Immutable.

    Args:
        kernel: the correlation.
        hyperparameters: of it.
        X: inputs, shape (n, F); n may be 0.
        y: targets, shape (n,).
        groups: number of each feature's lengthscale, shape (F,); default: each its own.
        extra_noise: e, shape (n,); None: 0.
    """

    def __init__(
        self,
        kernel: Kernel,
        hyperparameters: Hyperparameters,
        X: Floats,
        y: Floats,
        groups: Groups | None = None,
        extra_noise: Floats | None = None,
    ) -> None:
        self.kernel, self.hyperparameters = kernel, hyperparameters
        self.groups = np.arange(X.shape[1]) if groups is None else groups
        self._lengthscales = hyperparameters.lengthscales[self.groups]
        self.X, self.y = X, y
        covariance = self._covariance(X, X)
        covariance[np.diag_indices_from(covariance)] += self._noise(extra_noise)
        self._factor = cholesky(covariance, hyperparameters.signal_variance)
        self._weights = self._solved(y)

    def __len__(self) -> int:
        return len(self.y)

    def predict(self, Z: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation at new inputs, each of shape (m,); (1) and (2)."""
        cross = self._covariance(Z, self.X)
        half = _solve_lower(self._factor, cross.T)
        return cross @ self._weights, self._std(np.einsum("im,im->m", half, half))

    def predict_with_slopes(self, Z: Floats) -> Prediction:
        """Mean and standard deviation at new inputs, and their gradients."""
        value, slope = self._kernel(squared_distances(Z, self.X, self._lengthscales))
        cross = self.hyperparameters.signal_variance * value
        cross_slope = self.hyperparameters.signal_variance * slope
        solved = _solve_both(self._factor, cross.T).T
        std = self._std(np.einsum("mi,mi->m", cross, solved))
        mean_slopes = self._slopes(Z, cross_slope * self._weights)
        variance_slopes = -2.0 * self._slopes(Z, cross_slope * solved)
        return Prediction(
            cross @ self._weights, std, mean_slopes, variance_slopes / (2.0 * std[:, None])
        )

    def with_more(
        self, X: Floats, y: Floats | None = None, extra_noise: Floats | None = None
    ) -> Posterior:
        """The process given more observations, by new rows of L.

        Args:
            X: their inputs, shape (k, F).
            y: their targets, shape (k,); None takes the mean at each, as if the process
                had been right: the kriging believer's answer for a result that is awaited.
            extra_noise: their e, shape (k,); None: 0.
        """
        cross = self._covariance(self.X, X)
        below = _solve_lower(self._factor, cross)
        block = self._covariance(X, X) - below.T @ below
        block[np.diag_indices_from(block)] += self._noise(extra_noise)
        n, n_all = len(self), len(self) + len(X)
        factor = np.zeros((n_all, n_all))
        factor[:n, :n], factor[n:, :n] = self._factor, below.T
        factor[n:, n:] = cholesky(block, self.hyperparameters.signal_variance)
        targets = cross.T @ self._weights if y is None else y
        return self._like_this(
            np.concatenate([self.X, X]), np.concatenate([self.y, targets]), factor
        )

    def with_targets(self, y: Floats) -> Posterior:
        """The process given other targets at the same inputs; shape (n,)."""
        return self._like_this(self.X, y, self._factor)

    @property
    def log_likelihood(self) -> float:
        """log p(y | X, hyperparameters)."""
        log_determinant = 2.0 * np.log(np.diag(self._factor)).sum()
        fit = self.y @ self._weights
        return float(-0.5 * (fit + log_determinant + len(self) * np.log(2.0 * np.pi)))

    def _like_this(self, X: Floats, y: Floats, factor: Floats) -> Posterior:
        twin = object.__new__(Posterior)
        twin.__dict__.update(self.__dict__)
        twin.X, twin.y, twin._factor = X, y, factor
        twin._weights = twin._solved(y)
        return twin

    def _noise(self, extra: Floats | None) -> Floats | float:
        noise = self.hyperparameters.noise_variance
        return noise if extra is None else noise + extra

    def _kernel(self, squares: Floats) -> tuple[Floats, Floats]:
        return self.kernel.value_and_slope(squares, self.hyperparameters.shape)

    def _covariance(self, X: Floats, Z: Floats) -> Floats:
        value, _ = self._kernel(squared_distances(X, Z, self._lengthscales))
        value *= self.hyperparameters.signal_variance
        return value

    def _solved(self, y: Floats) -> Floats:
        return _solve_both(self._factor, y)

    def _std(self, explained: Floats) -> Floats:
        signal = self.hyperparameters.signal_variance
        std: Floats = np.sqrt(np.maximum(signal - explained, _LEAST_VARIANCE_SHARE * signal))
        return std

    def _slopes(self, Z: Floats, weights: Floats) -> Floats:
        """sum_i weights_mi d s_mi / d z_mf for every feature, shape (m, F)."""
        differences = Z * weights.sum(axis=1)[:, None] - weights @ self.X
        slopes: Floats = 2.0 * differences / self._lengthscales**2
        return slopes


class GaussianProcess:
    """A Gaussian process with hyperparameters learnt from the observations.

    Targets may have any unit: they are standardised inside.

        process = GaussianProcess().fit(X, y)
        mean, std = process.predict(Z)

    Args:
        kernel: "matern52", "matern32", "rbf" or "rational_quadratic".
        groups: number of each feature's lengthscale, shape (F,); default: each its own.
        n_restarts: from how many points the likelihood is maximised.
        seed: of these points.

    Attributes:
        hyperparameters: of the standardised targets; after `fit`.

    Raises:
        InvalidOption: there is no such kernel.
    """

    hyperparameters: Hyperparameters

    def __init__(
        self,
        kernel: str = "matern52",
        *,
        groups: Groups | None = None,
        n_restarts: int = 3,
        seed: int = 0,
    ) -> None:
        self.kernel = kernel_named(kernel)
        self.groups = groups
        self._n_restarts, self._seed = n_restarts, seed
        self._posterior: Posterior | None = None
        self._middle, self._unit = 0.0, 1.0

    def fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, variances: npt.ArrayLike | None = None
    ) -> GaussianProcess:
        """Learn the hyperparameters; a second fit starts from those of the first as well.

        Args:
            X: inputs, shape (n, F), n at least 1; best scaled to about [0, 1].
            y: targets, shape (n,).
            variances: of the targets' measurements, where they are known, shape (n,); what
                noise there is beside is learnt.

        Raises:
            InvalidOptionValue: the shapes do not match, or a number is not finite.
        """
        from hpo.surrogate.likelihood import Likelihood, fitted

        inputs, targets, noise = _checked(X, y, variances)
        self._middle = float(targets.mean())
        self._unit = float(targets.std()) or 1.0
        likelihood = Likelihood(
            self.kernel,
            inputs,
            (targets - self._middle) / self._unit,
            self.groups,
            extra_noise=None if noise is None else noise / self._unit**2,
        )
        known = () if self._posterior is None else (self.hyperparameters,)
        rng = np.random.default_rng(self._seed)
        self.hyperparameters = fitted(likelihood, rng, self._n_restarts, known)
        self._posterior = likelihood.posterior(self.hyperparameters)
        return self

    def update(
        self, X: npt.ArrayLike, y: npt.ArrayLike, variances: npt.ArrayLike | None = None
    ) -> GaussianProcess:
        """Take in more observations without learning the hyperparameters again.

        Raises:
            InvalidOptionValue: the shapes do not match, or a number is not finite.
        """
        inputs, targets, noise = _checked(X, y, variances)
        self._posterior = self._fitted.with_more(
            inputs,
            (targets - self._middle) / self._unit,
            None if noise is None else noise / self._unit**2,
        )
        return self

    def predict(self, Z: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the function at inputs (m, F), each of shape (m,)."""
        mean, std = self._fitted.predict(np.asarray(Z, dtype=np.float64))
        return self._middle + self._unit * mean, self._unit * std

    def predict_with_slopes(self, Z: npt.ArrayLike) -> Prediction:
        """Mean and standard deviation at inputs (m, F), and their gradients."""
        there = self._fitted.predict_with_slopes(np.asarray(Z, dtype=np.float64))
        return Prediction(
            self._middle + self._unit * there.mean,
            self._unit * there.std,
            self._unit * there.mean_slopes,
            self._unit * there.std_slopes,
        )

    @property
    def _fitted(self) -> Posterior:
        if self._posterior is None:
            raise InvalidOption("the process has seen nothing yet; call fit(X, y) first")
        return self._posterior


def _checked(
    X: npt.ArrayLike, y: npt.ArrayLike, variances: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    inputs, targets = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if inputs.ndim != 2 or targets.shape != inputs.shape[:1] or not len(inputs):
        raise InvalidOptionValue(
            f"X must have the shape (n, features) and y the shape (n,), n at least 1; they have "
            f"{inputs.shape} and {targets.shape}"
        )
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
        raise InvalidOptionValue("X and y must be finite; leave out what was not observed")
    if variances is None:
        return inputs, targets, None
    noise = np.asarray(variances, dtype=np.float64)
    if noise.shape != targets.shape or not (np.isfinite(noise) & (noise >= 0.0)).all():
        raise InvalidOptionValue(
            f"variances must be finite numbers from 0, one for each y; give 0 where a target's "
            f"variance is unknown, not {noise!r}"
        )
    return inputs, targets, noise


# --- linear algebra ---------------------------------------------------------------


def cholesky(matrix: Floats, unit: float) -> Floats:
    """The lower factor of a matrix that is positive definite but for rounding.

    Args:
        matrix: shape (n, n).
        unit: what the extra noise is measured in.

    Raises:
        numpy.linalg.LinAlgError: it is far from positive definite.
    """
    linalg = _linalg()
    for extra in _EXTRA_NOISES:
        tried = matrix.copy()
        tried[np.diag_indices_from(tried)] += extra * unit
        try:
            factor: Floats = linalg.cholesky(
                tried, lower=True, overwrite_a=True, check_finite=False
            )
        except np.linalg.LinAlgError:
            continue
        if extra:
            logger.debug("a covariance needed %g more noise to be factorised", extra * unit)
        return factor
    raise np.linalg.LinAlgError("a covariance is not positive definite; are its inputs finite?")


def _solve_lower(factor: Floats, right: Floats) -> Floats:
    if not len(factor):
        return np.zeros_like(right)
    solved: Floats = _linalg().solve_triangular(factor, right, lower=True, check_finite=False)
    return solved


def _solve_both(factor: Floats, right: Floats) -> Floats:
    """K^-1 right."""
    if not len(factor):
        return np.zeros_like(right)
    solved: Floats = _linalg().cho_solve((factor, True), right, check_finite=False)
    return solved


def _linalg() -> Any:
    # Late, because `import hpo` shall not load scipy.
    import scipy.linalg

    return scipy.linalg
