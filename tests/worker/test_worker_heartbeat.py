"""The heartbeat: leases and presence renewed, lost leases noticed."""

from __future__ import annotations

import logging
import threading

import pytest

from hpo.document import Claim, new_trial
from hpo.exceptions import ServerUnreachable
from hpo.store.base import WorkerPresence
from hpo.store.memory import MemoryStore
from hpo_worker.heartbeat import Heartbeat
from tests.worker.conftest import wait_until

LEASE_SECS = 0.15
PRESENCE = WorkerPresence(owner="node1:10:a", host="node1", pid=10, exp_key="digits")


@pytest.fixture
def memory():
    store = MemoryStore()
    store.insert([new_trial(tid, exp_key="digits") for tid in range(2)])
    return store


@pytest.fixture
def start_heartbeat():
    """start_heartbeat(store, on_lost) -> a running Heartbeat."""
    started = []

    def start(store, on_lost=lambda: None):
        heartbeat = Heartbeat(store, PRESENCE, LEASE_SECS, on_lost=on_lost)
        heartbeat.start()
        started.append(heartbeat)
        return heartbeat

    yield start
    for heartbeat in started:
        heartbeat.stop()


def claim(store, owner=PRESENCE.owner):
    return store.claim(owner, lease_secs=LEASE_SECS)


def test_a_worker_is_announced_at_once(memory, start_heartbeat):
    start_heartbeat(memory)

    [presence] = wait_until(lambda: memory.workers("digits"))
    assert presence.owner == PRESENCE.owner
    assert presence.state == "idle"


def test_the_held_trials_lease_is_renewed(memory, start_heartbeat):
    heartbeat = start_heartbeat(memory)
    trial = claim(memory)
    first = trial["lease_until"]

    heartbeat.hold(Claim.of(trial))

    def lease_until():
        [running] = memory.find("digits", tids=[trial["tid"]])
        return running["lease_until"]

    wait_until(lambda: (lease_until() - first).total_seconds() > LEASE_SECS)
    assert memory.requeue_expired() == []
    assert memory.workers("digits")[0].state == "busy"


def test_after_a_trial_nothing_is_renewed(memory, start_heartbeat):
    heartbeat = start_heartbeat(memory)
    trial = claim(memory)
    heartbeat.hold(Claim.of(trial))
    heartbeat.drop()

    wait_until(lambda: memory.requeue_expired() == [trial["tid"]])


def test_a_lost_lease_is_noticed(memory, start_heartbeat):
    was_lost = threading.Event()
    heartbeat = start_heartbeat(memory, was_lost.set)
    first, other = Claim.of(claim(memory)), Claim.of(claim(memory, "node2:20:b"))

    memory.release(first, "requeued by somebody else")
    heartbeat.hold(first)

    assert was_lost.wait(10)
    assert heartbeat.has_lost(first)
    assert not heartbeat.has_lost(other)


def test_a_worker_that_has_nothing_to_do_is_announced_as_idle_again(memory, start_heartbeat):
    heartbeat = start_heartbeat(memory)
    heartbeat.hold(Claim.of(claim(memory)))
    wait_until(lambda: memory.workers("digits")[0].state == "busy")

    heartbeat.drop()
    heartbeat.idle()

    wait_until(lambda: memory.workers("digits")[0].state == "idle")


def test_an_unfit_worker_stays_unfit_whatever_it_does(memory, start_heartbeat):
    heartbeat = start_heartbeat(memory)

    heartbeat.unfit("no module named x", ("abc",))
    heartbeat.idle()

    [presence] = memory.workers("digits")
    assert (presence.state, presence.message) == ("unfit", "no module named x")
    assert presence.unfit_for == ("abc",)


class Unreachable:
    """A store whose server comes and goes."""

    def __init__(self, store):
        self._store, self.is_away, self.n_refused = store, True, 0

    def announce(self, *arguments):
        if self.is_away:
            self.n_refused += 1
            raise ServerUnreachable("no server at node9:27017")
        self._store.announce(*arguments)


def test_a_server_that_is_away_is_reported_once_and_tried_again(memory, start_heartbeat, caplog):
    caplog.set_level(logging.INFO, "hpo_worker")
    store = Unreachable(memory)
    start_heartbeat(store)
    wait_until(lambda: store.n_refused >= 3)

    store.is_away = False

    wait_until(lambda: memory.workers("digits"))
    wait_until(lambda: len(caplog.messages) == 2)
    assert "no server at node9:27017" in caplog.messages[0]
    assert caplog.messages[1] == "the server is back"
