"""Stopping rules: when has a search done enough?

A rule is a function `(trials, *state) -> (stop, state)`. `fmin` calls it whenever
trials have finished, with the state that it returned the last time, and ends the
search once `stop` is true.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hpo.algobase import as_integer, as_real

__all__ = ["no_progress_loss"]

logger = logging.getLogger(__name__)

State = list[Any]


def no_progress_loss(
    iteration_stop_count: int = 20, percent_increase: float = 0.0
) -> Callable[..., tuple[bool, State]]:
    """Stop once the best loss has not improved for a number of finished trials.

    Args:
        iteration_stop_count: how many trials in a row may end without progress; at
            least 1. A trial that failed made none. The first trial counts as
            one of them, as in hyperopt.
        percent_increase: progress is only what lowers the best loss by more than
            this percentage of it; at least 0.

    Returns:
        A stopping rule for `fmin(..., early_stop_fn=...)`, whose state is
        [best loss, trials without progress, finished trials seen].

    Raises:
        InvalidOption: an argument is out of range.

    Source: hyperopt.early_stop.no_progress_loss. It looked at the last document
    alone, which with several workers need not have finished; this one counts
    whatever has finished since its last call.
    """
    n_patience = as_integer("iteration_stop_count", iteration_stop_count, at_least=1)
    share = as_real("percent_increase", percent_increase, at_least=0.0) / 100.0

    def stop_fn(
        trials: Any,
        best_loss: float | None = None,
        iteration_no_progress: int = 0,
        n_seen: int | None = None,
    ) -> tuple[bool, State]:
        n_finished, least_loss = _finished(trials)
        n_new = 1 if n_seen is None else n_finished - n_seen
        if best_loss is None and least_loss is not None:
            n_without, best_loss = 1, least_loss
        elif _is_progress(least_loss, best_loss, share):
            n_without, best_loss = 0, least_loss
        else:
            n_without = iteration_no_progress + n_new
            logger.debug("no progress for %d of %d trials", n_without, n_patience)
        return n_without >= n_patience, [best_loss, n_without, n_finished]

    return stop_fn


def _is_progress(loss: float | None, best_loss: float | None, share: float) -> bool:
    if loss is None or best_loss is None:
        return False
    margin = share * abs(best_loss) if math.isfinite(best_loss) else 0.0
    return loss < best_loss - margin


def _finished(trials: Any) -> tuple[int, float | None]:
    """How many trials have ended with or without a loss, and the least loss."""
    observations = trials.observations()
    losses = observations.losses[observations.is_ok]
    n_without = np.count_nonzero(observations.is_failed | observations.is_stopped)
    n_finished = losses.size + int(n_without)
    return n_finished, float(losses.min()) if losses.size else None
