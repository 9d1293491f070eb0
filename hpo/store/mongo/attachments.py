"""Bytes beside trials and experiments, in GridFS, as hyperopt lays them out.

    of an experiment   a file with the attachment's name, and `exp_key` if it has one
    of a trial         a file "<_id>_<name>"; the trial's `_attachments` lists [name, file id]
    an objective       a file "objective:<sha256>"; `exp_keys` lists who uses it

The new file is stored before the old one goes, so a reader finds one of the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from functools import partial
from typing import Any

from gridfs import GridFS, NoFile
from pymongo.collection import Collection
from pymongo.database import Database

from hpo.document import Document, Tid
from hpo.exceptions import InvalidOption
from hpo.store.mongo.failures import Patience

OBJECTIVE_PREFIX = "objective:"

# Files in the same bucket that belong to trials or are objectives.
_NOT_OF_EXPERIMENTS = re.compile(f"^([0-9a-f]{{24}}_|{OBJECTIVE_PREFIX})")


class FileShelf:
    """The database's GridFS bucket.

    Args:
        database: with the write concern that files need.
        jobs: the collection of trial documents.
    """

    def __init__(
        self, database: Database[Document], jobs: Collection[Document], patiently: Patience
    ) -> None:
        self.gridfs = GridFS(database)
        self.files, self._chunks = database["fs.files"], database["fs.chunks"]
        self.jobs, self.patiently = jobs, patiently

    def put(self, payload: bytes | str, **attributes: Any) -> Any:
        """Store a file, text as UTF-8; its id.

        A repeated try leaves at worst chunks that nobody reads.
        """
        if isinstance(payload, str):
            payload = payload.encode()
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            raise InvalidOption(
                f"an attachment must be bytes or text, not {type(payload).__name__}; objects "
                "become bytes by pickle.dumps"
            )
        return self.patiently(lambda: self.gridfs.put(bytes(payload), **attributes))

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
            self._remove_by_id(ids[start : start + 1000])
        return len(ids)

    def _remove_by_id(self, ids: list[Any]) -> None:
        # The entry goes first: chunks without an entry are garbage, the reverse a broken file.
        self.patiently(lambda: self.files.delete_many({"_id": {"$in": ids}}))
        self.patiently(lambda: self._chunks.delete_many({"files_id": {"$in": ids}}))

    # --- objectives ---

    def put_objective(self, exp_key: str | None, sha256: str, payload: bytes) -> None:
        """Store an objective unless it is stored, and note that the experiment uses it."""
        name = f"{OBJECTIVE_PREFIX}{sha256}"
        noted = self.patiently(
            lambda: self.files.update_one({"filename": name}, {"$addToSet": {"exp_keys": exp_key}})
        )
        # Two drivers may both find nothing and store the same bytes twice: that does no harm,
        # while a fixed _id would let one abort the other's half-written file.
        if noted.matched_count == 0:
            self.put(payload, filename=name, exp_keys=[exp_key])

    def get_objective(self, sha256: str) -> bytes:
        """Raises KeyError when there is none."""
        payload = self.read({"filename": f"{OBJECTIVE_PREFIX}{sha256}"})
        if payload is None:
            raise KeyError(sha256)
        return payload

    def forget_objectives(self, exp_key: str | None) -> None:
        """Remove the objectives that only this experiment used."""
        self.patiently(
            lambda: self.files.update_many({"exp_keys": exp_key}, {"$pull": {"exp_keys": exp_key}})
        )
        self.remove({"filename": {"$regex": f"^{OBJECTIVE_PREFIX}"}, "exp_keys": {"$size": 0}})


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
        return {"exp_key": self._exp_key, "filename": {"$not": _NOT_OF_EXPERIMENTS}}

    def _named(self, name: str) -> Document:
        return {"exp_key": self._exp_key, "filename": name}


class TrialAttachments(MutableMapping[str, bytes]):
    """Named bytes beside a trial."""

    def __init__(self, shelf: FileShelf, tid: Tid) -> None:
        self._shelf, self._tid = shelf, tid

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
        shelf, query = self._shelf, {"tid": self._tid}
        found = shelf.patiently(lambda: shelf.jobs.find_one(query, {"_attachments": 1}))
        if found is None:
            raise KeyError(f"trial {self._tid!r} is not stored; insert it before attaching to it")
        return found

    def _listed(self) -> dict[str, Any]:
        return {name: file_id for name, file_id in self._trial().get("_attachments", [])}

    def _relist(self, name: str, entries: list[list[Any]]) -> None:
        """Replace what the trial lists under `name`, and remove the files it listed before."""
        shelf, query, update = self._shelf, {"tid": self._tid}, _relisted(name, entries)
        before = shelf.patiently(lambda: shelf.jobs.find_one_and_update(query, update))
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
