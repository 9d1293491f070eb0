"""MongoJobs: the trials of a database as hyperopt's programs handle them, one by one.

    jobs = MongoJobs.new_from_connection_str("mongo://host:27017/digits/jobs")
    job = jobs.reserve("me")                     NEW -> RUNNING
    jobs.set_attachment(job, b"...", "model")
    jobs.update(job, {"state": JOB_STATE_DONE, "result": {"status": "ok", "loss": 0.1}})

A `MongoStore` does all the work; what is here keeps its promises. So a job that
was reserved has a lease: `refresh` renews it, and when it has passed, another
worker gets the job and `update` raises.

Source: the names and meanings are those of hyperopt.mongoexp.MongoJobs.
"""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from gridfs import GridFS
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.database import Database

from hpo import document
from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    OPEN_STATES,
    Claim,
    Document,
    check_trial,
)
from hpo.exceptions import InvalidOption, StoreError
from hpo.store.mongo import queries
from hpo.store.mongo.connection import Client
from hpo.store.mongo.encoding import encoded
from hpo.store.mongo.failures import translated
from hpo.store.mongo.store import MongoStore
from hpo.store.mongo.url import DEFAULT_PORT

__all__ = ["MongoJobs", "owner_text"]

# Whoever reserves a job by hand has no thread that renews the lease.
HAND_LEASE_SECS = 3600.0


