"""One run of an optimiser on a problem, with workers that exist only in the clock.

A worker that is free asks for a point and takes a random time for it; results
arrive in the order in which the times end. The time of a trial depends on the run's
seed and the trial's number only, so every optimiser meets the same delays.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scripts.quality.problem import Problem
from scripts.quality.spaces import Point

Duration = Callable[[int], float]
"""The time that trial `number` takes."""

# Real durations vary: their standard deviation is half of their mean.
_GAMMA_SHAPE = 4.0


class Optimiser(Protocol):
    """Something that proposes points and learns from their losses."""

    def ask(self) -> Point:
        """The next point; the n-th call begins trial n, from 0."""
        ...

    def tell(self, number: int, loss: float) -> None:
        """The loss of trial `number`, as it was seen."""
        ...

    def recommend(self) -> int | None:
        """The number of the trial to be used in the end, or None: the one seen to be best."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """One finished trial."""

    number: int
    point: Point
    loss: float
    seen: float


@dataclass(frozen=True)
class SimulatedRun:
    """What happened.

    Attributes:
        finished: the trials in the order of their ends.
        recommended: {how many had finished: the trial recommended then}.
    """

    finished: Sequence[Evaluation]
    recommended: Mapping[int, Evaluation]


def simulate(
    optimiser: Optimiser,
    problem: Problem,
    *,
    n_evaluations: int,
    n_workers: int,
    seed: int,
    budgets: Collection[int] = (),
    duration: Duration | None = None,
) -> SimulatedRun:
    """Run until `n_evaluations` trials have finished; ask for a recommendation at `budgets`."""
    takes = duration if duration is not None else gamma_duration(seed)
    in_flight: list[tuple[float, int, Point]] = []
    finished: list[Evaluation] = []
    recommended: dict[int, Evaluation] = {}
    now, n_begun = 0.0, 0
    while len(finished) < n_evaluations:
        while len(in_flight) < n_workers and n_begun < n_evaluations:
            heapq.heappush(in_flight, (now + takes(n_begun), n_begun, optimiser.ask()))
            n_begun += 1
        now, number, point = heapq.heappop(in_flight)
        loss, seen = problem.observe(point, seed, number)
        optimiser.tell(number, seen)
        finished.append(Evaluation(number, point, loss, seen))
        if len(finished) in budgets:
            recommended[len(finished)] = _recommended(optimiser, finished)
    return SimulatedRun(finished, recommended)


def _recommended(optimiser: Optimiser, finished: Sequence[Evaluation]) -> Evaluation:
    number = optimiser.recommend()
    if number is None:
        return min(finished, key=lambda evaluation: evaluation.seen)
    return next(evaluation for evaluation in finished if evaluation.number == number)


def gamma_duration(seed: int) -> Duration:
    """Random durations with mean 1, a property of (seed, number)."""

    def takes(number: int) -> float:
        rng = np.random.default_rng((seed, number, 1))
        return float(rng.gamma(_GAMMA_SHAPE)) / _GAMMA_SHAPE

    return takes
