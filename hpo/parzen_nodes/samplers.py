"""The estimator of each kind of hyperparameter, as an expression that draws from it.

    adaptive_parzen_samplers["uniform"](obs, prior_weight, low, high, size=(24,), rng=rng)

makes a node `GMM1` whose components are fitted to the observations `obs`. With _lpdf
at its name and the node itself as `samples`, its arguments but for `size` and `rng`
make the node of the draws' densities. Every argument may be a node.

    obs           observed values, oldest first                      (N,)
    prior_weight  weight of the prior; a recent observation has 1    scalar

The arguments that follow are those of the distribution. Source: hyperopt.tpe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOptionValue

# Loaded for what it enters in `scope`: the expressions below are made of it.
from hpo.parzen_nodes import mixtures as mixtures
from hpo.parzen_nodes.bandwidth import DEFAULT_LF
from hpo.parzen_nodes.lognormal import EPS
from hpo.pyll import Apply, scope
from hpo.surrogate.categorical import Categorical, fit_categorical

__all__ = ["adaptive_parzen_sampler", "adaptive_parzen_samplers"]

Floats = npt.NDArray[np.float64]
Sampler = TypeVar("Sampler", bound=Callable[..., Apply])

# {name of a distribution: what makes the expression}
adaptive_parzen_samplers: dict[str, Callable[..., Apply]] = {}


def adaptive_parzen_sampler(name: str) -> Callable[[Sampler], Sampler]:
    """Make a decorator that enters a function as the sampler of a distribution.

    Raises:
        ValueError: the distribution has one.
    """

    def enter(sampler: Sampler) -> Sampler:
        if name in adaptive_parzen_samplers:
            raise InvalidOptionValue(
                f"{name!r} has a sampler already; to replace it, assign to "
                f"adaptive_parzen_samplers[{name!r}]"
            )
        adaptive_parzen_samplers[name] = sampler
        return sampler

    return enter


# --- uniform: the prior is a normal as wide as the range ---------------------------


def _around_middle(positions: Any, prior_weight: Any, low: Any, high: Any) -> Any:
    return scope.adaptive_parzen_normal(positions, prior_weight, 0.5 * (low + high), high - low)


@adaptive_parzen_sampler("uniform")
def ap_uniform_sampler(
    obs: Any, prior_weight: Any, low: Any, high: Any, size: Any = (), rng: Any = None
) -> Apply:
    """Values between `low` and `high`."""
    parzen = _around_middle(obs, prior_weight, low, high)
    return scope.GMM1(*parzen, low=low, high=high, size=size, rng=rng)


@adaptive_parzen_sampler("quniform")
def ap_quniform_sampler(
    obs: Any, prior_weight: Any, low: Any, high: Any, q: Any, size: Any = (), rng: Any = None
) -> Apply:
    """Multiples of `q` between `low` and `high`."""
    parzen = _around_middle(obs, prior_weight, low, high)
    return scope.GMM1(*parzen, low=low, high=high, q=q, size=size, rng=rng)


@adaptive_parzen_sampler("loguniform")
def ap_loguniform_sampler(
    obs: Any, prior_weight: Any, low: Any, high: Any, size: Any = (), rng: Any = None
) -> Apply:
    """Values whose logarithms lie between `low` and `high`."""
    parzen = _around_middle(scope.log(obs), prior_weight, low, high)
    return scope.LGMM1(*parzen, low=low, high=high, size=size, rng=rng)


@adaptive_parzen_sampler("qloguniform")
def ap_qloguniform_sampler(
    obs: Any, prior_weight: Any, low: Any, high: Any, q: Any, size: Any = (), rng: Any = None
) -> Apply:
    """Multiples of `q`, rounded from values whose logarithms lie between `low` and `high`."""
    # Rounding may have carried a value below the range, to 0 in particular.
    least = scope.maximum(EPS, scope.exp(low))
    parzen = _around_middle(scope.log(scope.maximum(obs, least)), prior_weight, low, high)
    return scope.LGMM1(*parzen, low=low, high=high, q=q, size=size, rng=rng)


# --- normal: the prior is the distribution itself ----------------------------------


@adaptive_parzen_sampler("normal")
def ap_normal_sampler(
    obs: Any, prior_weight: Any, mu: Any, sigma: Any, size: Any = (), rng: Any = None
) -> Apply:
    """Values without bounds."""
    parzen = scope.adaptive_parzen_normal(obs, prior_weight, mu, sigma)
    return scope.GMM1(*parzen, size=size, rng=rng)


@adaptive_parzen_sampler("qnormal")
def ap_qnormal_sampler(
    obs: Any, prior_weight: Any, mu: Any, sigma: Any, q: Any, size: Any = (), rng: Any = None
) -> Apply:
    """Multiples of `q` without bounds."""
    parzen = scope.adaptive_parzen_normal(obs, prior_weight, mu, sigma)
    return scope.GMM1(*parzen, q=q, size=size, rng=rng)


@adaptive_parzen_sampler("lognormal")
def ap_loglognormal_sampler(
    obs: Any, prior_weight: Any, mu: Any, sigma: Any, size: Any = (), rng: Any = None
) -> Apply:
    """Positive values."""
    parzen = scope.adaptive_parzen_normal(scope.log(obs), prior_weight, mu, sigma)
    return scope.LGMM1(*parzen, size=size, rng=rng)


@adaptive_parzen_sampler("qlognormal")
def ap_qlognormal_sampler(
    obs: Any, prior_weight: Any, mu: Any, sigma: Any, q: Any, size: Any = (), rng: Any = None
) -> Apply:
    """Multiples of `q` that are at least 0."""
    positions = scope.log(scope.maximum(obs, EPS))
    parzen = scope.adaptive_parzen_normal(positions, prior_weight, mu, sigma)
    return scope.LGMM1(*parzen, q=q, size=size, rng=rng)


# --- a finite number of options ----------------------------------------------------


@adaptive_parzen_sampler("randint")
def ap_randint_sampler(
    obs: Any,
    prior_weight: Any,
    low: Any,
    high: Any = None,
    size: Any = (),
    rng: Any = None,
    LF: Any = DEFAULT_LF,
) -> Apply:
    """Integers of [low, high), or of [0, low); drawn as 0, 1, …: add `low` to the draws."""
    p = scope.smoothed_integers(obs, prior_weight, low, high, LF)
    return scope.randint_via_categorical(p, size=size, rng=rng)


@adaptive_parzen_sampler("categorical")
def ap_categorical_sampler(
    obs: Any, prior_weight: Any, p: Any, size: Any = (), rng: Any = None, LF: Any = DEFAULT_LF
) -> Apply:
    """Indices of options whose prior probabilities are `p`."""
    return scope.categorical(scope.smoothed_options(obs, prior_weight, p, LF), size=size, rng=rng)


@scope.define
def smoothed_options(
    obs: npt.ArrayLike, prior_weight: float, p: npt.ArrayLike, LF: int = DEFAULT_LF
) -> Floats:
    """Probabilities of options, from counts and prior; see `hpo.surrogate.categorical`.

    Args:
        p: prior probabilities, shape (K,), or rows that repeat them.
    """
    prior = np.asarray(p, dtype=np.float64)
    prior = prior[0] if prior.ndim == 2 else prior
    return fit_categorical(obs, prior, prior_weight, n_recent=LF).probabilities


@scope.define
def smoothed_integers(
    obs: npt.ArrayLike,
    prior_weight: float,
    low: int,
    high: int | None = None,
    LF: int = DEFAULT_LF,
) -> Floats:
    """Probabilities of low, low + 1, … below `high`, or of 0, 1, … below `low`."""
    first, n_values = (0, low) if high is None else (low, high - low)
    equal = np.full(n_values, 1.0 / n_values)
    return fit_categorical(obs, equal, prior_weight, first=first, n_recent=LF).probabilities


@scope.define
def categorical_lpdf(sample: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """Log probability of each index, shape as `sample`; -inf for no index of `p`."""
    return Categorical(np.asarray(p, dtype=np.float64)).log_density(sample)


@scope.define
def randint_via_categorical_lpdf(sample: npt.ArrayLike, p: npt.ArrayLike) -> Floats:
    """As `categorical_lpdf`."""
    return categorical_lpdf(sample, p)
