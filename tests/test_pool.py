"""Local workers: replaced when they are killed, missed when all are gone."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from hpo.exceptions import WorkersGone
from hpo.pool import LocalWorkers
from hpo.store.mongo import MongoStore

START_SECS = 30.0


@pytest.fixture
def store(mongo_url):
    store = MongoStore.connect(mongo_url)
    yield store
    store.close()


@pytest.fixture
def start_pool(mongo_url):
    """start_pool(n, *options) -> (LocalWorkers, the lines that they say)."""
    pools = []

    def start(n, *options):
        said = []
        pools.append(LocalWorkers(n, mongo_url, "digits", say=said.append, options=options))
        return pools[-1], said

    yield start
    for pool in pools:
        pool.stop()


def wait_until(condition):
    deadline = time.monotonic() + START_SECS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r}"
        time.sleep(0.01)
    return found


def live_pids(store):
    return {worker.pid for worker in store.workers("digits")}


def test_a_killed_worker_is_replaced_at_once(store, start_pool):
    pool, said = start_pool(2)
    before = wait_until(lambda: len(live_pids(store)) == 2 and live_pids(store))
    killed = min(before)

    os.kill(killed, signal.SIGKILL)

    # Its presence stands for a while yet: three are known then.
    new = wait_until(lambda: len(live_pids(store)) == 3 and live_pids(store)) - before
    assert pool.n_alive == 2
    assert f"local worker {killed} was killed by signal 9" in said[0]
    assert new.isdisjoint(before)
    pool.check()


def test_workers_that_keep_being_killed_are_not_replaced_for_ever(store, start_pool, monkeypatch):
    monkeypatch.setattr("hpo.pool.MAX_REPLACED_PER_WORKER", 1)
    pool, said = start_pool(1)
    [first] = wait_until(lambda: live_pids(store))
    os.kill(first, signal.SIGKILL)
    [second] = wait_until(lambda: live_pids(store) - {first})

    os.kill(second, signal.SIGKILL)

    wait_until(lambda: len(said) == 2)
    assert "not replaced" in said[1]
    # The store still knows them; whoever asks the pool need not wait for that to pass.
    with pytest.raises(WorkersGone, match="ended early"):
        pool.check(lambda: [f"{socket.gethostname()}:{pid}:ab" for pid in (first, second)])
    pool.check(lambda: ["elsewhere:10:ab"])


def test_workers_that_end_by_themselves_are_missed_and_not_replaced(start_pool):
    pool, said = start_pool(1, "--reserve-timeout", "0.1")

    wait_until(lambda: pool.n_alive == 0)

    with pytest.raises(WorkersGone, match=r"exit codes \[0\]"):
        pool.check()
    assert said == []
