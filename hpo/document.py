"""The trial document: the one record that driver, workers and users share.

A trial is NEW until a worker claims it and RUNNING while the worker holds its
lease; it ends as DONE (the objective returned) or ERROR (it raised, or every
attempt was lost). A released or expired claim moves it back to NEW.

            insert            claim               finish
        ─────────────► NEW ─────────► RUNNING ─────────────► DONE
                        ▲                │ │
                        │ release, expire│ └───────────────► ERROR
                        └────────────────┘   fail, or expire
                                             once too often
        cancel: NEW or RUNNING ─► CANCEL

The functions below return a `Transition`: what must hold, and which fields
change. They never touch a store, so every store performs the same step:
`MemoryStore` applies it to a dictionary, `MongoStore` compiles it to one
atomic update.

Fields that hyperopt already had keep their names and meanings; the others
stand beside them.

    tid            id, unique over the whole database
    number         0-based ordinal within the experiment             (set by the store)
    exp_key        the experiment's name, or None
    state          0 NEW, 1 RUNNING, 2 DONE, 3 ERROR, 4 CANCEL
    params         {label: value}: what a person reads; a choice shows its option
    result         {"status": …, "loss": …}: what the objective returned
    misc           {tid, cmd, workdir, idxs, vals}: hyperopt's encoding of the configuration
    spec           None, or what the algorithm left there
    objective      sha256 of the stored objective that this trial calls, or None
    owner, host    who holds or held the trial, "host:pid:token"; the machine's name
    attempt        how often the trial was claimed; the fencing token of every later write
    lost_attempts  how many claims ended without a word from the worker
    max_attempts   after so many lost attempts the trial becomes ERROR
    attempts       history: [{attempt, owner, host, start, end, reason, …}]
    lease_until    the claim expires then, by the store's clock; None unless RUNNING
    queue_time, book_time, refresh_time, finish_time
                   inserted, claimed, last written, ended; the store's clock, naive UTC
    version        +1 whenever anything but the lease changed
    error          [type, text] of the exception that ended the trial, or absent
    traceback      its traceback as text, or absent
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np

from hpo.exceptions import InvalidTrial, UnstorableResult

Document: TypeAlias = dict[str, Any]
Tid: TypeAlias = Hashable

JOB_STATE_NEW = 0
JOB_STATE_RUNNING = 1
JOB_STATE_DONE = 2
JOB_STATE_ERROR = 3
JOB_STATE_CANCEL = 4
JOB_STATES = (
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_CANCEL,
)
STATE_WORDS = ("new", "running", "done", "error", "cancel")
OPEN_STATES = (JOB_STATE_NEW, JOB_STATE_RUNNING)

# The states that `Trials.trials` shows (hyperopt.base.JOB_VALID_STATES).
JOB_VALID_STATES = frozenset({JOB_STATE_NEW, JOB_STATE_RUNNING, JOB_STATE_DONE})

STATUS_NEW = "new"
STATUS_RUNNING = "running"
STATUS_SUSPENDED = "suspended"
STATUS_OK = "ok"
STATUS_FAIL = "fail"
STATUS_STRINGS = (STATUS_NEW, STATUS_RUNNING, STATUS_SUSPENDED, STATUS_OK, STATUS_FAIL)

DEFAULT_LEASE_SECS = 60.0
DEFAULT_MAX_ATTEMPTS = 3

# misc.cmd of every trial that an `fmin` driver inserts: evaluate the stored domain.
DOMAIN_COMMAND = ("domain_attachment", "FMinIter_Domain")

ROOT_KEYS = (
    "tid",
    "spec",
    "result",
    "misc",
    "state",
    "owner",
    "book_time",
    "refresh_time",
    "exp_key",
)
MISC_KEYS = ("tid", "cmd", "idxs", "vals")


def new_trial(
    tid: Tid,
    *,
    exp_key: str | None = None,
    values: Mapping[str, Any] | None = None,
    labels: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    spec: Any = None,
    result: Mapping[str, Any] | None = None,
    misc: Mapping[str, Any] | None = None,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
) -> Document:
    """Build the document of a trial that nobody has claimed yet.

    Args:
        tid: unique id.
        exp_key: the experiment it belongs to.
        values: {label: value} of the active hyperparameters; a choice by index.
        labels: every label of the space, so that inactive ones get empty lists.
        params: {label: readable value}.
        misc: a finished `misc` instead of `values` and `labels`.
    """
    active = {} if values is None else values
    names = list(dict.fromkeys([*labels, *active]))
    return {
        "tid": tid,
        "exp_key": exp_key,
        "state": JOB_STATE_NEW,
        "params": dict(params or {}),
        "result": dict(result) if result is not None else {"status": STATUS_NEW},
        "misc": dict(misc)
        if misc is not None
        else {
            "tid": tid,
            "cmd": DOMAIN_COMMAND,
            "workdir": None,
            "idxs": {label: [tid] if label in active else [] for label in names},
            "vals": {label: [active[label]] if label in active else [] for label in names},
        },
        "spec": spec,
        "owner": None,
        "version": 0,
        "attempt": 0,
        "lost_attempts": 0,
        "max_attempts": max_attempts,
        "lease_until": None,
        "book_time": None,
        "refresh_time": None,
    }


def check_trial(trial: Any) -> None:
    """Raise InvalidTrial unless `trial` has the keys and the sense of a trial document."""
    if not isinstance(trial, Mapping):
        raise InvalidTrial(f"a trial must be a dictionary, not {type(trial).__name__}", trial)
    missing = [key for key in ROOT_KEYS if key not in trial]
    if missing:
        raise InvalidTrial(f"trial lacks {missing}; build it with trials.new_trial_docs", trial)
    misc = trial["misc"]
    if not isinstance(misc, Mapping):
        raise InvalidTrial("trial['misc'] must be a dictionary", trial)
    missing = [key for key in MISC_KEYS if key not in misc]
    if missing:
        raise InvalidTrial(f"trial['misc'] lacks {missing}", trial)
    if trial["tid"] != misc["tid"]:
        raise InvalidTrial(
            f"tid mismatch: trial['tid'] is {trial['tid']!r} but misc['tid'] is {misc['tid']!r}",
            trial,
        )
    if trial["state"] not in JOB_STATES:
        raise InvalidTrial(
            f"unknown state {trial['state']!r}; expected one of {JOB_STATES}", trial
        )


def active_values(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return {label: value} of the hyperparameters that are active in a trial."""
    return {label: vals[0] for label, vals in trial["misc"]["vals"].items() if len(vals)}


