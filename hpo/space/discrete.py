"""Priors of whole numbers: integers between bounds, and numbers of options.

The symbols are those of `hpo.space.priors`. The latent value z is the number
itself, on a line where each number k owns the interval from k - 1/2 to k + 1/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpo.exceptions import BadSearchSpace
from hpo.space.priors import (
    LARGEST_INTEGER,
    Floats,
    Prior,
    Rng,
    Size,
    as_floats,
    finite_number,
    unwrapped,
)

__all__ = ["Categorical", "Integers"]

# Probabilities that people write down, such as 0.3333 three times, add up to 1 only roughly.
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Integers(Prior):
    """Every integer of [low, high) is equally likely: randint, and choice by index.

    Raises:
        BadSearchSpace: a bound is not whole, or there is no integer between them.
    """

    low: int
    high: int

    is_integer = True
    kind = "randint"

    def __post_init__(self) -> None:
        low, high = _whole("low", self.low), _whole("high", self.high)
        if low >= high:
            raise BadSearchSpace(
                f"there is no integer from {low} to below {high}: randint(label, n) needs n >= 1, "
                "randint(label, low, high) needs low < high, and high itself is excluded"
            )
        if max(-low, high) > LARGEST_INTEGER:
            raise BadSearchSpace(f"the bounds {low} and {high} do not fit into 62 bits")

    @property
    def n_values(self) -> int:
        """How many values there are."""
        return self.high - self.low

    @property
    def arguments(self) -> dict[str, Any]:
        return {"low": int(self.low), "high": int(self.high)}

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high - 1

    @property
    def latent_bounds(self) -> tuple[float, float]:
        # Half a step further, so that every integer has the same share of the latent line.
        return self.low - 0.5, self.high - 0.5

    @property
    def latent_mu_sigma(self) -> tuple[float, float]:
        return 0.5 * (self.low + self.high - 1), float(self.n_values)

    def sample(self, rng: Rng, size: Size = None) -> Any:
        drawn = rng.integers(self.low, self.high, size)
        return int(drawn) if size is None else drawn

    def ppf(self, u: ArrayLike) -> Any:
        # u = 1 must give the last integer, not the one after it.
        below_n = np.nextafter(float(self.n_values), 0.0)
        steps = np.floor(np.minimum(as_floats(u) * self.n_values, below_n))
        return self._as_values(np.asarray(steps.astype(np.int64) + self.low))

    def cdf(self, x: ArrayLike) -> Any:
        return unwrapped(np.clip((np.floor(x) - self.low + 1) / self.n_values, 0.0, 1.0))


@dataclass(frozen=True)
class Categorical(Prior):
    """The index i has probability p[i]: pchoice.

    Args:
        p: probabilities that add up to 1; they are normalised exactly.

    Raises:
        BadSearchSpace: they are negative, or add up to something else.
    """

    p: tuple[float, ...]

    is_integer = True
    kind = "categorical"

    def __post_init__(self) -> None:
        p = [finite_number(f"probability {index}", value) for index, value in enumerate(self.p)]
        if not p:
            raise BadSearchSpace("there are no probabilities; give one for each option")
        if min(p) < 0:
            raise BadSearchSpace(f"the probability {min(p)!r} is negative")
        if abs(sum(p) - 1) > SUM_TOLERANCE:
            raise BadSearchSpace(
                f"the probabilities {p} add up to {sum(p):.6g} instead of 1; divide them by "
                "their sum"
            )
        object.__setattr__(self, "p", tuple(value / sum(p) for value in p))

    @property
    def n_values(self) -> int:
        """How many values there are."""
        return len(self.p)

    @property
    def arguments(self) -> dict[str, Any]:
        return {"p": list(self.p)}

    @property
    def bounds(self) -> tuple[float, float]:
        return 0, len(self.p) - 1

    @property
    def latent_bounds(self) -> tuple[float, float]:
        return -0.5, len(self.p) - 0.5

    @property
    def latent_mu_sigma(self) -> tuple[float, float]:
        return 0.5 * (len(self.p) - 1), float(len(self.p))

    @cached_property
    def _cumulative(self) -> Floats:
        cumulative = np.cumsum(self.p)
        # From the last possible index on it is 1, whatever rounding made of the sum.
        cumulative[np.flatnonzero(self.p)[-1] :] = 1.0
        return cumulative

    def ppf(self, u: ArrayLike) -> Any:
        # The largest float below 1 keeps u = 1 inside; u = 0 finds the first possible index.
        inside = np.minimum(as_floats(u), np.nextafter(1.0, 0.0))
        indexes = np.searchsorted(self._cumulative, inside, side="right")
        return self._as_values(np.asarray(indexes, dtype=np.int64))

    def cdf(self, x: ArrayLike) -> Any:
        index = np.clip(np.floor(x), -1, len(self.p) - 1).astype(np.int64)
        return unwrapped(np.concatenate([[0.0], self._cumulative])[index + 1])


def _whole(name: str, value: Any) -> int:
    if finite_number(name, value) % 1 != 0:
        raise BadSearchSpace(f"{name} is {value!r}, but it must be a whole number")
    return int(value)
