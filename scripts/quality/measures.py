"""What a run is worth: regret at each budget, and how its points lie.

    symbol        meaning
    n             a budget: how many trials have finished
    f(n)          loss without noise of the point recommended after n: the one seen to be
                  best, unless the optimiser has a rule for noisy losses and recommends another
    f*            the least loss of the problem
    regret        mean over seeds of f(n) - f*, divided by the same mean of random search

so 0 is the optimum and 1 is random search at the same budget.

    border        share of the values of continuous parameters within 1 % of a bound
    duplicates    share of the points that repeat an earlier one
    clump         mean distance to the nearest other point, in units of what it is for as many
                  random points; of problems all of whose parameters are continuous and active

The clump index is Clark and Evans' R, below 1 where points cluster; its yardstick is
random points in the same box rather than their formula for the plane, so that
borders and dimensions cancel.

Source: the index as described in the reference manual of spatstat (`clarkevans`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from scripts.quality.problem import Problem, fingerprint
from scripts.quality.simulation import Evaluation, SimulatedRun
from scripts.quality.spaces import Choice, draw, is_continuous, parameters_of, to_unit

BUDGETS = (50, 100, 200)

_BORDER = 0.01
_N_YARDSTICKS = 8


@dataclass(frozen=True)
class Outcome:
    """What is kept of one run.

    Attributes:
        recommended: {budget: loss without noise of the point recommended there}.
        border, duplicates, clump: as the module says; None where they mean nothing.
    """

    recommended: dict[int, float]
    border: float | None
    duplicates: float
    clump: float | None

    def as_json(self) -> dict[str, object]:
        """Fields that JSON can hold."""
        return asdict(self)

    @staticmethod
    def from_json(fields: Mapping[str, object]) -> Outcome:
        """The inverse of `as_json`, after a trip through text."""
        recommended = {int(n): float(v) for n, v in dict(fields["recommended"]).items()}  # type: ignore[call-overload]
        rest = {key: fields[key] for key in ("border", "duplicates", "clump")}
        return Outcome(recommended, **rest)  # type: ignore[arg-type]


def measure(problem: Problem, run: SimulatedRun) -> Outcome:
    """Sum up one run, which was asked for recommendations at `BUDGETS`."""
    return Outcome(
        recommended={n: evaluation.loss for n, evaluation in run.recommended.items()},
        border=border_share(problem, run.finished),
        duplicates=duplicate_share(run.finished),
        clump=clump_index(problem, run.finished),
    )


def border_share(problem: Problem, run: Sequence[Evaluation]) -> float | None:
    """Share of values of continuous parameters within 1 % of a bound; about 0.02 at random."""
    known = parameters_of(problem.space)
    units = [
        to_unit(parameter, float(value))
        for evaluation in run
        for label, value in evaluation.point.items()
        if is_continuous(parameter := known[label]) and not isinstance(parameter, Choice)
    ]
    if not units:
        return None
    return float(np.mean([unit < _BORDER or unit > 1 - _BORDER for unit in units]))


def duplicate_share(run: Sequence[Evaluation]) -> float:
    """Share of points that are equal to an earlier one."""
    n_different = len({tuple(sorted(evaluation.point.items())) for evaluation in run})
    return 1 - n_different / len(run)


def clump_index(problem: Problem, run: Sequence[Evaluation]) -> float | None:
    """Mean distance to the nearest other point, relative to random points of the box."""
    axes = [p for p in problem.space if not isinstance(p, Choice) and is_continuous(p)]
    if len(axes) < len(problem.space) or len(run) < 2:
        return None

    def units(points: Sequence[Mapping[str, object]]) -> npt.NDArray[np.float64]:
        return np.array([[to_unit(a, float(p[a.label])) for a in axes] for p in points])  # type: ignore[arg-type]

    rng = np.random.default_rng(fingerprint(problem.name))
    at_random = [
        mean_nearest_distance(units([draw(problem.space, rng) for _ in run]))
        for _ in range(_N_YARDSTICKS)
    ]
    seen = mean_nearest_distance(units([evaluation.point for evaluation in run]))
    return seen / float(np.mean(at_random))


def mean_nearest_distance(points: npt.NDArray[np.float64]) -> float:
    """Mean over points, shape (n, d), of the distance to the nearest other one."""
    squares = np.sum((points[:, None, :] - points[None, :, :]) ** 2, axis=2)
    np.fill_diagonal(squares, np.inf)
    return float(np.mean(np.sqrt(squares.min(axis=1))))
