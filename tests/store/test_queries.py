"""The questions put to MongoDB: answered from indexes, and as readable as promised."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from hpo import document
from hpo.document import JOB_STATE_DONE, JOB_STATE_ERROR, Claim, new_trial
from hpo.store.base import Horizon
from hpo.store.mongo import MongoStore, queries
from tests.store.old_trials import hyperopt_trial

OK = {"status": "ok", "loss": 0.5}
N_EXPERIMENTS, N_TRIALS_EACH = 3, 60


@pytest.fixture(params=["replica set"])
def backend(request: pytest.FixtureRequest) -> str:
    """What MongoDB plans does not depend on how it is deployed."""
    return str(request.param)


@pytest.fixture
def busy_store(store: MongoStore) -> MongoStore:
    """Three experiments with new, running, done and failed trials."""
    for number in range(N_EXPERIMENTS):
        tids = store.allocate_tids(N_TRIALS_EACH)
        objectives = ["sha-a", "sha-b"] * (N_TRIALS_EACH // 2)
        store.insert(
            [
                {**new_trial(tid, exp_key=f"exp-{number}"), "objective": objective}
                for tid, objective in zip(tids, objectives, strict=True)
            ]
        )
        for turn in range(N_TRIALS_EACH // 2):
            trial = store.claim("node1:1:a", exp_key=f"exp-{number}")
            assert trial is not None
            if turn % 3 == 0:
                store.finish(Claim.of(trial), {"status": "ok", "loss": float(turn)})
            elif turn % 3 == 1:
                store.fail(Claim.of(trial), ("ValueError", "bad"))
    return store


def stages(plan: Any) -> Iterator[str]:
    """The names of a plan's stages, wherever they are in the answer of explain."""
    if isinstance(plan, dict):
        if "stage" in plan:
            yield plan["stage"]
        for key, value in plan.items():
            if key != "rejectedPlans":
                yield from stages(value)
    elif isinstance(plan, list):
        for part in plan:
            yield from stages(part)


def assert_served_by_indexes(plan: Any) -> None:
    found = set(stages(plan))
    assert found & {"IXSCAN", "DISTINCT_SCAN", "COUNT_SCAN"}, plan
    assert not found & {"COLLSCAN", "SORT"}, f"{sorted(found)}: {plan}"


def n_examined(plan: dict[str, Any]) -> int:
    return int(plan["executionStats"]["totalKeysExamined"])


# --- plans ------------------------------------------------------------------------


@pytest.mark.parametrize("except_objectives", [(), ("sha-a",)])
@pytest.mark.parametrize("exp_key", ["exp-1", None])
def test_a_claim_reads_one_index_in_order(busy_store, exp_key, except_objectives):
    step = document.claim("node1:1:a", "node1", 60)
    command = {
        "findAndModify": "jobs",
        "query": queries.claimable(exp_key, except_objectives),
        "sort": dict(queries.BY_TID),
        "update": queries.compile_transition(step)[1],
    }

    plan = busy_store.db.command("explain", command, verbosity="executionStats")

    assert_served_by_indexes(plan["queryPlanner"]["winningPlan"])
    assert n_examined(plan) <= 3


@pytest.mark.parametrize("verb", ["heartbeat", "finish", "release"])
def test_a_write_under_a_claim_reads_one_trial(busy_store, verb):
    held = Claim(tid=5, owner="node1:1:a", attempt=1)
    step = {
        "heartbeat": document.heartbeat(held),
        "finish": document.finish(held, OK),
        "release": document.release(held, "sigterm"),
    }[verb]

    plan = busy_store.jobs.find(queries.compile_transition(step)[0]).explain()

    assert_served_by_indexes(plan["queryPlanner"]["winningPlan"])
    assert n_examined(plan) <= 1
    again = busy_store.jobs.find(queries.already_applied(held, document.finish(held, OK)))
    assert_served_by_indexes(again.explain()["queryPlanner"]["winningPlan"])


@pytest.mark.parametrize("exp_key", ["exp-1", None])
def test_requeueing_reads_only_running_trials(busy_store, exp_key):
    plan = busy_store.jobs.find(queries.expired(exp_key)).explain()

    assert_served_by_indexes(plan["queryPlanner"]["winningPlan"])
    # Of 180 trials 30 run.
    assert n_examined(plan) <= 31


def test_following_reads_what_changed(busy_store):
    horizon = Horizon()
    for trial in busy_store.changes("exp-1", horizon):
        assert trial["exp_key"] == "exp-1"
    busy_store.cancel("exp-1", [next(iter(horizon.new))])

    added = busy_store.jobs.find(
        queries.added_since("exp-1", horizon), sort=queries.BY_NUMBER
    ).explain()
    changed = busy_store.jobs.find(queries.changed_since("exp-1", horizon)).explain()

    assert_served_by_indexes(added["queryPlanner"]["winningPlan"])
    assert_served_by_indexes(changed["queryPlanner"]["winningPlan"])
    assert n_examined(added) <= 1
    n_open = len(horizon.new) + len(horizon.running)
    assert changed["executionStats"]["totalDocsExamined"] <= n_open
    assert changed["executionStats"]["nReturned"] == 1


