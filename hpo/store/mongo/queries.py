"""Every question put to MongoDB: the recipe book for people who query directly.

    jobs          one document per trial; hpo/document.py lists its fields
    trials        a read-only view of jobs: one flat, readable row per trial
    experiments   one document per experiment: search space, leading driver
    workers       one document per live worker
    job_ids       one counter: the next free tid
    fs.files, fs.chunks   attachments (GridFS)
    objectives.files, objectives.chunks
                  signed objectives (GridFS), which workers need only read

Some to copy into mongosh:

    db.trials.find({experiment: "digits", status: "ok"}).sort({loss: 1}).limit(5)
    db.trials.find({state: "running"}, {tid: 1, step: 1, step_loss: 1, reported: 1})
    db.trials.find({state: "error"}, {tid: 1, host: 1, error: 1})
    db.trials.aggregate([{$match: {state: "done"}},
                         {$group: {_id: "$host", n: {$sum: 1}, secs: {$avg: "$duration"}}}])
    db.workers.find({until: {$gt: new Date()}})

Filters are what `find` takes. Updates are pipelines, because only there is the
server's clock at hand ($$NOW); text from outside goes in through $literal, so
that a "$" in it means nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

from pymongo import ASCENDING, DESCENDING, IndexModel

from hpo.defects import MAX_COUNT
from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    JOB_STATES,
    STATE_WORDS,
    Claim,
    Tid,
    Transition,
)
from hpo.store.base import REPORTED_FIELDS, Horizon, WorkerPresence

Filter: TypeAlias = dict[str, Any]
Pipeline: TypeAlias = list[dict[str, Any]]

NOW = "$$NOW"

BY_TID = [("tid", ASCENDING)]
BY_TID_DOWN = [("tid", DESCENDING)]
BY_NUMBER = [("number", ASCENDING)]
BY_NUMBER_DOWN = [("number", DESCENDING)]
BY_LOSS = [("result.loss", ASCENDING)]

# --- indexes ----------------------------------------------------------------------

NUMBER_INDEX = "exp_key_1_number_1"

JOBS_INDEXES = [
    IndexModel("tid", unique=True),
    # claim, find and count within an experiment; exp_keys
    IndexModel([("exp_key", ASCENDING), ("state", ASCENDING), ("tid", ASCENDING)]),
    # the same over all experiments
    IndexModel([("state", ASCENDING), ("tid", ASCENDING)]),
    # requeue_expired. Partial, like the last one: most writes need not touch it.
    IndexModel(
        [("state", ASCENDING), ("lease_until", ASCENDING)],
        partialFilterExpression={"state": JOB_STATE_RUNNING},
    ),
    # changes. Documents that hyperopt wrote have no number until `number_old_trials`.
    IndexModel(
        [("exp_key", ASCENDING), ("number", ASCENDING)],
        name=NUMBER_INDEX,
        unique=True,
        partialFilterExpression={"number": {"$exists": True}},
    ),
    # reported: what has come so far
    IndexModel(
        [("exp_key", ASCENDING), ("last_report.step", ASCENDING)],
        partialFilterExpression={"last_report.step": {"$exists": True}},
    ),
    # A stopped trial is taken up by one other at most, cancelled ones aside.
    IndexModel(
        [("exp_key", ASCENDING), ("continues", ASCENDING)],
        unique=True,
        partialFilterExpression={
            "continues": {"$exists": True},
            "state": {"$lt": JOB_STATE_CANCEL},
        },
    ),
    # the best trials of an experiment
    IndexModel(
        [("exp_key", ASCENDING), ("state", ASCENDING), ("result.loss", ASCENDING)],
        partialFilterExpression={"state": JOB_STATE_DONE},
    ),
]

# Two drivers that make the counter at the same moment must not make two.
JOB_IDS_INDEXES = [IndexModel("a", unique=True)]

# A presence counts until `until`; the document of a worker that vanished is removed later.
WORKERS_INDEXES = [IndexModel("until", expireAfterSeconds=3600)]


# --- ids and numbers ----------------------------------------------------------------

# hyperopt's counter: its `MongoTrials.new_trial_ids` and ours draw from the same document.
TID_COUNTER: Filter = {"a": 0}


def reserve_tids(n: int) -> dict[str, Any]:
    """Update of the counter; the ids start at its `last_id` from before."""
    return {"$inc": {"last_id": n}}


def skip_tids_to(next_tid: int) -> dict[str, Any]:
    """Update of the counter: hand out no id below `next_tid`."""
    return {"$max": {"last_id": next_tid}}


def numbered(exp_key: str | None) -> Filter:
    """Trials of an experiment that have a number; as a range, so that the index alone counts."""
    return {"exp_key": exp_key, "number": {"$gte": 0}}


def usefully_numbered(exp_key: str | None) -> Filter:
    """The same without numbers that leave no room for the next; sort them BY_NUMBER_DOWN."""
    return {
        "exp_key": exp_key,
        "number": {"$gte": 0, "$lt": MAX_COUNT, "$not": {"$type": "array"}},
    }


def unnumbered(exp_key: str | None) -> Filter:
    """Trials of an experiment that hyperopt wrote, which knows no numbers."""
    return {"exp_key": exp_key, "number": {"$exists": False}}


# --- transitions --------------------------------------------------------------------


def compile_transition(step: Transition) -> tuple[Filter, Pipeline]:
    """One step of `hpo.document` as (filter, update): atomic, by the server's clock.

    What a document holds goes into the filter behind $eq: it may be an operator.
    """
    fields: dict[str, Any] = {key: {"$literal": value} for key, value in step.sets.items()}
    fields |= {key: NOW for key in step.stamps}
    fields |= {key: {"$add": [_number_or_0(key), 1]} for key in step.increments}
    if step.lease_secs is not None:
        fields["lease_until"] = from_now(step.lease_secs)
    if step.attempt_end is not None:
        fields["attempts"] = _with_attempt_ended(step.attempt_end)
    requires = {key: {"$eq": value} for key, value in step.requires.items()}
    return requires, [{"$set": fields}]


def _number_or_0(key: str) -> dict[str, Any]:
    # Whatever stands there, a claim must go through: else it would stop the whole queue.
    return {"$cond": [{"$isNumber": f"${key}"}, f"${key}", 0]}


def _with_attempt_ended(attempt_end: Mapping[str, Any]) -> dict[str, Any]:
    # Inside one $set, "$owner" is still the owner from before.
    ended = {
        "attempt": "$attempt",
        "owner": "$owner",
        "host": "$host",
        "start": "$book_time",
        "end": NOW,
        **{key: {"$literal": value} for key, value in attempt_end.items()},
    }
    before = {"$cond": [{"$isArray": "$attempts"}, "$attempts", []]}
    return {"$concatArrays": [before, [ended]]}


def already_applied(held: Claim, step: Transition) -> Filter:
    """The trial, if this very end of this very attempt stands in it already.

    A write whose acknowledgement was lost is repeated and then matches nothing;
    this tells it from a lost lease. A released trial may have moved on since.
    """
    ended = {"attempt": held.attempt, "owner": held.owner}
    if step.attempt_end is not None:
        ended["reason"] = step.attempt_end["reason"]
    recorded: Filter = {"tid": {"$eq": held.tid}, "attempts": {"$elemMatch": ended}}
    if step.sets["state"] == JOB_STATE_NEW:
        return recorded
    return {**recorded, **{key: {"$eq": value} for key, value in step.sets.items()}}


def insertion(encoded: Any, number: int) -> Pipeline:
    """Update that stores a trial where there is none, and changes nothing where there is one.

    With `{"_id": …}` as filter and upsert=True a repeated insert finds its own
    first try, in whatever state it is by now, and leaves it alone.

    Args:
        encoded: the document without `_id`, `number` and `queue_time`.
    """
    stored = {
        "$mergeObjects": ["$$ROOT", {"$literal": encoded}, {"number": number, "queue_time": NOW}]
    }
    is_absent = {"$eq": [{"$type": "$tid"}, "missing"]}
    return [{"$replaceWith": {"$cond": [is_absent, stored, "$$ROOT"]}}]


# --- the queue ------------------------------------------------------------------------


def claimable(exp_key: str | None, except_objectives: Collection[str | None] = ()) -> Filter:
    """NEW trials, of one experiment or (None) of all; sort them BY_TID."""
    query: Filter = {"state": JOB_STATE_NEW}
    if exp_key is not None:
        query["exp_key"] = exp_key
    if except_objectives:
        query["objective"] = {"$nin": list(except_objectives)}
    return query


def held_by(owner: str, exp_key: str | None) -> Filter:
    """RUNNING trials of one owner, of one experiment or (None) of all."""
    query: Filter = {"state": JOB_STATE_RUNNING, "owner": owner}
    return query if exp_key is None else {**query, "exp_key": exp_key}


# hyperopt's workers are called "host:pid", ours "host:pid:token".
_OF_HYPEROPT = re.compile(r"^[^:]+:\d+$")


def expired(exp_key: str | None) -> Filter:
    """RUNNING trials whose lease has passed, of one experiment or (None) of all.

    One without a lease that a worker of ours holds, or nobody, was spoilt by a stranger, and
    counts as well. Trials that a worker of hyperopt holds have no lease, and stay.
    """
    passed = {"lease_until": {"$type": "date"}, "$expr": {"$lt": ["$lease_until", NOW]}}
    never_given = {"lease_until": {"$not": {"$type": "date"}}, "owner": {"$not": _OF_HYPEROPT}}
    query: Filter = {"state": JOB_STATE_RUNNING, "$or": [passed, never_given]}
    return query if exp_key is None else {**query, "exp_key": exp_key}


def leased(exp_key: str | None) -> Filter:
    """RUNNING trials that have a lease, of one experiment or (None) of all."""
    query: Filter = {"state": JOB_STATE_RUNNING, "lease_until": {"$type": "date"}}
    return query if exp_key is None else {**query, "exp_key": exp_key}


BY_EXPIRY = [("lease_until", ASCENDING)]
SECS_TO_EXPIRY = {"_id": 0, "secs": {"$divide": [{"$subtract": ["$lease_until", NOW]}, 1000]}}


# What `document.expire` and `document.cancel` want to know of a trial.
EXPIRY_FIELDS = {
    "tid": 1,
    "state": 1,
    "owner": 1,
    "attempt": 1,
    "lost_attempts": 1,
    "max_attempts": 1,
}
CANCEL_FIELDS = {"tid": 1, "state": 1, "version": 1}


# --- what is no trial ---------------------------------------------------------------------


def held_document(trial: Mapping[str, Any]) -> Filter:
    """A document by its `_id`, if it is still as RUNNING and held as it was."""
    return {
        "_id": {"$eq": trial["_id"]},
        "state": JOB_STATE_RUNNING,
        "owner": {"$eq": trial.get("owner")},
    }


def set_aside(why: str) -> Pipeline:
    """Update that ends a document that is no trial, so that nobody claims it again."""
    error = ["InvalidTrial", f"this document is no trial: {why}"]
    fields = {"error": error, "set_aside": why, "state": JOB_STATE_ERROR, "lease_until": None}
    return [
        {
            "$set": {
                **{key: {"$literal": value} for key, value in fields.items()},
                "finish_time": NOW,
                "refresh_time": NOW,
            }
        }
    ]


# The same for a document without a byte to spare.
END_IN_PLACE = {"$set": {"state": JOB_STATE_ERROR}, "$unset": {"lease_until": ""}}


def marked_aside(why: str) -> dict[str, Any]:
    """Update that names what is wrong with a document, for people who look at it."""
    return {"$set": {"set_aside": why}}


def aside(exp_key: str | None, *, all_experiments: bool = False) -> Filter:
    """Documents that were set aside, or are so odd that nobody meets them. Reads them all."""
    odd: list[Filter] = [
        {"set_aside": {"$exists": True}},
        {"state": {"$not": {"$in": list(JOB_STATES)}}},
        {"tid": {"$not": {"$type": ["number", "string", "objectId"]}}},
    ]
    if not all_experiments:
        return {"exp_key": exp_key, "$or": odd}
    return {"$or": [*odd, {"exp_key": {"$not": {"$type": ["string", "null"]}, "$exists": True}}]}


# --- reading --------------------------------------------------------------------------


def in_experiment(exp_key: str | None, *, all_experiments: bool = False) -> Filter:
    """Trials of one experiment (None: those without a name), or of all."""
    return {} if all_experiments else {"exp_key": exp_key}


def trials_in(
    exp_key: str | None,
    *,
    tids: Collection[Tid] | None = None,
    states: Collection[int] | None = None,
    all_experiments: bool = False,
) -> Filter:
    """Trials by experiment, tid and state; sort them BY_TID.

    Without `tids` every state is named even if all are wanted: then an index that
    starts with the state still delivers the trials sorted by tid.
    """
    query = in_experiment(exp_key, all_experiments=all_experiments)
    if tids is not None:
        query["tid"] = {"$in": list(tids)}
    if states is not None or tids is None:
        query["state"] = {"$in": list(JOB_STATES if states is None else states)}
    return query


def added_since(exp_key: str | None, horizon: Horizon) -> Filter:
    """Trials that were inserted after the horizon; sort them BY_NUMBER."""
    return {"exp_key": exp_key, "number": {"$gte": horizon.next_number, "$lt": MAX_COUNT}}


def moved_since(exp_key: str | None, horizon: Horizon) -> list[Filter]:
    """Trials that were open at the horizon and are in another state now."""
    followed = ((horizon.new, JOB_STATE_NEW), (horizon.running, JOB_STATE_RUNNING))
    return [
        {
            "exp_key": exp_key,
            "tid": {"$in": list(tids)},
            "state": {"$in": [other for other in JOB_STATES if other != state]},
        }
        for tids, state in followed
        if tids
    ]


def changed_since(exp_key: str | None, horizon: Horizon) -> Filter:
    """Trials that were inserted or moved after the horizon."""
    return {"$or": [*moved_since(exp_key, horizon), added_since(exp_key, horizon)]}


def best(exp_key: str | None) -> Filter:
    """Trials that ended with a loss; sort them BY_LOSS, limit them, and read the first.

    NaN is a number to MongoDB and sorts first: the bound leaves it out.
    """
    return {
        "exp_key": exp_key,
        "state": JOB_STATE_DONE,
        "result.loss": {"$gte": float("-inf")},
        "result.status": "ok",
    }


def done(exp_key: str | None) -> Filter:
    """DONE trials, of one experiment or (None) of all; sort them BY_TID_DOWN: the latest first."""
    query: Filter = {"state": JOB_STATE_DONE}
    return query if exp_key is None else {**query, "exp_key": exp_key}


DURATION_SECS = {
    "_id": 0,
    "secs": {
        "$cond": [
            {
                "$and": [
                    {"$eq": [{"$type": "$book_time"}, "date"]},
                    {"$eq": [{"$type": "$finish_time"}, "date"]},
                ]
            },
            {"$divide": [{"$subtract": ["$finish_time", "$book_time"]}, 1000]},
            None,
        ]
    },
}


def reported(exp_key: str | None, step: int | None) -> Filter:
    """Trials that have reported `step` or a later one; None: whichever."""
    return {
        "exp_key": exp_key,
        "last_report.step": {"$gte": 0 if step is None else step},
        "number": {"$gte": 0},
    }


def open_or_added(exp_key: str | None, horizon: Horizon) -> Filter:
    """Trials that were open at the horizon, whatever they are now, or were inserted after it."""
    followed = list(horizon.new | horizon.running)
    was_open = {"exp_key": exp_key, "tid": {"$in": followed}, "number": {"$gte": 0}}
    added = added_since(exp_key, horizon)
    return {"$or": [was_open, added]} if followed else added


def reported_fields(step: int | None) -> dict[str, Any]:
    """What `Store.reported` reads; of the reports the first one at `step` or later."""
    fields: dict[str, Any] = {"_id": 0, **dict.fromkeys(REPORTED_FIELDS, 1)}
    fields |= {"result": {"status": "$result.status"}}
    if step is not None:
        # Anybody may write a document, and what is no array would fail the query.
        reports = {"$cond": [{"$isArray": "$reports"}, "$reports", []]}
        reached = {"input": reports, "cond": {"$gte": ["$$this.step", step]}}
        fields["reports"] = {"$slice": [{"$filter": reached}, 1]}
    return fields


def projection(fields: Collection[str] | None) -> dict[str, int] | None:
    """What `find` fetches: the fields asked for and those that readers always need."""
    return None if fields is None else dict(_projection(frozenset(fields)))


@functools.cache
def _projection(fields: frozenset[str]) -> dict[str, int]:
    wanted = sorted({"tid", "number", "state", "version", *fields})
    # MongoDB refuses "misc" beside "misc.vals".
    outermost = [
        name for name in wanted if not any(name.startswith(f"{other}.") for other in wanted)
    ]
    return {name: 1 for name in outermost} | ({} if "_id" in wanted else {"_id": 0})


# --- experiments, drivers, workers ------------------------------------------------------

# What `Store.experiment` reads: who leads by the server's clock, and since when it was silent.
EXPERIMENT_FIELDS: dict[str, Any] = {
    "space_digest": 1,
    "space": 1,
    "epoch": 1,
    "driver": {"$cond": [{"$gt": ["$driver_until", NOW]}, "$driver", None]},
    "driver_seen_secs_ago": {
        "$cond": [
            {"$eq": [{"$type": "$driver_seen"}, "date"]},
            {"$divide": [{"$subtract": [NOW, "$driver_seen"]}, 1000]},
            None,
        ]
    },
}


def open_experiment(space_digest: str, space: Sequence[Mapping[str, Any]]) -> Pipeline:
    """Update that writes the search space into a record that has none."""
    is_new = {"$eq": [{"$ifNull": ["$space_digest", None]}, None]}
    wanted = {"space_digest": space_digest, "space": list(space)}
    fields = {
        key: {"$cond": [is_new, {"$literal": value}, f"${key}"]} for key, value in wanted.items()
    }
    return [{"$set": {**fields, "epoch": {"$ifNull": ["$epoch", 0]}}}]


_NEXT_EPOCH = {"$add": [_number_or_0("epoch"), 1]}


def rewritten() -> Pipeline:
    """Update of an experiment's record when finished trials were deleted or rewritten."""
    return [{"$set": {"epoch": _NEXT_EPOCH}}]


