"""A worker's login: enough for a worker's work, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pymongo
import pytest
from pymongo.errors import OperationFailure

from hpo.document import JOB_STATE_DONE, JOB_STATES, Claim, new_trial
from hpo.exceptions import AccessDenied, StoreError
from hpo.store.base import Horizon, WorkerPresence
from hpo.store.mongo import MongoStore
from hpo.store.mongo.roles import make_worker_login, role_script, worker_privileges

UNAUTHORIZED = 13


@pytest.fixture
def driver(mongo_url) -> Iterator[MongoStore]:
    """The store as a driver sees it, with a trial and an objective."""
    store = MongoStore.connect(mongo_url)
    store.put_objective("digits", "a" * 64, b"objective")
    store.insert([new_trial(tid, exp_key="digits") for tid in store.allocate_tids(3)])
    yield store
    store.close()


@pytest.fixture
def worker_url(mongo_url, driver) -> str:
    return make_worker_login(mongo_url, "worker")


@pytest.fixture
def worker(worker_url) -> Iterator[MongoStore]:
    """The store with a worker's login."""
    store = MongoStore.connect(worker_url)
    yield store
    store.close()


def test_a_worker_can_do_all_of_its_work(worker, driver):
    presence = WorkerPresence("node1:1:a", "node1", 1, exp_key="digits")
    worker.announce(presence, 60)
    trial = worker.claim("node1:1:a", exp_key="digits")
    held = Claim.of(trial)

    worker.heartbeat(held)
    worker.checkpoint(held, {"status": "running", "loss": 1.0})
    worker.trial_attachments(trial)["weights"] = b"first"
    worker.trial_attachments(trial)["weights"] = b"second"
    worker.finish(held, {"status": "ok", "loss": 0.5})
    again = Claim.of(worker.claim("node1:1:a"))
    worker.fail(again, ("ValueError", "no"))
    worker.release(Claim.of(worker.claim("node1:1:a")), "preempted")
    worker.requeue_expired()
    worker.retire("node1:1:a")

    assert worker.get_objective("a" * 64) == b"objective"
    assert worker.count("digits", [JOB_STATE_DONE]) == 1
    assert driver.trial_attachments(trial)["weights"] == b"second"
    assert driver.workers() == []


def test_a_worker_is_woken_by_new_work(worker, driver):
    with worker.watch("digits", "work") as watch:
        watch.wait(0.1)
        driver.insert([new_trial(tid, exp_key="digits") for tid in driver.allocate_tids(1)])

        assert watch.wait(10.0)


FORBIDDEN = {
    "replace an objective": lambda store: store.put_objective("digits", "a" * 64, b"evil"),
    "add an objective": lambda store: store.put_objective("digits", "b" * 64, b"evil"),
    "add a trial": lambda store: store.insert([new_trial(99, exp_key="digits")]),
    "take ids": lambda store: store.allocate_tids(1),
    "lead an experiment": lambda store: store.lead("digits", "me", 60),
    "change an experiment": lambda store: store.open_experiment("digits", "digest", []),
    "delete an experiment": lambda store: store.delete("digits"),
}


@pytest.mark.parametrize("deed", list(FORBIDDEN))
def test_a_worker_cannot(worker, driver, deed):
    with pytest.raises((AccessDenied, StoreError), match="not authorized"):
        FORBIDDEN[deed](worker)

    assert driver.get_objective("a" * 64) == b"objective"
    assert driver.count("digits", JOB_STATES) == 3


@pytest.mark.parametrize(
    "command",
    [
        {"update": "objectives.files", "updates": [{"q": {}, "u": {"$set": {"length": 0}}}]},
        {"delete": "objectives.chunks", "deletes": [{"q": {}, "limit": 0}]},
        {"insert": "objectives.chunks", "documents": [{}]},
        {"findAndModify": "objectives.chunks", "query": {}, "remove": True},
        {"aggregate": "jobs", "pipeline": [{"$out": "objectives.chunks"}], "cursor": {}},
        {"aggregate": "jobs", "pipeline": [{"$merge": "objectives.chunks"}], "cursor": {}},
        {"drop": "jobs"},
        {"drop": "objectives.chunks"},
        {"dropDatabase": 1},
        {"createUser": "eve", "pwd": "x", "roles": []},
        {"grantRolesToUser": "worker", "roles": ["dbOwner"]},
        {"renameCollection": "fs.chunks", "to": "objectives.chunks"},
    ],
    ids=lambda command: " ".join(map(str, next(iter(command.items())))),
)
def test_nor_by_any_command_of_the_server(worker_url, command):
    with pymongo.MongoClient(worker_url) as client, pytest.raises(OperationFailure) as refused:
        client.get_default_database().command(command)

    assert refused.value.code in (UNAUTHORIZED, 73)  # 73: renameCollection is for admin only


def test_a_worker_sees_no_other_database(worker_url, mongo_server):
    with mongo_server.client() as client:
        client["somebody_elses"]["secrets"].insert_one({"a": 1})

    with pymongo.MongoClient(worker_url) as client, pytest.raises(OperationFailure) as refused:
        client["somebody_elses"]["secrets"].find_one()

    assert refused.value.code == UNAUTHORIZED


def test_making_the_login_again_changes_its_password(mongo_url, worker_url):
    renewed = make_worker_login(mongo_url, "worker")

    assert renewed != worker_url
    MongoStore.connect(renewed).close()
    with pytest.raises(AccessDenied):
        MongoStore.connect(worker_url)


def test_a_worker_cannot_make_logins(worker_url):
    with pytest.raises(AccessDenied):
        make_worker_login(worker_url, "eve")


def test_a_worker_may_look_at_the_trials(worker):
    assert len(list(worker.changes("digits", Horizon()))) == 3


def test_the_commands_for_an_administrator_name_the_same_rights():
    script = role_script("digits", "mine")

    assert '"role": "hpoWorker.mine"' in script
    assert "passwordPrompt()" in script
    resources = [p["resource"]["collection"] for p in worker_privileges("digits", "mine")]
    assert resources == ["", "mine", "mine.workers", "fs.files", "fs.chunks"]
    assert all(f'"collection": "{name}"' in script for name in resources)
