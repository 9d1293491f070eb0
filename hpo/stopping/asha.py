"""ASHA: asynchronous successive halving.

    symbol  meaning                                            here
    r       least budget of a trial                            min_steps
    R       full budget                                        max_steps
    η       of the trials at a rung, 1/η go on                 eta
    r η^k   rung k, below R                                    rungs
    n       lines that have reached a rung                     scalar

A trial that reaches a rung goes on if it is among the best max(1, ⌊n/η⌋) of
those that have reached it by then, itself included: the first one always does,
for nobody waits. Deciding so early stops some that later prove to be among the
best ⌊n/η⌋; these are promoted: the driver takes them up again, from their
checkpoints.

The decision depends on the losses at the rung alone. Lost reports make n
smaller, late ones come too late for some; neither does any other harm.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020,
algorithm 2; there, a trial waits at its rung until it is promoted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.document import Tid
from hpo.exceptions import InvalidOptionValue
from hpo.stopping.base import Curve, History, Rule
from hpo.stopping.options import as_count, as_real


@dataclass(frozen=True)
class ASHA(Rule):
    """Stop a trial at a rung unless it is among the best 1/eta there.

    Args:
        min_steps: the first rung; no trial is stopped before it.
        max_steps: steps of a trial that is never stopped; None: no bound, and a rung
            follows every other.
        eta: reduction factor, above 1.
        promote: take up stopped trials that later belong to the best.

    Raises:
        InvalidOption, InvalidOptionValue: an argument makes no sense.
    """

    min_steps: int = 1
    max_steps: int | None = None
    eta: float = 3.0
    promote: bool = True

    def __post_init__(self) -> None:
        as_count("min_steps", self.min_steps)
        as_real("eta", self.eta, above=1.0)
        if self.max_steps is not None and as_count("max_steps", self.max_steps) < self.min_steps:
            raise InvalidOptionValue(
                f"max_steps={self.max_steps} is less than min_steps={self.min_steps}: no trial "
                "would reach a rung; give the steps of a whole training"
            )

    @property
    def rungs(self) -> tuple[int, ...]:
        """Steps at which it is decided, rising; the full budget is none of them."""
        return rungs_below(self.min_steps, self.eta, self.max_steps)

    def should_stop(self, curve: Curve, history: History) -> bool:
        """Whether the curve has just reached a rung and is not among the best there."""
        return should_stop_at_rung(self.rungs, self.eta, curve, history)

    def promotions(self, history: History) -> list[Tid]:
        """Trials stopped at a rung among whose best 1/eta they are by now."""
        return promotable(self.rungs, self.eta, history) if self.promote else []


# No experiment trains for longer.
_MOST_STEPS = 2**40


def rungs_below(min_steps: int, eta: float, max_steps: int | None) -> tuple[int, ...]:
    """min_steps · eta^k rounded up, below max_steps."""
    bound = _MOST_STEPS if max_steps is None else max_steps
    rungs: list[int] = []
    budget = float(min_steps)
    while (rung := math.ceil(budget - 1e-9)) < bound:
        if not rungs or rung > rungs[-1]:
            rungs.append(rung)
        budget *= eta
    return tuple(rungs)


def should_stop_at_rung(rungs: Sequence[int], eta: float, curve: Curve, history: History) -> bool:
    """Decide at the highest rung that was reached since the curve was last asked about."""
    reached = [rung for rung in rungs if curve.asked_step < rung <= curve.last_step]
    if not reached:
        return False
    loss = next(
        loss for step, loss in zip(curve.steps, curve.losses, strict=True) if step >= reached[-1]
    )
    if loss == math.inf:
        return True
    rung = history.rung(reached[-1], _next(rungs, reached[-1]))
    n_best = max(1, n_promoted(rung.n_others(curve.line) + 1, eta))
    return rung.n_better(loss, curve.line) >= n_best


def promotable(rungs: Sequence[int], eta: float, history: History) -> list[Tid]:
    """Stopped trials that are among the best ⌊n/η⌋ at the highest rung they reached."""
    by_rung: list[list[Tid]] = []
    for step in rungs:
        rung = history.rung(step, _next(rungs, step))
        n_best = n_promoted(len(rung), eta)
        if not n_best:
            # Fewer still have reached the rungs above.
            break
        by_rung.append(rung.stopped_among_best(n_best))
    # Those of the highest rung first: least is left to do there.
    return [tid for tids in reversed(by_rung) for tid in tids]


def _next(rungs: Sequence[int], step: int) -> float:
    """The rung after the one at `step`, or infinity."""
    return next((float(rung) for rung in rungs if rung > step), math.inf)


def n_promoted(n: int, eta: float) -> int:
    """⌊n/η⌋."""
    return math.floor(n / eta + 1e-9)
