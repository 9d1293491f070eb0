"""Learning curves and continuations in every store (hpo/store/base.py)."""

from __future__ import annotations

import math

import pytest

from hpo.document import Claim, continuation, new_trial
from hpo.exceptions import DuplicateTrial, LeaseLost
from hpo.mirror import Followed, Mirror
from hpo.stopping import History
from hpo.store.base import REPORTED_FIELDS

OK = {"status": "ok", "loss": 0.5}
STOPPED = {"status": "stopped", "loss": 0.5, "step": 3}


def claimed(store, exp_key="digits", **fields):
    """A fresh trial, claimed."""
    [tid] = store.allocate_tids(1)
    store.insert([{**new_trial(tid, exp_key=exp_key, values={"x": 0.5}), **fields}])
    return Claim.of(store.claim(f"node1:10:{tid}", exp_key=exp_key))


def curve(*losses, first=1):
    return [{"step": step, "loss": loss} for step, loss in enumerate(losses, first)]


def stored(store, held):
    [trial] = store.find(None, tids=[held.tid], all_experiments=True)
    return trial


def stopped(store, *losses):
    """A trial that was stopped after these losses."""
    held = claimed(store)
    store.report(held, curve(*losses))
    store.finish(held, STOPPED)
    return stored(store, held)


# --- reporting ---------------------------------------------------------------------------


def test_a_report_shows_while_the_trial_runs(store, another):
    held = claimed(store)

    store.report(held, curve(0.9, 0.7))

    trial = stored(another, held)
    assert trial["reports"] == curve(0.9, 0.7)
    assert trial["last_report"] == {"step": 2, "loss": 0.7}
    assert trial["report_time"] == trial["refresh_time"] >= trial["book_time"]
    assert trial["version"] == 2


def test_a_curve_takes_the_place_of_what_stood_there(store):
    held = claimed(store)

    store.report(held, curve(0.9, 0.7))
    store.report(held, curve(0.9, 0.8, 0.6))

    assert stored(store, held)["reports"] == curve(0.9, 0.8, 0.6)


def test_the_same_report_twice_is_the_same_as_once(store):
    held = claimed(store)

    store.report(held, curve(0.9))
    store.report(held, curve(0.9))

    assert stored(store, held)["reports"] == curve(0.9)


def test_a_diverged_loss_is_kept(store):
    held = claimed(store)

    store.report(held, curve(math.inf))

    assert stored(store, held)["last_report"]["loss"] == math.inf


def test_whoever_lost_the_trial_cannot_report(store, let_pass):
    held = claimed(store)
    store.report(held, curve(0.9))
    let_pass(3600)
    store.requeue_expired()
    second = Claim.of(store.claim("node2:20:b"))

    with pytest.raises(LeaseLost):
        store.report(held, curve(0.1))

    store.report(second, curve(0.9, 0.8))
    assert stored(store, second)["reports"] == curve(0.9, 0.8)


def test_nobody_reports_after_the_end(store):
    held = claimed(store)
    store.report(held, curve(0.9))
    store.finish(held, OK)

    with pytest.raises(LeaseLost):
        store.report(held, curve(0.9, 0.1))

    assert stored(store, held)["last_report"]["step"] == 1


def test_a_trial_that_is_requeued_keeps_its_curve(store, let_pass):
    held = claimed(store)
    store.report(held, curve(0.9, 0.7))
    let_pass(3600)

    store.requeue_expired()

    assert store.claim("node2:20:b")["reports"] == curve(0.9, 0.7)


# --- reading curves ------------------------------------------------------------------------


def test_only_trials_that_have_reported_are_read(store):
    silent, one, two = claimed(store), claimed(store), claimed(store)
    elsewhere = claimed(store, exp_key="other")
    store.report(one, curve(0.9))
    store.report(two, curve(0.8, 0.7))
    store.report(elsewhere, curve(0.1))

    found = {trial["tid"]: trial["reports"] for trial in store.reported("digits")}

    assert found == {one.tid: curve(0.9), two.tid: curve(0.8, 0.7)}
    assert silent.tid not in found


def test_at_a_step_each_trial_shows_its_first_report_from_there_on(store):
    early, every_fifth, exact = claimed(store), claimed(store), claimed(store)
    store.report(early, curve(0.9, 0.8))
    store.report(every_fifth, [{"step": 5, "loss": 0.5}, {"step": 10, "loss": 0.4}])
    store.report(exact, curve(0.3, 0.2, 0.1, 0.0))

    found = {trial["tid"]: trial["reports"] for trial in store.reported("digits", step=3)}

    assert found == {
        every_fifth.tid: [{"step": 5, "loss": 0.5}],
        exact.tid: [{"step": 3, "loss": 0.1}],
    }


