"""The best trial of a noisy objective: not the one with the luckiest loss.

The smallest of many noisy losses is mostly luck. Losses are therefore smoothed by
those of the trials around them (`hpo.surrogate.smoothing`), as `tpe` does for a noisy
objective, and the trial with the smallest smoothed loss is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.document import Document
from hpo.domain import Domain
from hpo.exceptions import AllTrialsFailed
from hpo.pyll import as_apply
from hpo.space import Space

if TYPE_CHECKING:
    from hpo.trials import Trials

__all__ = ["robust_trial"]


def robust_trial(trials: Trials, space: Any) -> Document:
    """The trial with the smallest smoothed loss.

    Args:
        space: what was searched: a space, a Space or a Domain.

    Returns:
        The document. `result.loss` in it is the loss that was measured.

    Raises:
        AllTrialsFailed: no trial ended with status ok.
    """
    from hpo.tree_model import History, Options

    searched = space.space if isinstance(space, Domain) else space
    searched = searched if isinstance(searched, Space) else Space(as_apply(searched))
    observations = trials.observations()
    history = History(searched, observations, Options(noisy=True))
    is_complete = observations.is_ok[history.rows]
    # Stopped trials count only while there is no other.
    losses = np.where(is_complete, history.losses, np.nan) if is_complete.any() else history.losses
    if np.isnan(losses).all():
        raise AllTrialsFailed()
    best = history.rows[np.nanargmin(losses)]
    tid = observations.tids[best]
    return next(trial for trial in trials.trials if trial["tid"] == tid)
