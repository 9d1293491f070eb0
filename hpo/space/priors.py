"""Priors: how each hyperparameter is distributed before anything is observed.

    symbol    meaning                                                  shape
    x         value, as stored in a trial and handed to the objective  any
    z         latent value: log x for the log kinds, else x            any
    u         probability in [0, 1]                                    any
    q         step: a quantised value is a multiple of q               scalar
    rng       numpy Generator

A `Uniform` or `Normal` prior is a distribution of z; z becomes x by exp (log
kinds) and then by rounding to a multiple of q (quantised kinds). Scalars in give
Python numbers out: int for integer kinds, else float. The priors that have no
latent distribution are in `discrete` and `frozen`.

Source: the distributions are those of hyperopt.hp.
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpo.exceptions import BadSearchSpace

__all__ = [
    "Continuous",
    "Floats",
    "Normal",
    "Prior",
    "Rng",
    "Size",
    "Uniform",
    "as_floats",
    "finite_number",
    "is_finite_number",
    "unwrapped",
]

Rng = np.random.Generator
Floats = NDArray[np.float64]
Size = int | tuple[int, ...] | None

# exp of anything larger is infinite.
LARGEST_LOG = math.log(np.finfo(np.float64).max)
# exp of anything smaller is 0.
SMALLEST_POSITIVE = float(np.nextafter(0.0, 1.0))
SMALLEST_LOG = math.log(SMALLEST_POSITIVE)
# A value that was rounded to 0 has no logarithm; this is its stand-in.
SMALLEST_QUANTISED = 1e-12
# Whole numbers further out are not worth an integer that may overflow.
LARGEST_INTEGER = 2**62
# Bounds given as np.log(…) come back from exp with a rounding error of this order.
RELATIVE_TOLERANCE = 1e-9


class Prior(ABC):
    """The distribution of one hyperparameter.

    Attributes:
        q: step of the quantised kinds, else None.
        is_log: whether the latent value is the logarithm.
        is_integer: whether every value is a whole number, given as int.
    """

    q: float | None = None
    is_log: bool = False
    is_integer: bool = False

    @property
    def is_discrete(self) -> bool:
        """Whether there are countably many values."""
        return self.is_integer or self.q is not None

    @property
    @abstractmethod
    def kind(self) -> str:
        """hyperopt's name of the distribution."""

    @property
    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The distribution's arguments by hyperopt's names, as numbers, texts and lists."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Least and largest value, both included; infinite for the normal kinds."""

    @property
    @abstractmethod
    def latent_bounds(self) -> tuple[float, float]:
        """Least and largest latent value; infinite for the normal kinds."""

    @property
    @abstractmethod
    def latent_mu_sigma(self) -> tuple[float, float]:
        """Centre and scale of the latent value: midpoint and full width, or mu and sigma."""

    @abstractmethod
    def ppf(self, u: ArrayLike) -> Any:
        """Quantiles: the least x with cdf(x) >= u, in the shape of `u`."""

    @abstractmethod
    def cdf(self, x: ArrayLike) -> Any:
        """Probability of a value of at most `x`, in the shape of `x`."""

    def __str__(self) -> str:
        given = (f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.kind}({', '.join(given)})"

    def sample(self, rng: Rng, size: Size = None) -> Any:
        """Draw one value, or an array of shape `size`."""
        return self.ppf(rng.random(size))

    def contains(self, value: Any) -> bool:
        """Whether `value` is a number within the bounds (and whole, for integer kinds).

        A value between two steps of a quantised prior is in: somebody chose it.
        """
        if not is_finite_number(value) or (self.is_integer and float(value) % 1 != 0):
            return False
        low, high = self._accepted_bounds
        scale = max(abs(low), abs(high)) if math.isfinite(high - low) else 0.0
        slack = RELATIVE_TOLERANCE * (abs(value) if self.is_log else scale)
        return bool(low - slack <= value <= high + slack)

    @property
    def _accepted_bounds(self) -> tuple[float, float]:
        return self.bounds

    def to_latent(self, x: ArrayLike) -> Floats:
        """z of each x, as an array in the shape of `x`."""
        return np.asarray(x, dtype=np.float64)

    def from_latent(self, z: ArrayLike) -> Any:
        """The value x nearest to each latent z, inside the bounds."""
        return self._as_values(np.clip(as_floats(z), *self.bounds))

    def _as_values(self, x: NDArray[Any]) -> Any:
        """Whole numbers for integer kinds; a 0-d array becomes a Python number."""
        if self.is_integer and x.dtype != np.int64:
            x = np.rint(np.clip(x, -LARGEST_INTEGER, LARGEST_INTEGER)).astype(np.int64)
        return x if x.ndim else x.item()


