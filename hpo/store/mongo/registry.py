"""Who is there: experiments and the drivers that lead them, workers and how long they count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import Any

from pymongo.collection import Collection

from hpo.defects import is_count
from hpo.document import Document
from hpo.store.base import Experiment, WorkerPresence
from hpo.store.mongo import queries
from hpo.store.mongo.connection import upsert
from hpo.store.mongo.encoding import encoded
from hpo.store.mongo.failures import Patience


class Registry:
    """The collections `experiments` (by exp_key) and `workers` (by owner)."""

    def __init__(
        self,
        experiments: Collection[Document],
        workers: Collection[Document],
        patiently: Patience,
    ) -> None:
        self._experiments, self._workers = experiments, workers
        self._patiently = patiently

    def open_experiment(
        self, exp_key: str | None, space_digest: str, space: Sequence[Mapping[str, Any]]
    ) -> Experiment:
        """Create the experiment's record if it has none; return the record as stored."""
        rows = [encoded(row, f"space[{index}]") for index, row in enumerate(space)]
        update = queries.open_experiment(space_digest, rows)
        upsert(self._patiently, self._experiments, {"_id": exp_key}, update)
        return self.experiment(exp_key)

    def experiment(self, exp_key: str | None) -> Experiment:
        """The record as stored, or an empty one."""
        found = self._patiently(
            lambda: self._experiments.find_one({"_id": exp_key}, queries.EXPERIMENT_FIELDS)
        )
        record = found or {}
        epoch: Any = record.get("epoch")
        return Experiment(
            exp_key=exp_key,
            space_digest=record.get("space_digest"),
            space=_rows(record.get("space")),
            epoch=int(epoch) if is_count(epoch) else 0,
            driver=_text(record.get("driver")),
            driver_seen_secs_ago=record.get("driver_seen_secs_ago"),
        )

    def exp_keys(self) -> list[str | None]:
        """Every experiment that has a record."""
        found: list[str | None] = self._patiently(lambda: self._experiments.distinct("_id"))
        return found

    def note_rewritten(self, exp_key: str | None) -> None:
        """Let readers of an experiment start over."""
        upsert(self._patiently, self._experiments, {"_id": exp_key}, queries.rewritten())

    def note_deleted(self, exp_key: str | None) -> None:
        """Forget all about an experiment but its epoch, which grows."""
        upsert(self._patiently, self._experiments, {"_id": exp_key}, queries.deleted())

    def lead(self, exp_key: str | None, driver: str, lease_secs: float) -> bool:
        """Become, or stay, the one driver that adds trials; False when another one leads."""
        update = queries.lead(driver, lease_secs)
        record = upsert(self._patiently, self._experiments, {"_id": exp_key}, update)
        return bool(record["driver"] == driver)

    def resign(self, exp_key: str | None, driver: str) -> None:
        """Stop leading. Tried once: the lease passes by itself."""
        query = {"_id": exp_key, "driver": driver}
        self._patiently.once(lambda: self._experiments.update_one(query, queries.RESIGN))

    def deleted_exp_keys(self) -> list[str | None]:
        """Experiments of whose record a deletion has left no more than the epoch."""
        query = {"space_digest": None, "driver": None, "epoch": {"$gt": 0}}
        found: list[str | None] = self._patiently(lambda: self._experiments.distinct("_id", query))
        return found

    def led_exp_keys(self) -> list[str | None]:
        """Experiments that a driver leads now."""
        # A `distinct` would not know the server's clock.
        query = {"$expr": {"$gt": ["$driver_until", queries.NOW]}}
        led = self._patiently(lambda: list(self._experiments.find(query, {"_id": 1})))
        return [record["_id"] for record in led]

    def forget_the_gone(self, *, dry_run: bool) -> int:
        """Forget the workers and drivers whose time has passed; how many there were."""
        workers = {"$expr": {"$lte": ["$until", queries.NOW]}}
        drivers = {"driver": {"$ne": None}, "$expr": {"$lte": ["$driver_until", queries.NOW]}}
        if dry_run:
            n_workers = self._patiently(lambda: self._workers.count_documents(workers))
            return n_workers + self._patiently(lambda: self._experiments.count_documents(drivers))
        gone = self._patiently(lambda: self._workers.delete_many(workers))
        resigned = self._patiently(lambda: self._experiments.update_many(drivers, queries.RESIGN))
        return gone.deleted_count + resigned.modified_count

    def announce(self, worker: WorkerPresence, ttl_secs: float) -> None:
        """Say that a worker is there for the next `ttl_secs`."""
        update = queries.announce(worker, ttl_secs)
        upsert(self._patiently, self._workers, {"_id": worker.owner}, update)

    def retire(self, owner: str) -> None:
        """Forget a worker that ends. Tried once: its presence passes by itself."""
        self._patiently.once(lambda: self._workers.delete_one({"_id": owner}))

    def workers(self, exp_key: str | None) -> list[WorkerPresence]:
        """The live workers that would take trials of `exp_key` (None: all of them)."""
        found = self._patiently(lambda: list(self._workers.find(queries.live_workers(exp_key))))
        return [_presence(worker) for worker in found if _is_presence(worker)]


def _presence(worker: Document) -> WorkerPresence:
    return WorkerPresence(
        owner=worker["_id"],
        host=worker["host"],
        pid=worker["pid"],
        exp_key=worker["exp_key"],
        state=worker["state"],
        message=worker["message"],
        unfit_for=tuple(worker["unfit_for"]),
        seen=worker["seen"],
    )


# What `announce` writes. A document of another shape says nothing of a worker of ours.
_PRESENCE_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "_id": str,
    "host": str,
    "pid": int,
    "exp_key": (str, NoneType),
    "state": str,
    "message": str,
    "unfit_for": list,
    "seen": datetime,
}


def _is_presence(worker: Document) -> bool:
    return all(
        name in worker and isinstance(worker[name], wanted)
        for name, wanted in _PRESENCE_TYPES.items()
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _rows(space: Any) -> list[Mapping[str, Any]] | None:
    is_rows = isinstance(space, list) and all(isinstance(row, dict) for row in space)
    return space if is_rows else None
