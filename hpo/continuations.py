"""Continuations: trials that take up others which were stopped too soon.

The driver that leads the search asks the stopping rule which stopped trials
have since proved to be among the best, and inserts for each a trial with the
same configuration and the learning curve so far. Whichever worker claims it
finds the checkpoint of the first (`ctrl.load_checkpoint`) and goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from hpo.document import STATUS_STOPPED, Document, Tid, continuation
from hpo.exceptions import DuplicateTrial, StoreError
from hpo.mirror import Followed, mirror_of
from hpo.store.base import Horizon
from hpo.trials import Trials

logger = logging.getLogger(__name__)


class Continuations:
    """Inserts what a stopping rule promotes.

    Args:
        trials: where the trials are.
        stopper: the rule, or None; one without `promotions` promotes nothing.
    """

    def __init__(self, trials: Trials, stopper: Any) -> None:
        self._trials = trials
        self._promotions = getattr(stopper, "promotions", None)
        self._seen = (0, 0)

    def insert(self) -> int:
        """Insert the continuations that are due, and return how many were."""
        if self._promotions is None or not self._has_news():
            return 0
        trials, n_inserted = self._trials, 0
        stopped = self._stopped_among(self._promoted())
        for trial, new_tid in zip(stopped, trials.new_trial_ids(len(stopped)), strict=True):
            try:
                trials.insert_trial_docs([continuation(trial, new_tid)])
            except DuplicateTrial:
                logger.info("trial %s is being continued already", trial["tid"])
            else:
                n_inserted += 1
        return n_inserted

    def _has_news(self) -> bool:
        """Whether trials have ended since the rule was last asked, and any stands stopped."""
        observations = self._trials.observations()
        seen = len(observations), int(observations.is_pending.sum())
        is_new, self._seen = seen != self._seen, seen
        return is_new and bool(observations.is_stopped.any())

    def _stopped_among(self, tids: Sequence[Tid]) -> list[Document]:
        """The stopped trials with a learning curve among `tids`, in their order."""
        if not tids:
            return []
        found = {
            trial["tid"]: trial
            for trial in self._trials.store.find(self._trials.exp_key, tids=tids)
            if trial["result"].get("status") == STATUS_STOPPED and "last_report" in trial
        }
        if len(found) < len(tids):
            strange = [tid for tid in tids if tid not in found]
            logger.warning("the stopping rule promotes %s, which is no stopped trial", strange)
        return [found[tid] for tid in tids if tid in found]

    def _promoted(self) -> Sequence[Tid]:
        trials = self._trials
        history = Followed(self._follow, mirror_of(trials.store, trials.exp_key))
        try:
            tids: list[Tid] = list(self._promotions(history))  # type: ignore[misc]
        except StoreError:
            raise
        except Exception as error:  # a rule is anybody's code: the search must not die of it
            logger.warning(
                "the stopping rule promotes nothing: %s: %s", type(error).__name__, error
            )
            return ()
        return tids

    def _follow(self, step: int | None, horizon: Horizon) -> tuple[list[Document], Horizon]:
        trials = self._trials
        return list(trials.store.reported(trials.exp_key, step=step, since=horizon)), horizon