# --- transitions ----------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """Proof that somebody holds a trial; every write under a claim carries it."""

    tid: Tid
    owner: str
    attempt: int

    @classmethod
    def of(cls, trial: Mapping[str, Any]) -> Claim:
        """The claim under which a RUNNING document is held."""
        return cls(tid=trial["tid"], owner=trial["owner"], attempt=trial["attempt"])


@dataclass(frozen=True)
class Transition:
    """One step of a trial, as data.

    Attributes:
        verb: its name, for messages.
        requires: {field: value} that must stand, or nothing happens.
        sets: {field: new value}.
        stamps: fields that become the store's present time.
        increments: integer fields that grow by one.
        lease_secs: lease_until becomes now + lease_secs; None leaves it to `sets`.
        attempt_end: what to append to `attempts` beside who held the trial from when to now.
    """

    verb: str
    requires: Mapping[str, Any]
    sets: Mapping[str, Any] = field(default_factory=dict)
    stamps: tuple[str, ...] = ()
    increments: tuple[str, ...] = ()
    lease_secs: float | None = None
    attempt_end: Mapping[str, Any] | None = None


def claim(owner: str, host: str, lease_secs: float = DEFAULT_LEASE_SECS) -> Transition:
    """NEW -> RUNNING: take a trial under a lease."""
    return Transition(
        verb="claim",
        requires={"state": JOB_STATE_NEW},
        sets={"state": JOB_STATE_RUNNING, "owner": owner, "host": host},
        stamps=("book_time", "refresh_time"),
        increments=("attempt", "version"),
        lease_secs=lease_secs,
    )


def heartbeat(held: Claim, lease_secs: float = DEFAULT_LEASE_SECS) -> Transition:
    """RUNNING -> RUNNING: renew the lease.

    The version stays: no reader has to fetch the trial again for it.
    """
    return Transition(
        verb="heartbeat", requires=_held(held), stamps=("refresh_time",), lease_secs=lease_secs
    )


def checkpoint(held: Claim, result: Mapping[str, Any]) -> Transition:
    """RUNNING -> RUNNING: publish a partial result."""
    return Transition(
        verb="checkpoint",
        requires=_held(held),
        sets={"result": dict(result)},
        stamps=("refresh_time",),
        increments=("version",),
    )


def finish(held: Claim, result: Mapping[str, Any]) -> Transition:
    """RUNNING -> DONE: result and state in one step."""
    return _end(held, "finish", JOB_STATE_DONE, {"result": dict(result)}, {"reason": "done"})