@pytest.mark.parametrize("step", [None, 1])
def test_a_curve_comes_with_what_a_rule_needs_and_no_more(store, step):
    trial = stopped(store, 0.9, 0.7)
    [tid] = store.allocate_tids(1)
    store.insert([continuation(trial, tid)])

    found = {one["tid"]: one for one in store.reported("digits", step=step)}

    assert set(found[trial["tid"]]) == set(REPORTED_FIELDS) - {"continues", "line"}
    assert found[trial["tid"]]["result"] == {"status": "stopped"}
    assert found[trial["tid"]]["last_report"] == {"step": 2, "loss": 0.7}
    assert set(found[tid]) == set(REPORTED_FIELDS)


def test_reading_curves_changes_none(store):
    held = claimed(store)
    store.report(held, curve(0.9, 0.7))

    for trial in store.reported("digits", step=2):
        trial["result"]["status"] = "mine"

    assert stored(store, held)["reports"] == curve(0.9, 0.7)
    assert stored(store, held)["result"] == {"status": "new"}


def test_a_mirror_shows_what_reading_everything_shows(store, let_pass):
    """Through a whole life: started, lost, resumed further back, stopped, taken up, deleted."""
    mirror = Mirror()

    def agree():
        mirrored = Followed(
            lambda step, since: (list(store.reported("digits", step=step, since=since)), since),
            mirror,
        )
        anew = History(lambda step: store.reported("digits", step=step))
        assert mirrored.curves() == anew.curves()
        for step in (1, 2, 3):
            one, other = mirrored.rung(step), anew.rung(step)
            assert [len(one), one.n_better(0.75, 0), one.stopped_among_best(9)] == [
                len(other), other.n_better(0.75, 0), other.stopped_among_best(9)
            ]  # fmt: skip
        return len(anew.curves())

    assert agree() == 0
    claimed(store, exp_key="other")
    held = claimed(store)
    assert agree() == 0
    store.report(held, curve(0.9, 0.7, 0.6))
    trial = stopped(store, 0.8, 0.75)
    assert agree() == 2
    let_pass(3600)
    store.requeue_expired()
    again = Claim.of(store.claim("node2:20:b", exp_key="digits"))
    store.report(again, curve(0.95))
    assert agree() == 2
    [tid] = store.allocate_tids(1)
    store.insert([continuation(trial, tid)])
    assert agree() == 2
    store.cancel("digits", [tid])
    assert agree() == 2
    store.finish(again, STOPPED)
    assert agree() == 2
    store.delete("digits")
    assert agree() == 0
    stopped(store, 0.5)
    assert agree() == 1


# --- continuations -------------------------------------------------------------------------


def test_a_continuation_has_the_configuration_and_the_curve_of_what_it_takes_up(store):
    trial = stopped(store, 0.9, 0.7)
    [tid] = store.allocate_tids(1)

    store.insert([continuation(trial, tid)])

    taken_up = store.claim("node2:20:b")
    assert taken_up["misc"]["vals"] == {"x": [0.5]}
    assert taken_up["misc"]["idxs"] == {"x": [tid]}
    assert taken_up["reports"] == curve(0.9, 0.7)
    assert taken_up["continues"] == trial["tid"]
    assert taken_up["line"] == trial["number"]
    assert taken_up["misc"]["from_tid"] == trial["tid"]


def test_a_line_of_continuations_goes_back_to_its_first_trial(store):
    first = stopped(store, 0.9)
    [second_tid, third_tid] = store.allocate_tids(2)
    store.insert([continuation(first, second_tid)])
    held = Claim.of(store.claim("node2:20:b"))
    store.report(held, curve(0.9, 0.8, 0.7))
    store.finish(held, STOPPED)

    third = continuation(stored(store, held), third_tid)

    assert third["continues"] == second_tid
    assert third["line"] == first["number"]
    assert third["misc"]["from_tid"] == first["tid"]
    assert third["settled_step"] == 3


def test_two_drivers_cannot_both_take_up_a_trial(store, another):
    trial = stopped(store, 0.9)
    [tid, other_tid] = store.allocate_tids(2)
    store.insert([continuation(trial, tid)])

    with pytest.raises(DuplicateTrial):
        another.insert([continuation(trial, other_tid)])

    assert [one["tid"] for one in store.find("digits", tids=[tid, other_tid])] == [tid]


def test_trials_of_one_batch_cannot_both_take_up_a_trial(store):
    trial = stopped(store, 0.9)
    tids = store.allocate_tids(2)

    with pytest.raises(DuplicateTrial):
        store.insert([continuation(trial, tid) for tid in tids])

    assert [one["tid"] for one in store.find("digits", tids=tids)] == tids[:1]


def test_a_trial_can_be_taken_up_again_after_its_continuation_was_cancelled(store):
    trial = stopped(store, 0.9)
    [tid, other_tid] = store.allocate_tids(2)
    store.insert([continuation(trial, tid)])
    store.cancel("digits", [tid])

    store.insert([continuation(trial, other_tid)])

    assert store.claim("node2:20:b")["tid"] == other_tid