class MongoJobs:
    """The collection of trial documents.

    Args:
        store: where they are; `close` closes it.

    Attributes:
        store: likewise.
        tunnel: always None; hyperopt kept a process here.
    """

    tunnel = None

    def __init__(self, store: MongoStore) -> None:
        self.store = store

    @classmethod
    def new_from_connection_str(
        cls, conn_str: str, gfs_coll: str = "fs", config_name: str = "spec"
    ) -> MongoJobs:
        """Open the database at an address; any form that `hpo.store.mongo.url` knows.

        Args:
            config_name: taken for compatibility; it never had a meaning.

        Raises:
            InvalidUrl, ServerUnreachable, AccessDenied: with what to do next.
        """
        _require_default_bucket(gfs_coll)
        return cls(MongoStore.connect(conn_str))

    @classmethod
    def alloc(
        cls,
        dbname: str,
        host: str = "localhost",
        auth_dbname: str | None = "admin",
        port: int = DEFAULT_PORT,
        jobs_coll: str = "jobs",
        gfs_coll: str = "fs",
        ssh: bool = False,
        user: str | None = None,
        pw: str | None = None,
    ) -> MongoJobs:
        """Open the database that these pieces describe."""
        _require_default_bucket(gfs_coll)
        if ssh:
            raise InvalidOption(
                "ssh=True is not supported; open the tunnel yourself "
                f"(ssh -NL {DEFAULT_PORT}:localhost:{port} {host}) and give host='localhost'"
            )
        login = "" if user is None else f"{quote(user, safe='')}:{quote(pw or '', safe='')}@"
        options = f"?authSource={auth_dbname}" if user is not None and auth_dbname else ""
        return cls(
            MongoStore.connect(f"mongo://{login}{host}:{port}/{dbname}/{jobs_coll}{options}")
        )

    # --- what pymongo calls them ---

    @property
    def jobs(self) -> Collection[Document]:
        """The collection of trial documents."""
        return self.store.jobs

    collection = jobs

    @property
    def db(self) -> Database[Document]:
        """The database."""
        return self.store.db

    @property
    def conn(self) -> Client:
        """The client."""
        return self.store.client

    @property
    def gfs(self) -> GridFS:
        """The files: attachments of trials and of experiments."""
        return GridFS(self.store.db)

    def create_indexes(self) -> None:
        """Create the indexes that are missing; connecting has done so already."""
        self.store.prepare()

    def close(self) -> None:
        """Close the connection; the documents stay."""
        self.store.close()

    # --- reading ---

    def __len__(self) -> int:
        with translated(self.store.hosts):
            return self.jobs.count_documents({})

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Document]:
        with translated(self.store.hosts):
            yield from self.jobs.find(sort=queries.BY_TID)

    def jobs_complete(self, cursor: bool = False) -> Iterable[Document]:
        """Those whose objective returned: a list, or a pymongo cursor."""
        return self._find({"state": JOB_STATE_DONE}, cursor)

    def jobs_error(self, cursor: bool = False) -> Iterable[Document]:
        """Those that failed."""
        return self._find({"state": JOB_STATE_ERROR}, cursor)

    def jobs_running(self, cursor: bool = False) -> Iterable[Document]:
        """Those that somebody holds whose lease has not passed."""
        is_dead = queries.expired(None)
        return self._find({"state": JOB_STATE_RUNNING, "$nor": [is_dead]}, cursor)

    def jobs_dead(self, cursor: bool = False) -> Iterable[Document]:
        """Those whose holder has not renewed the lease; the next idle worker requeues them."""
        return self._find(queries.expired(None), cursor)

    def jobs_queued(self, cursor: bool = False) -> Iterable[Document]:
        """Those that nobody holds yet."""
        return self._find({"state": JOB_STATE_NEW}, cursor)

    def _find(self, query: Mapping[str, Any], cursor: bool) -> Iterable[Document]:
        with translated(self.store.hosts):
            found: Cursor[Document] = self.jobs.find(query, sort=queries.BY_TID)
            return found if cursor else list(found)

    # --- writing ---

    def insert(self, job: Document) -> Document:
        """Store a trial document; return a copy of it as stored, with its `_id`.

        Raises:
            InvalidTrial, UnstorableResult, DuplicateTrial: it was not stored.
        """
        check_trial(job)
        stored = copy.deepcopy(job)
        self.store.insert([stored])
        return stored

    def reserve(
        self,
        host_id: Any,
        cond: Mapping[str, Any] | None = None,
        exp_key: str | None = None,
        *,
        lease_secs: float = HAND_LEASE_SECS,
    ) -> Document | None:
        """NEW -> RUNNING: take the job with the least tid, or return None.

        Args:
            host_id: who takes it, in any form: text, or a tuple of words.
            cond: what else must hold of the job, as a MongoDB filter.
            exp_key: only jobs of this experiment.
            lease_secs: how long it stays reserved without `refresh`.

        Raises:
            InvalidOption: `cond` asks for a job that somebody owns.
        """
        wanted = dict(cond or {})
        if wanted.pop("owner", None) is not None:
            raise InvalidOption(
                "cond asks for a job that has an owner; only a free one can be reserved"
            )
        step = document.claim(owner_text(host_id), socket.gethostname(), lease_secs)
        requires, update = queries.compile_transition(step)
        query = {**queries.claimable(exp_key), **wanted, **requires}
        with translated(self.store.hosts):
            return self.jobs.find_one_and_update(
                query, update, sort=queries.BY_TID, return_document=ReturnDocument.AFTER
            )

    def refresh(self, doc: Document) -> None:
        """Say that a job is still being worked on: renews its lease.

        Raises:
            StoreError: somebody else holds it by now, or it has changed.
        """
        if doc.get("lease_until") is not None and doc["state"] == JOB_STATE_RUNNING:
            self.store.heartbeat(Claim.of(doc), HAND_LEASE_SECS)
        else:
            self.update(doc, {"refresh_time": self.store.now()})

    def update(
        self,
        doc: Document,
        dct: Mapping[str, Any],
        collection: Collection[Document] | None = None,
        do_sanity_checks: bool = True,
    ) -> Document:
        """Set fields of a document, unless it has changed since `doc` was read.

        Args:
            doc: as read; gets the new fields and the new version, too.
            dct: {field: new value}.
            collection: where it is; default the trials.
            do_sanity_checks: raise when nothing was updated.

        Returns:
            The same `doc`.

        Raises:
            StoreError: the document is gone, or has another version by now.
            ValueError: `doc` has no `_id`, or `dct` another one.
        """
        changed = _changed_fields(doc, dct)
        seen: dict[str, Any] = {key: doc[key] for key in ("_id", "version") if key in doc}
        update: dict[str, Any] = {"$set": encoded(changed, "the update")}
        if "lease_until" in changed:
            update["$currentDate"] = {"finish_time": True}
        with translated(self.store.hosts):
            target = self.jobs if collection is None else collection
            n_matched = target.update_one(seen, update).matched_count
        if not n_matched and do_sanity_checks:
            raise StoreError(
                f"the document {doc['_id']} has changed since it was read, or is gone; read it "
                "again with jobs.find_one({'_id': …}) and repeat the update"
            )
        had_ended = doc.get("state") not in OPEN_STATES
        doc.update(changed)
        if collection is None and had_ended:
            self.store.note_rewritten([doc.get("exp_key")])
        return doc

    # --- removing ---

    def delete(self, job: Mapping[str, Any]) -> None:
        """Remove a job, with its attachments."""
        self.delete_all({"_id": job["_id"]})

    def delete_all_error_jobs(self) -> None:
        """Remove the jobs that failed, with their attachments."""
        self.delete_all({"state": JOB_STATE_ERROR})

    def delete_all(self, cond: Mapping[str, Any] | None = None) -> None:
        """Remove the jobs for which `cond`, a MongoDB filter, holds; None: everything.

        Their attachments go with them; without `cond` those of the experiments, too.
        """
        if not cond:
            self.store.delete(None, all_experiments=True)
            return
        with translated(self.store.hosts):
            found = list(self.jobs.find(cond, {"_attachments": 1, "exp_key": 1}))
            for job in found:
                for _, file_id in job.get("_attachments", []):
                    self.gfs.delete(file_id)
            self.jobs.delete_many({"_id": {"$in": [job["_id"] for job in found]}})
        self.store.note_rewritten({job["exp_key"] for job in found})

    # --- attachments ---

    def attachment_names(self, doc: Document) -> list[str]:
        """The names of a job's attachments."""
        return list(self.store.trial_attachments(doc))

    def set_attachment(
        self,
        doc: Document,
        blob: bytes | str,
        name: str,
        collection: Collection[Document] | None = None,
    ) -> None:
        """Keep bytes (or text, as UTF-8) beside a job, in place of what had that name.

        Args:
            collection: taken for compatibility; only jobs have attachments.
        """
        payload = blob.encode() if isinstance(blob, str) else bytes(blob)
        self.store.trial_attachments(doc)[name] = payload
        self._reread(doc)

    def get_attachment(self, doc: Document, name: str) -> bytes:
        """The bytes kept under a name. Raises StoreError when there are none."""
        try:
            return self.store.trial_attachments(doc)[name]
        except KeyError:
            raise self._no_attachment(doc, name) from None

    def delete_attachment(
        self, doc: Document, name: str, collection: Collection[Document] | None = None
    ) -> None:
        """Remove the bytes kept under a name. Raises StoreError when there are none."""
        try:
            del self.store.trial_attachments(doc)[name]
        except KeyError:
            raise self._no_attachment(doc, name) from None
        self._reread(doc)

    def _no_attachment(self, doc: Document, name: str) -> StoreError:
        names = ", ".join(map(repr, self.attachment_names(doc))) or "none"
        return StoreError(f"Attachment not found: {name!r}; trial {doc['tid']!r} has {names}")

    def _reread(self, doc: Document) -> None:
        """Bring a caller's document up to date, so that its next `update` fits."""
        with translated(self.store.hosts):
            fields = self.jobs.find_one({"tid": doc["tid"]}, {"_attachments": 1, "version": 1})
        doc.update(fields or {})


