"""Frozen scipy distributions as priors: `scipy.stats.beta(2, 5)` in a space.

The common ones become our own priors, so that every algorithm knows their shape;
any other is used through its methods. scipy.stats itself is never imported here:
whoever made the distribution has imported it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpo.exceptions import BadSearchSpace
from hpo.space.discrete import Integers
from hpo.space.priors import Normal, Prior, Rng, Size, Uniform, unwrapped

__all__ = ["Frozen", "is_frozen_distribution", "prior_of_frozen"]

_METHODS = ("rvs", "ppf", "cdf", "support")
# Half the distance between these two quantiles is a normal distribution's sigma.
_MINUS_ONE_SIGMA, _PLUS_ONE_SIGMA = 0.15865525393145707, 0.8413447460685429


def is_frozen_distribution(obj: Any) -> bool:
    """Whether `obj` is what `scipy.stats.norm(0, 1)` returns, judged by its methods."""
    # Looked up on the type, since some objects (mocks, proxies) claim to have every attribute.
    return all(hasattr(type(obj), name) for name in _METHODS) and hasattr(obj, "dist")


@dataclass(frozen=True, eq=False)
class Frozen(Prior):
    """A frozen scipy distribution, used through its methods."""

    dist: Any

    kind = "frozen_distribution"

    @cached_property
    def is_integer(self) -> bool:  # type: ignore[override]
        """Whether scipy gives it a probability mass instead of a density."""
        return hasattr(self.dist, "pmf")

    @property
    def arguments(self) -> dict[str, Any]:
        given = [float(value) for value in self.dist.args]
        named = {name: float(value) for name, value in self.dist.kwds.items()}
        return {"distribution": str(self.dist.dist.name), "args": given, **named}

    @cached_property
    def bounds(self) -> tuple[float, float]:
        low, high = self.dist.support()
        return float(low), float(high)

    @cached_property
    def latent_bounds(self) -> tuple[float, float]:
        margin = 0.5 if self.is_integer else 0.0
        low, high = self.bounds
        return low - margin, high + margin

    @cached_property
    def latent_mu_sigma(self) -> tuple[float, float]:
        low, high = self.latent_bounds
        if math.isfinite(high - low):
            return 0.5 * (low + high), high - low
        # Quantiles exist for every distribution; a mean or a variance may not.
        below, median, above = self.dist.ppf([_MINUS_ONE_SIGMA, 0.5, _PLUS_ONE_SIGMA])
        return float(median), float(above - below) / 2 or 1.0

    def sample(self, rng: Rng, size: Size = None) -> Any:
        drawn = self.dist.rvs(size=1 if size is None else size, random_state=rng)
        return self._as_values(np.asarray(drawn[0] if size is None else drawn))

    def ppf(self, u: ArrayLike) -> Any:
        # A discrete quantile of 0 is, for scipy, the number before the first one.
        return self.from_latent(self.dist.ppf(u))

    def cdf(self, x: ArrayLike) -> Any:
        return unwrapped(self.dist.cdf(x))


def prior_of_frozen(dist: Any) -> Prior:
    """The prior for a frozen scipy distribution.

    uniform, norm, loguniform (reciprocal), lognorm and randint become `Uniform`,
    `Normal` and `Integers`; all others a `Frozen`.

    Raises:
        BadSearchSpace: its parameters are arrays, or outside of what scipy allows.
    """
    low, high = dist.support()
    if np.ndim(low) or np.ndim(high):
        raise BadSearchSpace(
            f"the scipy distribution {dist.dist.name!r} has arrays as parameters; a "
            "hyperparameter is one number: use one distribution for each"
        )
    if math.isnan(low) or math.isnan(high):
        raise BadSearchSpace(
            f"the scipy distribution {dist.dist.name!r} has parameters that scipy does not allow: "
            f"{dist.args} {dist.kwds}"
        )
    match dist.dist.name:
        case "uniform":
            return Uniform(float(low), float(high))
        case "loguniform" | "reciprocal":
            return Uniform(math.log(low), math.log(high), is_log=True)
        case "norm":
            return Normal(float(dist.mean()), float(dist.std()))
        case "lognorm" if low == 0:
            mu = math.log(dist.ppf(0.5))
            return Normal(mu, math.log(dist.ppf(_PLUS_ONE_SIGMA)) - mu, is_log=True)
        case "randint":
            return Integers(int(low), int(high) + 1)
        case _:
            return Frozen(dist)
