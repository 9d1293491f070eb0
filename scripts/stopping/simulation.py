"""Workers that train along recorded learning curves, and a stopping rule that watches them.

Workers begin one configuration after the other and run at different speeds, so that reports
arrive out of step. The rule is asked after every epoch, as `ctrl.report` asks it, and
stopped trials that it promotes are taken up again where they stood, before any new one.
Only the training is simulated: the rule is the very object that `fmin` is given.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.document import Document
from hpo.stopping.base import Curve, History, Stopper

__all__ = ["Outcome", "simulate"]

Floats = npt.NDArray[np.float64]

# As good as the best loss is what is within 1 % of it.
CLOSE = 1.01


@dataclass
class Line:
    """One configuration, and how far its training has come.

    Attributes:
        number: of the line; the configuration's row.
        losses: after each epoch, as recorded.
        pace: seconds an epoch takes.
    """

    number: int
    losses: tuple[float, ...]
    pace: float
    n_epochs: int = 0
    is_stopped: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to the end."""
        return self.n_epochs == len(self.losses)

    def curve(self, at: int | None = None) -> Curve:
        """What it has reported: everything, or only at one step."""
        n = self.n_epochs
        steps = tuple(range(1, n + 1)) if at is None else (at,)
        return Curve(
            tid=self.number,
            line=self.number,
            steps=steps,
            losses=self.losses[steps[0] - 1 : steps[-1]],
            last_step=n,
            asked_step=n - 1,
            is_stopped=self.is_stopped,
            is_complete=self.is_complete,
        )


class Recorded(History):
    """The history of lines that are simulated."""

    def __init__(
        self, lines: Sequence[Line], is_seen: Callable[[int], bool] = lambda line: True
    ) -> None:
        super().__init__(_no_documents, is_seen)
        self._lines, self._is_seen_here = lines, is_seen

    def at(self, step: int) -> list[Curve]:
        """Every line that has reached `step`."""
        return [line.curve(at=step) for line in self._seen() if line.n_epochs >= step]

    def curves(self) -> list[Curve]:
        """Every line that has reported."""
        return [line.curve() for line in self._seen() if line.n_epochs]

    def of_lines(self, is_seen: Callable[[int], bool]) -> History:
        """The same for some lines only."""
        return Recorded(self._lines, is_seen)

    def _seen(self) -> Iterator[Line]:
        return (line for line in self._lines if self._is_seen_here(line.number))


def _no_documents(step: int | None) -> list[Document]:
    raise NotImplementedError("a simulated history has no documents")


@dataclass(frozen=True)
class Outcome:
    """What a rule made of some configurations.

    Attributes:
        full_budget: epochs that all trainings take to their ends.
        n_epochs: epochs that were trained.
        n_epochs_to_best: until a loss was met that is within 1 % of the best; None: never.
        loses_best: whether the best configuration was stopped for good before it was within
            1 % of its best loss.
        regret: the best loss met, relative to the best there is: 0 is perfect.
    """

    full_budget: int
    n_epochs: int
    n_epochs_to_best: int | None
    loses_best: bool
    regret: float

    @property
    def share(self) -> float:
        """Epochs until the best loss was reached within 1 %, in full budgets; 1 if never."""
        n_epochs = self.full_budget if self.n_epochs_to_best is None else self.n_epochs_to_best
        return n_epochs / self.full_budget

    @property
    def share_in_all(self) -> float:
        """Epochs that were trained, in full budgets."""
        return self.n_epochs / self.full_budget


@dataclass
class _Cluster:
    """Some workers; the state of a simulation.

    Attributes:
        waiting: lines that nobody has begun, the next one last.
        at_work: (time of its next report, line's number) of the busy workers, a heap.
    """

    lines: list[Line]
    rule: Stopper
    waiting: list[Line]
    at_work: list[tuple[float, int]] = field(default_factory=list)
    n_epochs: int = 0

    @property
    def history(self) -> Recorded:
        """What all have reported."""
        return Recorded(self.lines)

    def take_next(self, now: float) -> None:
        """A worker takes up a promoted line, or begins another, or rests."""
        line = self._promoted() or (self.waiting.pop() if self.waiting else None)
        if line is not None:
            line.is_stopped = False
            heapq.heappush(self.at_work, (now + line.pace, line.number))

    def _promoted(self) -> Line | None:
        promotions: Callable[[History], Sequence[Any]] | None = getattr(
            self.rule, "promotions", None
        )
        promoted = promotions(self.history) if promotions is not None else ()
        return self.lines[promoted[0]] if promoted else None

    def train_one_epoch(self) -> Line:
        """The line that reports next, after its report."""
        now, number = heapq.heappop(self.at_work)
        line = self.lines[number]
        line.n_epochs += 1
        self.n_epochs += 1
        if not line.is_complete:
            line.is_stopped = self.rule.should_stop(line.curve(), self.history)
        if line.is_complete or line.is_stopped:
            self.take_next(now)
        else:
            heapq.heappush(self.at_work, (now + line.pace, number))
        return line


def simulate(curves: Floats, rule: Stopper, *, n_workers: int, seed: int) -> Outcome:
    """Train all configurations, each until it ends or the rule stops it.

    Args:
        curves: losses after each epoch, shape (n, E); begun in this order.
        rule: the stopping rule.
        n_workers: how many train at once.
        seed: of the workers' paces.
    """
    rng = np.random.default_rng(seed)
    lines = [
        Line(number, tuple(row.tolist()), pace)
        for number, (row, pace) in enumerate(
            zip(curves, rng.uniform(0.7, 1.3, len(curves)), strict=True)
        )
    ]
    cluster = _Cluster(lines, rule, waiting=lines[::-1])
    for _ in range(n_workers):
        cluster.take_next(0.0)
    best_loss = float(curves.min())
    n_epochs_to_best = None
    while cluster.at_work:
        line = cluster.train_one_epoch()
        is_met = line.losses[line.n_epochs - 1] <= CLOSE * best_loss
        if is_met and n_epochs_to_best is None:
            n_epochs_to_best = cluster.n_epochs
    best_met = min(min(line.losses[: line.n_epochs]) for line in lines if line.n_epochs)
    best_line = lines[int(curves.min(axis=1).argmin())]
    return Outcome(
        full_budget=curves.size,
        n_epochs=cluster.n_epochs,
        n_epochs_to_best=n_epochs_to_best,
        loses_best=not any(
            loss <= CLOSE * best_loss for loss in best_line.losses[: best_line.n_epochs]
        ),
        regret=best_met / best_loss - 1.0,
    )
