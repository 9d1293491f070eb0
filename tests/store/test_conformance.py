"""What every store promises (hpo/store/base.py), on every backend."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest

from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    JOB_STATES,
    Claim,
    is_failure,
    new_trial,
)
from hpo.exceptions import DuplicateTrial, InvalidTrial, LeaseLost
from hpo.store.base import Horizon, WorkerPresence

OK = {"status": "ok", "loss": 0.5}


def insert(store, n=1, exp_key="digits", **fields):
    """Insert `n` NEW trials under fresh tids, and return their tids."""
    tids = store.allocate_tids(n)
    store.insert([{**new_trial(tid, exp_key=exp_key), **fields} for tid in tids])
    return tids


def stored(store, tid):
    [trial] = store.find(None, tids=[tid], all_experiments=True)
    return trial


def claim(store, owner="node1:10:a", **options):
    trial = store.claim(owner, **options)
    assert trial is not None, "there was nothing to claim"
    return Claim.of(trial)


def states(store, exp_key="digits"):
    return {trial["tid"]: trial["state"] for trial in store.find(exp_key)}


# --- ids and insertion ------------------------------------------------------------


def test_tids_are_handed_out_once(store, another):
    first, second, third = store.allocate_tids(3), another.allocate_tids(2), store.allocate_tids(1)

    assert len({*first, *second, *third}) == 6
    assert first == sorted(first) and min(second) > max(first) and third[0] > max(second)


def test_tids_that_were_chosen_by_hand_are_not_handed_out(store, another):
    store.insert([new_trial(41)])

    assert another.allocate_tids(1)[0] > 41


def test_no_tids_are_reserved_for_nothing(store):
    assert store.allocate_tids(0) == []


def test_an_inserted_trial_is_stored_as_it_was_given(store):
    [tid] = store.allocate_tids(1)
    given = new_trial(
        tid,
        exp_key="digits",
        values={"lr": 0.1, "layers": 2},
        labels=["depth"],
        params={"lr": 0.1},
    )

    store.insert([given])

    trial = stored(store, tid)
    assert trial["params"] == {"lr": 0.1}
    assert trial["misc"]["vals"] == {"depth": [], "lr": [0.1], "layers": [2]}
    assert trial["misc"]["idxs"] == {"depth": [], "lr": [tid], "layers": [tid]}
    assert list(trial["misc"]["cmd"]) == ["domain_attachment", "FMinIter_Domain"]
    assert abs(trial["queue_time"] - store.now()) < timedelta(seconds=60)


def test_labels_may_hold_dots_and_dollars(store):
    [tid] = store.allocate_tids(1)
    values = {"optimizer.lr": 0.1, "$price": 2, "a.$b": "x"}

    store.insert([new_trial(tid, exp_key="digits", values=values, params=values)])
    store.finish(claim(store), {**OK, "per.class": {"$0": 0.1}})

    trial = stored(store, tid)
    assert trial["params"] == values
    assert trial["misc"]["vals"] == {label: [value] for label, value in values.items()}
    assert trial["result"]["per.class"] == {"$0": 0.1}


def test_text_that_looks_like_an_expression_stays_text(store):
    [tid] = insert(store)

    store.finish(claim(store, "$owner"), {**OK, "note": "$$NOW", "path": "$result.loss"})

    trial = stored(store, tid)
    assert (trial["owner"], trial["result"]["note"]) == ("$owner", "$$NOW")
    assert trial["result"]["path"] == "$result.loss"


def test_numbers_count_within_an_experiment(store):
    first = insert(store, 2, "digits")
    other = insert(store, 3, "iris")
    second = insert(store, 2, "digits")

    assert [stored(store, tid)["number"] for tid in (*first, *second)] == [0, 1, 2, 3]
    assert [stored(store, tid)["number"] for tid in other] == [0, 1, 2]


def test_trials_of_several_experiments_can_be_inserted_together(store):
    tids = store.allocate_tids(6)
    keys = ["a", "a", "b", "a", None, "b"]

    store.insert([new_trial(tid, exp_key=key) for tid, key in zip(tids, keys, strict=True)])

    assert [stored(store, tid)["number"] for tid in tids] == [0, 1, 0, 2, 0, 1]
    assert store.exp_keys() == [None, "a", "b"]


def test_two_drivers_that_insert_at_once_number_without_gaps(store, another):
    def insert_many(driver):
        return [tid for _ in range(12) for tid in insert(driver, 3)]

    with ThreadPoolExecutor(4) as pool:
        tids = [tid for tids in pool.map(insert_many, [store, another] * 2) for tid in tids]

    trials = list(store.find("digits"))
    assert sorted(trial["tid"] for trial in trials) == sorted(tids)
    assert sorted(trial["number"] for trial in trials) == list(range(4 * 12 * 3))


def test_a_driver_goes_on_after_numbers_that_another_one_gave(store, another):
    insert(store, 2)
    insert(another, 2)
    insert(store, 2)

    assert [trial["number"] for trial in store.find("digits")] == list(range(6))


def test_a_taken_tid_is_refused_and_nothing_after_it_is_stored(store):
    tids = store.allocate_tids(3)
    store.insert([new_trial(tids[1], exp_key="digits")])

    with pytest.raises(DuplicateTrial) as raised:
        store.insert([new_trial(tid, exp_key="digits") for tid in tids])

    assert raised.value.tids == [tids[1]]
    assert set(states(store)) == {tids[0], tids[1]}
    # … and the numbers are still dense afterwards.
    insert(store, 1)
    assert sorted(trial["number"] for trial in store.find("digits")) == [0, 1, 2]


def test_inserting_the_same_document_again_is_refused(store):
    [tid] = store.allocate_tids(1)
    trial = new_trial(tid, exp_key="digits")
    store.insert([trial])

    with pytest.raises(DuplicateTrial):
        store.insert([trial])

    assert store.count("digits", JOB_STATES) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"state": 17},
        {"misc": None},
        {"misc": {"tid": 999, "vals": {}}},
        {"result": "ok"},
        {"lost_attempts": -1},
        {"state": JOB_STATE_DONE, "result": {"status": "ok", "loss": [1.0]}},
    ],
    ids=str,
)
def test_what_is_no_trial_is_refused_with_all_that_came_with_it(store, fault):
    good, bad = store.allocate_tids(2)
    trials = [new_trial(good, exp_key="digits"), {**new_trial(bad, exp_key="digits"), **fault}]

    with pytest.raises(InvalidTrial, match=f"trial {bad} is no trial: "):
        store.insert(trials)

    assert list(store.find("digits")) == []


def test_what_numpy_counts_and_lists_makes_a_trial_as_well(store):
    [tid] = map(np.int64, store.allocate_tids(1))
    trial = new_trial(tid, exp_key="digits", values={"x": 1.0})
    trial["misc"]["vals"]["x"] = np.array([1.0])

    store.insert([trial])

    claimed = store.claim("node1:10:a")
    assert (claimed["tid"], list(claimed["misc"]["vals"]["x"])) == (tid, [1.0])


@pytest.mark.parametrize("name", ["tid", "exp_key", "state"])
def test_a_trial_without_what_the_store_goes_by_is_refused(store, name):
    good, bad = store.allocate_tids(2)
    lacking = new_trial(bad, exp_key="digits")
    del lacking[name]

    with pytest.raises(InvalidTrial, match=f"lacks '{name}'"):
        store.insert([new_trial(good, exp_key="digits"), lacking])

    assert list(store.find("digits")) == []


@pytest.mark.parametrize("n", [0, -3])
def test_no_ids_can_be_asked_for(store, n):
    [first] = store.allocate_tids(1)

    assert store.allocate_tids(n) == []
    assert store.allocate_tids(1) == [first + 1]


def test_known_results_can_be_inserted(store):
    [tid] = store.allocate_tids(1)
    store.insert([{**new_trial(tid, exp_key="digits", result=OK), "state": JOB_STATE_DONE}])

    assert store.claim("node1:10:a") is None
    assert stored(store, tid)["result"] == OK


# --- claims -----------------------------------------------------------------------


def test_a_claimed_trial_stays_the_proof_of_its_claim(store, let_pass):
    [tid] = insert(store)
    first = store.claim("node1:10:a", lease_secs=60)
    let_pass(61)
    assert store.requeue_expired() == [tid]
    second = store.claim("node2:20:b", lease_secs=60)

    assert Claim.of(first) == Claim(tid, "node1:10:a", 1)
    with pytest.raises(LeaseLost):
        store.lose(first, "killed")
    store.finish(Claim.of(second), OK)
    assert second["state"] == JOB_STATE_RUNNING


def test_a_claimed_trial_says_who_holds_it_since_when_and_until_when(store):
    [tid] = insert(store)

    trial = store.claim("node1:10:a", host="node1", lease_secs=60)

    assert (trial["tid"], trial["state"], trial["attempt"]) == (tid, JOB_STATE_RUNNING, 1)
    assert (trial["owner"], trial["host"], trial["version"]) == ("node1:10:a", "node1", 1)
    assert trial["lease_until"] - trial["book_time"] == timedelta(seconds=60)
    assert abs(trial["book_time"] - store.now()) < timedelta(seconds=60)


def test_trials_are_claimed_in_the_order_of_their_tids(store):
    tids = store.allocate_tids(5)
    store.insert([new_trial(tid, exp_key="digits") for tid in (tids[3], tids[0], tids[4])])
    store.insert([new_trial(tid, exp_key="iris") for tid in (tids[2], tids[1])])

    assert [claim(store).tid for _ in range(5)] == tids
    assert store.claim("node1:10:a") is None


def test_a_worker_can_serve_one_experiment(store):
    insert(store, 2, "digits")
    [wanted] = insert(store, 1, "iris")

    assert claim(store, exp_key="iris").tid == wanted
    assert store.claim("node1:10:a", exp_key="iris") is None
    assert store.claim("node1:10:a", exp_key="unknown") is None


def test_a_worker_can_leave_out_objectives_that_it_cannot_load(store):
    bad = insert(store, 2, objective="sha-bad")
    [none] = insert(store, 1)
    good = insert(store, 1, objective="sha-good")

    skipping = {"except_objectives": ["sha-bad", "sha-worse"]}
    assert [claim(store, **skipping).tid for _ in range(2)] == [none, *good]
    assert store.claim("node1:10:a", **skipping) is None
    assert [claim(store).tid for _ in range(2)] == bad


def test_each_trial_is_claimed_by_one_of_many_threads(store, another):
    tids = insert(store, 60)

    def work(number_and_store):
        number, own = number_and_store
        taken = []
        while (trial := own.claim(f"node{number}:1:a", exp_key="digits")) is not None:
            taken.append(trial["tid"])
            own.finish(Claim.of(trial), OK)
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [tid for tids in pool.map(work, enumerate([store, another] * 2)) for tid in tids]

    assert sorted(taken) == tids
    assert set(states(store).values()) == {JOB_STATE_DONE}


# --- writing under a claim -----------------------------------------------------------


def test_a_finished_trial_has_its_result_and_its_history(store):
    [tid] = insert(store)
    held = claim(store, host="node1")

    store.finish(held, {**OK, "epochs": [1, 2]})

    trial = stored(store, tid)
    assert trial["state"] == JOB_STATE_DONE
    assert trial["result"] == {**OK, "epochs": [1, 2]}
    assert trial["lease_until"] is None and trial["version"] == 2
    assert trial["finish_time"] == trial["refresh_time"] >= trial["book_time"]
    [attempt] = trial["attempts"]
    assert attempt == {
        "attempt": 1, "owner": held.owner, "host": "node1", "reason": "done",
        "start": trial["book_time"], "end": trial["finish_time"],
    }  # fmt: skip


def test_a_failed_trial_keeps_its_error(store):
    [tid] = insert(store)

    store.fail(
        claim(store), ("ValueError", "bad lr"), "Traceback …", reason="exit", details={"code": -9}
    )

    trial = stored(store, tid)
    assert trial["state"] == JOB_STATE_ERROR
    assert (trial["error"], trial["traceback"]) == (["ValueError", "bad lr"], "Traceback …")
    [attempt] = trial["attempts"]
    assert (attempt["reason"], attempt["code"]) == ("exit", -9)
    assert attempt["error"] == ["ValueError", "bad lr"]


def test_a_released_trial_is_new_again_and_no_attempt_is_lost(store):
    [tid] = insert(store)

    store.release(claim(store), "sigterm")

    trial = stored(store, tid)
    assert (trial["state"], trial["owner"], trial["lease_until"]) == (JOB_STATE_NEW, None, None)
    assert (trial["attempt"], trial["lost_attempts"]) == (1, 0)
    assert trial["attempts"][0]["reason"] == "sigterm"
    again = claim(store, "node2:20:b")
    assert (again.tid, again.attempt) == (tid, 2)


def test_a_checkpoint_shows_while_the_trial_runs(store):
    [tid] = insert(store)

    store.checkpoint(claim(store), {"status": "running", "loss": 3.0})

    trial = stored(store, tid)
    assert (trial["state"], trial["result"]["loss"]) == (JOB_STATE_RUNNING, 3.0)
    assert trial["version"] == 2


def test_a_heartbeat_renews_the_lease_and_nothing_else(store, let_pass):
    [tid] = insert(store)
    held = claim(store, lease_secs=10)
    let_pass(8)

    store.heartbeat(held, lease_secs=10)
    let_pass(8)

    assert store.requeue_expired() == []
    trial = stored(store, tid)
    assert (trial["state"], trial["version"]) == (JOB_STATE_RUNNING, 1)


WRITES = {
    "heartbeat": lambda store, held: store.heartbeat(held),
    "checkpoint": lambda store, held: store.checkpoint(held, OK),
    "finish": lambda store, held: store.finish(held, OK),
    "fail": lambda store, held: store.fail(held, ("ValueError", "bad")),
    "release": lambda store, held: store.release(held, "sigterm"),
}


@pytest.mark.parametrize("verb", WRITES)
def test_a_worker_whose_lease_expired_cannot_write(store, let_pass, verb):
    [tid] = insert(store)
    late = claim(store, "node1:10:a", lease_secs=60)
    let_pass(61)
    assert store.requeue_expired() == [tid]
    claim(store, "node2:20:b")
    before = dict(stored(store, tid))

    with pytest.raises(LeaseLost) as raised:
        WRITES[verb](store, late)

    assert stored(store, tid) == before
    assert (raised.value.tid, raised.value.owner, raised.value.attempt) == (tid, late.owner, 1)


@pytest.mark.parametrize("verb", WRITES)
def test_an_older_claim_of_the_same_worker_cannot_write(store, verb):
    [tid] = insert(store)
    first = claim(store, "node1:10:a")
    store.release(first, "unfit")
    claim(store, "node1:10:a")
    before = dict(stored(store, tid))

    # A release that was acknowledged may be repeated; anything else is out of date.
    if verb == "release":
        store.release(first, "unfit")
    else:
        with pytest.raises(LeaseLost):
            WRITES[verb](store, first)

    assert stored(store, tid) == before


@pytest.mark.parametrize("verb", WRITES)
def test_a_claim_on_a_trial_that_is_not_stored_is_lost(store, verb):
    with pytest.raises(LeaseLost):
        WRITES[verb](store, Claim(tid=77, owner="node1:10:a", attempt=1))


@pytest.mark.parametrize("verb", ["finish", "fail", "release"])
def test_an_end_that_is_written_twice_counts_once(store, verb):
    [tid] = insert(store)
    held = claim(store)
    WRITES[verb](store, held)
    after_first = dict(stored(store, tid))

    WRITES[verb](store, held)

    assert stored(store, tid) == after_first


def test_a_not_a_number_loss_is_repeated_as_well(store):
    insert(store)
    held = claim(store)
    result = {"status": "ok", "loss": float("nan")}

    store.finish(held, result)
    store.finish(held, result)


def test_another_result_for_a_finished_trial_is_refused(store):
    [tid] = insert(store)
    held = claim(store)
    store.finish(held, OK)

    with pytest.raises(LeaseLost):
        store.finish(held, {"status": "ok", "loss": 9.0})
    with pytest.raises(LeaseLost):
        store.fail(held, ("ValueError", "bad"))

    assert stored(store, tid)["result"] == OK


# --- leases and cancelling ---------------------------------------------------------------


def test_an_expired_trial_goes_back_to_the_queue(store, let_pass):
    [tid] = insert(store)
    claim(store, "node1:10:a", lease_secs=60)

    assert store.requeue_expired() == []
    let_pass(61)
    assert store.requeue_expired() == [tid]
    assert store.requeue_expired() == []

    trial = stored(store, tid)
    assert (trial["state"], trial["owner"], trial["lost_attempts"]) == (JOB_STATE_NEW, None, 1)
    assert trial["attempts"][0]["reason"] == "lost"
    assert claim(store, "node2:20:b") == Claim(tid, "node2:20:b", 2)


def test_a_trial_whose_workers_keep_vanishing_ends_as_an_error(store, let_pass):
    [tid] = insert(store, max_attempts=2)

    for _ in range(2):
        claim(store, lease_secs=60)
        let_pass(61)
        assert store.requeue_expired("digits") == [tid]

    trial = stored(store, tid)
    assert (trial["state"], trial["error"][0]) == (JOB_STATE_ERROR, "LostWorker")
    assert [attempt["attempt"] for attempt in trial["attempts"]] == [1, 2]
    assert store.claim("node1:10:a") is None


def test_a_lost_attempt_goes_back_to_the_queue_at_once_and_is_counted(store):
    [tid] = insert(store)
    held = store.claim("node1:10:a", host="node1")

    store.lose(held, "killed", {"signal": 9, "stderr": "$oid"})

    trial = stored(store, tid)
    assert (trial["state"], trial["owner"], trial["lost_attempts"]) == (JOB_STATE_NEW, None, 1)
    [end] = trial["attempts"]
    assert (end["reason"], end["signal"], end["stderr"]) == ("killed", 9, "$oid")
    assert (end["owner"], end["host"]) == ("node1:10:a", "node1")


def test_a_trial_that_keeps_being_killed_ends_as_an_error_that_says_nothing_of_it(store):
    [tid] = insert(store, max_attempts=2)

    for _ in range(2):
        store.lose(store.claim("node1:10:a"), "killed", {"signal": 9})

    trial = stored(store, tid)
    assert trial["state"] == JOB_STATE_ERROR
    assert trial["error"][0] == "LostWorker"
    assert not is_failure(trial)
    assert [end["reason"] for end in trial["attempts"]] == ["killed", "killed"]


def test_losing_a_trial_twice_counts_once(store):
    [tid] = insert(store)
    held = dict(store.claim("node1:10:a"))

    store.lose(held, "killed")
    store.lose(held, "killed")

    assert stored(store, tid)["lost_attempts"] == 1


def test_only_the_holder_can_lose_a_trial(store):
    insert(store)
    first = dict(store.claim("node1:10:a"))
    store.release(Claim.of(first), "preempted")
    store.claim("node2:20:b")

    with pytest.raises(LeaseLost):
        store.lose(first, "killed")


def test_the_next_expiry_is_known_in_seconds(store, let_pass):
    insert(store, 2)
    assert store.next_expiry_secs("digits") is None
    first = claim(store, "node1:10:a", lease_secs=60)
    claim(store, "node2:20:b", lease_secs=600)

    assert store.next_expiry_secs("digits") == pytest.approx(60, abs=5)
    assert store.next_expiry_secs() == pytest.approx(60, abs=5)
    assert store.next_expiry_secs("iris") is None
    let_pass(61)
    assert store.next_expiry_secs("digits") < 0
    store.release(first, "preempted")
    assert store.next_expiry_secs("digits") == pytest.approx(539, abs=5)


def test_the_latest_trials_say_how_long_one_takes(store, let_pass):
    for secs, exp_key in ((100, "digits"), (10, "digits"), (20, "iris"), (30, "digits")):
        insert(store, exp_key=exp_key)
        held = claim(store, exp_key=exp_key, lease_secs=1000)
        let_pass(secs)
        store.finish(held, OK)
    insert(store)
    store.fail(claim(store), ("ValueError", "bad"))

    took = [round(secs, -1) for secs in store.durations("digits", 2)]
    assert took == [30, 10]
    assert len(store.durations(None, 100)) == 4
    assert store.durations("other", 100) == []


def test_only_the_experiment_asked_for_is_requeued(store, let_pass):
    [a], [b] = insert(store, 1, "a"), insert(store, 1, "b")
    claim(store, "node1:10:a"), claim(store, "node1:11:a")
    let_pass(61)

    assert store.requeue_expired("b") == [b]
    assert store.requeue_expired() == [a]


def test_cancelling_ends_what_is_open(store):
    tids = insert(store, 4)
    store.finish(claim(store), OK)
    held = claim(store)

    assert sorted(store.cancel("digits")) == tids[1:]

    assert states(store) == {
        tids[0]: JOB_STATE_DONE, **dict.fromkeys(tids[1:], JOB_STATE_CANCEL)
    }  # fmt: skip
    assert store.claim("node1:10:a") is None
    with pytest.raises(LeaseLost):
        store.finish(held, OK)


def test_cancelling_can_pick_trials(store):
    tids = insert(store, 3)
    elsewhere = insert(store, 1, "iris")

    assert store.cancel("digits", [tids[1], *elsewhere, 999]) == [tids[1]]
    assert [claim(store).tid for _ in range(3)] == [tids[0], tids[2], *elsewhere]


# --- reading ---------------------------------------------------------------------------------


def follow(store, horizon, exp_key="digits", **options):
    return [(trial["tid"], trial["state"]) for trial in store.changes(exp_key, horizon, **options)]


def test_a_reader_sees_each_change_once(store):
    horizon = Horizon()
    a, b, c = insert(store, 3)
    assert follow(store, horizon) == [(a, JOB_STATE_NEW), (b, JOB_STATE_NEW), (c, JOB_STATE_NEW)]
    assert follow(store, horizon) == []

    held = claim(store)
    assert follow(store, horizon) == [(a, JOB_STATE_RUNNING)]
    assert follow(store, horizon) == []

    store.finish(held, OK)
    store.fail(claim(store), ("ValueError", "bad"))
    [d] = insert(store)
    assert set(follow(store, horizon)) == {
        (a, JOB_STATE_DONE), (b, JOB_STATE_ERROR), (d, JOB_STATE_NEW)
    }  # fmt: skip
    assert follow(store, horizon) == []
    assert horizon == Horizon(next_number=4, new={c, d}, running=set())


def test_new_trials_come_in_the_order_of_their_numbers(store):
    horizon = Horizon()
    insert(store, 3)
    list(store.changes("digits", horizon))
    tids = store.allocate_tids(20)
    store.insert([new_trial(tid, exp_key="digits") for tid in reversed(tids)])

    assert [tid for tid, _ in follow(store, horizon)] == list(reversed(tids))


def test_a_reader_that_stops_halfway_goes_on_there(store):
    horizon = Horizon()
    tids = insert(store, 5)

    changes = store.changes("digits", horizon)
    seen = [next(changes)["tid"], next(changes)["tid"]]
    changes.close()

    assert seen + [tid for tid, _ in follow(store, horizon)] == tids


def test_a_reader_sees_only_its_experiment(store):
    insert(store, 2, "iris")
    [mine] = insert(store, 1, None)

    assert follow(store, Horizon(), None) == [(mine, JOB_STATE_NEW)]
    assert follow(store, Horizon(), "unknown") == []


def test_a_reader_gets_at_least_the_fields_that_it_asks_for(store):
    [tid] = insert(store)
    store.finish(claim(store), OK)

    [trial] = store.changes("digits", Horizon(), fields=["result.loss", "misc", "misc.vals"])

    assert trial["result"]["loss"] == 0.5 and trial["misc"]["vals"] == {}
    assert (trial["tid"], trial["number"], trial["state"]) == (tid, 0, JOB_STATE_DONE)
    assert trial["version"] == 2


def test_trials_are_found_by_experiment_tid_and_state_in_the_order_of_tids(store):
    tids = store.allocate_tids(4)
    store.insert([new_trial(tid, exp_key="digits") for tid in reversed(tids)])
    [other] = insert(store, 1, "iris")
    store.finish(claim(store), OK)

    def found(*args, **options):
        return [trial["tid"] for trial in store.find(*args, **options)]

    assert found("digits") == tids
    assert found("digits", states=[JOB_STATE_NEW]) == tids[1:]
    assert found("digits", tids=[tids[2], tids[0], other]) == [tids[0], tids[2]]
    assert found("digits", tids=tids, states=[JOB_STATE_DONE]) == tids[:1]
    assert found(None) == []
    assert found(None, all_experiments=True) == [*tids, other]
    assert found("digits", tids=[]) == []


def test_trials_are_counted_by_state(store):
    insert(store, 3)
    insert(store, 2, "iris")
    claim(store)

    assert store.count("digits", [JOB_STATE_NEW]) == 2
    assert store.count("digits", [JOB_STATE_NEW, JOB_STATE_RUNNING]) == 3
    assert store.count(None, JOB_STATES) == 0
    assert store.count(None, JOB_STATES, all_experiments=True) == 5


def test_deleting_an_experiment_removes_all_of_it_and_nothing_else(store):
    insert(store, 2)
    insert(store, 1, "iris")
    store.open_experiment("digits", "digest", [{"label": "lr"}])
    store.put_objective("digits", "a" * 64, b"objective")
    store.put_objective("iris", "b" * 64, b"another")
    store.attachments("digits")["notes"] = b"mine"
    store.attachments("iris")["notes"] = b"theirs"
    trial = stored(store, 0)
    store.trial_attachments(trial)["weights"] = b"w"

    store.delete("digits")

    assert store.exp_keys() == ["iris"]
    assert list(store.attachments("digits")) == []
    assert store.attachments("iris")["notes"] == b"theirs"
    assert store.get_objective("b" * 64) == b"another"
    with pytest.raises(KeyError):
        store.get_objective("a" * 64)
    assert store.experiment("digits").space_digest is None


def test_after_deleting_numbers_start_anew_and_readers_are_told(store):
    insert(store, 2)
    epoch = store.experiment("digits").epoch

    store.delete("digits")
    [tid] = insert(store)

    assert store.experiment("digits").epoch > epoch
    assert stored(store, tid)["number"] == 0


def test_what_is_deleted_may_be_no_more_than_an_attachment(store):
    for exp_key in (None, "digits"):
        store.attachments(exp_key)["notes"] = b"to be run tomorrow"

    store.delete(None, all_experiments=True)

    assert not [*store.attachments(None), *store.attachments("digits")]


def test_everything_can_be_deleted(store):
    for exp_key in (None, "digits", "iris"):
        insert(store, 1, exp_key)

    store.delete(None, all_experiments=True)

    assert store.exp_keys() == []
    assert [store.experiment(exp_key).epoch for exp_key in (None, "digits", "iris")] == [1, 1, 1]


# --- experiments, drivers, workers -----------------------------------------------------------


def test_the_first_space_of_an_experiment_stays(store, another):
    first = store.open_experiment("digits", "digest-1", [{"label": "lr", "args": [0.0, 1.0]}])
    second = another.open_experiment("digits", "digest-2", [])

    assert (first.space_digest, list(first.space)) == (
        "digest-1", [{"label": "lr", "args": [0.0, 1.0]}]
    )  # fmt: skip
    assert (second.space_digest, list(second.space)) == (first.space_digest, list(first.space))
    assert store.experiment("digits") == second


def test_an_unknown_experiment_has_an_empty_record(store):
    experiment = store.experiment("unknown")

    assert (experiment.exp_key, experiment.space, experiment.epoch) == ("unknown", None, 0)
    assert (experiment.driver, experiment.driver_seen_secs_ago) == (None, None)


@pytest.mark.parametrize("exp_key", ["digits", None])
def test_one_driver_leads_until_it_resigns(store, another, exp_key):
    assert store.lead(exp_key, "driver-1", 30)
    assert store.lead(exp_key, "driver-1", 30)
    assert not another.lead(exp_key, "driver-2", 30)
    another.resign(exp_key, "driver-2")
    assert store.experiment(exp_key).driver == "driver-1"

    store.resign(exp_key, "driver-1")

    assert store.experiment(exp_key).driver is None
    assert another.lead(exp_key, "driver-2", 30)


def test_a_driver_that_vanished_is_replaced(store, let_pass):
    store.lead("digits", "driver-1", 30)

    let_pass(31)

    assert store.experiment("digits").driver is None
    assert store.experiment("digits").driver_seen_secs_ago == pytest.approx(31, abs=5)
    assert store.lead("digits", "driver-2", 30)
    assert not store.lead("digits", "driver-1", 30)


def test_leading_does_not_touch_the_space(store):
    store.lead("digits", "driver-1", 30)
    opened = store.open_experiment("digits", "digest", [])

    assert (opened.space_digest, opened.driver) == ("digest", "driver-1")


def test_live_workers_are_seen_by_whom_they_serve(store, let_pass):
    everyones = WorkerPresence("node1:1:a", "node1", 1)
    digits = WorkerPresence(
        "node2:2:b", "node2", 2, "digits", "unfit", "cannot import sklearn", ("sha",)
    )
    store.announce(everyones, ttl_secs=30)
    store.announce(digits, ttl_secs=10)

    def owners(exp_key=None):
        return {worker.owner for worker in store.workers(exp_key)}

    assert owners() == owners("digits") == {everyones.owner, digits.owner}
    assert owners("iris") == {everyones.owner}
    [unfit] = [worker for worker in store.workers("digits") if worker.state == "unfit"]
    assert (unfit.message, unfit.unfit_for, unfit.pid) == ("cannot import sklearn", ("sha",), 2)
    assert abs(unfit.seen - store.now()) < timedelta(seconds=60)

    let_pass(11)
    assert owners() == {everyones.owner}
    store.retire(everyones.owner)
    assert owners() == set()


def test_a_worker_announces_its_changes(store):
    for state in ("idle", "busy"):
        store.announce(WorkerPresence("node1:1:a", "node1", 1, state=state), ttl_secs=30)

    assert [worker.state for worker in store.workers()] == ["busy"]


# --- bytes ----------------------------------------------------------------------------------


def test_an_objective_takes_the_place_of_what_stands_under_its_name(store, another):
    payload = bytes(range(256)) * 2000
    store.put_objective("digits", "a" * 64, b"damaged")
    another.put_objective("digits", "a" * 64, payload)

    assert store.get_objective("a" * 64) == payload
    with pytest.raises(KeyError):
        store.get_objective("f" * 64)


def attached_to(store, which):
    [tid] = insert(store)
    trial = stored(store, tid)
    return store.attachments("digits") if which == "experiment" else store.trial_attachments(trial)


@pytest.mark.parametrize("which", ["experiment", "trial"])
def test_attachments_are_a_dictionary_of_bytes(store, which):
    attachments = attached_to(store, which)
    assert (dict(attachments), len(attachments), "a" in attachments) == ({}, 0, False)

    attachments["a"] = b"first"
    attachments["a"] = b"second"
    attachments["b.$c"] = b""

    assert dict(attachments) == {"a": b"second", "b.$c": b""}
    assert "a" in attachments and attachments.get("zzz") is None
    del attachments["a"]
    assert list(attachments) == ["b.$c"]
    with pytest.raises(KeyError):
        attachments["a"]
    with pytest.raises(KeyError):
        del attachments["a"]


def test_attachments_do_not_mix(store):
    a, b = insert(store, 2)
    insert(store, 1, "iris")
    store.trial_attachments(stored(store, a))["x"] = b"a"
    store.trial_attachments(stored(store, b))["x"] = b"b"
    store.attachments("digits")["x"] = b"digits"
    store.attachments(None)["x"] = b"nobody"
    store.put_objective(None, "a" * 64, b"objective")

    assert store.trial_attachments(stored(store, a))["x"] == b"a"
    assert dict(store.attachments("digits")) == {"x": b"digits"}
    assert dict(store.attachments(None)) == {"x": b"nobody"}
    assert dict(store.attachments("iris")) == {}


# --- waiting --------------------------------------------------------------------------------


def look_and_wait(store, watch, look, timeout_secs=5.0):
    """What a caller does: look, and wait until looking finds something."""
    deadline = time.monotonic() + timeout_secs
    while not (found := look()) and time.monotonic() < deadline:
        watch.wait(deadline - time.monotonic())
    return found


@pytest.mark.parametrize("exp_key", ["digits", None])
def test_a_waiting_worker_is_woken_by_a_new_trial(store, another, exp_key):
    with store.watch(exp_key, "work") as watch:
        inserting = threading.Timer(0.2, insert, [another])
        inserting.start()
        started = time.monotonic()
        found = look_and_wait(store, watch, lambda: store.claim("node1:1:a", exp_key=exp_key))
        inserting.join()

    assert found is not None
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("exp_key", ["digits", None])
def test_a_waiting_driver_is_woken_by_a_result(store, another, exp_key):
    insert(store, 1, exp_key)
    held, horizon = claim(store), Horizon()
    list(store.changes(exp_key, horizon))

    with store.watch(exp_key, "results") as watch:
        finishing = threading.Timer(0.2, another.finish, [held, OK])
        finishing.start()
        changes = look_and_wait(store, watch, lambda: follow(store, horizon, exp_key))
        finishing.join()

    assert changes == [(held.tid, JOB_STATE_DONE)]


def test_a_waiting_driver_is_woken_by_a_worker_that_comes(store, another):
    with store.watch("digits", "results") as watch:
        coming = threading.Timer(
            0.2, another.announce, [WorkerPresence("node1:1:a", "node1", 1), 30]
        )
        coming.start()
        workers = look_and_wait(store, watch, lambda: store.workers("digits"))
        coming.join()

    assert [worker.owner for worker in workers] == ["node1:1:a"]


def test_a_waiting_worker_is_woken_by_a_trial_that_is_handed_back(store, another):
    insert(store)
    held = claim(store)

    with store.watch("digits", "work") as watch:
        releasing = threading.Timer(0.2, another.release, [held, "sigterm"])
        releasing.start()
        found = look_and_wait(store, watch, lambda: store.claim("node2:2:b", exp_key="digits"))
        releasing.join()

    assert found["attempt"] == 2


@pytest.mark.parametrize("interest", ["work", "results"])
def test_a_wait_without_news_ends_in_time(store, interest):
    insert(store, 1, "iris")
    with store.watch("digits", interest) as watch:
        started = time.monotonic()
        look_and_wait(store, watch, lambda: None, timeout_secs=0.3)

    assert 0.29 <= time.monotonic() - started < 1.0


def test_what_happens_between_look_and_wait_is_not_missed(store, another):
    with store.watch("digits", "work") as watch:
        assert store.claim("node1:1:a") is None
        insert(another)

        assert watch.wait(5)
        assert store.claim("node1:1:a") is not None
