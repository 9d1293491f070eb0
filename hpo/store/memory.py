"""MemoryStore: trials of this process, kept by the same rules as in a database.

It holds the very dictionaries that were inserted, so whoever holds one sees
it move, and may also write into it (hyperopt's users do). Nothing is
converted: a result may hold a fitted model. What `claim` returns is a copy, as
it stood then: the proof of a claim must not turn into that of the next one.

    trials        tid -> document
    experiments   exp_key -> its documents by number, its record, its attachments
    queues        (exp_key, objective) -> heap of NEW documents, least tid first

A document leaves its queue lazily: an entry counts only while the document is
stored and NEW, so cancelling or deleting costs nothing here.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal

from hpo import document
from hpo.defects import check_insertable
from hpo.document import (
    DEFAULT_LEASE_SECS,
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    OPEN_STATES,
    Claim,
    Document,
    Tid,
    Transition,
)
from hpo.exceptions import DuplicateTrial, LeaseLost, Overtaken
from hpo.store.base import REPORTED_FIELDS, Experiment, Horizon, Watch, WorkerPresence

Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1)


def utc_now() -> datetime:
    """The machine's time in naive UTC, with the milliseconds that BSON keeps."""
    return _EPOCH + timedelta(milliseconds=time.time_ns() // 1_000_000)


@dataclass
class _ExperimentShelf:
    """Everything of one experiment. `trials[n]` is the trial numbered n."""

    trials: list[Document] = field(default_factory=list)
    attachments: dict[str, bytes] = field(default_factory=dict)
    space_digest: str | None = None
    space: Sequence[Mapping[str, Any]] | None = None
    epoch: int = 0
    driver: str | None = None
    driver_seen: datetime | None = None
    driver_until: datetime | None = None


@dataclass
class _Presence:
    worker: WorkerPresence
    until: datetime


class MemoryStore:
    """A `Store` in this process; threads may share it, and it can be pickled.

    Args:
        clock: the store's clock, naive UTC; tests bring their own.
    """

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._trials: dict[Tid, Document] = {}
        self._shelves: dict[str | None, _ExperimentShelf] = {}
        self._queues: dict[tuple[str | None, str | None], list[_QueueEntry]] = {}
        self._n_enqueued = 0
        self._next_tid = 0
        self._objectives: dict[str, tuple[bytes, str | None]] = {}
        self._trial_attachments: dict[Tid, dict[str, bytes]] = {}
        self._workers: dict[str, _Presence] = {}
        self._n_events = 0
        self._make_locks()

    def _make_locks(self) -> None:
        self._lock = threading.RLock()
        self._moved = threading.Condition(self._lock)

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            state = self.__dict__.copy()
        del state["_lock"], state["_moved"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_locks()

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._trials)} trials)"

    # --- the queue ---

    def allocate_tids(self, n: int) -> list[int]:
        """Reserve `n` ids: those after the greatest that was reserved or stored."""
        if n < 1:
            return []
        with self._lock:
            first = self._next_tid
            self._next_tid += n
            return list(range(first, first + n))

    def insert(self, trials: Sequence[Document], *, first_number: int | None = None) -> None:
        """Store the documents themselves, in order; sets their `number` and `queue_time`."""
        for trial in trials:
            check_insertable(trial, any_tid=True)
        with self._lock:
            if trials and first_number is not None:
                exp_key = trials[0]["exp_key"]
                if first_number < len(self._shelf(exp_key).trials):
                    raise Overtaken(exp_key, first_number)
            for trial in trials:
                if trial["tid"] in self._trials or self._is_continued(trial):
                    raise DuplicateTrial([trial["tid"]])
                self._add(trial)
            self._notify()

    def _is_continued(self, trial: Document) -> bool:
        """Whether another trial takes up what this one would take up."""
        if trial.get("continues") is None:
            return False
        return any(
            other.get("continues") == trial["continues"] and other["state"] != JOB_STATE_CANCEL
            for other in self._shelf(trial["exp_key"]).trials
        )

    def _add(self, trial: Document) -> None:
        tid, shelf = trial["tid"], self._shelf(trial["exp_key"])
        trial["number"], trial["queue_time"] = len(shelf.trials), self._clock()
        self._trials[tid] = trial
        shelf.trials.append(trial)
        if isinstance(tid, int):
            self._next_tid = max(self._next_tid, tid + 1)
        self._enqueue(trial)

    def _enqueue(self, trial: Document) -> None:
        if trial["state"] == JOB_STATE_NEW:
            queue = self._queues.setdefault((trial["exp_key"], trial.get("objective")), [])
            self._n_enqueued += 1
            heapq.heappush(queue, (_tid_order(trial["tid"]), self._n_enqueued, trial))

    def claim(
        self,
        owner: str,
        *,
        host: str = "",
        exp_key: str | None = None,
        lease_secs: float = DEFAULT_LEASE_SECS,
        except_objectives: Collection[str | None] = (),
    ) -> Document | None:
        """Take the NEW trial with the least tid, or return None; the copy is shallow."""
        with self._lock:
            queues = [
                queue
                for (queue_exp_key, objective), queue in self._queues.items()
                if (exp_key is None or queue_exp_key == exp_key)
                and objective not in except_objectives
                and self._has_new(queue)
            ]
            if not queues:
                return None
            _, _, trial = heapq.heappop(min(queues, key=lambda queue: queue[0][:2]))
            self._apply(trial, document.claim(owner, host, lease_secs))
            return dict(trial)

    def _has_new(self, queue: list[_QueueEntry]) -> bool:
        """Drop what is no longer NEW from the head of a queue; whether anything is left."""
        while queue:
            trial = queue[0][2]
            if trial["state"] == JOB_STATE_NEW and self._trials.get(trial["tid"]) is trial:
                return True
            heapq.heappop(queue)
        return False

    def heartbeat(self, held: Claim, lease_secs: float = DEFAULT_LEASE_SECS) -> None:
        """Renew the lease. Raises LeaseLost."""
        self._write(held, document.heartbeat(held, lease_secs))

    def checkpoint(self, held: Claim, result: Mapping[str, Any]) -> None:
        """Publish a partial result. Raises LeaseLost."""
        self._write(held, document.checkpoint(held, result))

    def report(self, held: Claim, reports: Sequence[Mapping[str, Any]]) -> None:
        """Publish the trial's learning curve so far, whole. Raises LeaseLost."""
        self._write(held, document.report(held, reports))

    def finish(self, held: Claim, result: Mapping[str, Any]) -> None:
        """RUNNING -> DONE. Raises LeaseLost."""
        self._write(held, document.finish(held, result))

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
        step = document.fail(held, error, traceback, reason=reason, details=details)
        self._write(held, step)

    def release(self, held: Claim, reason: str) -> None:
        """RUNNING -> NEW without spending an attempt. Raises LeaseLost."""
        self._write(held, document.release(held, reason))

    def lose(self, trial: Document, reason: str, details: Mapping[str, Any] | None = None) -> None:
        """RUNNING -> NEW at the cost of an attempt, or ERROR. Raises LeaseLost."""
        self._write(Claim.of(trial), document.lose(trial, reason, details))

    def requeue_expired(self, exp_key: str | None = None) -> list[Tid]:
        """Move trials whose lease has passed back to NEW, or to ERROR; return their tids."""
        with self._lock:
            now = self._clock()
            expired = [
                trial
                for trial in self._select(exp_key, all_experiments=exp_key is None)
                if trial["state"] == JOB_STATE_RUNNING
                and trial.get("lease_until") is not None
                and trial["lease_until"] < now
            ]
            return [
                trial["tid"] for trial in expired if self._apply(trial, document.expire(trial))
            ]

    def next_expiry_secs(self, exp_key: str | None = None) -> float | None:
        """In how many seconds the next lease ends unless it is renewed; None without one."""
        with self._lock:
            leases = [
                trial["lease_until"]
                for trial in self._select(exp_key, all_experiments=exp_key is None)
                if trial["state"] == JOB_STATE_RUNNING and trial.get("lease_until") is not None
            ]
            return (min(leases) - self._clock()).total_seconds() if leases else None

    def cancel(self, exp_key: str | None, tids: Collection[Tid] | None = None) -> list[Tid]:
        """Move open trials (all of the experiment, or those in `tids`) to CANCEL."""
        with self._lock:
            chosen = self._select(exp_key, tids=tids)
            unfinished = [trial for trial in chosen if trial["state"] in OPEN_STATES]
            return [
                trial["tid"] for trial in unfinished if self._apply(trial, document.cancel(trial))
            ]

    def _write(self, held: Claim, step: Transition) -> None:
        """Apply a step under a claim, unless a retry finds that it has been applied."""
        with self._lock:
            trial = self._trials.get(held.tid)
            if trial is None or not (self._apply(trial, step) or _was_applied(trial, held, step)):
                raise LeaseLost(held.tid, held.owner, held.attempt)

    def _apply(self, trial: Document, step: Transition) -> bool:
        """Do what a transition says if what it requires stands; whether it did."""
        if any(trial.get(key) != value for key, value in step.requires.items()):
            return False
        now = self._clock()
        if step.attempt_end is not None:
            ended = {
                "attempt": trial.get("attempt"),
                "owner": trial.get("owner"),
                "host": trial.get("host"),
                "start": trial.get("book_time"),
                "end": now,
                **step.attempt_end,
            }
            trial["attempts"] = [*trial.get("attempts", ()), ended]
        trial.update(step.sets)
        for key in step.stamps:
            trial[key] = now
        for key in step.increments:
            trial[key] = (trial.get(key) or 0) + 1
        if step.lease_secs is not None:
            trial["lease_until"] = now + timedelta(seconds=step.lease_secs)
        if "state" in step.sets:
            self._enqueue(trial)
            self._notify()
        return True

    # --- reading ---

    def changes(
        self,
        exp_key: str | None,
        horizon: Horizon,
        *,
        fields: Collection[str] | None = None,
    ) -> Iterator[Document]:
        """Yield the trials that changed beyond `horizon`, whole, and move the horizon along."""
        with self._lock:
            shelf = self._shelves.get(exp_key)
            followed = (
                *((tid, JOB_STATE_NEW) for tid in horizon.new),
                *((tid, JOB_STATE_RUNNING) for tid in horizon.running),
            )
            moved = [
                trial
                for tid, state in followed
                if (trial := self._trials.get(tid)) is not None and trial["state"] != state
            ]
            moved.sort(key=lambda trial: trial["number"])
            added = shelf.trials[horizon.next_number :] if shelf else []
        for trial in (*moved, *added):
            horizon.see(trial)
            yield trial

    def find(
        self,
        exp_key: str | None,
        *,
        tids: Collection[Tid] | None = None,
        states: Collection[int] | None = None,
        fields: Collection[str] | None = None,
        all_experiments: bool = False,
    ) -> Iterator[Document]:
        """Yield the documents themselves, whole, ordered by tid."""
        with self._lock:
            found = [
                trial
                for trial in self._select(exp_key, tids=tids, all_experiments=all_experiments)
                if states is None or trial["state"] in states
            ]
        found.sort(key=lambda trial: _tid_order(trial["tid"]))
        yield from found

    def reported(
        self, exp_key: str | None, *, step: int | None = None, since: Horizon | None = None
    ) -> Iterator[Document]:
        """Yield the trials that have reported, each with its learning curve."""
        with self._lock:
            looked_at = (
                self._select(exp_key) if since is None else self._open_or_added(exp_key, since)
            )
            found = [
                {key: trial[key] for key in REPORTED_FIELDS if key in trial} for trial in looked_at
            ]
        for trial in found:
            trial["result"] = {"status": trial["result"].get("status")}
            if step is not None:
                reached = (one for one in trial.get("reports", ()) if one["step"] >= step)
                trial["reports"] = list(islice(reached, 1))
            if since is not None:
                since.see(trial)
            if since is not None or trial.get("reports"):
                yield trial

    def _open_or_added(self, exp_key: str | None, horizon: Horizon) -> list[Document]:
        """The trials that were open at the horizon, or were inserted after it."""
        shelf = self._shelves.get(exp_key, _ExperimentShelf())
        horizon.enter(shelf.epoch)
        followed = (self._trials.get(tid) for tid in horizon.new | horizon.running)
        opened = [trial for trial in followed if trial is not None]
        return opened + shelf.trials[horizon.next_number :]

    def count(
        self, exp_key: str | None, states: Collection[int], *, all_experiments: bool = False
    ) -> int:
        """How many trials are in any of `states` now."""
        with self._lock:
            chosen = self._select(exp_key, all_experiments=all_experiments)
            return sum(trial["state"] in states for trial in chosen)

    def durations(self, exp_key: str | None, n: int) -> list[float]:
        """How many seconds the latest DONE trials took; at most `n` of them."""
        with self._lock:
            done = [
                trial
                for trial in self._select(exp_key, all_experiments=exp_key is None)
                if trial["state"] == JOB_STATE_DONE and trial.get("book_time") is not None
            ]
        done.sort(key=lambda trial: _tid_order(trial["tid"]), reverse=True)
        return [(trial["finish_time"] - trial["book_time"]).total_seconds() for trial in done[:n]]

    def exp_keys(self) -> list[str | None]:
        """Every experiment that has trials; the nameless one comes first."""
        with self._lock:
            named = [exp_key for exp_key, shelf in self._shelves.items() if shelf.trials]
        return sorted(named, key=lambda exp_key: (exp_key is not None, exp_key or ""))

    def delete(self, exp_key: str | None, *, all_experiments: bool = False) -> None:
        """Remove the experiment: its trials, their attachments, its record.

        Its epoch outlives it, so that whoever follows it starts over.
        """
        with self._lock:
            for key in list(self._shelves) if all_experiments else [exp_key]:
                old = self._shelf(key)
                for trial in old.trials:
                    del self._trials[trial["tid"]]
                    self._trial_attachments.pop(trial["tid"], None)
                self._shelves[key] = _ExperimentShelf(epoch=old.epoch + 1)
                self._forget_objectives(key)
            self._notify()

    def _forget_objectives(self, exp_key: str | None) -> None:
        for sha256, (_, owner) in list(self._objectives.items()):
            if owner == exp_key:
                del self._objectives[sha256]

    def now(self) -> datetime:
        """The store's clock, naive UTC."""
        return self._clock()

    def _shelf(self, exp_key: str | None) -> _ExperimentShelf:
        return self._shelves.setdefault(exp_key, _ExperimentShelf())

    def _select(
        self,
        exp_key: str | None,
        *,
        tids: Collection[Tid] | None = None,
        all_experiments: bool = False,
    ) -> list[Document]:
        """The documents of one experiment, or of all, or those with `tids` among them."""
        if tids is not None:
            known = [self._trials[tid] for tid in dict.fromkeys(tids) if tid in self._trials]
            return [trial for trial in known if all_experiments or trial["exp_key"] == exp_key]
        if all_experiments:
            return list(self._trials.values())
        shelf = self._shelves.get(exp_key)
        return list(shelf.trials) if shelf else []

    # --- experiments, drivers and workers ---

    def open_experiment(
        self, exp_key: str | None, space_digest: str, space: Sequence[Mapping[str, Any]]
    ) -> Experiment:
        """Create the experiment's record if it has none; return the record as stored."""
        with self._lock:
            shelf = self._shelf(exp_key)
            if shelf.space_digest is None:
                shelf.space_digest, shelf.space = space_digest, space
            return self.experiment(exp_key)

    def experiment(self, exp_key: str | None) -> Experiment:
        """The record as stored, or an empty one."""
        with self._lock:
            shelf = self._shelves.get(exp_key, _ExperimentShelf())
            leads = shelf.driver_until is not None and shelf.driver_until > self._clock()
            return Experiment(
                exp_key=exp_key,
                space_digest=shelf.space_digest,
                space=shelf.space,
                epoch=shelf.epoch,
                driver=shelf.driver if leads else None,
                driver_seen_secs_ago=None
                if shelf.driver_seen is None
                else (self._clock() - shelf.driver_seen).total_seconds(),
            )

    def lead(self, exp_key: str | None, driver: str, lease_secs: float) -> bool:
        """Become, or stay, the one driver that adds trials; False when another one leads."""
        with self._lock:
            if self.experiment(exp_key).driver not in (None, driver):
                return False
            shelf, now = self._shelf(exp_key), self._clock()
            shelf.driver, shelf.driver_seen = driver, now
            shelf.driver_until = now + timedelta(seconds=lease_secs)
            return True

    def resign(self, exp_key: str | None, driver: str) -> None:
        """Stop leading, so that another driver can start at once."""
        with self._lock:
            shelf = self._shelf(exp_key)
            if shelf.driver == driver:
                shelf.driver = shelf.driver_until = None

    def announce(self, worker: WorkerPresence, ttl_secs: float) -> None:
        """Say that a worker is there for the next `ttl_secs`."""
        with self._lock:
            now = self._clock()
            known = self._workers.get(worker.owner)
            self._workers[worker.owner] = _Presence(
                replace(worker, seen=now), now + timedelta(seconds=ttl_secs)
            )
            if known is None or known.worker.state != worker.state:
                self._notify()

    def retire(self, owner: str) -> None:
        """Forget a worker that ends."""
        with self._lock:
            self._workers.pop(owner, None)
            self._notify()

    def workers(self, exp_key: str | None = None) -> list[WorkerPresence]:
        """The live workers that would take trials of `exp_key` (None: all of them)."""
        with self._lock:
            now = self._clock()
            alive = [present.worker for present in self._workers.values() if present.until > now]
        return [worker for worker in alive if exp_key is None or worker.exp_key in (None, exp_key)]

    # --- bytes ---

    def put_objective(self, exp_key: str | None, sha256: str, payload: bytes) -> None:
        """Store an experiment's objective under its hash, in place of what stands there."""
        with self._lock:
            self._objectives[sha256] = (payload, exp_key)

    def get_objective(self, sha256: str) -> bytes:
        """Raises KeyError when there is none."""
        return self._objectives[sha256][0]

    def attachments(self, exp_key: str | None) -> MutableMapping[str, bytes]:
        """Named bytes beside an experiment."""
        with self._lock:
            return self._shelf(exp_key).attachments

    def trial_attachments(self, trial: Document) -> MutableMapping[str, bytes]:
        """Named bytes beside a trial; deleted with it."""
        with self._lock:
            return self._trial_attachments.setdefault(trial["tid"], {})

    # --- waiting ---

    @contextmanager
    def watch(self, exp_key: str | None, interest: Literal["work", "results"]) -> Iterator[Watch]:
        """Wait until any trial moved or a worker came or went, in whatever experiment."""
        yield _MemoryWatch(self)

    def _notify(self) -> None:
        self._n_events += 1
        self._moved.notify_all()

    def insisting(self, goes_on: Callable[[float, str], bool]) -> AbstractContextManager[None]:
        """This store is always there."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to let go of."""