@dataclass(frozen=True, kw_only=True)
class Continuous(Prior):
    """A latent distribution on the real line, perhaps exponentiated, perhaps quantised.

    Args:
        q: step, or None.
        is_log: the latent value is the logarithm of the value.
        is_integer: every value is whole (q is, too) and is given as int.

    Raises:
        BadSearchSpace: an argument makes no sense.
    """

    q: float | None = None
    is_log: bool = False
    is_integer: bool = False

    def __post_init__(self) -> None:
        if self.q is not None and finite_number("q", self.q) <= 0:
            raise BadSearchSpace(f"q is {self.q!r}, but the step between values must be positive")

    @property
    def kind(self) -> str:
        quantised = "q" if self.q is not None else ""
        logarithmic = "log" if self.is_log else ""
        return quantised + logarithmic + type(self).__name__.lower()

    @property
    def _step(self) -> dict[str, float]:
        return {} if self.q is None else {"q": float(self.q)}

    @abstractmethod
    def latent_ppf(self, u: Floats) -> Floats:
        """Quantiles of z."""

    @abstractmethod
    def latent_cdf(self, z: Floats) -> Floats:
        """Probability of a latent value of at most z."""

    def ppf(self, u: ArrayLike) -> Any:
        return self.from_latent(self.latent_ppf(as_floats(u)))

    def cdf(self, x: ArrayLike) -> Any:
        edge = as_floats(x)
        if self.q is not None:
            # What lies within half a step above the last multiple of q is rounded down to it.
            edge = (np.floor(edge / self.q + RELATIVE_TOLERANCE) + 0.5) * self.q
        if self.is_log:
            with np.errstate(divide="ignore"):
                edge = np.log(np.maximum(edge, 0.0))
        return unwrapped(self.latent_cdf(edge))

    def to_latent(self, x: ArrayLike) -> Floats:
        values = as_floats(x)
        return np.log(np.maximum(values, self._least_positive)) if self.is_log else values

    def from_latent(self, z: ArrayLike) -> Any:
        values = self._unrounded(np.clip(as_floats(z), *self.latent_bounds))
        return self._as_values(values if self.q is None else _rounded(values, self.q))

    def _unrounded(self, z: Floats) -> Floats:
        if not self.is_log:
            return z
        # Beyond these the logarithm of the result would not be finite.
        return np.asarray(np.exp(np.clip(z, SMALLEST_LOG, LARGEST_LOG)))

    @property
    def _least_positive(self) -> float:
        """What a value that was rounded to 0 counts as, so that it has a logarithm."""
        return SMALLEST_POSITIVE if self.q is None else SMALLEST_QUANTISED


