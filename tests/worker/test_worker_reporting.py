"""What a trial reports is stored behind its back."""

from __future__ import annotations

import threading

import pytest

from hpo.document import Claim, new_trial
from hpo.exceptions import LeaseLost, ServerUnreachable
from hpo.store.memory import MemoryStore
from hpo_worker.desk import Desk
from hpo_worker.outcome import Interruption
from hpo_worker.reporting import Reporter

LONG_SECS = 60


class Shelf:
    """Stores curves, when it may; says when it has one."""

    def __init__(self):
        self.curves, self.error = [], None
        self.may_store, self.has_tried = threading.Event(), threading.Semaphore(0)
        self.may_store.set()

    def __call__(self, reports):
        assert self.may_store.wait(LONG_SECS)
        try:
            if self.error is not None:
                raise self.error
            self.curves.append(list(reports))
        finally:
            self.has_tried.release()

    def await_try(self):
        assert self.has_tried.acquire(timeout=LONG_SECS)


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def reporter(shelf):
    reporter = Reporter(shelf, interval_secs=0.001)
    yield reporter
    shelf.may_store.set()
    reporter.close()


def curve(n):
    return [{"step": step, "loss": 1.0 / step} for step in range(1, n + 1)]


def test_who_reports_does_not_wait_for_the_store(reporter, shelf):
    shelf.may_store.clear()

    reporter.put(curve(1))
    reporter.put(curve(2))

    assert shelf.curves == []
    shelf.may_store.set()
    shelf.await_try()
    assert shelf.curves[0] in (curve(1), curve(2))


def test_curves_that_come_while_one_is_stored_are_stored_as_one(reporter, shelf):
    shelf.may_store.clear()
    for n in range(1, 6):
        reporter.put(curve(n))
    shelf.may_store.set()

    reporter.flush()

    assert shelf.curves[-1] == curve(5)
    assert len(shelf.curves) <= 2


def test_what_was_put_last_is_stored_though_nothing_follows(reporter, shelf):
    reporter.put(curve(1))
    shelf.await_try()

    reporter.put(curve(2))
    shelf.await_try()

    assert shelf.curves == [curve(1), curve(2)]


def test_what_could_not_be_stored_is_tried_again(reporter, shelf):
    shelf.error = ServerUnreachable("node7", "is away")
    reporter.put(curve(1))
    shelf.await_try()
    shelf.await_try()

    shelf.error = None
    reporter.flush()

    assert shelf.curves == [curve(1)]


def test_a_flush_raises_what_storing_raises_and_keeps_the_curve(shelf):
    reporter = Reporter(shelf, interval_secs=LONG_SECS)
    shelf.error = ServerUnreachable("node7", "is away")
    reporter.put(curve(1))
    shelf.await_try()
    with pytest.raises(ServerUnreachable):
        reporter.flush()

    shelf.error = None
    reporter.flush()
    reporter.close()

    assert shelf.curves == [curve(1)]


def test_a_lease_that_proves_lost_is_told_to_who_reports_next(shelf):
    reporter = Reporter(shelf, interval_secs=0.001)
    shelf.error = LeaseLost(7, "node1:10:a", 1)
    reporter.put(curve(1))
    reporter._thread.join(LONG_SECS)

    with pytest.raises(LeaseLost):
        reporter.put(curve(2))


# --- from the desk --------------------------------------------------------------------


@pytest.fixture
def memory():
    store = MemoryStore()
    store.insert([new_trial(0, exp_key="digits")])
    return store


def desk_for(memory):
    return Desk(memory, memory.claim("node1:10:a"), lambda act: act())


def steps_stored(memory):
    [trial] = memory.find("digits")
    return [one["step"] for one in trial.get("reports", ())]


@pytest.mark.parametrize(
    "act",
    [
        lambda desk: desk.answer("save_checkpoint", b"weights"),
        lambda desk: desk.close(),
    ],
    ids=["checkpoint", "end"],
)
def test_reports_come_before_what_follows_them(memory, act):
    desk = desk_for(memory)
    for n in range(1, 4):
        desk.answer("report", curve(n))

    act(desk)

    assert steps_stored(memory) == [1, 2, 3]
    desk.close()


def test_a_desk_whose_trial_is_held_by_another_stores_nothing(memory):
    desk = desk_for(memory)
    [trial] = memory.find("digits")
    memory.release(Claim.of(trial), "requeued")

    desk.answer("report", curve(1))
    with pytest.raises(Interruption):
        desk.answer("save_checkpoint", b"weights")
    desk.close()

    assert desk.has_lost_lease
    assert steps_stored(memory) == []
