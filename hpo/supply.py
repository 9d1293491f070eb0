"""The supply: suggestions on their way from the algorithm into the queue.

It decides how many are asked for, refuses what is no list of documents, and
adds them behind the last trial that this driver has seen. A driver that was
overtaken by another one adds nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hpo.continuations import Continuations
from hpo.demand import Demand, WorkersSeen
from hpo.document import Document, active_values
from hpo.domain import Domain
from hpo.exceptions import InvalidOption, Overtaken
from hpo.leadership import Leadership
from hpo.progress import count
from hpo.standing import Standing
from hpo.trials import Trials

logger = logging.getLogger(__name__)


class Supply:
    """Keeps as many suggestions queued as are needed.

    Args:
        algo: suggest(new_ids, domain, trials, seed) -> documents.
        domain, trials: what it is given.
        rstate: source of one seed for each call of `algo`.
        standing, workers, lead: of the search.
        max_queue_len: keep so many queued; None: as many as the workers can take.
        is_shared: whether others evaluate the trials.
        name: of the search.

    Attributes:
        is_exhausted: the algorithm had nothing more to suggest.
        start: which of the algorithm's first trials the last suggestion was, and of how
            many; None if it was none of these.
    """

    def __init__(
        self,
        algo: Callable[..., Sequence[Document]],
        domain: Domain,
        trials: Trials,
        rstate: np.random.Generator,
        *,
        standing: Standing,
        workers: WorkersSeen,
        lead: Leadership,
        max_queue_len: int | None,
        is_shared: bool,
        name: str,
    ) -> None:
        self._algo, self._domain, self._trials, self._rstate = algo, domain, trials, rstate
        self._standing, self._workers, self._lead = standing, workers, lead
        self._max_queue_len, self._is_shared, self._name = max_queue_len, is_shared, name
        self._demand = Demand()
        self._continuations = Continuations(trials, domain.stopper)
        self.is_exhausted = False
        self.start: tuple[int, int] | None = None

    def learn(self, changed: Sequence[Document]) -> None:
        """Take in what the trials that changed say about how many are needed."""
        self._demand.learn(changed)

    def refill(self, last: float, looked_at: float) -> None:
        """Add suggestions up to the `last` trial, as long as there is room for them.

        Args:
            looked_at: by `time.monotonic`, when the driver began to look at the results.
        """
        if self._add(last):
            self._demand.learn_turnaround(time.monotonic() - looked_at)

    def _add(self, last: float) -> bool:
        if not self._lead.is_held or self.is_exhausted:
            return False
        room = int(min(self._room(), last - self._standing.n_counted()))
        if room <= 0:
            return False
        suggested = self._suggest(room)
        try:
            self._trials.insert_unless_overtaken(suggested)
        except Overtaken as overtaken:
            logger.info("%s: %s", self._name, overtaken)
            self._trials.pass_by(overtaken)
            self._lead.seek()
            return False
        self.is_exhausted = not suggested
        self.start = _start_of(suggested[-1]) if suggested else None
        self.learn(self._trials.follow())
        return bool(suggested)

    def _suggest(self, n: int) -> list[Document]:
        """At most `n` documents, none of them inserted."""
        new_ids = self._trials.new_trial_ids(n)
        seed = int(self._rstate.integers(2**31 - 1))
        if self._domain.search_seed is None:
            self._domain.search_seed = seed
        suggested = _documents(self._algo(new_ids, self._domain, self._trials, seed))
        if len(suggested) > len(new_ids):
            raise InvalidOption(
                f"the algorithm returned {len(suggested)} trials for {len(new_ids)} new ids; "
                "return at most one for each id"
            )
        for document in suggested:
            if not document.get("params"):
                self._domain.annotate(document, active_values(document))
        return suggested

    def _room(self) -> int:
        queued = len(self._trials.new_tids)
        if self._max_queue_len is not None:
            return self._max_queue_len - queued
        if not self._is_shared:
            return 1 - queued
        alive = self._workers.owners()
        idle = len(alive - set(self._trials.running_owners.values()))
        return self._demand.queue_length(len(alive), idle) - queued

    def take_up_stopped(self) -> bool:
        """Queue what a stopping rule stopped too soon. Returns whether there was anything."""
        if not self._lead.is_held or not self._continuations.insert():
            return False
        self.learn(self._trials.follow())
        return True

    def why_exhausted(self) -> str:
        """For a person who had asked for more trials."""
        tried = f"after {count(self._standing.n_counted(), 'trial')}"
        if self._domain.space.is_finite:
            return (
                f"{tried} no configuration is left that was not tried "
                "(noisy=True tries them again)"
            )
        return f"{tried} the algorithm has nothing more to suggest"


def _documents(suggested: Any) -> list[Document]:
    """What an algorithm returned, if it is a list of documents."""
    if isinstance(suggested, (str, Mapping)) or not isinstance(suggested, Iterable):
        raise InvalidOption(
            f"the algorithm returned {suggested!r}; return a list of trial documents, as "
            "trials.new_trial_docs makes them, or an empty list to end the search"
        )
    documents = list(suggested)
    for document in documents:
        if not isinstance(document, Mapping):
            raise InvalidOption(
                f"the algorithm returned {document!r} for a trial document; make documents with "
                "trials.new_trial_docs"
            )
    return documents


def _start_of(document: Document) -> tuple[int, int] | None:
    """Which of an algorithm's first trials a document is, and of how many; see `provenance`."""
    record = document.get("suggested_by") or {}
    place, size = record.get("start"), record.get("options", {}).get("n_startup_jobs")
    # While many are in flight, more are proposed before as many have ended.
    return None if place is None or size is None else (min(place + 1, size), size)