@dataclass(frozen=True)
class Uniform(Continuous):
    """z is uniform on [low, high]: uniform, quniform, loguniform, qloguniform.

    Args:
        low, high: bounds of z, that is logarithms of bounds for the log kinds.
            Rounding can step over them by up to q / 2.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = finite_number("low", self.low), finite_number("high", self.high)
        if low >= high:
            raise BadSearchSpace(
                f"low is {self.low!r} and high is {self.high!r}, but low must be less than high"
            )
        if self.is_log and high > LARGEST_LOG:
            raise BadSearchSpace(
                f"high is {self.high!r}, the logarithm of a number too large for a float; the "
                f"bounds are logarithms, so did you mean high = log({self.high!r}) = "
                f"{math.log(high):.4g}?"
            )
        if self.is_log and self.q is None and low < SMALLEST_LOG:
            raise BadSearchSpace(
                f"low is {self.low!r}, the logarithm of a number too small for a float; the "
                f"least that works is {SMALLEST_LOG:.1f}"
            )

    @property
    def arguments(self) -> dict[str, Any]:
        return {"low": float(self.low), "high": float(self.high), **self._step}

    @cached_property
    def bounds(self) -> tuple[float, float]:
        return self.from_latent(self.low), self.from_latent(self.high)

    @cached_property
    def _accepted_bounds(self) -> tuple[float, float]:
        # With q = 2 the least value of [-1, 3] is 0, but -1 is still within the bounds.
        low, high = self._unrounded(as_floats([self.low, self.high])).tolist()
        return min(low, self.bounds[0]), max(high, self.bounds[1])

    @property
    def latent_bounds(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def latent_mu_sigma(self) -> tuple[float, float]:
        return 0.5 * self.low + 0.5 * self.high, self.high - self.low

    def latent_ppf(self, u: Floats) -> Floats:
        # Not low + u (high - low): the difference of huge bounds is infinite.
        return (1.0 - u) * self.low + u * self.high

    def latent_cdf(self, z: Floats) -> Floats:
        half_width = 0.5 * self.high - 0.5 * self.low
        # Within subnormal bounds the quotient may overflow to what is clipped anyway.
        with np.errstate(over="ignore"):
            return np.clip((0.5 * z - 0.5 * self.low) / half_width, 0.0, 1.0)

    @property
    def _least_positive(self) -> float:
        return max(math.exp(self.low), SMALLEST_POSITIVE)


@dataclass(frozen=True)
class Normal(Continuous):
    """z is normal: normal, qnormal, lognormal, qlognormal.

    Args:
        mu, sigma: mean and standard deviation of z.
    """

    mu: float
    sigma: float

    def __post_init__(self) -> None:
        super().__post_init__()
        mu, sigma = finite_number("mu", self.mu), finite_number("sigma", self.sigma)
        if sigma <= 0:
            raise BadSearchSpace(f"sigma is {self.sigma!r}, but it must be positive")
        if self.is_log and not SMALLEST_LOG < mu < LARGEST_LOG:
            raise BadSearchSpace(
                f"mu is {self.mu!r}, which is the mean of the value's logarithm: no float has "
                "such a logarithm. Give log(the median value)"
            )

    @property
    def arguments(self) -> dict[str, Any]:
        return {"mu": float(self.mu), "sigma": float(self.sigma), **self._step}

    @property
    def bounds(self) -> tuple[float, float]:
        return (0.0 if self.is_log else -math.inf), math.inf

    @property
    def latent_bounds(self) -> tuple[float, float]:
        return -math.inf, math.inf

    @property
    def latent_mu_sigma(self) -> tuple[float, float]:
        return self.mu, self.sigma

    def sample(self, rng: Rng, size: Size = None) -> Any:
        # Faster than by quantiles, and free of scipy.
        return self.from_latent(rng.normal(self.mu, self.sigma, size))

    def latent_ppf(self, u: Floats) -> Floats:
        from scipy.special import ndtri

        return np.asarray(self.mu + self.sigma * ndtri(u))

    def latent_cdf(self, z: Floats) -> Floats:
        from scipy.special import ndtr

        return np.asarray(ndtr((z - self.mu) / self.sigma))


# --- numbers ------------------------------------------------------------------------


def as_floats(x: ArrayLike) -> Floats:
    """An array of floats in the shape of `x`."""
    return np.asarray(x, dtype=np.float64)


def _rounded(values: Floats, q: float) -> Floats:
    """To multiples of q; numbers too large to count their steps are left as they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        n_steps = np.rint(values / q)
        return np.where(np.isfinite(n_steps), n_steps * q, values)


def unwrapped(x: NDArray[Any]) -> Any:
    """A 0-d array's only number; any other array itself."""
    array = np.asarray(x)
    return array if array.ndim else array.item()


def is_finite_number(value: Any) -> bool:
    """Whether `value` is a real number that a float can hold."""
    try:
        return isinstance(value, (numbers.Real, np.bool_)) and math.isfinite(float(value))
    except OverflowError:  # an int too large
        return False


def finite_number(name: str, value: Any) -> float:
    """`value` as a float.

    Raises:
        BadSearchSpace: it is no finite number; the message calls it `name`.
    """
    number = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    if not is_finite_number(number):
        raise BadSearchSpace(f"{name} is {value!r}, but it must be a finite number")
    return float(number)
