"""MongoTrials: the trials of one experiment in a MongoDB database that workers share."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from hpo.document import Tid
from hpo.outage import DEFAULT_PATIENCE_SECS, Outage, wait_for_server
from hpo.trials import Trials

if TYPE_CHECKING:
    from hpo.store.mongo import MongoStore

# Ids reserved ahead at most, while they are asked for in quick succession.
_MAX_RESERVED_IDS = 64
_QUICK_SUCCESSION_SECS = 0.2


class MongoTrials(Trials):
    """The trials of one experiment in a MongoDB database that workers share.

    Args:
        url: "mongodb://…", "mongodb+srv://…", "embedded:DIRECTORY", hyperopt's
            "mongo://host:port/db/jobs", or an open MongoStore.
        exp_key: the experiment's name; None sees every experiment of the database.
        cmd, workdir: kept for those who read them, and passed on to views.
        refresh: read what the database holds already.
        patience_secs: how long a server that is away is waited for now, at first contact.

    Attributes:
        url: as given, or None for an open MongoStore.

    Raises:
        InvalidUrl, AccessDenied, UnknownHost: at once, with what to do next.
        ServerUnreachable: the patience is over.

    Source: hyperopt.mongoexp.MongoTrials.
    """

    asynchronous = True

    def __init__(
        self,
        url: str | MongoStore,
        exp_key: str | None = None,
        cmd: Any = None,
        workdir: str | None = None,
        refresh: bool = True,
        *,
        patience_secs: float = DEFAULT_PATIENCE_SECS,
    ) -> None:
        from hpo.store.mongo import MongoStore

        self._mongo = (
            url
            if isinstance(url, MongoStore)
            else wait_for_server(lambda: MongoStore.connect(url), patience_secs)
        )
        self.url = None if isinstance(url, MongoStore) else url
        self.cmd, self.workdir = cmd, workdir
        self._reserved_ids: list[Tid] = []
        self._n_reserved, self._reserved_at = 0, -math.inf
        super().__init__(exp_key, refresh=False, store=self._mongo)
        if refresh:
            Outage(patience_secs).outlive(self._mongo, self.refresh)

    @property
    def handle(self) -> MongoStore:
        """The store; `handle.jobs` is the collection of documents."""
        return self._mongo

    def new_trial_ids(self, n: int) -> list[Tid]:
        """Reserve `n` fresh tids.

        Asked in quick succession, more are reserved than are returned, so that a
        search of short trials does not ask the store for each of them.
        """
        if len(self._reserved_ids) < n:
            is_quick = time.monotonic() - self._reserved_at < _QUICK_SUCCESSION_SECS
            n_ahead = min(2 * self._n_reserved, _MAX_RESERVED_IDS) if is_quick else 0
            self._n_reserved = max(n, n_ahead)
            self._reserved_ids += self._store.allocate_tids(self._n_reserved)
            self._reserved_at = time.monotonic()
        taken, self._reserved_ids = self._reserved_ids[:n], self._reserved_ids[n:]
        return taken

    def view(  # type: ignore[override]  # hyperopt's view of MongoTrials takes more
        self,
        exp_key: str | None = None,
        cmd: Any = None,
        workdir: str | None = None,
        refresh: bool = True,
    ) -> MongoTrials:
        """The same database seen as another experiment."""
        return type(self)(
            self.handle,
            exp_key=self._exp_key if exp_key is None else exp_key,
            cmd=self.cmd if cmd is None else cmd,
            workdir=self.workdir if workdir is None else workdir,
            refresh=refresh,
        )
