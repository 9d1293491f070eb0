"""The median rule: no worse than half of the others at the same step.

A trial is stopped when its best loss so far is greater than the median of the
losses that other trials had at the step it has come to. It needs no budget to
be known, and stops about half of what cannot keep up.

Source: Golovin et al., Google Vizier, 2017, section 3.2.2; there the median is
of running averages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpo.exceptions import InvalidOptionValue
from hpo.stopping.base import Curve, History, Rule
from hpo.stopping.options import as_count, as_real


@dataclass(frozen=True)
class MedianRule(Rule):
    """Stop a trial whose best loss is worse than the median of the others.

    Args:
        warmup_steps: no trial is stopped before it has passed this step.
        warmup_trials: nor while fewer others have reached its step.
        percentile: stop what is worse than this percentile of the others' losses; 50 is the
            median, and less is stricter.
        interval_steps: decide once in so many steps.

    Raises:
        InvalidOption, InvalidOptionValue: an argument makes no sense.
    """

    warmup_steps: int = 0
    warmup_trials: int = 5
    percentile: float = 50.0
    interval_steps: int = 1

    def __post_init__(self) -> None:
        as_count("warmup_steps", self.warmup_steps, at_least=0)
        as_count("warmup_trials", self.warmup_trials)
        as_count("interval_steps", self.interval_steps)
        if not 0.0 <= as_real("percentile", self.percentile) <= 100.0:
            raise InvalidOptionValue(f"percentile must be 0 to 100, not {self.percentile!r}")

    def should_stop(self, curve: Curve, history: History) -> bool:
        """Whether the curve's best loss is worse than the percentile of the others."""
        if not self._is_due(curve):
            return False
        others = [one for one in history.at(curve.last_step) if one.line != curve.line]
        if len(others) < self.warmup_trials:
            return False
        # An order statistic: it stays a number among infinite losses.
        losses = [one.losses[0] for one in others]
        bound = np.percentile(losses, self.percentile, method="inverted_cdf")
        return bool(curve.best_loss > bound)

    def _is_due(self, curve: Curve) -> bool:
        """Whether a multiple of the interval was passed since the rule was last asked."""
        after = max(curve.asked_step, self.warmup_steps)
        return curve.last_step // self.interval_steps > after // self.interval_steps
