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
    lost_attempts  how many claims ended with the worker, or were killed from outside
    max_attempts   after so many lost attempts the trial becomes ERROR
    attempts       history: [{attempt, owner, host, start, end, reason, …}]; see `FAILURES`
    lease_until    the claim expires then, by the store's clock; None unless RUNNING
    queue_time, book_time, refresh_time, finish_time
                   inserted, claimed, last written, ended; the store's clock, naive UTC
    version        +1 whenever anything but the lease changed
    reports        [{step, loss}]: the learning curve so far (see `hpo.reports`), or absent
    last_report    the latest of them; report_time: when it was written
    continues      the tid of the stopped trial that this one takes up again, or absent
    line           the number of the first trial that it goes back to, or absent
    settled_step   up to it no stopping rule decides again, or absent
    timeout_secs   the objective is ended after so long, or absent
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
# hyperopt's; and ours, for a trial that a stopping rule ended before its full budget.
STATUS_STOPPED = "stopped"
STATUS_STRINGS = (
    STATUS_NEW,
    STATUS_RUNNING,
    STATUS_SUSPENDED,
    STATUS_OK,
    STATUS_FAIL,
    STATUS_STOPPED,
)

DEFAULT_LEASE_SECS = 60.0
DEFAULT_MAX_ATTEMPTS = 3

# Why an attempt can end, `attempts[].reason`. The first are the objective's doing and would
# come again: the trial is an ERROR, and models stay away from its configuration.
FAILURES = {
    "exception": "the objective raised, or returned what cannot be used; beside it: error",
    "signal": "it crashed; signal: the number of SIGSEGV, SIGABRT …",
    "exit": "it ended its process; exit_code",
    "timeout": "it ran past the time allowed; timeout_secs",
    "memory": "it took more memory than allowed; memory_bytes, max_memory_bytes",
}
# These are the infrastructure's: the trial goes back to the queue and no model hears of it.
LOSSES = {
    "lost": "its worker vanished: the lease expired. Costs one of max_attempts",
    "killed": "something else killed its process (signal), such as the kernel for want of "
    "memory. Costs one of max_attempts",
    "preempted": "its worker was told to make room",
    "interrupted": "its worker was stopped by hand",
    "walltime": "its worker's time was up",
    "unreachable": "the server stayed away while the objective needed it",
    "unloadable": "the objective could not be rebuilt on that worker",
}
# "done" is the third kind, and "refused" the fourth: the trial names an objective that was
# not signed for it, and ends as an ERROR without having run.