def deleted() -> Pipeline:
    """Update of an experiment's record when it is deleted: only the epoch goes on."""
    return [{"$replaceWith": {"_id": "$_id", "epoch": _NEXT_EPOCH}}]


def lead(driver: str, lease_secs: float) -> Pipeline:
    """Update that makes `driver` the leader for `lease_secs`, unless another one leads.

    Whether it did is in the record that it leaves (MongoDB takes no `$expr` in the
    filter of an upsert).
    """
    name = {"$literal": driver}
    # A record without a leader has no `driver_until`, which comes before any date.
    may_lead = {"$or": [{"$eq": ["$driver", name]}, {"$lte": ["$driver_until", NOW]}]}
    fields = {"driver": name, "driver_seen": NOW, "driver_until": from_now(lease_secs)}
    return [
        {
            "$set": {
                key: {"$cond": [may_lead, value, {"$ifNull": [f"${key}", None]}]}
                for key, value in fields.items()
            }
        }
    ]


RESIGN = {"$set": {"driver": None, "driver_until": None}}


def announce(worker: WorkerPresence, ttl_secs: float) -> Pipeline:
    """Update that says a worker is there for the next `ttl_secs`."""
    known = {
        "host": worker.host,
        "pid": worker.pid,
        "exp_key": worker.exp_key,
        "state": worker.state,
        "message": worker.message,
        "unfit_for": list(worker.unfit_for),
    }
    fields: dict[str, Any] = {key: {"$literal": value} for key, value in known.items()}
    return [{"$set": {**fields, "seen": NOW, "until": from_now(ttl_secs)}}]


