"""The curve rule: stop what cannot reach the best loss, by what its curve foretells.

The complete learning curves of other trials teach how the first so many
reports of a curve go together with its end; a trial is stopped when not even
the likely error of that forecast brings it to the limit. The forecast is
`hpo.surrogate.learning_curve.LinearCurvePredictor`'s, which maximises: losses go
in with their sign changed.

Source: Hyper-Engine, whose words these are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo.exceptions import InvalidOptionValue
from hpo.stopping.base import Curve, History, Rule
from hpo.stopping.options import as_count, as_real

if TYPE_CHECKING:
    from hpo.surrogate.learning_curve import LinearCurvePredictor


@dataclass(frozen=True)
class CurveRule(Rule):
    """Stop a trial whose learning curve foretells a loss that is out of reach of the limit.

    All trials must report the same steps; the shortest complete curve says how many count.

    Args:
        burn_in: nothing is stopped before so many trials are complete.
        min_input_size: nor a trial with fewer reports.
        loss_limit: stop what will not get down to this loss; None: to the best final one.
        probability: how sure to be, above 0.5 and below 1; None: as sure as the largest
            error that the forecast ever made allows.
        interval_reports: decide once in so many reports.

    Raises:
        InvalidOption, InvalidOptionValue: an argument makes no sense.
    """

    burn_in: int = 10
    min_input_size: int = 3
    loss_limit: float | None = None
    probability: float | None = None
    interval_reports: int = 1

    def __post_init__(self) -> None:
        as_count("burn_in", self.burn_in)
        as_count("min_input_size", self.min_input_size)
        as_count("interval_reports", self.interval_reports)
        if self.loss_limit is not None:
            as_real("loss_limit", self.loss_limit)
        if self.probability is not None and not 0.5 < as_real("probability", self.probability) < 1:
            raise InvalidOptionValue(
                f"probability must be above 0.5 and below 1, not {self.probability!r}"
            )

    def should_stop(self, curve: Curve, history: History) -> bool:
        """Whether the forecast of the curve's final loss is out of reach of the limit."""
        n_reports = len(curve.losses)
        if n_reports < self.min_input_size or n_reports % self.interval_reports:
            return False
        if curve.losses[-1] == math.inf:
            return True
        complete = tuple(one for one in history.curves() if one.is_complete)
        if len(complete) < self.burn_in:
            return False
        steps, predictor = _taught(self, complete)
        known = _losses_at(curve, [step for step in steps if step <= curve.last_step])
        return known is not None and predictor.stop_condition()([-loss for loss in known])


# The same trials are complete at most decisions. By content, so it holds for any search.
@functools.lru_cache(maxsize=4)
def _taught(
    rule: CurveRule, complete: tuple[Curve, ...]
) -> tuple[Sequence[int], LinearCurvePredictor]:
    """The steps that complete curves share, and a predictor that has learnt from them."""
    from hpo.surrogate.learning_curve import LinearCurvePredictor

    predictor = LinearCurvePredictor(
        rule.burn_in,
        rule.min_input_size,
        None if rule.loss_limit is None else -rule.loss_limit,
        probability=rule.probability,
    )
    steps = _common_steps(complete)
    found = ((one, _losses_at(one, steps)) for one in complete)
    teaching = [
        (one, losses) for one, losses in found if losses is not None and np.isfinite(losses).all()
    ]
    predictor.add_curves(
        [[-loss for loss in losses] for _, losses in teaching],
        [-one.best_loss for one, _ in teaching],
    )
    return steps, predictor


def _common_steps(complete: Sequence[Curve]) -> list[int]:
    """The steps at which every complete curve has a report: long ones are thinned."""
    common = set(complete[0].steps).intersection(*(one.steps for one in complete))
    return sorted(common)


def _losses_at(curve: Curve, steps: Sequence[int]) -> list[float] | None:
    """The losses at some steps, or None when one of them is missing."""
    loss_at = dict(zip(curve.steps, curve.losses, strict=True))
    if any(step not in loss_at for step in steps):
        return None
    return [loss_at[step] for step in steps]
