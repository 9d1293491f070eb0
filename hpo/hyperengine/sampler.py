"""Random points of the unit cube, and the one of them that promises most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOption, InvalidOptionValue

__all__ = [
    "BaseSampler",
    "BaseUtilityMaximizer",
    "DefaultSampler",
    "MonteCarloUtilityMaximizer",
]

Floats = npt.NDArray[np.float64]

# A utility looks at so many points at once, or its matrices would need gigabytes.
_CHUNK = 10_000


class Utility(Protocol):
    """What a maximizer needs of a utility."""

    def compute_values(self, batch: Floats) -> Floats:
        """What each point promises, shape (n,), for points of the shape (n, d)."""
        ...


class BaseSampler:
    """Draws points."""

    def sample(self, size: int) -> Floats:
        """Random points, shape (size, d)."""
        raise NotImplementedError


class DefaultSampler(BaseSampler):
    """Draws each part of a point by a function of its own.

    Args:
        seed: makes the uniform parts repeatable.
    """

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self._parts: list[Callable[[int], Floats]] = []

    def add(self, func: Callable[[], Any]) -> None:
        """The next coordinates are what func() returns: a number, or an array.

        Raises:
            InvalidOption: func is not a function.
        """
        if not callable(func):
            raise InvalidOption(f"a sampler adds a function of no arguments, not {func!r}")
        self._parts.append(
            lambda size: np.array(
                [np.ravel(func()) for _ in range(size)], dtype=np.float64
            ).reshape(size, -1)
        )

    def add_uniform(self, size: int) -> None:
        """The next `size` coordinates are uniform between 0 and 1."""
        self._parts.append(lambda n_points: self.rng.random((n_points, size)))

    def sample(self, size: int) -> Floats:
        """Random points, shape (size, d)."""
        return np.hstack([np.empty((size, 0)), *(part(size) for part in self._parts)])


class BaseUtilityMaximizer:
    """Finds a point that promises much."""

    def __init__(self, utility: Utility) -> None:
        self._utility = utility

    def compute_max_point(self) -> Floats:
        """The point, shape (d,)."""
        raise NotImplementedError


class MonteCarloUtilityMaximizer(BaseUtilityMaximizer):
    """The best of many random points, now and then with some coordinates drawn anew.

    Args:
        utility: what is maximised.
        sampler: draws the points.
        batch_size: how many.
        tweak_probability: how probably some coordinates of the best point are replaced by
            those of a random one.
        flip_probability: how probable that is for each coordinate then; 0: 2 / d, at most 0.5.
        seed: makes the replacements repeatable.

    Raises:
        InvalidOptionValue: one of the numbers makes no sense.
    """

    def __init__(
        self,
        utility: Utility,
        sampler: BaseSampler,
        batch_size: int = 100_000,
        tweak_probability: float = 0.0,
        flip_probability: float = 0.0,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(utility)
        if batch_size < 1:
            raise InvalidOptionValue(f"mc_batch_size must be at least 1, not {batch_size!r}")
        for name, probability in (("tweak", tweak_probability), ("flip", flip_probability)):
            if not 0 <= probability <= 1:
                raise InvalidOptionValue(
                    f"mc_{name}_probability must lie between 0 and 1, not {probability!r}"
                )
        self._sampler, self._batch_size = sampler, batch_size
        self._tweak_probability, self._flip_probability = tweak_probability, flip_probability
        self._rng = np.random.default_rng(seed)

    def compute_max_point(self) -> Floats:
        """The point, shape (d,)."""
        batch = self._sampler.sample(self._batch_size)
        values = np.concatenate(
            [
                self._utility.compute_values(batch[start : start + _CHUNK])
                for start in range(0, len(batch), _CHUNK)
            ]
        )
        best: Floats = batch[int(np.argmax(values))].copy()
        if self._rng.random() < self._tweak_probability:
            p = self._flip_probability or min(2.0 / best.size, 0.5)
            is_flipped = self._rng.random(best.size) < p
            best[is_flipped] = batch[0][is_flipped]
        return best
