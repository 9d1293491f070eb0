"""The mirror of learning curves shows what reading everything anew would show."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hpo.document import Claim, continuation, new_trial
from hpo.exceptions import DuplicateTrial
from hpo.mirror import Followed, Mirror, mirror_of
from hpo.stopping import ASHA, History, Hyperband
from hpo.stopping.rung import Rung
from hpo.store.memory import MemoryStore

STEPS = (1, 3, 9)


def is_even(line):
    return line % 2 == 0


def followed(store, mirror):
    return Followed(
        lambda step, since: (list(store.reported("digits", step=step, since=since)), since), mirror
    )


def read_anew(store):
    return History(lambda step: store.reported("digits", step=step))


class Experiment(RuleBasedStateMachine):
    """Trials that come, report, end, vanish and are taken up, in any order."""

    def __init__(self):
        super().__init__()
        self.store, self.mirror = MemoryStore(), Mirror()
        self.held = []

    @rule()
    def add_one(self):
        [tid] = self.store.allocate_tids(1)
        self.store.insert([new_trial(tid, exp_key="digits")])

    @rule()
    def begin_one(self):
        trial = self.store.claim(f"node1:{len(self.held)}:a", exp_key="digits")
        if trial is not None:
            self.held.append(Claim.of(trial))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), first=st.integers(1, 4), n=st.integers(1, 6))
    def report(self, data, first, n):
        held = data.draw(st.sampled_from(self.held))
        losses = st.sampled_from([0.1, 0.2, 0.3, math.inf])
        self.store.report(
            held, [{"step": first + 2 * i, "loss": data.draw(losses)} for i in range(n)]
        )

    @precondition(lambda self: self.held)
    @rule(data=st.data(), status=st.sampled_from(["stopped", "ok"]))
    def finish(self, data, status):
        held = data.draw(st.sampled_from(self.held))
        self.held.remove(held)
        self.store.finish(held, {"status": status, "loss": 0.5})

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def hand_back(self, data):
        held = data.draw(st.sampled_from(self.held))
        self.held.remove(held)
        self.store.release(held, "asked to")

    @rule(data=st.data())
    def take_up(self, data):
        stopped = [
            trial
            for trial in self.store.find("digits")
            if trial["result"].get("status") == "stopped" and "last_report" in trial
        ]
        if stopped:
            [tid] = self.store.allocate_tids(1)
            try:
                self.store.insert([continuation(data.draw(st.sampled_from(stopped)), tid)])
            except DuplicateTrial:
                assert any(one.get("continues") is not None for one in self.store.find("digits"))

    @rule(data=st.data())
    def cancel_one(self, data):
        tids = [trial["tid"] for trial in self.store.find("digits")]
        if tids:
            cancelled = self.store.cancel("digits", [data.draw(st.sampled_from(tids))])
            self.held = [held for held in self.held if held.tid not in cancelled]

    @rule()
    def delete_all(self):
        self.store.delete("digits")
        self.held = []

    @invariant()
    def shows_what_is_there(self):
        mirrored, anew = followed(self.store, self.mirror), read_anew(self.store)
        assert mirrored.curves() == anew.curves()
        for step in STEPS:
            assert mirrored.at(step) == anew.at(step)
        for one, other in (
            (mirrored, anew),
            (mirrored.of_lines(is_even), anew.of_lines(is_even)),
        ):
            assert [shown(one.rung(step, 3 * step)) for step in STEPS] == [
                shown(other.rung(step, 3 * step)) for step in STEPS
            ]
        for stopper in (ASHA(1, 27), Hyperband(1, 27)):
            assert stopper.promotions(mirrored) == stopper.promotions(anew)


def shown(rung: Rung):
    n = len(rung)
    return n, [rung.n_better(loss, 0) for loss in (0.15, 0.25, 1.0)], rung.stopped_among_best(n)


TestExperiment = Experiment.TestCase
TestExperiment.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# --- what is read -----------------------------------------------------------------------


@pytest.fixture
def store():
    return MemoryStore()


def trained(store, *losses):
    """A trial that has reported these and ended."""
    [tid] = store.allocate_tids(1)
    store.insert([new_trial(tid, exp_key="digits")])
    held = Claim.of(store.claim("node1:10:a", exp_key="digits"))
    store.report(held, [{"step": step, "loss": loss} for step, loss in enumerate(losses, 1)])
    store.finish(held, {"status": "ok", "loss": losses[-1]})


def test_a_look_reads_what_was_added_and_what_was_open(store):
    read = []

    def follow(step, since):
        documents = list(store.reported("digits", step=step, since=since))
        read.append([document["tid"] for document in documents])
        return documents, since

    history = Followed(follow, Mirror())
    for loss in (0.1, 0.2, 0.3):
        trained(store, loss)
    store.insert([new_trial(3, exp_key="digits")])

    history.rung(1)
    trained(store, 0.4)
    history.rung(1)
    history.rung(1)

    # Trial 3 was claimed and finished by the last `trained`, and 4 waits in its place.
    assert read == [[0, 1, 2, 3], [3, 4], [4]]


def test_a_look_that_breaks_off_misses_nothing(store):
    trained(store, 0.1)
    is_broken = [True]

    def follow(step, since):
        documents = list(store.reported("digits", step=step, since=since))
        if is_broken.pop():
            raise ConnectionError
        is_broken.append(False)
        return documents, since

    history = Followed(follow, Mirror())
    with pytest.raises(ConnectionError):
        history.rung(1)
    is_broken.append(False)

    assert len(history.rung(1)) == 1


def test_what_somebody_removed_is_forgotten(store):
    [tid] = store.allocate_tids(1)
    store.insert([new_trial(tid, exp_key="digits")])
    store.report(Claim.of(store.claim("node1:10:a")), [{"step": 1, "loss": 0.1}])
    mirror = Mirror()
    assert len(followed(store, mirror).rung(1)) == 1

    nobody = Followed(lambda step, since: ([], since), mirror)

    assert len(nobody.rung(1)) == 0
    assert nobody.curves() == []


def test_experiments_of_a_store_have_a_mirror_each(store):
    assert mirror_of(store, "digits") is mirror_of(store, "digits")
    assert mirror_of(store, "digits") is not mirror_of(store, "other")
    assert mirror_of(store, "digits") is not mirror_of(MemoryStore(), "digits")
