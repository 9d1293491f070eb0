"""Bytes beside trials and experiments, in GridFS.

As hyperopt lays them out, in the bucket "fs":

    of an experiment   a file with the attachment's name, and `exp_key` if it has one
    of a trial         a file "<_id>_<name>"; the trial's `_attachments` lists [name, file id]

In a bucket of their own, which workers need only read:

    an objective       a file named by its sha256, with `exp_key`

The new file is stored before the old one goes, so a reader finds one of the two.
Who is killed in between leaves bytes that nobody reads; `hpo.store.mongo.garbage`
finds them. File ids begin with the server's time, so that it can tell how old
they are, whatever the clock of the machine that wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

from bson import ObjectId
from gridfs import GridFS, NoFile
from pymongo.collection import Collection
from pymongo.database import Database

from hpo.document import Document, Tid
from hpo.exceptions import InvalidOption
from hpo.store.mongo.failures import Patience

# Files in the same bucket that belong to trials.
OF_TRIALS = re.compile("^[0-9a-f]{24}_")


def id_made_at(time: datetime) -> ObjectId:
    """A new id that says it was made then, by the second; `time` is aware."""
    return ObjectId(ObjectId.from_datetime(time).binary[:4] + ObjectId().binary[4:])


class FileShelf:
    """A GridFS bucket.

    Args:
        database: with the write concern that files need.
        bucket: its name, with which the names of its two collections begin.
    """

    def __init__(
        self, database: Database[Document], patiently: Patience, bucket: str = "fs"
    ) -> None:
        self.gridfs = GridFS(database, bucket)
        self.files, self.chunks = database[f"{bucket}.files"], database[f"{bucket}.chunks"]
        self.patiently = patiently

    def put(self, payload: bytes | str, **attributes: Any) -> Any:
        """Store a file, text as UTF-8; its id.

        A try that broke off leaves at worst chunks that nobody reads.
        """
        if isinstance(payload, str):
            payload = payload.encode()
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            raise InvalidOption(
                f"an attachment must be bytes or text, not {type(payload).__name__}; objects "
                "become bytes by pickle.dumps"
            )
        now = self.server_time()
        # A new id for each try: the chunks of the try before may be there.
        return self.patiently(
            lambda: self.gridfs.put(bytes(payload), _id=id_made_at(now), **attributes)
        )

    def server_time(self) -> datetime:
        """The server's clock, UTC."""
        answer = self.patiently(lambda: self.files.database.command("hello"))
        now: datetime = answer["localTime"]
        return now.replace(tzinfo=timezone.utc)

    def read(self, query: Document) -> bytes | None:
        """The newest file that matches, or None.

        A file that is replaced while it is read is looked up again.
        """
        while True:
            newest = self.patiently(lambda: self.files.find_one(query, sort=[("uploadDate", -1)]))
            if newest is None:
                return None
            try:
                return self.patiently(partial(self._content, newest["_id"]))
            except NoFile:
                continue

    def _content(self, file_id: Any) -> bytes:
        return bytes(self.gridfs.get(file_id).read())

    def ids(self, query: Document) -> list[Any]:
        """The ids of the files that match."""
        return self.patiently(lambda: [file["_id"] for file in self.files.find(query, {"_id": 1})])

    def remove(self, query: Document) -> int:
        """Remove files; how many there were."""
        ids = self.ids(query)
        for start in range(0, len(ids), 1000):
            self.remove_by_id(ids[start : start + 1000])
        return len(ids)

    def remove_by_id(self, ids: Sequence[Any]) -> None:
        """Remove files, and the chunks of what has become no file."""
        # The entry goes first: chunks without an entry are garbage, the reverse a broken file.
        self.patiently(lambda: self.files.delete_many({"_id": {"$in": ids}}))
        self.patiently(lambda: self.chunks.delete_many({"files_id": {"$in": ids}}))

    def exp_keys(self) -> list[str]:
        """Every named experiment that has attachments."""
        return self.patiently(lambda: self.files.distinct("exp_key", {"exp_key": {"$ne": None}}))


