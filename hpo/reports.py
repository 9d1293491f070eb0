"""Reports: the learning curve that a running objective tells step by step.

A report is {"step": …, "loss": …}: after so much training, so good. Steps are
whole numbers that rise; what they count (epochs, batches, trees) is the
objective's business, as long as all of a search count the same.

    what comes in                 what becomes of it
    a loss that is NaN            recorded as infinite: training diverged, and is the worst
    a step that is not later      InvalidReport, and the curve stays as it was
    a first report after a        replaces what the lost attempt had reported from that
    lost attempt                  step on; what came before stays
    reports within 0.1 s          stored together, when that is over
    more than MAX_REPORTS         the curve is thinned

Thinning keeps the first report, the last, the first one at or after each rung
of the stopping rule, and of the others the first in each fiftieth of the steps;
and so on whenever there are too many again.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hpo.exceptions import InvalidReport

Report = dict[str, Any]

MAX_REPORTS = 100

# Parts of the steps, each of which keeps a report when a curve is thinned.
_CELLS = MAX_REPORTS // 2

# What a document's index and every later program can count to.
MAX_STEP = 2**53


class LearningCurve:
    """What one trial has reported, ready to be stored.

    Args:
        before: reports of earlier attempts, or of the trial that this one continues.
        rungs: steps at which a stopping rule decides.
    """

    def __init__(
        self, before: Iterable[Mapping[str, Any]] = (), rungs: Sequence[int] = ()
    ) -> None:
        self._reports = [{"step": int(one["step"]), "loss": float(one["loss"])} for one in before]
        self._rungs = tuple(rungs)
        self._began_at: int | None = None

    def append(self, step: Any, loss: Any) -> None:
        """Add one report.

        Raises:
            InvalidReport: the step is no whole number from 0 or not later than the last
                one of this attempt, or the loss is no number.
        """
        report: Report = {"step": as_step(step), "loss": as_loss(loss)}
        if self._began_at is None:
            self._began_at = report["step"]
            self._reports = [one for one in self._reports if one["step"] < report["step"]]
        elif report["step"] <= self._reports[-1]["step"]:
            raise InvalidReport(
                f"step {report['step']} was reported after step {self._reports[-1]['step']}; "
                "steps must rise, so count on instead of anew, and report each step once",
                report,
            )
        self._reports.append(report)
        if len(self._reports) > MAX_REPORTS:
            self._reports = thinned(self._reports, self._rungs)

    def __len__(self) -> int:
        return len(self._reports)

    @property
    def reports(self) -> list[Report]:
        """What is kept, by rising steps."""
        return [dict(one) for one in self._reports]

    @property
    def last(self) -> Report | None:
        """The latest report, or None."""
        return dict(self._reports[-1]) if self._reports else None


def thinned(reports: Sequence[Report], rungs: Sequence[int]) -> list[Report]:
    """About half of the reports, spread evenly: see the module's text for which.

    Args:
        reports: at least two, by rising steps.
    """
    kept = {reports[0]["step"], reports[-1]["step"]}
    for rung in rungs:
        kept |= {next((one["step"] for one in reports if one["step"] >= rung), rung)}
    begin, width = reports[0]["step"], reports[-1]["step"] - reports[0]["step"]
    first_in_cell: dict[int, int] = {}
    for one in reports:
        first_in_cell.setdefault((one["step"] - begin) * _CELLS // width, one["step"])
    kept |= set(first_in_cell.values())
    return [one for one in reports if one["step"] in kept]


def as_step(step: Any) -> int:
    """A step as an int. Raises InvalidReport."""
    try:
        whole = operator.index(step)
    except TypeError:
        whole = -1
    if isinstance(step, (bool, np.bool_)) or not 0 <= whole < MAX_STEP:
        raise InvalidReport(
            f"the step must be a whole number of at least 0, not {step!r}; report the number "
            "of epochs or batches done so far",
            step,
        )
    return whole


def as_loss(loss: Any) -> float:
    """A loss as a float; NaN becomes infinity. Raises InvalidReport."""
    if loss is None or isinstance(loss, (str, bytes, list, tuple, dict)):
        raise _not_one_number(loss)
    try:
        number = float(loss)
    except (TypeError, ValueError):
        raise _not_one_number(loss) from None
    return math.inf if math.isnan(number) else number


def _not_one_number(loss: Any) -> InvalidReport:
    return InvalidReport(
        f"the loss must be one real number, not {loss!r} ({type(loss).__name__}); report the "
        "mean, for example",
        loss,
    )
