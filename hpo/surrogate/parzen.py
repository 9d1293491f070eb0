"""From observed values to a mixture: the adaptive Parzen estimator.

Each observation becomes a normal whose deviation is the larger gap to its
neighbours: narrow where observations are dense, wide where they are sparse. The
prior takes part as one more, broad component, so that no place is ruled out.

    symbol       meaning                                          shape
    N            number of observations
    z            latent positions of the observations, oldest first  (N,)
    m, s, w      centres (ascending), deviations, weights             (N + 1,)
    m0, s0, w0   centre, deviation and weight of the prior            scalars

    s_k = clip(max(m_k - m_{k-1}, m_{k+1} - m_k), s0 / min(100, N + 2), s0)   (1)

The first and the last component have one gap only; a lone observation has
s0 / 2; the prior itself always has s0.

Source: hyperopt.tpe.adaptive_parzen_normal, whose behaviour this is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# How many of the newest observations keep their full weight.
N_RECENT = 25


def adaptive_parzen_normal(
    positions: npt.ArrayLike,
    prior_weight: float,
    prior_mu: float,
    prior_sigma: float,
    n_recent: int = N_RECENT,
) -> tuple[Floats, Floats, Floats]:
    """Fit a mixture of normals to positions, with the prior as one component.

    Args:
        positions: latent positions of the observations, oldest first, finite; shape (N,).
        prior_weight: weight of the prior, where a recent observation weighs 1.
        prior_mu, prior_sigma: the prior's centre and deviation; prior_sigma > 0.
        n_recent: how many of the newest observations keep their full weight.

    Returns:
        (weights, mus, sigmas), each of shape (N + 1,), by ascending mus; the
        weights sum to 1. Where positions are equal, older ones come first.
    """
    observed = np.asarray(positions, dtype=np.float64)
    if observed.size == 0:
        # Alone it has all the weight, even a prior that was given none.
        return np.ones(1), np.array([prior_mu]), np.array([prior_sigma])
    order = np.argsort(observed, kind="stable")
    place = int(np.searchsorted(observed[order], prior_mu))
    mus = np.insert(observed[order], place, prior_mu)
    weights = np.insert(
        linear_forgetting_weights(observed.size, n_recent)[order], place, prior_weight
    )
    return weights / weights.sum(), mus, _gap_bandwidths(mus, place, prior_sigma)


def _gap_bandwidths(mus: Floats, prior_place: int, prior_sigma: float) -> Floats:
    """Equation (1) for ascending centres of which one is the prior's; shape as mus."""
    gaps = np.diff(mus)
    sigmas = np.maximum(np.append(gaps[:1], gaps), np.append(gaps, gaps[-1:]))
    if mus.size == 2:
        sigmas[:] = 0.5 * prior_sigma
    sigmas = np.clip(sigmas, prior_sigma / min(100.0, 1.0 + mus.size), prior_sigma)
    sigmas[prior_place] = prior_sigma
    return sigmas


def linear_forgetting_weights(n_observations: int, n_recent: int = N_RECENT) -> Floats:
    """Weight old observations less than recent ones.

    The newest `n_recent` observations weigh 1; before them the weight falls
    linearly to 1 / `n_observations` for the oldest.

    Args:
        n_observations: number of observations, oldest first; at least 0.
        n_recent: how many of the newest keep full weight; at least 1.

    Returns:
        Array of shape (n_observations,), values in (0, 1].

    Source: hyperopt.tpe.linear_forgetting_weights, whose default is DEFAULT_LF = 25.
    """
    weights = np.ones(n_observations)
    n_old = n_observations - n_recent
    if n_old > 0:
        weights[:n_old] = np.linspace(1.0 / n_observations, 1.0, num=n_old)
    return weights
