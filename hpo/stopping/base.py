"""What a stopping rule is asked, and what it may look at.

    curve      the trial that asks, with all it has reported
    history    everybody's curves, read from the documents when the rule asks for them

A trial that was stopped and taken up again is several documents with one
learning curve. They form a *line*, which counts as one; its number is that of
its first trial. A line is what its latest document says that was not cancelled.

Losses are minimised, and an infinite one (training diverged) is never among
the best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    STATUS_OK,
    STATUS_STOPPED,
    Document,
    Tid,
)
from hpo.stopping.rung import Rung


class Curve(NamedTuple):
    """The learning curve of one line of trials.

    Attributes:
        tid: of its latest document.
        line: the number of its first trial.
        steps, losses: as reported, by rising steps; of one that `History.at` returns only
            the report at that step.
        last_step: the latest step reported.
        asked_step: the rule was asked about every step up to this; -1: about none.
        is_stopped: a rule ended it before its full budget, and nobody has taken it up.
        is_complete: it ended with a result of its full budget.
    """

    tid: Tid
    line: int
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    last_step: int
    asked_step: int = -1
    is_stopped: bool = False
    is_complete: bool = False

    @property
    def best_loss(self) -> float:
        """The least loss reported so far; infinite when there is none."""
        return min(self.losses, default=math.inf)


class History:
    """The curves of an experiment, read when they are asked for.

    Args:
        fetch: `Store.reported` of the experiment, as a function of the step (or None).
        is_seen: which lines there are, by their numbers; default all.
    """

    def __init__(
        self,
        fetch: Callable[[int | None], Iterable[Document]],
        is_seen: Callable[[int], bool] = lambda line: True,
    ) -> None:
        self._fetch, self._is_seen = fetch, is_seen

    def at(self, step: int) -> list[Curve]:
        """Every line that has reached `step`, by its first report at that step or later."""
        return curves_of(self._fetch(step), self._is_seen)

    def curves(self) -> list[Curve]:
        """Every line that has reported, with its whole curve."""
        return curves_of(self._fetch(None), self._is_seen)

    def rung(self, step: int, until: float = math.inf) -> Rung:
        """Every line that has reached `step`, in order.

        Args:
            until: the rung after this one.
        """
        rung = Rung(until)
        for curve in self.at(step):
            rung.put(curve.line, curve)
        return rung

    def of_lines(self, is_seen: Callable[[int], bool]) -> History:
        """The same for some lines only.

        Args:
            is_seen: which, by their numbers; best one that equals itself from call to call,
                so that what is known of these lines need not be sorted out again.
        """
        return History(self._fetch, is_seen)


@runtime_checkable
class Stopper(Protocol):
    """A stopping rule. It is pickled, or named, together with the objective."""

    def should_stop(self, curve: Curve, history: History) -> bool:
        """Whether a trial shall end now; asked after its report was stored."""


class Rule:
    """What a rule of this package has beside `should_stop`; a rule of one's own may lack it.

    Attributes:
        max_steps: steps of a trial that is not stopped, or None if the rule does not know.
    """

    max_steps: int | None = None

    @property
    def rungs(self) -> tuple[int, ...]:
        """Steps whose reports are never thinned out, rising."""
        return ()

    def should_stop(self, curve: Curve, history: History) -> bool:
        """Whether a trial shall end now."""
        raise NotImplementedError

    def promotions(self, history: History) -> list[Tid]:
        """The stopped trials that are to be taken up again, best first."""
        return []


def rungs_of(stopper: Any) -> Sequence[int]:
    """The steps that thinning must keep for a rule, or none."""
    return tuple(getattr(stopper, "rungs", ()))


def curves_of(
    documents: Iterable[Mapping[str, Any]], is_seen: Callable[[int], bool]
) -> list[Curve]:
    """Documents as `Store.reported` yields them, each line once, by rising numbers.

    Args:
        is_seen: which lines to take, by their numbers.
    """
    latest: dict[int, Mapping[str, Any]] = {}
    for document in documents:
        line = line_of(document)
        if not is_seen(line):
            continue
        known = latest.get(line)
        if known is None or precedence(document) > precedence(known):
            latest[line] = document
    return [curve_of(latest[line]) for line in sorted(latest)]


def line_of(document: Mapping[str, Any]) -> int:
    """The number of the first trial of a document's line."""
    return int(document.get("line", document["number"]))


def precedence(document: Mapping[str, Any]) -> tuple[bool, int]:
    """Of a line's documents the one that speaks for it has the greatest."""
    return document["state"] != JOB_STATE_CANCEL, int(document["number"])


def curve_of(document: Mapping[str, Any]) -> Curve:
    """What a document of `Store.reported` says of its line."""
    is_done = document["state"] == JOB_STATE_DONE
    status = document["result"].get("status")
    last_step = int(document["last_report"]["step"])
    return Curve(
        tid=document["tid"],
        line=line_of(document),
        steps=tuple(int(one["step"]) for one in document["reports"]),
        losses=tuple(float(one["loss"]) for one in document["reports"]),
        last_step=last_step,
        asked_step=last_step,
        is_stopped=is_done and status == STATUS_STOPPED,
        is_complete=is_done and status == STATUS_OK,
    )
