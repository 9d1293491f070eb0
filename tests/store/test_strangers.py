"""Documents that strangers wrote: every road passes them by, and names them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from hpo import cli
from hpo.document import JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_RUNNING, Claim, new_trial
from hpo.exceptions import UnstorableResult
from hpo.mongo_trials import MongoTrials
from hpo.store.base import Experiment, Horizon, WorkerPresence
from hpo.store.mongo import MongoStore
from tests.servers import Server
from tests.store.conftest import Database, prepared_database

OK = {"status": "ok", "loss": 0.25}
STRANGE_TID = 500
BIG = 16 * 1024**2


@pytest.fixture(scope="module")
def own_database(mongo_server: Server) -> Iterator[Database]:
    """Not the one that other tests use: lists where numbers belong stay known to its indexes."""
    with prepared_database(mongo_server) as database:
        yield database


@pytest.fixture
def store(own_database: Database) -> MongoStore:
    own_database.empty()
    return own_database.store(0)


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "hpo")
    return caplog


def like_a_trial(**fields: Any) -> dict[str, Any]:
    trial = new_trial(STRANGE_TID, exp_key="digits", values={"x": 1.0}) | {"number": 500}
    return trial | fields


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in like_a_trial().items() if key != name}


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


# What is wrong is wrong in every state; those without a word about it are good enough to be used.
STRANGE = {
    "an operator as tid": like_a_trial(tid={"$gt": ""}),
    "a pattern as tid": like_a_trial(tid=bson.Regex(".*")),
    "no tid": without("tid"),
    "a huge tid": like_a_trial(tid=2**62),
    "no misc": without("misc"),
    "no values": like_a_trial(misc={"tid": STRANGE_TID}),
    "values of another form": like_a_trial(misc={"tid": STRANGE_TID, "vals": {"x": 3}}),
    "misc of another trial": like_a_trial(misc={"tid": 0, "vals": {}}),
    "an operator as objective": like_a_trial(objective={"$ne": None}),
    "several experiments": like_a_trial(exp_key=["digits", "iris"]),
    "text as number": like_a_trial(number="first"),
    "all numbers at once": like_a_trial(number=list(range(50))),
    "no room after its number": like_a_trial(number=2**62),
    "not a number as number": like_a_trial(number=float("nan")),
    "text as result": like_a_trial(result="ok"),
    "a list as loss": like_a_trial(result={"status": "ok", "loss": [1.0]}),
    "text as times": like_a_trial(book_time="now", refresh_time="now", finish_time="now"),
    "text as params": like_a_trial(params="x=1"),
}
HARMLESS = {
    "operators in keys": like_a_trial(**{"$where": "1", "a.b": {"$gt": 1}, "": 0}),
    "text as attempt": like_a_trial(attempt="first", attempts="none"),
    "too large to be claimed": like_a_trial(blob=b"x" * (BIG - 460)),
    "too large to be finished": like_a_trial(blob=b"x" * (BIG - 560)),
    "nested to the limit": like_a_trial(spec=nested(170)),
    "dates beyond Python's": like_a_trial(queue_time=DatetimeMS(10**17)),
    "its own source": like_a_trial(
        misc={"tid": STRANGE_TID, "from_tid": STRANGE_TID, "vals": {"x": [1.0]}}
    ),
}


def insert_good(store: MongoStore, n: int = 3) -> list[int]:
    tids = store.allocate_tids(n)
    store.insert([new_trial(tid, exp_key="digits", values={"x": float(tid)}) for tid in tids])
    return tids


def claim_all(store: MongoStore, limit: int = 10) -> list[Any]:
    """Claim and finish until the queue is empty; the tids."""
    claimed = []
    while (trial := store.claim("node1:1:a", exp_key="digits")) is not None:
        claimed.append(trial["tid"])
        try:
            store.finish(Claim.of(trial), OK)
        except UnstorableResult as error:
            store.fail(Claim.of(trial), ("UnstorableResult", str(error)))
        assert len(claimed) < limit, "a trial is claimed again and again"
    return claimed


@pytest.mark.parametrize("name", [*STRANGE, *HARMLESS])
def test_workers_pass_it_by_and_do_all_the_rest(store, name):
    store.jobs.insert_one(dict((STRANGE | HARMLESS)[name]))
    good = insert_good(store)

    assert [tid for tid in claim_all(store) if tid in good] == good
    assert store.claim("node1:1:a", exp_key="digits") is None


# What is no one experiment's is nobody's to claim by name.
@pytest.mark.parametrize("name", [name for name in STRANGE if name != "several experiments"])
def test_a_claimed_one_becomes_an_error_that_says_why(store, name, warnings):
    store.jobs.insert_one(dict(STRANGE[name]))

    assert store.claim("node1:1:a") is None

    [stranger] = store.jobs.find()
    assert stranger["state"] == JOB_STATE_ERROR
    assert stranger["error"] == [
        "InvalidTrial",
        f"this document is no trial: {stranger['set_aside']}",
    ]
    assert len(warnings.messages) == 1
    assert repr(stranger["_id"]) in warnings.messages[0]
    assert stranger["set_aside"] in warnings.messages[0]


@pytest.mark.parametrize("state", [0, JOB_STATE_RUNNING, JOB_STATE_DONE, JOB_STATE_ERROR])
@pytest.mark.parametrize("name", [*STRANGE, *HARMLESS])
def test_a_driver_sees_the_good_trials_only(store, name, state, warnings):
    store.jobs.insert_one((STRANGE | HARMLESS)[name] | {"state": state})
    good = insert_good(store)

    trials = MongoTrials(store, exp_key="digits")
    claim_all(store)
    for _ in range(3):
        trials.refresh()

    assert set(good) <= set(trials.tids)
    assert set(trials.tids) - set(good) <= ({STRANGE_TID} if name in HARMLESS else set())
    assert len({*warnings.messages}) == len(warnings.messages) <= (name in STRANGE)


@pytest.mark.parametrize("name", list(STRANGE))
def test_whole_documents_are_good_trials_only(store, name):
    store.jobs.insert_one(STRANGE[name] | {"state": JOB_STATE_DONE})
    good = insert_good(store)

    assert [trial["tid"] for trial in store.find("digits")] == good
    # Of what is not fetched nobody says anything.
    assert set(good) <= {trial.get("tid") for trial in store.find("digits", fields=["owner"])}


@pytest.mark.parametrize("name", [*STRANGE, *HARMLESS])
def test_cancelling_and_requeueing_pass_it_by(store, name):
    expired = {"state": JOB_STATE_RUNNING, "lease_until": bson.datetime_ms.DatetimeMS(0)}
    store.jobs.insert_one((STRANGE | HARMLESS)[name] | expired)
    good = insert_good(store)

    store.requeue_expired("digits")

    assert set(good) <= set(store.cancel("digits"))


@pytest.mark.parametrize("lacking", ["owner", "attempt"])
def test_a_running_one_that_nobody_holds_ends_with_its_lease(store, lacking):
    store.jobs.insert_one(
        without(lacking) | {"state": JOB_STATE_RUNNING, "lease_until": DatetimeMS(0)}
    )

    assert store.requeue_expired() == []

    [stranger] = store.jobs.find()
    assert stranger["state"] == JOB_STATE_ERROR
    assert stranger["set_aside"] == f"it has no {lacking}"


def test_an_operator_as_tid_cancels_no_other_trial(store):
    good = insert_good(store)
    store.jobs.insert_one(like_a_trial(tid={"$gte": 0}, version=0))

    assert store.cancel("digits", good[:1]) == good[:1]

    assert store.count("digits", [0]) == 3  # two good ones and the stranger


def test_a_trial_that_was_spoilt_later_no_longer_keeps_anybody_waiting(store):
    [tid, other] = insert_good(store, 2)
    trials = MongoTrials(store, exp_key="digits")
    store.claim("node1:1:a", exp_key="digits")
    trials.refresh()
    assert trials.running_owners == {tid: "node1:1:a"}

    store.jobs.update_one({"tid": tid}, {"$set": {"misc": "spoilt", "state": JOB_STATE_DONE}})
    trials.refresh()

    assert trials.running_owners == {}
    assert trials.new_tids == {other}
    assert trials.tids == [other]


def test_nobody_waits_for_a_running_trial_that_somebody_renames(store):
    [tid] = insert_good(store, 1)
    store.claim("node1:1:a")
    store.jobs.update_one({"tid": tid}, {"$set": {"tid": STRANGE_TID}})

    trials = MongoTrials(store, exp_key="digits")

    assert trials.running_owners == {}
    assert len(trials) == 0


def test_broken_text_and_far_dates_spoil_no_other_trial(store):
    raw = bson.encode(like_a_trial(owner="AAAA", misc={"tid": STRANGE_TID, "vals": {"BBBB": []}}))
    broken = raw.replace(b"AAAA", b"\xff\xfe\xfdA").replace(b"BBBB", b"\xc3\x28B\xff")
    store.jobs.insert_one(RawBSONDocument(broken))
    good = insert_good(store)

    assert set(good) < {trial["tid"] for trial in store.find("digits")}
    assert claim_all(store) == [*good, STRANGE_TID]


def test_good_trials_find_numbers_where_a_stranger_has_taken_them_all(store):
    store.jobs.insert_one(like_a_trial(number=list(range(6))))

    good = insert_good(store, 2)

    seen = [trial["tid"] for trial in store.changes("digits", Horizon())]
    assert seen == good


# --- what people see -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*STRANGE, *HARMLESS])
def test_status_and_best_show_the_good_trials(mongo_server: Server, store, name, capsys):
    url = mongo_server.url(store.db.name)
    store.jobs.insert_one((STRANGE | HARMLESS)[name] | {"state": JOB_STATE_DONE})
    good = insert_good(store)
    claim_all(store)

    assert cli.main(["status", url]) == 0
    assert cli.main(["best", url, "digits", "-n", "9"]) == 0

    shown = capsys.readouterr().out
    assert all(f"\n{tid} " in shown for tid in good)


@pytest.mark.parametrize(
    "stranger", [like_a_trial(state="lost"), like_a_trial(tid=bson.Regex("a")), without("misc")]
)
def test_status_counts_what_was_set_aside(mongo_server: Server, store, stranger, capsys):
    store.jobs.insert_one(stranger)
    insert_good(store)
    MongoTrials(store, exp_key="digits")

    assert cli.main(["status", mongo_server.url(store.db.name)]) == 0

    assert "1 document is no trial and was set aside" in capsys.readouterr().out


# --- beside the trials -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stranger",
    [
        {"_id": "x"},
        {"_id": {"a": 1}, "host": 1},
        {"_id": "x", "host": "h", "pid": "p", "exp_key": [], "state": 3, "message": {}},
    ],
    ids=range(3),
)
def test_what_is_no_worker_is_not_among_the_workers(store, stranger):
    presence = WorkerPresence("node1:1:a", "node1", 1)
    store.announce(presence, 60)
    store.db["workers"].insert_one(stranger | {"until": datetime(9000, 1, 1)})

    assert [worker.owner for worker in store.workers()] == ["node1:1:a"]


def test_a_spoilt_record_of_an_experiment_is_read_as_an_empty_one(store):
    spoilt = {"epoch": "x", "driver": {}, "driver_seen": "x", "driver_until": "x", "space": "x"}
    store.db["experiments"].insert_one({"_id": "digits", **spoilt})

    assert store.experiment("digits") == Experiment("digits")
    assert store.lead("digits", "me", 60)
    store.note_rewritten(["digits"])
    assert store.experiment("digits").epoch == 1