class ObjectiveShelf:
    """The objectives of all experiments, each under its sha256.

    Args:
        database: with the write concern that files need.
        bucket: the name of their GridFS bucket.
    """

    def __init__(self, database: Database[Document], bucket: str, patiently: Patience) -> None:
        self.shelf = FileShelf(database, patiently, bucket)

    def put(self, exp_key: str | None, sha256: str, payload: bytes) -> None:
        """Store an experiment's objective, in place of what stands under its name.

        Two drivers that do so at once may both leave theirs: either is good.
        """
        replaced = self.shelf.ids({"filename": sha256})
        self.shelf.put(payload, filename=sha256, exp_key=exp_key)
        self.shelf.remove({"_id": {"$in": replaced}})

    def get(self, sha256: str) -> bytes:
        """Raises KeyError when there is none."""
        payload = self.shelf.read({"filename": sha256})
        if payload is None:
            raise KeyError(sha256)
        return payload

    def remove(self, exp_key: str | None) -> None:
        """Remove those of an experiment."""
        self.shelf.remove({"exp_key": exp_key})


class ExperimentAttachments(MutableMapping[str, bytes]):
    """Named bytes beside an experiment."""

    def __init__(self, shelf: FileShelf, exp_key: str | None) -> None:
        self._shelf, self._exp_key = shelf, exp_key

    def __getitem__(self, name: str) -> bytes:
        payload = self._shelf.read(self._named(name))
        if payload is None:
            raise KeyError(name)
        return payload

    def __setitem__(self, name: str, payload: bytes) -> None:
        attributes = {} if self._exp_key is None else {"exp_key": self._exp_key}
        # By id, not by age: the clocks of two machines may disagree about which file is newer.
        replaced = self._shelf.ids(self._named(name))
        self._shelf.put(payload, filename=name, **attributes)
        self._shelf.remove({"_id": {"$in": replaced}})

    def __delitem__(self, name: str) -> None:
        if not self._shelf.remove(self._named(name)):
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        shelf, query = self._shelf, self._named(str(name))
        return shelf.patiently(lambda: shelf.files.find_one(query, {"_id": 1})) is not None

    def __iter__(self) -> Iterator[str]:
        shelf, query = self._shelf, self._own()
        return iter(sorted(shelf.patiently(lambda: shelf.files.distinct("filename", query))))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Remove all of them."""
        self._shelf.remove(self._own())

    def _own(self) -> Document:
        return {"exp_key": self._exp_key, "filename": {"$not": OF_TRIALS}}

    def _named(self, name: str) -> Document:
        return {"exp_key": self._exp_key, "filename": name}


class TrialAttachments(MutableMapping[str, bytes]):
    """Named bytes beside a trial."""

    def __init__(self, shelf: FileShelf, jobs: Collection[Document], tid: Tid) -> None:
        self._shelf, self._jobs, self._tid = shelf, jobs, tid

    def __getitem__(self, name: str) -> bytes:
        payload = self._shelf.read({"_id": self._listed()[name]})
        if payload is None:
            raise KeyError(name)
        return payload

    def __setitem__(self, name: str, payload: bytes) -> None:
        stored = self._shelf.put(payload, filename=f"{self._trial()['_id']}_{name}")
        self._relist(name, [[name, stored]])

    def __delitem__(self, name: str) -> None:
        if name not in self._listed():
            raise KeyError(name)
        self._relist(name, [])

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed())

    def __len__(self) -> int:
        return len(self._listed())

    def _trial(self) -> Document:
        jobs, query = self._jobs, {"tid": {"$eq": self._tid}}
        found = self._shelf.patiently(lambda: jobs.find_one(query, {"_attachments": 1}))
        if found is None:
            raise KeyError(f"trial {self._tid!r} is not stored; insert it before attaching to it")
        return found

    def _listed(self) -> dict[str, Any]:
        return {name: file_id for name, file_id in self._trial().get("_attachments", [])}

    def _relist(self, name: str, entries: list[list[Any]]) -> None:
        """Replace what the trial lists under `name`, and remove the files it listed before."""
        shelf, jobs = self._shelf, self._jobs
        query, update = {"tid": {"$eq": self._tid}}, _relisted(name, entries)
        before = shelf.patiently(lambda: jobs.find_one_and_update(query, update))
        listed = (before or {}).get("_attachments", [])
        kept = [file_id for _, file_id in entries]
        old = [file_id for other, file_id in listed if other == name and file_id not in kept]
        if old:
            shelf.remove({"_id": {"$in": old}})


def _relisted(name: str, entries: list[list[Any]]) -> list[Document]:
    """Update that replaces one name's entry in `_attachments` and leaves the others alone."""
    others = {
        "$filter": {
            "input": {"$ifNull": ["$_attachments", []]},
            "cond": {"$ne": [{"$arrayElemAt": ["$$this", 0]}, {"$literal": name}]},
        }
    }
    fields = {
        "_attachments": {"$concatArrays": [others, {"$literal": entries}]},
        "version": {"$add": [{"$ifNull": ["$version", 0]}, 1]},
    }
    return [{"$set": fields}]