def owner_text(host_id: Any) -> str:
    """hyperopt's ("host:pid",) and ("host", 3) as one text: "host:pid", "host:3"."""
    words = host_id if isinstance(host_id, (tuple, list)) else (host_id,)
    return ":".join(map(str, words))


def _changed_fields(doc: Mapping[str, Any], dct: Mapping[str, Any]) -> dict[str, Any]:
    """What `update` sets: the fields asked for, and those that go with them."""
    if "_id" not in doc:
        raise ValueError(f"a document without '_id' is not stored yet; insert it first: {doc!r}")
    if dct.get("_id", doc["_id"]) != doc["_id"]:
        raise ValueError(f"the _id {doc['_id']!r} cannot become {dct['_id']!r}")
    changed = {key: value for key, value in dct.items() if key not in ("_id", "version")}
    ends = doc.get("state") in OPEN_STATES and dct.get("state", JOB_STATE_NEW) not in OPEN_STATES
    if ends:
        changed["lease_until"] = None
    return {**copy.deepcopy(changed), "version": doc.get("version", 0) + 1}


def _require_default_bucket(gfs_coll: str) -> None:
    if gfs_coll != "fs":
        raise InvalidOption(
            f"gfs_coll is {gfs_coll!r}, but attachments are always in 'fs'; for another search "
            "use another database"
        )
