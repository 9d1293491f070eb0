"""From observations to the components of a mixture, as operations.

    symbol        meaning                                        shape
    N             number of observations
    mus           observations, oldest first                       (N,)
    prior_weight  weight of the prior; a recent observation has 1  scalar
    prior_mu, prior_sigma  centre and deviation of the prior       scalars

Each function returns (weights, mus, sigmas) of N + 1 components, of which one is
the prior. Source: hyperopt.tpe, whose behaviour this is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOption, InvalidOptionValue
from hpo.pyll import scope
from hpo.surrogate import parzen

__all__ = [
    "DEFAULT_LF",
    "adaptive_parzen_normal",
    "adaptive_parzen_normal_orig",
    "linear_forgetting_weights",
]

Floats = npt.NDArray[np.float64]

# How many of the newest observations keep their full weight.
DEFAULT_LF = parzen.N_RECENT


@scope.define
def linear_forgetting_weights(N: int, LF: int) -> Floats:
    """Weights of N observations, oldest first; shape (N,).

    The newest `LF` weigh 1; before them the weight falls linearly to 1 / N.

    Raises:
        ValueError: `N` is negative or `LF` not positive.
    """
    if N < 0 or LF <= 0:
        raise InvalidOptionValue(f"N must be at least 0 and LF at least 1, not {N} and {LF}")
    return parzen.linear_forgetting_weights(N, LF)


@scope.define_info(o_len=3)
def adaptive_parzen_normal(
    mus: npt.ArrayLike,
    prior_weight: float,
    prior_mu: float,
    prior_sigma: float,
    LF: int | None = DEFAULT_LF,
) -> tuple[Floats, Floats, Floats]:
    """The estimator of `hpo.tpe.suggest`; see `hpo.surrogate.parzen`.

    Args:
        LF: how many of the newest observations keep their full weight; None or 0: all.

    Returns:
        (weights, mus, sigmas) by ascending mus; shapes (N + 1,).
    """
    observed = _observations(mus)
    return parzen.adaptive_parzen_normal(
        observed, prior_weight, prior_mu, prior_sigma, LF or max(observed.size, 1)
    )


@scope.define_info(o_len=3)
def adaptive_parzen_normal_orig(
    mus: npt.ArrayLike, prior_weight: float, prior_mu: float, prior_sigma: float
) -> tuple[Floats, Floats, Floats]:
    """The estimator that TPE was published with.

    The prior does not count as a neighbour, nothing is forgotten, and deviations
    are at least prior_sigma / sqrt(N + 2).

    Returns:
        (weights, mus, sigmas): the prior first, then the observations as given; shapes (N + 1,).
    """
    observed = _observations(mus)
    order = np.argsort(observed, kind="stable")
    widths = np.empty_like(observed)
    widths[order] = _neighbour_distances(observed[order], 0.5 * prior_sigma)
    n_components = observed.size + 1
    sigmas = np.clip(
        np.concatenate([[prior_sigma], widths]),
        prior_sigma / np.sqrt(1.0 + n_components),
        prior_sigma,
    )
    if not observed.size:
        # Alone it has all the weight, even a prior that was given none.
        return np.ones(1), np.array([prior_mu], dtype=np.float64), sigmas
    weights = np.concatenate([[prior_weight], np.ones(observed.size)])
    return weights / weights.sum(), np.concatenate([[prior_mu], observed]), sigmas


def _neighbour_distances(ascending: Floats, lone: float) -> Floats:
    """The larger gap of each point; at both ends the distance to the next but one.

    Two points have the gap between them; a single one has `lone`.
    """
    if ascending.size < 2:
        return np.full(ascending.size, lone)
    reach = min(2, ascending.size - 1)
    gaps = np.diff(ascending)
    inner = np.maximum(gaps[:-1], gaps[1:])
    first, last = ascending[reach] - ascending[0], ascending[-1] - ascending[-1 - reach]
    return np.concatenate([[first], inner, [last]])


def _observations(mus: npt.ArrayLike) -> Floats:
    observed = np.asarray(mus, dtype=np.float64)
    if observed.ndim != 1:
        raise InvalidOption(f"mus must be a vector, but its shape is {observed.shape}")
    return observed
