"""Checkpoints: kept with their step, and found along a line of trials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo import Ctrl, Trials
from hpo.checkpoints import Checkpoint, find_checkpoint, packed, unpacked
from hpo.document import Claim, continuation, new_trial
from hpo.exceptions import InvalidOption


@pytest.fixture
def trials():
    return Trials()


def claimed(trials, tid, document=None):
    trials.store.insert([document or new_trial(tid, values={"x": 0.5})])
    return trials.store.claim("node1:10:a")


def stopped(trials, trial, step):
    held = Claim.of(trial)
    trials.store.report(held, [{"step": step, "loss": 0.5}])
    trials.store.finish(held, {"status": "stopped", "loss": 0.5, "step": step})
    [ended] = trials.store.find(None, tids=[trial["tid"]])
    return ended


@given(step=st.integers(0, 2**53 - 1), state=st.binary(max_size=100))
def test_a_checkpoint_is_unpacked_as_it_was(step, state):
    assert unpacked(packed(Checkpoint(step, state))) == Checkpoint(step, state)


@pytest.mark.parametrize(
    "payload", [b"", b"weights", b"hpo-checkpoint 1 x\n", b"hpo-checkpoint 1 3"]
)
def test_an_attachment_of_somebody_else_is_refused(payload):
    with pytest.raises(InvalidOption, match="keep other things under another name"):
        unpacked(payload)


def test_without_a_checkpoint_the_training_begins(trials):
    assert Ctrl(trials, claimed(trials, 0)).load_checkpoint() is None


def test_a_second_attempt_finds_the_checkpoint_of_the_first(trials):
    trial = claimed(trials, 0)
    ctrl = Ctrl(trials, trial)
    ctrl.report(3, 0.5)
    ctrl.save_checkpoint(b"weights")
    trials.store.release(Claim.of(trial), "preempted")

    second = Ctrl(trials, trials.store.claim("node2:20:b"))

    assert second.load_checkpoint() == Checkpoint(3, b"weights")


def test_the_latest_checkpoint_counts(trials):
    ctrl = Ctrl(trials, claimed(trials, 0))

    ctrl.save_checkpoint(b"old", step=1)
    ctrl.save_checkpoint(bytearray(b"new"), step=2)

    assert ctrl.load_checkpoint() == Checkpoint(2, b"new")


def test_a_checkpoint_must_be_bytes(trials):
    with pytest.raises(TypeError, match="a checkpoint must be bytes, not str; pickle objects"):
        Ctrl(trials, claimed(trials, 0)).save_checkpoint("weights")


def test_a_continuation_finds_the_checkpoint_of_the_nearest_trial_of_its_line(trials):
    first = claimed(trials, 0)
    Ctrl(trials, first).save_checkpoint(b"first", step=1)
    second = claimed(trials, 1, continuation(stopped(trials, first, 1), 1))
    third = claimed(trials, 2, continuation(stopped(trials, second, 3), 2))

    assert Ctrl(trials, third).load_checkpoint() == Checkpoint(1, b"first")

    Ctrl(trials, second).save_checkpoint(b"second", step=3)
    assert Ctrl(trials, third).load_checkpoint() == Checkpoint(3, b"second")


def test_documents_that_take_up_each_other_end_the_search(trials):
    for tid in range(2):
        trials.store.insert([{**new_trial(tid), "continues": 1 - tid}])
    trial = trials.store.claim("node1:10:a")

    assert find_checkpoint(trials.store, trial) is None


def test_a_continuation_of_a_trial_that_is_gone_begins_anew(trials):
    trials.store.insert([{**new_trial(5), "continues": 4}])

    assert find_checkpoint(trials.store, trials.store.claim("node1:10:a")) is None


def test_by_hand_there_is_nothing_to_save_to_or_to_load():
    ctrl = Ctrl(None)

    ctrl.save_checkpoint(b"weights")

    assert ctrl.load_checkpoint() is None
