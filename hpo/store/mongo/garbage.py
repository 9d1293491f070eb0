"""Garbage: what a process that was killed left behind, and nobody refers to any more.

    parts of files      chunks whose file was never completed, or was removed
    lost files          of trials that are gone; of experiments that were deleted
    superseded files    an attachment's old content, or one its trial never came to list
    objectives          that no trial names, of experiments that nobody leads
    presences           of workers and drivers whose time has passed

Bytes are written before anything refers to them, so what is young may be
referred to in a moment. Only what is older than a grace is touched, by the
server's clock for what hpo wrote. The ids of other programs' files carry their
machine's clock; hence the grace of a day, beyond what clocks differ by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection

from hpo.document import Document
from hpo.store.mongo.attachments import OF_TRIALS, FileShelf, ObjectiveShelf
from hpo.store.mongo.registry import Registry

GRACE_SECS = 86400.0
_BATCH_SIZE = 1000


@dataclass(frozen=True)
class Found:
    """Garbage of one kind: what it is called, how many, and their bytes where they have any."""

    what: str
    n: int
    n_bytes: int = 0


class Garbage:
    """Finds and removes the garbage beside one collection of trials.

    Args:
        jobs: the trials.
        registry: who is there.
        files: attachments; all collections of trials in the database share them.
    """

    def __init__(
        self,
        jobs: Collection[Document],
        registry: Registry,
        files: FileShelf,
        objectives: ObjectiveShelf,
    ) -> None:
        self._jobs, self._registry = jobs, registry
        self._files, self._objectives = files, objectives.shelf
        self._patiently = files.patiently

    def collect(self, *, older_than_secs: float, dry_run: bool) -> list[Found]:
        """Remove garbage, or with `dry_run` only find it."""
        before = self._files.server_time() - timedelta(seconds=older_than_secs)
        old = {"$lt": ObjectId.from_datetime(before)}
        lost, superseded = self._of_trials(old)
        lost += self._of_deleted_experiments(old)
        superseded += self._of_experiments(old)
        unnamed = self._unnamed_objectives(old)
        found = [
            _found("lost files", lost),
            _found("superseded files", superseded),
            _found("objectives that no trial names", unnamed),
        ]
        if not dry_run:
            _remove(self._files, [*lost, *superseded])
            _remove(self._objectives, unnamed)
        # After the files: what went with them are no parts that were left over.
        found.insert(0, self._parts(old, dry_run=dry_run))
        n_gone = self._registry.forget_the_gone(dry_run=dry_run)
        return [*found, Found("workers and drivers that are gone", n_gone)]

    def _parts(self, old: Document, *, dry_run: bool) -> Found:
        """Chunks without a file, of both buckets."""
        n = n_bytes = 0
        for shelf in (self._files, self._objectives):
            for part in list(self._strays(shelf, old)):
                n, n_bytes = n + part["n"], n_bytes + part["length"]
                if not dry_run:
                    _remove(shelf, [part])
        return Found("parts of files", n, n_bytes)

    def _strays(self, shelf: FileShelf, old: Document) -> Iterator[Document]:
        """{_id, n, length}: the id of a file that is none, its chunks and their bytes."""
        # The index of the chunks has all that is needed to find them.
        pipeline: list[Document] = [
            {"$match": {"files_id": old}},
            {"$group": {"_id": "$files_id"}},
            {
                "$lookup": {
                    "from": shelf.files.name,
                    "localField": "_id",
                    "foreignField": "_id",
                    "as": "file",
                }
            },
            {"$match": {"file": []}},
        ]
        ids = [found["_id"] for found in self._patiently(lambda: _aggregated(shelf, pipeline))]
        for batch in _batches(ids):
            size = {"$sum": {"$binarySize": "$data"}}
            measure: list[Document] = [
                {"$match": {"files_id": {"$in": batch}}},
                {"$group": {"_id": "$files_id", "n": {"$sum": 1}, "length": size}},
            ]
            yield from self._patiently(lambda measure=measure: _aggregated(shelf, measure))  # type: ignore[misc]

    def _of_trials(self, old: Document) -> tuple[list[Document], list[Document]]:
        """Files of trials that are gone, and files that their trial does not list."""
        lost, superseded = [], []
        for batch in _batches(self._find(self._files, {"filename": OF_TRIALS, "_id": old})):
            listed = self._listed({ObjectId(file["filename"][:24]) for file in batch})
            for file in batch:
                trial_id = ObjectId(file["filename"][:24])
                if trial_id not in listed:
                    lost.append(file)
                elif file["_id"] not in listed[trial_id]:
                    superseded.append(file)
        return lost, superseded

    def _listed(self, trial_ids: set[ObjectId]) -> dict[ObjectId, list[Any]]:
        """{_id of a trial that is there: the ids of the files that it lists}."""
        query = {"_id": {"$in": list(trial_ids)}}
        listed: dict[ObjectId, list[Any]] = {}
        for collection in self._collections_of_trials():
            for trial in self._patiently(
                lambda of=collection: list(of.find(query, {"_attachments": 1}))  # type: ignore[misc]
            ):
                listed[trial["_id"]] = list(_file_ids(trial.get("_attachments")))
        return listed

    def _collections_of_trials(self) -> list[Collection[Document]]:
        """Every collection that may hold trials: the bucket is shared by all of them."""
        database = self._jobs.database
        names = self._patiently(
            lambda: database.list_collection_names(filter={"type": "collection"})
        )
        no_trials = (".files", ".chunks")
        return [
            database[name]
            for name in names
            if not name.startswith("system.") and not name.endswith(no_trials)
        ]

    def _of_deleted_experiments(self, old: Document) -> list[Document]:
        alive = set(self._exp_keys())
        deleted = [key for key in self._registry.deleted_exp_keys() if key and key not in alive]
        return self._find(self._files, {"exp_key": {"$in": deleted}, "_id": old})

    def _of_experiments(self, old: Document) -> list[Document]:
        """All but the newest of the files that one experiment has under one name."""
        ours = {"exp_key": {"$in": self._exp_keys()}, "filename": {"$not": OF_TRIALS}}
        newest_first = self._find(self._files, ours, sort=[("uploadDate", -1)])
        superseded, seen, too_young = [], set(), old["$lt"]
        for file in newest_first:
            name = (file.get("exp_key"), file.get("filename"))
            if name in seen and isinstance(file["_id"], ObjectId) and file["_id"] < too_young:
                superseded.append(file)
            seen.add(name)
        return superseded

    def _unnamed_objectives(self, old: Document) -> list[Document]:
        named = self._patiently(lambda: self._jobs.distinct("objective"))
        led = self._registry.led_exp_keys()
        query = {"filename": {"$nin": named}, "exp_key": {"$nin": led}, "_id": old}
        return self._find(self._objectives, query)

    def _exp_keys(self) -> list[Any]:
        return self._patiently(lambda: self._jobs.distinct("exp_key"))

    def _find(
        self, shelf: FileShelf, query: Document, sort: list[tuple[str, int]] | None = None
    ) -> list[Document]:
        fields = {"filename": 1, "exp_key": 1, "length": 1}
        return self._patiently(lambda: list(shelf.files.find(query, fields, sort=sort)))


def _aggregated(shelf: FileShelf, pipeline: list[Document]) -> list[Document]:
    return list(shelf.chunks.aggregate(pipeline, allowDiskUse=True))


def _remove(shelf: FileShelf, files: Sequence[Document]) -> None:
    for batch in _batches([file["_id"] for file in files]):
        shelf.remove_by_id(batch)


def _found(what: str, files: Sequence[Document]) -> Found:
    return Found(what, len(files), sum(int(file.get("length") or 0) for file in files))


def _file_ids(entries: Any) -> Iterator[Any]:
    """The ids in a trial's `_attachments`, [[name, id], …], as far as it is that."""
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, list) and len(entry) == 2:
            yield entry[1]


def _batches(items: Sequence[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH_SIZE)):
        yield batch
