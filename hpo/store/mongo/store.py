"""MongoStore: trials in a MongoDB database that drivers, workers and people share.

    verb                  what it takes from the server            acknowledged by
    insert                one bulk of upserts keyed by _id         majority, journal
    claim                 one find_one_and_update, least tid       the primary
    heartbeat, checkpoint, report
                          one update                               the primary
    finish, fail, release one update                               majority, journal
    changes               one find over indexes                    -

A claim that a failover rolls back does no harm: the trial is NEW again, and
whatever the claimer writes later is fenced by owner and attempt. A result must
not be rolled back, hence the majority. On a standalone server both mean that
one server.

What fails for a passing reason (a new primary is elected, a connection breaks)
is repeated for `patience_secs`; every verb may be repeated without harm.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, Literal, NoReturn

from pymongo import ReturnDocument
from pymongo.collection import Collection as MongoCollection
from pymongo.cursor import Cursor
from pymongo.errors import OperationFailure

from hpo import document
from hpo.defects import MAX_COUNT, defect
from hpo.document import DEFAULT_LEASE_SECS, OPEN_STATES, Claim, Document, Tid, Transition
from hpo.exceptions import LeaseLost, ServerUnreachable, UnstorableResult
from hpo.store.base import REPORTED_FIELDS, Experiment, Horizon, Watch, WorkerPresence
from hpo.store.mongo import queries, schema
from hpo.store.mongo.aside import Aside
from hpo.store.mongo.attachments import (
    ExperimentAttachments,
    FileShelf,
    ObjectiveShelf,
    TrialAttachments,
)
from hpo.store.mongo.connection import (
    QUICK,
    Client,
    durable_database,
    open_client,
    unknown_hosts,
    upsert,
)
from hpo.store.mongo.encoding import encoded, storable_text
from hpo.store.mongo.failures import Patience, translated
from hpo.store.mongo.garbage import GRACE_SECS, Found, Garbage
from hpo.store.mongo.insertion import Inserter
from hpo.store.mongo.registry import Registry
from hpo.store.mongo.url import DEFAULT_COLLECTION, parse_mongo_url
from hpo.store.mongo.watch import MongoWatch, watch_pipeline

DEFAULT_PATIENCE_SECS = 30.0

# Documents per answer of the server while trials are followed or listed.
BATCH_SIZE = 1000


class MongoStore:
    """A `Store` in a MongoDB database. Threads may share it, processes each open their own.

    Args:
        client: an open pymongo client; `close` closes it.
        database: its name.
        collection: where the trial documents are. With a name other than hyperopt's "jobs"
            everything else of this search stands beside it under "<collection>.…".
        patience_secs: how long a verb is repeated after a passing failure.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        collection: str = DEFAULT_COLLECTION,
        *,
        patience_secs: float = DEFAULT_PATIENCE_SECS,
    ) -> None:
        self.client, self.db = client, durable_database(client, database)
        beside = "" if collection == DEFAULT_COLLECTION else f"{collection}."
        self.jobs = self.db[collection]
        self._jobs_quick = self.jobs.with_options(write_concern=QUICK)
        self._job_ids = self.db["job_ids"]
        self._workers = self.db.get_collection(f"{beside}workers", write_concern=QUICK)
        self._view_name = f"{beside}trials"
        self._patiently = Patience(patience_secs, self.hosts)
        self._registry = Registry(self.db[f"{beside}experiments"], self._workers, self._patiently)
        self._inserter = Inserter(self.jobs, self._patiently)
        self._aside = Aside(self.jobs, self._patiently)
        self._files = FileShelf(self.db, self._patiently)
        self._objectives = ObjectiveShelf(self.db, f"{beside}objectives", self._patiently)
        self._next_unreserved_tid = 0
        self._n_found = 0

    @classmethod
    def connect(
        cls, url: str, *, appname: str = "hpo", patience_secs: float = DEFAULT_PATIENCE_SECS
    ) -> MongoStore:
        """Open the database at a URL, and create there what is missing.

        Fails early, whatever `patience_secs`: a URL may be wrong. Who wants to wait for a
        server that is away tries again.

        Args:
            url: any form that `hpo.store.mongo.url` knows.
            appname: how the server's log and currentOp name this process.

        Raises:
            InvalidUrl, ServerUnreachable, AccessDenied: with what to do next.
            UnknownHost: nobody knows the hosts.
        """
        address = parse_mongo_url(url)
        client = open_client(address, appname)
        store = cls(client, address.database, address.collection, patience_secs=patience_secs)
        try:
            store.prepare()
        except ServerUnreachable as error:
            unknown = unknown_hosts(client)
            client.close()
            raise unknown or error from error.__cause__
        except BaseException:
            client.close()
            raise
        return store

    def prepare(self) -> None:
        """Create the indexes and the view that are missing; takes a few ms when all is there."""
        with translated(self.hosts):
            schema.check_version(self.client.admin.command("hello"))
            try:
                schema.create_indexes(
                    [
                        (self.jobs, queries.JOBS_INDEXES),
                        (self._job_ids, queries.JOB_IDS_INDEXES),
                        (self._workers, queries.WORKERS_INDEXES),
                    ]
                )
                schema.create_view(self.db, self._view_name, self.jobs.name)
            except OperationFailure as error:
                if not schema.may_only_read(error, self.jobs):
                    raise

    @property
    def hosts(self) -> str:
        """The servers as a person knows them, without credentials."""
        servers = self.client.topology_description.server_descriptions()
        return ", ".join(host if port is None else f"{host}:{port}" for host, port in servers)

    def __repr__(self) -> str:
        return f"MongoStore({self.db.name!r}, {self.jobs.name!r} on {self.hosts})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a MongoStore is a connection and cannot be pickled; its documents are in the "
            "database: open it again with MongoStore.connect(url)"
        )

    # --- the queue ---

    def allocate_tids(self, n: int) -> list[int]:
        """Reserve `n` ids from the database's one counter."""
        if n < 1:
            return []
        counter = upsert(
            self._patiently, self._job_ids, queries.TID_COUNTER, queries.reserve_tids(n)
        )
        end = int(counter["last_id"])
        self._next_unreserved_tid = max(self._next_unreserved_tid, end)
        return list(range(end - n, end))

    def insert(self, trials: Sequence[Document], *, first_number: int | None = None) -> None:
        """Store trials in order, and set `_id` and `number` in the documents given."""
        self._inserter.insert(trials, first_number)
        self._skip_tids([trial["tid"] for trial in trials if isinstance(trial["tid"], int)])

    def _skip_tids(self, tids: Sequence[int]) -> None:
        """Let the counter never hand out ids that were chosen without it."""
        next_tid = max(tids, default=-1) + 1
        if next_tid > self._next_unreserved_tid:
            update = queries.skip_tids_to(next_tid)
            upsert(self._patiently, self._job_ids, queries.TID_COUNTER, update)
            self._next_unreserved_tid = next_tid

    def claim(
        self,
        owner: str,
        *,
        host: str = "",
        exp_key: str | None = None,
        lease_secs: float = DEFAULT_LEASE_SECS,
        except_objectives: Collection[str | None] = (),
    ) -> Document | None:
        """Take the NEW trial with the least tid, or return None.

        What is claimed and is no trial is set aside.
        """
        requires, update = queries.compile_transition(document.claim(owner, host, lease_secs))
        query = {**queries.claimable(exp_key, except_objectives), **requires}

        def take() -> Document | None:
            return self._jobs_quick.find_one_and_update(
                query, update, sort=queries.BY_TID, return_document=ReturnDocument.AFTER
            )

        def take_again() -> Document | None:
            # The first try may have succeeded without our hearing of it.
            mine = self.jobs.find_one(queries.held_by(owner, exp_key), sort=[("book_time", -1)])
            return mine or take()

        while True:
            try:
                trial = self._patiently(take, again=take_again)
            except UnstorableResult as error:
                if not self._aside.end_unclaimable(query, str(error)):
                    raise
                continue
            why = None if trial is None else defect(trial)
            if trial is None or why is None:
                break
            self._aside.end(trial, why)
        if trial is not None:
            self._note_found()
        return trial

    def heartbeat(self, held: Claim, lease_secs: float = DEFAULT_LEASE_SECS) -> None:
        """Renew the lease. Raises LeaseLost."""
        self._write(held, document.heartbeat(held, lease_secs), self._jobs_quick)

    def checkpoint(self, held: Claim, result: Mapping[str, Any]) -> None:
        """Publish a partial result. Raises LeaseLost, or UnstorableResult and the claim stands."""
        step = document.checkpoint(held, encoded(result, "result"))
        self._write(held, step, self._jobs_quick)

    def report(self, held: Claim, reports: Sequence[Mapping[str, Any]]) -> None:
        """Publish the trial's learning curve so far, whole. Raises LeaseLost."""
        self._write(held, document.report(held, reports), self._jobs_quick)

    def finish(self, held: Claim, result: Mapping[str, Any]) -> None:
        """RUNNING -> DONE. Raises LeaseLost, or UnstorableResult and the claim still stands."""
        self._write(held, document.finish(held, encoded(result, "result")), self.jobs)

    def fail(
        self,
        held: Claim,
        error: tuple[str, str],
        traceback: str = "",
        *,
        reason: str = "exception",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """RUNNING -> ERROR. Raises LeaseLost."""
        kind, text = error
        step = document.fail(
            held,
            (storable_text(kind), storable_text(text)),
            storable_text(traceback),
            reason=reason,
            details=encoded(details or {}, "details"),
        )
        self._write(held, step, self.jobs)

    def release(self, held: Claim, reason: str) -> None:
        """RUNNING -> NEW without spending an attempt. Raises LeaseLost."""
        self._write(held, document.release(held, reason), self.jobs)

    def lose(self, trial: Document, reason: str, details: Mapping[str, Any] | None = None) -> None:
        """RUNNING -> NEW at the cost of an attempt, or ERROR. Raises LeaseLost."""
        step = document.lose(trial, reason, encoded(details or {}, "details"))
        self._write(Claim.of(trial), step, self.jobs)

    def _write(self, held: Claim, step: Transition, jobs: MongoCollection[Document]) -> None:
        """Apply a step under a claim, unless a retry finds that it has been applied."""
        query, update = queries.compile_transition(step)
        try:
            matched = self._patiently(lambda: jobs.update_one(query, update)).matched_count
        except UnstorableResult:
            if "result" in step.sets:
                raise
            matched = self._end_in_place(query)
        if matched:
            return
        if step.attempt_end is not None:
            ended = queries.already_applied(held, step)
            if self._patiently(lambda: self.jobs.find_one(ended, {"_id": 1})) is not None:
                return
        raise LeaseLost(held.tid, held.owner, held.attempt)

    def requeue_expired(self, exp_key: str | None = None) -> list[Tid]:
        """Move trials whose lease has passed back to NEW, or to ERROR; return their tids."""
        still_expired = queries.expired(exp_key)
        found = self._patiently(lambda: list(self.jobs.find(still_expired, queries.EXPIRY_FIELDS)))
        return [
            trial["tid"]
            for trial in found
            if self._is_expirable(trial)
            and self._moves(document.expire(trial), also=still_expired)
        ]

    def next_expiry_secs(self, exp_key: str | None = None) -> float | None:
        """In how many seconds the next lease ends unless it is renewed; None without one."""
        query, fields = queries.leased(exp_key), queries.SECS_TO_EXPIRY
        first = self._patiently(lambda: self.jobs.find_one(query, fields, sort=queries.BY_EXPIRY))
        return None if first is None else float(first["secs"])

    def _is_expirable(self, trial: Document) -> bool:
        """Whether a RUNNING document is a trial; if not, it ends here."""
        lacking = next((name for name in ("owner", "attempt") if name not in trial), None)
        why = f"it has no {lacking}" if lacking else defect(trial, queries.EXPIRY_FIELDS)
        if why is not None:
            self._aside.end(trial, why)
        return why is None

    def cancel(self, exp_key: str | None, tids: Collection[Tid] | None = None) -> list[Tid]:
        """Move open trials (all of the experiment, or those in `tids`) to CANCEL."""
        query = queries.trials_in(exp_key, tids=tids, states=OPEN_STATES)
        cursor = self._patiently(lambda: list(self.jobs.find(query, queries.CANCEL_FIELDS)))
        found = [
            {"version": None, **trial}
            for trial in self._aside.sound(cursor, queries.CANCEL_FIELDS)
        ]
        cancelled = [trial["tid"] for trial in found if self._moves(document.cancel(trial))]
        # Those that a worker claimed or handed back in between are still to be cancelled.
        missed = [trial["tid"] for trial in found if trial["tid"] not in set(cancelled)]
        return cancelled + (self.cancel(exp_key, missed) if missed else [])

    def _moves(self, step: Transition, also: Mapping[str, Any] | None = None) -> bool:
        """Apply a step that needs no claim; whether this call moved the trial."""
        query, update = queries.compile_transition(step)
        query |= also or {}
        try:
            return self._patiently(lambda: self.jobs.update_one(query, update)).modified_count > 0
        except UnstorableResult:
            return self._end_in_place(query) > 0

    def _end_in_place(self, query: queries.Filter) -> int:
        """End a trial whose document has no room to say why; how many matched."""
        ended = self._patiently(lambda: self.jobs.update_one(query, queries.END_IN_PLACE))
        return ended.matched_count

    # --- reading ---

    def changes(
        self,
        exp_key: str | None,
        horizon: Horizon,
        *,
        fields: Collection[str] | None = None,
    ) -> Iterator[Document]:
        """Yield the trials that changed beyond `horizon`, and move the horizon along."""
        if horizon.next_number == 0:
            self.number_old_trials(exp_key)
        for trial in self._from_horizon(exp_key, horizon, fields):
            horizon.see(trial)
            self._note_found()
            yield trial

    def _from_horizon(
        self, exp_key: str | None, horizon: Horizon, fields: Collection[str] | None
    ) -> Iterator[Document]:
        """The trials that changed, in one query; new ones in the order of their numbers."""
        for found in self._documents_from_horizon(exp_key, horizon, fields):
            trial = self._aside.followed(found, fields, horizon)
            if trial is None:
                continue
            if fields is not None and "_id" not in fields:
                trial.pop("_id", None)
            yield trial

    def _documents_from_horizon(
        self, exp_key: str | None, horizon: Horizon, fields: Collection[str] | None
    ) -> Iterator[Document]:
        wanted = None if fields is None else queries.projection({*fields, "_id"})
        if not (horizon.new or horizon.running):
            # The caller moves the horizon along, so after a broken stream the next call goes
            # on where it ended.
            yield from self._stream(
                lambda: self.jobs.find(
                    queries.added_since(exp_key, horizon),
                    wanted,
                    sort=queries.BY_NUMBER,
                    batch_size=BATCH_SIZE,
                )
            )
            return
        # Sorted here: the server would hold back every trial to sort what two indexes deliver.
        query = queries.changed_since(exp_key, horizon)
        changed = self._patiently(lambda: list(self.jobs.find(query, wanted)))
        yield from sorted(changed, key=_number_of)

    def find(
        self,
        exp_key: str | None,
        *,
        tids: Collection[Tid] | None = None,
        states: Collection[int] | None = None,
        fields: Collection[str] | None = None,
        all_experiments: bool = False,
    ) -> Iterator[Document]:
        """Yield whole documents of one experiment (or all), ordered by tid."""
        query = queries.trials_in(
            exp_key, tids=tids, states=states, all_experiments=all_experiments
        )
        found = self._stream(
            lambda: self.jobs.find(
                query, queries.projection(fields), sort=queries.BY_TID, batch_size=BATCH_SIZE
            )
        )
        return self._aside.sound(found, fields)

    def _stream(self, open_cursor: Callable[[], Cursor[Document]]) -> Iterator[Document]:
        """Yield what a cursor delivers; opening it is repeated, the rest is not."""

        def open_and_read() -> tuple[Cursor[Document], Document | None]:
            cursor = open_cursor()
            return cursor, next(cursor, None)

        cursor, first = self._patiently(open_and_read)
        with cursor:
            if first is not None:
                yield first
                with translated(self.hosts):
                    yield from cursor

    def reported(
        self, exp_key: str | None, *, step: int | None = None, since: Horizon | None = None
    ) -> Iterator[Document]:
        """Yield the trials that have reported, each with its learning curve."""
        if since is not None:
            return self._reported_since(exp_key, step, since)
        query, fields = queries.reported(exp_key, step), queries.reported_fields(step)
        found = self._stream(lambda: self.jobs.find(query, fields, batch_size=BATCH_SIZE))
        return self._aside.sound(found, REPORTED_FIELDS)

    def _reported_since(
        self, exp_key: str | None, step: int | None, horizon: Horizon
    ) -> Iterator[Document]:
        horizon.enter(self._registry.experiment(exp_key).epoch)
        query, fields = queries.open_or_added(exp_key, horizon), queries.reported_fields(step)
        found = self._patiently(lambda: list(self.jobs.find(query, fields)))
        for trial in found:
            if not trial.get("reports") or "last_report" not in trial:
                # Where nothing was reported a document has no empty list.
                trial.pop("reports", None)
        for trial in self._aside.sound(found, REPORTED_FIELDS):
            horizon.see(trial)
            yield trial

    def count(
        self, exp_key: str | None, states: Collection[int], *, all_experiments: bool = False
    ) -> int:
        """How many trials are in any of `states` now."""
        query = queries.trials_in(exp_key, states=states, all_experiments=all_experiments)
        return self._patiently(lambda: self.jobs.count_documents(query))

    def durations(self, exp_key: str | None, n: int) -> list[float]:
        """How many seconds the latest DONE trials took; at most `n` of them."""
        query, fields = queries.done(exp_key), queries.DURATION_SECS
        found = self._patiently(
            lambda: list(self.jobs.find(query, fields, sort=queries.BY_TID_DOWN, limit=n))
        )
        return [trial["secs"] for trial in found if trial["secs"] is not None]

    def latest(
        self, exp_key: str | None, n: int, states: Collection[int] | None = None
    ) -> list[Document]:
        """The `n` trials that were added last, latest first; only those in `states`, if given."""
        query = queries.usefully_numbered(exp_key)
        if states is not None:
            query["state"] = {"$in": list(states)}
        found = self._stream(lambda: self.jobs.find(query, sort=queries.BY_NUMBER_DOWN))
        return list(islice(self._aside.sound(found), n))

    def best(self, exp_key: str | None, n: int) -> list[Document]:
        """The `n` ok trials with the least losses, best first."""
        query = queries.best(exp_key)
        found = self._stream(lambda: self.jobs.find(query, sort=queries.BY_LOSS))
        return list(islice(self._aside.sound(found), n))

    def count_aside(self, exp_key: str | None, *, all_experiments: bool = False) -> int:
        """How many documents among the trials are none, and are passed by. Reads them all."""
        return self._aside.count(exp_key, all_experiments=all_experiments)

    def exp_keys(self) -> list[str | None]:
        """Every experiment that has trials; the nameless one comes first."""
        stored = self._patiently(lambda: self.jobs.distinct("exp_key"))
        found = [exp_key for exp_key in stored if exp_key is None or isinstance(exp_key, str)]
        return sorted(found, key=lambda exp_key: (exp_key is not None, exp_key or ""))

    def delete(self, exp_key: str | None, *, all_experiments: bool = False) -> None:
        """Remove the experiment: its trials, their attachments, its record.

        Its epoch outlives it, so that whoever follows it starts over.
        """
        known = {exp_key}
        if all_experiments:
            # An experiment may so far be no more than a record, or an attachment.
            known.update(self.exp_keys(), self._registry.exp_keys(), self._files.exp_keys())
        for key in known:
            self._delete_experiment(key)
        self._inserter.forget()

    def _delete_experiment(self, exp_key: str | None) -> None:
        # The trials go after what belongs to them: as long as there are any, the experiment
        # shows, and whoever was interrupted can remove it again.
        self.attachments(exp_key).clear()
        self._objectives.remove(exp_key)
        self._remove_trial_files(exp_key)
        self._patiently(lambda: self.jobs.delete_many(queries.in_experiment(exp_key)))
        # Last: a reader that starts over before the trials are gone would keep them.
        self._registry.note_deleted(exp_key)

    def _remove_trial_files(self, exp_key: str | None) -> None:
        with_files = {**queries.in_experiment(exp_key), "_attachments.0": {"$exists": True}}
        found = self._stream(lambda: self.jobs.find(with_files, {"_attachments": 1}))
        files = [file_id for trial in found for _, file_id in trial["_attachments"]]
        for start in range(0, len(files), BATCH_SIZE):
            self._files.remove({"_id": {"$in": files[start : start + BATCH_SIZE]}})

    def note_rewritten(self, exp_keys: Iterable[str | None]) -> None:
        """Let whoever follows these experiments start over.

        For programs that change or remove ended trials themselves, through `jobs`.
        """
        for exp_key in exp_keys:
            self._registry.note_rewritten(exp_key)
        self._inserter.forget()

    def number_old_trials(self, exp_key: str | None) -> int:
        """Number the trials that hyperopt wrote, so that they can be followed; how many."""
        return self._patiently(lambda: schema.number_old_trials(self.jobs, exp_key))

    def now(self) -> datetime:
        """The server's clock, naive UTC."""
        answer = self._patiently(lambda: self.client.admin.command("hello"))
        now: datetime = answer["localTime"]
        return now.replace(tzinfo=None)

    def _note_found(self) -> None:
        # Two threads may count one find together: any growth tells the watch enough.
        self._n_found += 1

    # --- experiments, drivers and workers ---

    def open_experiment(
        self, exp_key: str | None, space_digest: str, space: Sequence[Mapping[str, Any]]
    ) -> Experiment:
        """Create the experiment's record if it has none; return the record as stored."""
        return self._registry.open_experiment(exp_key, space_digest, space)

    def experiment(self, exp_key: str | None) -> Experiment:
        """The record as stored, or an empty one."""
        return self._registry.experiment(exp_key)

    def lead(self, exp_key: str | None, driver: str, lease_secs: float) -> bool:
        """Become, or stay, the one driver that adds trials; False when another one leads."""
        return self._registry.lead(exp_key, driver, lease_secs)

    def resign(self, exp_key: str | None, driver: str) -> None:
        """Stop leading, so that another driver can start at once."""
        self._registry.resign(exp_key, driver)

    def announce(self, worker: WorkerPresence, ttl_secs: float) -> None:
        """Say that a worker is there for the next `ttl_secs`."""
        self._registry.announce(worker, ttl_secs)

    def retire(self, owner: str) -> None:
        """Forget a worker that ends."""
        self._registry.retire(owner)

    def workers(self, exp_key: str | None = None) -> list[WorkerPresence]:
        """The live workers that would take trials of `exp_key` (None: all of them)."""
        return self._registry.workers(exp_key)

    # --- bytes ---

    def put_objective(self, exp_key: str | None, sha256: str, payload: bytes) -> None:
        """Store an experiment's objective under its hash, in place of what stands there."""
        self._objectives.put(exp_key, sha256, payload)

    def get_objective(self, sha256: str) -> bytes:
        """Raises KeyError when there is none."""
        return self._objectives.get(sha256)

    def attachments(self, exp_key: str | None) -> MutableMapping[str, bytes]:
        """Named bytes beside an experiment."""
        return ExperimentAttachments(self._files, exp_key)

    def trial_attachments(self, trial: Document) -> MutableMapping[str, bytes]:
        """Named bytes beside a trial; deleted with it."""
        return TrialAttachments(self._files, self.jobs, trial["tid"])

    def collect_garbage(
        self, *, older_than_secs: float = GRACE_SECS, dry_run: bool = False
    ) -> list[Found]:
        """Remove what nobody refers to any more; what was, or with `dry_run` would be, removed.

        Args:
            older_than_secs: by the server's clock; what is younger may still be referred to.
        """
        garbage = Garbage(self.jobs, self._registry, self._files, self._objectives)
        return garbage.collect(older_than_secs=older_than_secs, dry_run=dry_run)

    # --- waiting ---

    @contextmanager
    def watch(self, exp_key: str | None, interest: Literal["work", "results"]) -> Iterator[Watch]:
        """Wait for trials to claim ("work") or for trials that moved ("results")."""
        pipeline = watch_pipeline(interest, self.jobs.name, self._workers.name, exp_key)
        watch = MongoWatch(
            self.db,
            pipeline,
            interest=interest,
            n_found=lambda: self._n_found,
        )
        try:
            yield watch
        finally:
            watch.close()

    def insisting(self, goes_on: Callable[[float, str], bool]) -> AbstractContextManager[None]:
        """Within the block, let the caller decide how long an unreachable server is waited for."""
        return self._patiently.decided_by(goes_on)

    def close(self) -> None:
        """Close the connections; the documents stay."""
        self.client.close()


def _number_of(trial: Document) -> int:
    number = trial.get("number")
    return int(number) if isinstance(number, (int, float)) and number < MAX_COUNT else MAX_COUNT
