"""Standing: how far a search is, and why nothing moves."""

from __future__ import annotations

import math
import time

from hpo.demand import WorkersSeen
from hpo.document import JOB_STATE_CANCEL, JOB_STATE_RUNNING
from hpo.domain import Domain
from hpo.leadership import Leadership
from hpo.partial import spent_budget
from hpo.progress import Snapshot, count
from hpo.trials import Trials

_QUIET_SECS_BEFORE_NOTICE = 5.0


class Standing:
    """How far a search is, by what its trials showed when they were last followed.

    Args:
        trials, domain: what is searched.
        workers: those that are alive.
        lead: whether this driver leads.
        name: of the search.
        is_shared: whether others evaluate the trials.
    """

    def __init__(
        self,
        trials: Trials,
        domain: Domain,
        workers: WorkersSeen,
        lead: Leadership,
        *,
        name: str,
        is_shared: bool,
    ) -> None:
        self._trials, self._domain = trials, domain
        self._workers, self._lead = workers, lead
        self._name, self._is_shared = name, is_shared
        self._last_change = time.monotonic()

    def note_change(self) -> None:
        """Something moved just now."""
        self._last_change = time.monotonic()

    def n_counted(self) -> int:
        """Trials that count against `max_evals`: all but the cancelled and the continuations."""
        observations = self._trials.observations()
        is_counted = ~observations.is_continuation & (observations.states != JOB_STATE_CANCEL)
        return int(is_counted.sum())

    def n_ended(self) -> int:
        """Trials that ended, continuations included."""
        states = self._trials.observations().states
        return int((states != JOB_STATE_CANCEL).sum()) - self.n_open()

    def n_open(self) -> int:
        """Trials that are queued or running."""
        return len(self._trials.new_tids) + len(self._trials.running_owners)

    def snapshot(self, last: float, start: tuple[int, int] | None) -> Snapshot:
        """How things stand; `last`: how many trials there will be; `start`: see `Snapshot`."""
        observations = self._trials.observations()
        budget = spent_budget(observations, getattr(self._domain.stopper, "max_steps", None))
        return Snapshot(
            done=budget.n_ended,
            total=None if math.isinf(last) else int(last),
            running=len(self._trials.running_owners),
            queued=len(self._trials.new_tids),
            failed=budget.n_ended - budget.n_usable - budget.n_stopped,
            stopped=budget.n_stopped,
            saved=budget.saved,
            workers=len(self._workers.owners()) if self._is_shared else None,
            oldest_lease_secs=self._oldest_lease_secs(),
            best_loss=self._trials.best_loss,
            notice=self._notice(),
            start=start,
        )

    def _notice(self) -> str:
        """Why nothing moves, once nothing has moved for a while."""
        if not self._is_shared:
            return ""
        if not self._lead.is_held:
            return self._who_leads()
        if not self._is_quiet():
            return ""
        unfit = self._workers.unfit()
        if unfit:
            return f"{count(len(unfit), 'worker')} cannot evaluate: {unfit[0].message}"
        if not self._workers.owners():
            key = self._trials.exp_key
            option = f" --exp-key {key}" if key else ""
            return (
                f"{self._name}: no worker has been seen for a minute; "
                f"start one: hpo-worker --mongo URL{option}"
            )
        if self._trials.running_owners:
            return ""
        return f"{self._name}: waiting for a worker to take the next trial"

    def _is_quiet(self) -> bool:
        return time.monotonic() - self._last_change >= _QUIET_SECS_BEFORE_NOTICE

    def _oldest_lease_secs(self) -> float | None:
        """How long ago the running trial with the oldest sign of life was renewed."""
        if not (self._is_shared and self._is_quiet() and self._trials.running_owners):
            return None
        store, exp_key = self._trials.store, self._trials.exp_key
        running = store.find(exp_key, states=[JOB_STATE_RUNNING], fields=["refresh_time"])
        renewed = [trial["refresh_time"] for trial in running if trial.get("refresh_time")]
        return (store.now() - min(renewed)).total_seconds() if renewed else None

    def _who_leads(self) -> str:
        return (
            f"{self._name}: another driver ({self._lead.who()}) leads this experiment; "
            "following it, and taking over when it ends"
        )
