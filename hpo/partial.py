"""What algorithms make of trials that were stopped before their full budget.

The rule: a trial ranks by the step it reached, more is better, and among those
that reached the same step by its loss. A complete trial ranks before every
stopped one. So a configuration that looked hopeless after 3 epochs never counts
as better than one that was worth 27.

    level  loss reported  ranking loss     The losses of a level are moved up together,
    ok     0.2, 0.5       0.2, 0.5         until none is less than the greatest finite
    27     0.4, 0.7       0.5, 0.8         one above it: the order is the rule's, and
    3      0.9            0.9              within a level the differences stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.document import JOB_STATE_CANCEL
from hpo.observations import Observations

Floats = npt.NDArray[np.float64]


def ranking_losses(observations: Observations) -> Floats:
    """Losses by which trials are to be compared; NaN where there is none. Shape (n,).

    Those of complete trials are their own, those of stopped ones stand behind them.
    """
    return _ranked(observations, slice(None))


def ranking_losses_of(observations: Observations, rows: npt.NDArray[np.int64]) -> Floats:
    """The same of some trials, compared with one another only; shape (len(rows),).

    What others there are changes nothing: so an algorithm can tell what it has learnt from
    some trials from what it has yet to learn.
    """
    return _ranked(observations, rows)


def _ranked(observations: Observations, chosen: npt.NDArray[np.int64] | slice) -> Floats:
    if not observations.has_reports:
        return observations.losses[chosen]
    is_stopped = observations.is_stopped[chosen]
    if not is_stopped.any():
        return observations.losses[chosen]
    ranking: Floats = observations.losses[chosen].copy()
    partial = observations.partial_losses[chosen]
    floor = _greatest_finite(ranking)
    for rows in _levels(is_stopped, observations.steps[chosen]):
        losses = partial[rows]
        is_finite = np.isfinite(losses)
        if is_finite.any():
            losses = losses + max(0.0, floor - float(losses[is_finite].min()))
            # The sum may have been rounded down.
            losses = np.maximum(losses, floor)
        ranking[rows] = losses
        floor = max(floor, _greatest_finite(losses))
    return ranking


def _levels(
    is_stopped: npt.NDArray[np.bool_], all_steps: Floats
) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of the stopped trials that reached the same step, the latest step first."""
    rows = np.flatnonzero(is_stopped)
    # One that stopped itself without a report has come nowhere.
    steps = np.nan_to_num(all_steps[rows], nan=-1.0)
    for step in np.unique(steps)[::-1]:
        yield rows[steps == step]


def _greatest_finite(losses: Floats) -> float:
    finite = losses[np.isfinite(losses)]
    return float(finite.max()) if finite.size else -np.inf


@dataclass(frozen=True)
class Budget:
    """What a search has spent; a trial and those that took it up count as one.

    Attributes:
        n_ended, n_usable, n_stopped: trials that ended; those with a loss of the full
            budget; those that stand stopped.
        saved: the part of the steps that full trainings of all ended trials had cost and
            these did not, 0 to 1; None while nobody knows how many that is.
    """

    n_ended: int
    n_usable: int
    n_stopped: int
    saved: float | None


def spent_budget(observations: Observations, max_steps: int | None = None) -> Budget:
    """Count what ended, and the steps that stopping saved.

    Args:
        max_steps: steps of a full training; None: the most that a complete trial reported.
    """
    is_there = observations.states != JOB_STATE_CANCEL
    has_ended = is_there & ~observations.is_pending
    # Each takes up one stopped trial, in whose place it counts.
    is_continuation = is_there & observations.is_continuation
    n_continuing = int((is_continuation & observations.is_pending).sum())
    is_stopped = observations.is_stopped
    return Budget(
        n_ended=int((has_ended & ~is_continuation).sum()) - n_continuing,
        n_usable=int(np.count_nonzero(~np.isnan(observations.losses))),
        n_stopped=int(is_stopped.sum()) - int(is_continuation.sum()),
        saved=_saved(observations, has_ended, max_steps) if is_stopped.any() else None,
    )


def _saved(
    observations: Observations, has_ended: npt.NDArray[np.bool_], max_steps: int | None
) -> float | None:
    steps = observations.steps
    has_steps = has_ended & ~np.isnan(steps)
    full = steps[observations.is_ok & has_steps]
    if max_steps is None and not full.size:
        return None
    each = float(full.max()) if max_steps is None else float(max_steps)
    n_trainings = int((has_steps & ~observations.is_continuation).sum())
    spent = float(observations.own_steps[has_steps].sum())
    return max(0.0, 1.0 - spent / (each * n_trainings)) if each and n_trainings else None
