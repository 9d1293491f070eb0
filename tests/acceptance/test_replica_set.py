"""Searches on a replica set of three servers, whose primary dies, resigns or falls silent."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import numpy as np
import pytest

from hpo import fmin, hp, rand
from hpo.document import JOB_STATE_DONE, JOB_STATE_NEW, JOB_STATE_RUNNING, Claim, new_trial
from hpo.exceptions import LeaseLost
from hpo.store.mongo import MongoStore
from scripts.soaking import sidelog
from scripts.soaking.objective import EXP_KEY
from tests.acceptance.working import assert_that_nothing_was_lost_or_repeated, worker
from tests.outages import (
    assert_that_nothing_was_lost,
    first_end_after,
    searching,
    wait_for_the_driver,
    wait_until_some_are_done,
)
from tests.replica_set import running_replica_set

# One process runs them all: the set is slow to start.
pytestmark = [pytest.mark.breaks, pytest.mark.xdist_group("replica set")]

# Work goes on at most so long after the set has a primary.
RESUMING_SECS = 3.0


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("three-servers")
    with running_replica_set(directory, with_fail_points=True) as servers:
        yield servers


@pytest.fixture
def database_url(servers):
    """A fresh database, on a set that is whole."""
    servers.repair()
    name = f"test_{secrets.token_hex(6)}"
    yield servers.url(name)
    servers.repair()
    with servers.client() as client:
        client.drop_database(name)


@pytest.fixture
def store(database_url):
    with closing(MongoStore.connect(database_url)) as store:
        yield store


# --- the primary goes away ---


def test_a_search_outlives_the_kill_of_the_primary(servers, database_url, store, tmp_path):
    with searching(database_url, tmp_path) as (crew, log):
        wait_until_some_are_done(store)

        primary = servers.primary()
        servers.kill(primary)
        _, elected = servers.election()

        wait_for_the_driver(crew)
    resumed = first_end_after(store, elected)
    assert resumed - elected <= timedelta(seconds=RESUMING_SECS)
    assert_that_nothing_was_lost(store, crew, log)


def test_a_search_outlives_a_step_down(servers, database_url, store, tmp_path):
    with searching(database_url, tmp_path) as (crew, log):
        wait_until_some_are_done(store)

        before = servers.step_down()
        _, elected = servers.election(other_than=before)

        wait_for_the_driver(crew)
    resumed = first_end_after(store, elected)
    assert resumed - elected <= timedelta(seconds=RESUMING_SECS)
    assert_that_nothing_was_lost(store, crew, log)


def test_a_search_outlives_a_partition_of_the_primary(servers, database_url, store, tmp_path):
    with searching(database_url, tmp_path) as (crew, log):
        wait_until_some_are_done(store)

        primary = servers.primary()
        servers.freeze(primary)
        _, elected = servers.election(other_than=primary)
        time.sleep(8.0)
        servers.thaw(primary)

        wait_for_the_driver(crew)
    resumed = first_end_after(store, elected)
    assert resumed - elected <= timedelta(seconds=RESUMING_SECS)
    assert_that_nothing_was_lost(store, crew, log)


def test_a_driver_and_workers_that_begin_without_a_primary_wait_for_it(
    servers, database_url, store, tmp_path
):
    # The primary last: had it been left, it would stay one until its election timeout.
    primary = servers.primary()
    lost = [next(member for member in servers.members if member is not primary), primary]
    for member in lost:
        servers.kill(member)
    with searching(database_url, tmp_path, max_evals=40) as (crew, log):
        for member in [crew.driver, *crew.workers]:
            wait_until_it_says(member, "trying again for 10 min")

        servers.start(lost[0])
        _, elected = servers.election()

        wait_for_the_driver(crew)
    resumed = first_end_after(store, elected)
    assert resumed - elected <= timedelta(seconds=RESUMING_SECS)
    assert_that_nothing_was_lost(store, crew, log, max_evals=40)


def wait_until_it_says(member, words, secs=30.0):
    deadline = time.monotonic() + secs
    while words not in member.last_lines():
        assert time.monotonic() < deadline, f"{member.name} says: {member.last_lines()}"
        time.sleep(0.05)


@pytest.mark.parametrize("n_before", [0, 1, 60])
def test_a_primary_killed_in_the_middle_of_a_bulk_of_trials_loses_and_doubles_none(
    servers, database_url, store, n_before
):
    primary = servers.primary()
    primary.admin.admin.command(
        {"configureFailPoint": HANGING, "mode": {"skip": n_before}, "data": {}}
    )
    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(search_in_bulks, database_url)
        primary.admin.admin.command(
            {"waitForFailPoint": HANGING, "timesEntered": 1, "maxTimeMS": 20_000}
        )
        stored_there = primary.admin[store.db.name]["jobs"].count_documents({})
        servers.kill(primary)
        servers.election(other_than=primary)
        with worker(database_url, EXP_KEY, square):
            searching.result(timeout=60)

    assert stored_there == n_before
    assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, square, 2 * BULK)


# Before each statement of a bulk of updates: a place in MongoDB's own code.
HANGING = "hangDuringBatchUpdate"
BULK = 100


def square(params):
    return params["x"] ** 2


def search_in_bulks(url):
    fmin(
        square,
        {"x": hp.uniform("x", -5, 5)},
        algo=rand.suggest,
        max_evals=2 * BULK,
        max_queue_len=BULK,
        trials=url,
        exp_key=EXP_KEY,
        rstate=np.random.default_rng(7),
        verbose=False,
    )


# --- workers that come back too late ---


def test_a_worker_that_was_stopped_beyond_its_lease_overwrites_nothing(
    database_url, store, tmp_path
):
    with searching(database_url, tmp_path, n_workers=2, max_evals=40) as (crew, log):
        wait_until_some_are_done(store, n=2)

        sleeper = crew.workers[0]
        stop_while_it_holds_a_trial(sleeper, store)
        wait_for_the_driver(crew)
        sleeper.go_on()
        wait_until_it_is_fenced(log)

    assert_that_nothing_was_lost(store, crew, log, max_evals=40)
    [trial] = [trial for trial in store.find(EXP_KEY) if trial["lost_attempts"]]
    first, second = trial["attempts"]
    assert first["reason"] == "lost"
    assert f":{sleeper.pid}:" in first["owner"]
    assert second["owner"] == trial["owner"] != first["owner"]


def stop_while_it_holds_a_trial(worker, store, secs=30.0):
    deadline = time.monotonic() + secs
    while True:
        worker.stop()
        time.sleep(0.05)  # what it has sent arrives
        running = store.find(EXP_KEY, states=[JOB_STATE_RUNNING], fields=["owner"])
        if any(f":{worker.pid}:" in trial["owner"] for trial in running):
            return
        worker.go_on()
        assert time.monotonic() < deadline, "it never held a trial when it was stopped"
        time.sleep(0.05)


def wait_until_it_is_fenced(log, secs=20.0):
    deadline = time.monotonic() + secs
    while not any(isinstance(entry, sidelog.Fenced) for entry in sidelog.read(log)):
        assert time.monotonic() < deadline, "the late worker was never told"
        time.sleep(0.05)


def test_a_claim_is_fenced_from_a_later_claim_under_the_same_name(store):
    [tid] = store.allocate_tids(1)
    store.insert([new_trial(tid, exp_key=EXP_KEY)])
    first = Claim.of(store.claim("node1:10:a", lease_secs=0.001))
    time.sleep(0.01)
    assert store.requeue_expired(EXP_KEY) == [tid]
    second = Claim.of(store.claim("node1:10:a"))

    for write in (
        lambda: store.heartbeat(first),
        lambda: store.finish(first, {"status": "ok", "loss": 1.0}),
        lambda: store.release(first, "preempted"),
    ):
        with pytest.raises(LeaseLost):
            write()
    store.finish(second, {"status": "ok", "loss": 2.0})

    [trial] = store.find(EXP_KEY)
    assert (trial["state"], trial["result"]["loss"]) == (JOB_STATE_DONE, 2.0)
    assert store.count(EXP_KEY, [JOB_STATE_NEW]) == 0