def live_workers(exp_key: str | None) -> Filter:
    """Workers that are there now and would take trials of `exp_key` (None: all of them)."""
    query: Filter = {"$expr": {"$gt": ["$until", NOW]}}
    return query if exp_key is None else {**query, "exp_key": {"$in": [None, exp_key]}}


def from_now(secs: float) -> dict[str, Any]:
    """The server's clock in `secs`; what $add adds to a date are milliseconds."""
    return {"$add": [NOW, round(secs * 1000)]}


# --- change streams -----------------------------------------------------------------------


def new_work(jobs: str, exp_key: str | None) -> Pipeline:
    """Change stream of the database: a trial became NEW.

    What an update tells does not include the experiment, so the rare release or
    requeue wakes the workers of every experiment.
    """
    inserted: Filter = {
        "operationType": {"$in": ["insert", "replace"]},
        "fullDocument.state": JOB_STATE_NEW,
    }
    if exp_key is not None:
        inserted["fullDocument.exp_key"] = exp_key
    handed_back = {
        "operationType": "update",
        "updateDescription.updatedFields.state": JOB_STATE_NEW,
    }
    return [{"$match": {"ns.coll": jobs, "$or": [inserted, handed_back]}}, _ONLY_THAT]


def new_results(jobs: str, workers: str, exp_key: str | None) -> Pipeline:
    """Change stream of the database: a trial ended or came back, a worker came or went.

    That a trial was claimed calls for nothing. What an update tells does not
    include the experiment, so the ends in one experiment wake the drivers of
    all; having the server look up each document would cost it more.
    """
    moved: Filter = {
        "operationType": {"$in": ["update", "replace"]},
        "updateDescription.updatedFields.state": {
            "$in": [state for state in JOB_STATES if state != JOB_STATE_RUNNING]
        },
    }
    inserted: Filter = {
        "operationType": "insert",
        "fullDocument.state": {"$gt": JOB_STATE_RUNNING},
    }
    if exp_key is not None:
        inserted["fullDocument.exp_key"] = exp_key
    workforce = {
        "ns.coll": workers,
        "$or": [
            {"operationType": {"$in": ["insert", "delete"]}},
            {"updateDescription.updatedFields.state": {"$exists": True}},
        ],
    }
    trials = {"ns.coll": jobs, "$or": [moved, inserted, {"operationType": "delete"}]}
    return [{"$match": {"$or": [trials, workforce]}}, _ONLY_THAT]


