"""A problem: a space, a loss of its points, and the least loss there is."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.quality.spaces import Point, Space, draw

DEVELOPMENT, HELD_OUT = "development", "held out"
HALVES = (DEVELOPMENT, HELD_OUT)

CONTINUOUS, MIXED, CONDITIONAL, DISCRETE, NOISY, TABLE = KINDS = (
    "continuous",
    "mixed",
    "conditional",
    "discrete",
    "noisy",
    "table",
)


@dataclass(frozen=True)
class Problem:
    """Something to minimise.

    Attributes:
        name: unique; the problem's own random numbers depend on it.
        half: "development", to tune on, or "held out".
        kind: one of `KINDS`.
        loss: the loss of a point, without noise.
        best: a point with the least loss.
        least: the least loss in the space.
        least_found_by: how it is known that there is no smaller one.
        noise_sd: standard deviation of the normal noise on what optimisers see.
    """

    name: str
    half: str
    kind: str
    space: Space
    loss: Callable[[Point], float]
    best: Point
    least: float
    least_found_by: str
    noise_sd: float = 0.0

    def observe(self, point: Point, seed: int, number: int) -> tuple[float, float]:
        """Evaluate a point as the trial `number` of the run `seed`.

        Returns:
            (loss without noise, loss as seen). Two optimisers see the same noise
            at the same number.
        """
        loss = float(self.loss(point))
        if self.noise_sd == 0.0:
            return loss, loss
        noise = np.random.default_rng((fingerprint(self.name), seed, number)).normal()
        return loss, loss + self.noise_sd * float(noise)

    @functools.cached_property
    def digest(self) -> str:
        """Changes when the problem does: outcomes stored for another digest are stale."""
        rng = np.random.default_rng(0)
        # Six digits are the same on every machine; the last ones need not be.
        losses = [f"{self.loss(draw(self.space, rng)):.6g}" for _ in range(16)]
        described = (self.space, losses, f"{self.least:.6g}", self.noise_sd)
        return f"{fingerprint(repr(described)):08x}"


def fingerprint(name: str) -> int:
    """A number that depends on a name only, the same on every machine."""
    return zlib.crc32(name.encode())


def rng_of(name: str) -> np.random.Generator:
    """The source of a problem's own constants: shifts, rotations, tables of effects."""
    return np.random.default_rng(fingerprint(name))
