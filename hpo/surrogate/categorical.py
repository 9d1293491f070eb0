"""A finite number of options: counts of the observed ones, smoothed by the prior.

    symbol  meaning                                             shape
    K       number of options
    N       number of observations
    c       observed option indices, oldest first                 (N,)
    u       weight of each observation, 1 for recent ones         (N,)
    p0      the prior's probabilities, sum 1                      (K,)
    a       weight of the prior, per option

    p_j = (sum of u_i over c_i = j  +  a K p0_j) / normalisation    (1)

Source: hyperopt.tpe.ap_categorical_sampler and ap_randint_sampler, which agree
with (1) for equal p0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.surrogate.parzen import N_RECENT, linear_forgetting_weights

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Categorical:
    """A distribution over consecutive integers.

    Attributes:
        probabilities: of first, first + 1, ...; shape (K,), sum 1.
        first: the value that the first probability belongs to.
    """

    probabilities: Floats
    first: int = 0

    def sample(self, rng: np.random.Generator, n_samples: int) -> Floats:
        """Draw values, shape (n_samples,); whole numbers as float64."""
        return (draw_indices(rng, self.probabilities, n_samples) + self.first).astype(np.float64)

    def log_density(self, values: npt.ArrayLike) -> Floats:
        """Logarithm of each value's probability, shape (n,); -inf for no option."""
        indices = np.asarray(values, dtype=np.float64) - self.first
        n_options = len(self.probabilities)
        is_option = (indices >= 0) & (indices < n_options) & (indices == np.rint(indices))
        safe = np.where(is_option, indices, 0).astype(np.int64)
        with np.errstate(divide="ignore"):
            return np.where(is_option, np.log(self.probabilities[safe]), -np.inf)


def draw_indices(
    rng: np.random.Generator, probabilities: Floats, n_samples: int
) -> npt.NDArray[np.int64]:
    """Draw indices 0, 1, ... with the given probabilities, shape (n_samples,)."""
    cumulative = np.cumsum(probabilities)
    # Scaled by the sum, which rounding has moved off 1.
    positions = rng.random(n_samples) * cumulative[-1]
    indices: npt.NDArray[np.int64] = np.searchsorted(cumulative, positions, side="right")
    return np.minimum(indices, len(probabilities) - 1)


def fit_categorical(
    observed: npt.ArrayLike,
    prior_probabilities: npt.ArrayLike,
    prior_weight: float,
    *,
    first: int = 0,
    n_recent: int = N_RECENT,
) -> Categorical:
    """Fit equation (1) to observed values.

    Args:
        observed: values first, first + 1, ..., oldest first; shape (N,). Others
            (of a space that had more options once) are left out.
        prior_probabilities: of first, first + 1, ...; shape (K,), sum 1.
        prior_weight: weight of the prior per option; without any observation
            the prior stands alone whatever its weight.
    """
    prior = np.asarray(prior_probabilities, dtype=np.float64)
    indices = np.rint(np.asarray(observed, dtype=np.float64)).astype(np.int64) - first
    indices = indices[(indices >= 0) & (indices < prior.size)]
    if indices.size == 0:
        return Categorical(prior / prior.sum(), first)
    weights = linear_forgetting_weights(indices.size, n_recent)
    counts = np.bincount(indices, weights=weights, minlength=prior.size)
    pseudocounts = counts + prior_weight * prior.size * prior
    return Categorical(pseudocounts / pseudocounts.sum(), first)