# That something happened is all a watch needs; `_id` is the stream's place to resume from.
_ONLY_THAT = {"$project": {"_id": 1}}


# --- the view ---------------------------------------------------------------------------------


def trials_view() -> Pipeline:
    """The view `trials` over `jobs`: one flat row per trial.

    experiment, tid, number; state and status as words; params; loss (null unless
    it is a number); step, step_loss, reported: of its last report; owner, host, attempt;
    queued, started, finished (UTC) and duration in seconds; error as "Type: text".

    A filter on experiment, tid or number uses the indexes of `jobs`.
    """
    words = [
        {"case": {"$eq": ["$state", state]}, "then": word}
        for state, word in zip(JOB_STATES, STATE_WORDS, strict=True)
    ]
    # NaN is a number to MongoDB, and less than any other.
    is_number = {
        "$and": [{"$isNumber": "$result.loss"}, {"$gte": ["$result.loss", float("-inf")]}]
    }
    has_ended = {
        "$and": [
            {"$in": ["$state", [JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_CANCEL]]},
            {"$eq": [{"$type": "$book_time"}, "date"]},
        ]
    }
    # hyperopt has no finish_time; the last write is its end.
    finished = {"$cond": [has_ended, {"$ifNull": ["$finish_time", "$refresh_time"]}, None]}
    duration = {"$divide": [{"$subtract": [finished, "$book_time"]}, 1000]}
    row = {
        "experiment": "$exp_key",
        "tid": "$tid",
        "number": "$number",
        "state": {"$switch": {"branches": words, "default": {"$toString": "$state"}}},
        "params": "$params",
        "loss": {"$cond": [is_number, "$result.loss", None]},
        # Until the objective says something, the result's status is just "new".
        "status": {"$cond": [{"$eq": ["$result.status", "new"]}, None, "$result.status"]},
        "step": "$last_report.step",
        "step_loss": "$last_report.loss",
        "reported": "$report_time",
        "owner": "$owner",
        "host": "$host",
        "attempt": "$attempt",
        "queued": "$queue_time",
        "started": "$book_time",
        "finished": finished,
        "duration": {"$cond": [has_ended, duration, None]},
        "error": _error_text(),
    }
    return [{"$project": row}]


def _error_text() -> dict[str, Any]:
    """`error` is [type, text]."""
    parts = [
        {
            "$convert": {
                "input": {"$arrayElemAt": ["$error", index]},
                "to": "string",
                "onError": "?",
            }
        }
        for index in (0, 1)
    ]
    return {"$cond": [{"$isArray": "$error"}, {"$concat": [parts[0], ": ", parts[1]]}, None]}
