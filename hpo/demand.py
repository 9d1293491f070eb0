"""How many suggestions should wait for the workers that are there."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from hpo.document import Document
from hpo.domain import Domain
from hpo.store.base import WorkerPresence
from hpo.trials import Trials

_PRESENCE_INTERVAL_SECS = 0.25


class Demand:
    """How many suggestions should wait in the queue.

    A suggestion made late knows more results, so none is made ahead of need
    while the driver is quick compared with the trials. When it is not (its
    turnaround is more than a twentieth of a trial), workers would stand idle,
    and as many are queued as they finish in twice the driver's turnaround.
    """

    _TOLERATED_IDLE_SHARE = 0.05
    _MAX_AHEAD_PER_WORKER = 8

    def __init__(self) -> None:
        self._trial_secs: float | None = None
        self._turnaround_secs = 0.01

    def learn(self, changed: Sequence[Document]) -> None:
        """Take in how long finished trials took, by the store's clock."""
        for trial in changed:
            begun, ended = trial.get("book_time"), trial.get("finish_time")
            if begun is not None and ended is not None:
                secs = max(1e-3, (ended - begun).total_seconds())
                known = self._trial_secs
                self._trial_secs = secs if known is None else 0.8 * known + 0.2 * secs

    def learn_turnaround(self, secs: float) -> None:
        """Take in how long it took from seeing results to having inserted suggestions."""
        self._turnaround_secs = 0.8 * self._turnaround_secs + 0.2 * secs

    def queue_length(self, n_workers: int, n_idle: int) -> int:
        """How many should be queued for so many live workers, so many of them idle."""
        if n_workers == 0:
            return 1  # something to begin with for the first worker that comes
        return n_idle + self._ahead(n_workers)

    def _ahead(self, n_workers: int) -> int:
        if self._trial_secs is None:
            return 0
        share = self._turnaround_secs / self._trial_secs
        if share < self._TOLERATED_IDLE_SHARE:
            return 0
        return min(math.ceil(2 * share * n_workers), self._MAX_AHEAD_PER_WORKER * n_workers)


class WorkersSeen:
    """The live workers, asked for at most a few times a second."""

    def __init__(self, trials: Trials, domain: Domain) -> None:
        self._trials, self._domain = trials, domain
        self._seen: list[WorkerPresence] = []
        self._asked_at = -math.inf

    def _all(self) -> list[WorkerPresence]:
        if time.monotonic() - self._asked_at >= _PRESENCE_INTERVAL_SECS:
            self._seen = self._trials.store.workers(self._trials.exp_key)
            self._asked_at = time.monotonic()
        return self._seen

    def owners(self) -> set[str]:
        """Those that can evaluate."""
        return {worker.owner for worker in self._all() if not self._is_unfit(worker)}

    def unfit(self) -> list[WorkerPresence]:
        """Those that cannot load this search's objective."""
        return [worker for worker in self._all() if self._is_unfit(worker)]

    def _is_unfit(self, worker: WorkerPresence) -> bool:
        return self._domain.objective in worker.unfit_for