# The types, `error[0]`, of errors that say nothing about the configuration.
LOST_WORKER = "LostWorker"
UNTRUSTED_OBJECTIVE = "UntrustedObjective"
INNOCENT_ERRORS = (LOST_WORKER, UNTRUSTED_OBJECTIVE, "InvalidTrial")

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
    if misc is None:
        active = {} if values is None else values
        columns = columns_of(tid, active, dict.fromkeys([*labels, *active]))
        misc = {"tid": tid, "cmd": DOMAIN_COMMAND, "workdir": None, **columns}
    return {
        "tid": tid,
        "exp_key": exp_key,
        "state": JOB_STATE_NEW,
        "params": dict(params or {}),
        "result": dict(result) if result is not None else {"status": STATUS_NEW},
        "misc": dict(misc),
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


def columns_of(
    tid: Tid, values: Mapping[str, Any], labels: Mapping[str, Any]
) -> dict[str, dict[str, list[Any]]]:
    """A configuration as `misc` holds it: `idxs` and `vals`, {label: list of none or one}.

    Args:
        values: {label: value} of the active hyperparameters; a choice by index.
        labels: every label of the space, as keys.
    """
    if values.keys() >= labels.keys():
        # Where nothing is inactive, no label needs to be looked up twice.
        return {
            "idxs": {label: [tid] for label in labels},
            "vals": {label: [values[label]] for label in labels},
        }
    return {
        "idxs": {label: [tid] if label in values else [] for label in labels},
        "vals": {label: [values[label]] if label in values else [] for label in labels},
    }


def continuation(trial: Mapping[str, Any], tid: Tid) -> Document:
    """Build the NEW document that takes up a stopped trial where it ended.

    It has the configuration, the objective and the learning curve of `trial`, whose
    checkpoint it finds; at most one continuation of a trial is ever stored, unless it
    was cancelled.
    """
    misc = {
        **trial["misc"],
        "tid": tid,
        "idxs": {label: [tid] if idxs else [] for label, idxs in trial["misc"]["idxs"].items()},
        "vals": {label: list(vals) for label, vals in trial["misc"]["vals"].items()},
        # Algorithms count what comes from one trial as one.
        "from_tid": trial["misc"].get("from_tid", trial["tid"]),
    }
    document = new_trial(
        tid,
        exp_key=trial["exp_key"],
        params=trial.get("params"),
        spec=trial.get("spec"),
        misc=misc,
        max_attempts=trial.get("max_attempts") or DEFAULT_MAX_ATTEMPTS,
    )
    copied = ("objective", "timeout_secs", "reports", "last_report", "report_time")
    document.update({key: trial[key] for key in copied if key in trial})
    document["continues"] = trial["tid"]
    document["line"] = trial.get("line", trial["number"])
    document["settled_step"] = trial["last_report"]["step"]
    return document


def check_trial(trial: Any) -> None:
    """Raise InvalidTrial unless `trial` has the keys and the sense of a trial document."""
    # A dict is told in no time, which is what nearly all of them are.
    if not isinstance(trial, (dict, Mapping)):
        raise InvalidTrial(f"a trial must be a dictionary, not {type(trial).__name__}", trial)
    missing = [key for key in ROOT_KEYS if key not in trial]
    if missing:
        raise InvalidTrial(f"trial lacks {missing}; build it with trials.new_trial_docs", trial)
    misc = trial["misc"]
    if not isinstance(misc, (dict, Mapping)):
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


def is_failure(trial: Mapping[str, Any]) -> bool:
    """Whether an ERROR was the objective's doing, so that it would come again.

    A model may then stay away from the configuration. Of one whose workers were lost,
    or whose objective was never run, it learns nothing.
    """
    # A driver that evaluates trials itself leaves the error in misc, as hyperopt does.
    error = trial.get("error") or trial["misc"].get("error") or (None,)
    return trial["state"] == JOB_STATE_ERROR and error[0] not in INNOCENT_ERRORS


def cancelled_stub(tid: Tid, number: int) -> Document:
    """What readers see of a trial that they waited for and that is none any more."""
    return {
        "tid": tid,
        "number": number,
        "state": JOB_STATE_CANCEL,
        "version": 0,
        "misc": {"vals": {}},
        "result": {},
    }


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


def report(held: Claim, reports: Sequence[Mapping[str, Any]]) -> Transition:
    """RUNNING -> RUNNING: publish the learning curve so far, in place of what stood there.

    Args:
        reports: all that is kept of it, at least one, by rising steps.
    """
    curve = [dict(one) for one in reports]
    return Transition(
        verb="report",
        requires=_held(held),
        sets={"reports": curve, "last_report": dict(curve[-1])},
        stamps=("report_time", "refresh_time"),
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
    return _lose(trial, "expire", {"reason": "lost"})


def lose(
    trial: Mapping[str, Any], reason: str, details: Mapping[str, Any] | None = None
) -> Transition:
    """RUNNING -> NEW, or ERROR once max_attempts claims were lost: its holder says so itself.

    Args:
        trial: the document as it was claimed.
        reason: one of `LOSSES`; goes into the attempt history with `details`.
    """
    return _lose(trial, "lose", {"reason": reason, **(details or {})})


def _lose(trial: Mapping[str, Any], verb: str, attempt_end: Mapping[str, Any]) -> Transition:
    lost = int(trial.get("lost_attempts") or 0) + 1
    allowed = int(trial.get("max_attempts") or DEFAULT_MAX_ATTEMPTS)
    held = Claim(tid=trial["tid"], owner=trial["owner"], attempt=trial.get("attempt", 0))
    if lost < allowed:
        return Transition(
            verb=verb,
            requires=_held(held),
            sets={"state": JOB_STATE_NEW, "owner": None, "lease_until": None},
            stamps=("refresh_time",),
            increments=("lost_attempts", "version"),
            attempt_end=attempt_end,
        )
    text = (
        f"{lost} attempts were lost: each worker vanished without a word while it held the "
        "trial, or the objective's process was killed from outside"
    )
    return Transition(
        verb=verb,
        requires=_held(held),
        sets={"state": JOB_STATE_ERROR, "error": [LOST_WORKER, text], "lease_until": None},
        stamps=("refresh_time", "finish_time"),
        increments=("lost_attempts", "version"),
        attempt_end=attempt_end,
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