class _MemoryWatch:
    """Returns from the first wait at once if anything happened since it was made."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._n_seen = store._n_events

    def wait(self, timeout_secs: float) -> bool:
        """Return True when there may be news, False after `timeout_secs` without any."""
        store = self._store
        with store._moved:
            happened = store._moved.wait_for(
                lambda: store._n_events != self._n_seen, timeout=timeout_secs
            )
            self._n_seen = store._n_events
        return happened


_QueueEntry = tuple[tuple[int, Any], int, Document]


def _tid_order(tid: Tid) -> tuple[int, Any]:
    """Numbers come first, then text, then anything else by how it prints: as BSON has it."""
    if isinstance(tid, (int, float)):
        return 0, tid
    if isinstance(tid, str):
        return 1, tid
    return 2, repr(tid)


def _was_applied(trial: Document, held: Claim, step: Transition) -> bool:
    """Whether this very end of this very attempt stands in the document already."""
    if step.attempt_end is None:
        return False
    recorded = any(
        (ended["attempt"], ended["owner"], ended["reason"])
        == (held.attempt, held.owner, step.attempt_end["reason"])
        for ended in trial.get("attempts", ())
    )
    if step.sets["state"] == JOB_STATE_NEW:
        return recorded
    try:
        return recorded and all(trial.get(key) == value for key, value in step.sets.items())
    except ValueError:
        # Two arrays do not say whether they are the same.
        return False