def test_listing_many_trials_in_the_order_of_their_tids_sorts_nothing(store):
    # A handful MongoDB may as well sort.
    store.jobs.insert_many(
        {"exp_key": f"exp-{tid % 2}", "tid": tid, "state": tid % 5} for tid in range(4000)
    )
    for query in (
        queries.trials_in("exp-1"),
        queries.trials_in("exp-1", states=[JOB_STATE_DONE, JOB_STATE_ERROR]),
        queries.trials_in(None, all_experiments=True),
    ):
        plan = store.jobs.find(query, sort=queries.BY_TID).explain()
        assert_served_by_indexes(plan["queryPlanner"]["winningPlan"])


def test_the_next_number_and_the_best_loss_are_read_from_the_end_of_an_index(busy_store):
    numbered = busy_store.jobs.find(
        queries.numbered("exp-1"), {"number": 1, "_id": 0}, sort=queries.BY_NUMBER_DOWN, limit=1
    ).explain()
    best = busy_store.jobs.find(queries.best("exp-1"), sort=queries.BY_LOSS, limit=1).explain()

    for plan in (numbered, best):
        assert_served_by_indexes(plan["queryPlanner"]["winningPlan"])
        assert n_examined(plan) <= 2


def test_the_view_filters_through_the_indexes_of_jobs(busy_store):
    for query in ({"experiment": "exp-1"}, {"tid": 7}, {"experiment": "exp-1", "number": 7}):
        plan = busy_store.db.command(
            "explain", {"find": "trials", "filter": query}, verbosity="queryPlanner"
        )
        assert_served_by_indexes(plan)


# --- the best trials ----------------------------------------------------------------


def test_the_best_trials_are_those_with_a_loss_that_is_a_number(store):
    losses = [3.0, math.nan, None, "low", 1, math.inf, -2.5]
    tids = store.allocate_tids(len(losses) + 1)
    store.insert([new_trial(tid, exp_key="digits") for tid in tids])
    for loss in losses:
        store.finish(Claim.of(store.claim("a")), {"status": "ok", "loss": loss})
    store.finish(Claim.of(store.claim("a")), {"status": "fail", "loss": -9.0})

    best = store.jobs.find(queries.best("digits")).sort(queries.BY_LOSS)
    assert [trial["result"]["loss"] for trial in best] == [-2.5, 1, 3.0, math.inf]


# --- the view -----------------------------------------------------------------------


def rows(store: MongoStore, **query: Any) -> list[dict[str, Any]]:
    return list(store.db.trials.find(query).sort("tid", 1))


def test_the_view_shows_one_readable_row_per_trial(store):
    tids = store.allocate_tids(4)
    store.insert([new_trial(tid, exp_key="digits", params={"svm": "rbf", "C": 3}) for tid in tids])
    for loss in (0.25, 0.125):
        store.finish(
            Claim.of(store.claim("node1:1:a", host="node1")), {"status": "ok", "loss": loss}
        )
    store.fail(Claim.of(store.claim("node1:1:a", host="node1")), ("ValueError", "C is odd"))
    store.jobs.update_one({"tid": tids[0]}, [{"$set": {"book_time": _earlier("$finish_time")}}])

    best, second = store.db.trials.find({"experiment": "digits", "state": "done"}).sort(
        {"loss": 1}
    )
    assert (best["loss"], second["loss"]) == (0.125, 0.25)
    assert list(second)[1:] == [
        "experiment", "tid", "number", "state", "params", "loss", "status", "owner", "host",
        "attempt", "queued", "started", "finished", "duration", "error",
    ]  # fmt: skip
    assert second["params"] == {"svm": "rbf", "C": 3}
    assert (second["status"], second["owner"], second["host"]) == ("ok", "node1:1:a", "node1")
    assert second["duration"] == 90.5 == (second["finished"] - second["started"]).total_seconds()
    assert second["queued"] <= second["finished"] and second["error"] is None

    failed, waiting = rows(store)[2:]
    assert (failed["state"], failed["error"]) == ("error", "ValueError: C is odd")
    assert (failed["status"], failed["loss"]) == (None, None)
    assert (waiting["state"], waiting["started"], waiting["duration"]) == ("new", None, None)


def _earlier(field: str) -> dict[str, Any]:
    return {"$subtract": [field, round(timedelta(seconds=90.5).total_seconds() * 1000)]}


@pytest.mark.parametrize("loss", [math.nan, None, "low", [1.0]])
def test_the_view_shows_no_loss_that_is_not_a_number(store, loss):
    store.insert([new_trial(0, exp_key="digits")])
    store.finish(Claim.of(store.claim("node1:1:a")), {"status": "ok", "loss": loss})

    [row] = rows(store)

    assert (row["state"], row["loss"]) == ("done", None)


def test_the_view_knows_every_state(store):
    tids = store.allocate_tids(5)
    store.insert([new_trial(tid, exp_key="digits") for tid in tids])
    for end in (store.finish, None, None):
        held = Claim.of(store.claim("node1:1:a"))
        if end:
            end(held, OK)
    store.fail(held, ("ValueError", "bad"))
    store.cancel("digits", [tids[3]])

    assert [row["state"] for row in rows(store)] == ["done", "running", "error", "cancel", "new"]


def test_the_view_reads_documents_that_hyperopt_wrote(store):
    store.jobs.insert_one(hyperopt_trial(7, state=JOB_STATE_DONE, result=OK))
    store.jobs.insert_one(
        {**hyperopt_trial(8, state=JOB_STATE_ERROR), "error": ("<class 'ValueError'>", "bad")}
    )

    done, failed = rows(store)

    assert (done["experiment"], done["state"], done["loss"]) == ("old", "done", 0.5)
    assert done["duration"] == 60.0
    assert failed["error"] == "<class 'ValueError'>: bad"