def fail(
    held: Claim,
    error: tuple[str, str],
    traceback: str = "",
    *,
    reason: str = "exception",
    details: Mapping[str, Any] | None = None,
) -> Transition:
    """RUNNING -> ERROR: the objective raised, or ended its process.

    Args:
        error: the exception's type and text.
        reason: what kind of end it was; goes into the attempt history with `details`.
    """
    return _end(
        held,
        "fail",
        JOB_STATE_ERROR,
        {"error": list(error), "traceback": traceback},
        {"reason": reason, "error": list(error), **(details or {})},
    )


def release(held: Claim, reason: str) -> Transition:
    """RUNNING -> NEW: hand the trial back without spending an attempt."""
    return Transition(
        verb="release",
        requires=_held(held),
        sets={"state": JOB_STATE_NEW, "owner": None, "lease_until": None},
        stamps=("refresh_time",),
        increments=("version",),
        attempt_end={"reason": reason},
    )


def expire(trial: Mapping[str, Any]) -> Transition:
    """RUNNING -> NEW, or ERROR once max_attempts claims were lost.

    The store also requires that `lease_until` has passed by its own clock.
    """
    lost = int(trial.get("lost_attempts") or 0) + 1
    allowed = int(trial.get("max_attempts") or DEFAULT_MAX_ATTEMPTS)
    held = Claim(tid=trial["tid"], owner=trial["owner"], attempt=trial.get("attempt", 0))
    if lost < allowed:
        return Transition(
            verb="expire",
            requires=_held(held),
            sets={"state": JOB_STATE_NEW, "owner": None, "lease_until": None},
            stamps=("refresh_time",),
            increments=("lost_attempts", "version"),
            attempt_end={"reason": "lost"},
        )
    text = (
        f"{lost} attempts were lost: each worker vanished without a word while it held the trial"
    )
    return Transition(
        verb="expire",
        requires=_held(held),
        sets={"state": JOB_STATE_ERROR, "error": ["LostWorker", text], "lease_until": None},
        stamps=("refresh_time", "finish_time"),
        increments=("lost_attempts", "version"),
        attempt_end={"reason": "lost"},
    )


def cancel(trial: Mapping[str, Any]) -> Transition:
    """NEW or RUNNING -> CANCEL: nobody needs this trial any more."""
    return Transition(
        verb="cancel",
        requires={"tid": trial["tid"], "state": trial["state"], "version": trial["version"]},
        sets={"state": JOB_STATE_CANCEL, "lease_until": None},
        stamps=("refresh_time", "finish_time"),
        increments=("version",),
    )


def _held(held: Claim) -> dict[str, Any]:
    # Fence on the attempt as well as the owner: a worker that lost its lease
    # and claimed the same trial again has the same owner but a newer attempt.
    return {
        "tid": held.tid,
        "state": JOB_STATE_RUNNING,
        "owner": held.owner,
        "attempt": held.attempt,
    }


def _end(
    held: Claim, verb: str, state: int, sets: Mapping[str, Any], attempt_end: Mapping[str, Any]
) -> Transition:
    return Transition(
        verb=verb,
        requires=_held(held),
        sets={"state": state, "lease_until": None, **sets},
        stamps=("refresh_time", "finish_time"),
        increments=("version",),
        attempt_end=attempt_end,
    )


# --- plain data -----------------------------------------------------------------

_PLAIN_SCALARS = (str, bytes, bool, type(None), datetime)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def plain(value: Any, path: str = "result") -> Any:
    """Copy `value` as data that any store and BSON can hold.

    numpy scalars become Python's, numpy arrays and tuples become lists,
    dictionaries and lists are copied, everything else is refused.

    Args:
        path: how to name `value` in an error.

    Raises:
        UnstorableResult: a part of it is something else; the text has its path.
    """
    if isinstance(value, float):
        return float(value)
    if isinstance(value, _PLAIN_SCALARS):
        return value
    if isinstance(value, Mapping):
        return {
            _plain_key(key, path): plain(item, f"{path}[{key!r}]") for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, int):
        if _INT64_MIN <= value <= _INT64_MAX:
            return int(value)
        raise UnstorableResult(
            f"{path} is {value}, which does not fit into 64 bits; return it as a string", value
        )
    if isinstance(value, (np.ndarray, np.generic)):
        converted = value.tolist()
        if not isinstance(converted, (np.ndarray, np.generic)):
            return plain(converted, path)
    if type(value).__module__.startswith("bson."):
        return value
    raise UnstorableResult(
        f"{path} is of type {type(value).__name__}, which cannot be stored in a document; "
        "return numbers, text, lists and dictionaries, and put anything else into "
        "ctrl.attachments as bytes",
        value,
    )


def _plain_key(key: Any, path: str) -> str:
    if isinstance(key, str) and "\0" not in key:
        return str(key)
    raise UnstorableResult(
        f"{path} has the key {key!r}; keys of stored dictionaries must be text", key
    )
