"""MongoTrials as hyperopt's programs know it: its handle is a MongoJobs.

`hpo.mongo_trials.MongoTrials` does the work; this one adds what only hyperopt had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hpo import mongo_trials
from hpo.document import Tid
from hpo.outage import DEFAULT_PATIENCE_SECS
from hpo.store.mongo import MongoStore
from hpo.store.mongo.jobs import MongoJobs

__all__ = ["MongoTrials"]


class MongoTrials(mongo_trials.MongoTrials):
    """The trials of one experiment in a MongoDB database that workers share.

    Args:
        arg: a database's address, a MongoJobs or a MongoStore.
        exp_key: the experiment's name; None sees every experiment of the database.
        cmd, workdir: what new documents say in misc.
        refresh: read what the database holds already.
        patience_secs: how long a server that is away is waited for now, at first contact.

    Raises:
        InvalidUrl, AccessDenied, UnknownHost: at once, with what to do next.
        ServerUnreachable: the patience is over.

    Source: hyperopt.mongoexp.MongoTrials.
    """

    def __init__(
        self,
        arg: str | MongoJobs | MongoStore,
        exp_key: str | None = None,
        cmd: Any = None,
        workdir: str | None = None,
        refresh: bool = True,
        *,
        patience_secs: float = DEFAULT_PATIENCE_SECS,
    ) -> None:
        source = arg.store if isinstance(arg, MongoJobs) else arg
        super().__init__(
            source,
            exp_key,
            cmd=cmd,
            workdir=workdir,
            refresh=refresh,
            patience_secs=patience_secs,
        )

    @property
    def handle(self) -> MongoJobs:  # type: ignore[override]  # hyperopt's meaning of the name
        """The documents, one by one."""
        return MongoJobs(self._mongo)

    def refresh_tids(self, tids: Iterable[Tid] | None = None) -> None:
        """Take in what changed; it costs the same for some trials as for all."""
        self.refresh()

    def delete_all(self, cond: Mapping[str, Any] | None = None) -> None:
        """Remove trials with their attachments.

        Args:
            cond: only those for which this MongoDB filter holds; default the whole experiment.
        """
        if not cond:
            super().delete_all()
            return
        own = {} if self._exp_key is None else {"exp_key": self._exp_key}
        self.handle.delete_all({**cond, **own})
        self.refresh()
