"""What dead workers and strangers leave does not keep a driver waiting."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import numpy as np
import pytest

from hpo import fmin, hp, rand
from hpo.document import JOB_STATE_DONE, JOB_STATE_NEW, JOB_STATE_RUNNING, new_trial
from hpo.store.mongo import MongoStore
from tests.acceptance.working import OWNER, worker

pytestmark = pytest.mark.breaks

EXP_KEY = "recovery"
N_TRIALS = 4
LEASE_SECS = 2.0
# A driver looks at least once a second.
A_LOOK_SECS = 1.5


def objective(config):
    return (config["x"] - 3.0) ** 2


@pytest.fixture
def store(mongo_url):
    with closing(MongoStore.connect(mongo_url)) as store:
        yield store


@pytest.fixture
def searching(mongo_url):
    """Start a search in a thread; returns it."""
    threads = []

    def start():
        thread = threading.Thread(
            target=fmin,
            args=(objective, {"x": hp.uniform("x", -5, 5)}),
            kwargs={
                "algo": rand.suggest,
                "max_evals": N_TRIALS,
                "trials": mongo_url,
                "exp_key": EXP_KEY,
                "rstate": np.random.default_rng(7),
                "verbose": False,
            },
            daemon=True,
        )
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "the driver waits for ever"


def claimed(store, lease_secs=LEASE_SECS):
    """A trial that somebody claimed who was killed then."""
    deadline = time.monotonic() + 20
    while (trial := store.claim("gone:1:a", exp_key=EXP_KEY, lease_secs=lease_secs)) is None:
        assert time.monotonic() < deadline, "the search does not begin"
        time.sleep(0.01)
    return trial


def spoil(store, trial, **fields):
    store.jobs.update_one({"_id": trial["_id"]}, {"$set": fields})


def test_a_trial_of_a_killed_worker_is_queued_again_within_two_seconds_of_its_lease(
    store, searching, mongo_url
):
    search = searching()
    trial = claimed(store)
    claimed_at = time.monotonic()
    while store.count(EXP_KEY, [JOB_STATE_NEW]) == 0:
        assert time.monotonic() - claimed_at < LEASE_SECS + 2.0
        time.sleep(0.02)

    with worker(mongo_url, EXP_KEY, objective):
        search.join(20)
    (again,) = store.find(EXP_KEY, tids=[trial["tid"]])
    assert (again["state"], again["owner"]) == (JOB_STATE_DONE, OWNER)


@pytest.mark.parametrize(
    "fields",
    [
        {"lease_until": None},
        {"lease_until": "tomorrow"},
        {"lease_until": None, "owner": None},
        {"state": 7},
        {"state": None},
        {"state": JOB_STATE_RUNNING, "owner": 5, "lease_until": None},
        {"tid": "another"},
        {"exp_key": "another"},
    ],
)
def test_a_running_trial_that_somebody_spoils_is_not_waited_for(
    store, searching, mongo_url, fields
):
    search = searching()
    trial = claimed(store, lease_secs=600)
    if "tid" in fields:
        # Under another id it is another trial, to a driver that has not yet seen this one run.
        time.sleep(A_LOOK_SECS)

    spoil(store, trial, **fields)

    with worker(mongo_url, EXP_KEY, objective):
        search.join(20)
    assert not search.is_alive()


def test_a_trial_that_somebody_removes_is_not_waited_for(store, searching, mongo_url, caplog):
    search = searching()
    trial = claimed(store, lease_secs=600)
    time.sleep(A_LOOK_SECS)

    store.jobs.delete_one({"_id": trial["_id"]})

    with worker(mongo_url, EXP_KEY, objective):
        search.join(20)
    assert not search.is_alive()
    assert f"no longer waiting for trials [{trial['tid']}]" in caplog.text
    assert store.count(EXP_KEY, [JOB_STATE_DONE]) == N_TRIALS, "another one takes its place"


def test_a_trial_that_a_worker_of_hyperopt_holds_has_no_lease_and_is_waited_for(store):
    (tid,) = store.allocate_tids(1)
    store.insert([new_trial(tid, exp_key=EXP_KEY)])
    trial = claimed(store)
    spoil(store, trial, owner="node1:4711", lease_until=None)

    assert store.requeue_expired(EXP_KEY) == []
