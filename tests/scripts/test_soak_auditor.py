"""The auditor of the soak finds each kind of breach in documents that were doctored."""

from __future__ import annotations

import copy
import math
from datetime import datetime, timedelta

import pytest

from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    new_trial,
)
from scripts.soaking import sidelog
from scripts.soaking.auditor import audit
from scripts.soaking.objective import NoValue, loss_of
from scripts.soaking.sidelog import Acknowledged, Evaluation, Fenced

NOW = datetime(2030, 1, 1)
N_TRIALS = 4


def history(*reasons, owners=("node1:10:a", "node1:11:b", "node2:10:c")):
    return [
        {"attempt": number, "owner": owner, "reason": reason, "start": NOW, "end": NOW}
        for number, (reason, owner) in enumerate(zip(reasons, owners, strict=False), start=1)
    ]


def ended(tid, state, x, reasons, **fields):
    params = {"x": x, "shape": "bowl", "effort": 1.0}
    attempts = history(*reasons)
    trial = {
        **new_trial(tid, exp_key="soak", values=params, params=params),
        "number": tid,
        "state": state,
        "attempt": len(attempts),
        "owner": attempts[-1]["owner"],
        "attempts": attempts,
        "lost_attempts": reasons.count("lost"),
        **fields,
    }
    return trial


def done(tid, x, reasons=("done",)):
    return ended(
        tid, JOB_STATE_DONE, x, list(reasons), result={"status": "ok", "loss": float(x**2)}
    )


@pytest.fixture
def trials():
    """What a search leaves in which everything was kept: two kinds of ends, one lost attempt."""
    return [
        done(0, 1.0),
        done(1, 2.0, ["lost", "done"]),
        ended(2, JOB_STATE_ERROR, 4.95, ["exception"], error=["NoValue", "there is a hole"]),
        ended(3, JOB_STATE_ERROR, 3.0, ["lost"] * 3, error=["LostWorker", "3 attempts were lost"]),
    ]


@pytest.fixture
def entries():
    """What really happened: the first attempt of trial 1 was computed, too, and refused."""
    return [
        Evaluation(0, 1, 1.0, "bowl", 1.0),
        Acknowledged(0, 1, "node1:10:a", 1.0),
        Evaluation(1, 1, 2.0, "bowl", 4.0),
        Evaluation(1, 2, 2.0, "bowl", 4.0),
        Acknowledged(1, 2, "node1:11:b", 4.0),
        Fenced(1, 1, "node1:10:a", "finish"),
        Evaluation(2, 1, 4.95, "bowl", None),
    ]


def breaches(trials, entries, **options):
    options.setdefault("max_evals", N_TRIALS)
    return {(breach.promise, breach.tid) for breach in audit(trials, entries, **options)}


def test_nothing_is_found_where_everything_was_kept(trials, entries):
    assert breaches(trials, entries) == set()


# --- doctored documents ---


def test_an_open_trial_is_found(trials, entries):
    for state in (JOB_STATE_NEW, JOB_STATE_RUNNING, JOB_STATE_CANCEL):
        doctored = copy.deepcopy(trials)
        doctored[3]["state"] = state

        assert ("complete", 3) in breaches(doctored, entries)


def test_a_missing_and_a_surplus_trial_are_found(trials, entries):
    assert ("complete", None) in breaches(trials[:3], entries)
    assert ("complete", None) in breaches([*trials, done(4, 0.5)], entries)


def test_a_repeated_tid_is_found(trials, entries):
    twin = {**trials[0], "number": 4}

    assert ("numbered", 0) in breaches([*trials, twin], entries, max_evals=5)


def test_a_gap_in_the_numbers_is_found(trials, entries):
    trials[3]["number"] = 7

    assert ("numbered", None) in breaches(trials, entries)


def test_a_configuration_that_was_suggested_twice_is_found(trials, entries):
    trials[3]["params"]["x"] = 1.0

    assert ("numbered", None) in breaches(trials, entries)


@pytest.mark.parametrize("loss", [1.5, math.nan, None], ids=str)
def test_a_result_that_is_not_the_objectives_value_is_found(trials, entries, loss):
    trials[0]["result"]["loss"] = loss

    assert ("true", 0) in breaches(trials, entries)


def test_a_result_where_the_objective_has_no_value_is_found(trials, entries):
    trials[2].update(state=JOB_STATE_DONE, result={"status": "ok", "loss": 24.5})

    assert ("true", 2) in breaches(trials, entries)


def test_a_configuration_that_is_told_in_two_ways_is_found(trials, entries):
    trials[0]["misc"]["vals"]["x"] = [1.25]

    assert ("true", 0) in breaches(trials, entries)


def test_a_result_that_nobody_computed_is_found(trials, entries):
    assert breaches(trials, entries[1:]) == {("true", 0)}


def test_a_result_that_was_computed_under_another_attempt_is_found(trials, entries):
    entries[3] = Evaluation(1, 3, 2.0, "bowl", 4.0)

    assert breaches(trials, entries) == {("true", 1)}


@pytest.mark.parametrize(
    "error",
    [None, ["OSError", "no space left"], ["NoValue", "but it has one there"]],
    ids=["none", "foreign", "wrong"],
)
def test_an_error_without_a_reason_is_found(trials, entries, error):
    trials[3]["error"] = error

    assert ("explained", 3) in breaches(trials, entries)


def test_a_trial_that_was_given_up_too_early_is_found(trials, entries):
    trials[3].update(attempts=history("lost", "lost"), attempt=2, lost_attempts=2)

    assert breaches(trials, entries) == {("explained", 3)}


def test_a_lost_acknowledgement_is_found(trials, entries):
    elsewhere = copy.deepcopy(trials)
    elsewhere[0]["tid"] = 99
    assert ("kept", 0) in breaches(elsewhere, entries)

    undone = copy.deepcopy(trials)
    undone[0].update(state=JOB_STATE_ERROR, error=["NoValue", ""])
    assert ("kept", 0) in breaches(undone, entries)


def test_an_acknowledged_result_that_another_overwrote_is_found(trials, entries):
    late = Acknowledged(1, 1, "node1:10:a", 4.0)

    assert breaches(trials, [*entries, late]) == {("kept", 1)}


def test_an_attempt_without_an_end_is_found(trials, entries):
    del trials[1]["attempts"][0]

    assert ("accounted", 1) in breaches(trials, entries)


def test_a_lost_attempt_that_was_not_counted_is_found(trials, entries):
    trials[1]["lost_attempts"] = 0

    assert breaches(trials, entries) == {("accounted", 1)}


def test_a_lease_that_outlives_its_trial_is_found(trials, entries):
    trials[0]["lease_until"] = NOW + timedelta(seconds=60)

    assert breaches(trials, entries) == {("released", 0)}


def test_a_driver_that_leads_an_ended_search_is_found(trials, entries):
    assert breaches(trials, entries, leader="node1:99:d") == {("released", None)}


# --- what it relies on ---


def test_the_objective_has_a_value_everywhere_but_in_its_hole():
    assert loss_of({"x": 2.0, "shape": "bowl"}) == 4.0
    assert loss_of({"x": 0.0, "shape": "ripple"}) == 0.0
    with pytest.raises(NoValue):
        loss_of({"x": 4.95, "shape": "bowl"})


def test_the_side_log_gives_back_what_was_written(tmp_path, monkeypatch, entries):
    path = tmp_path / "side.log"
    monkeypatch.setenv(sidelog.PATH_VARIABLE, str(path))
    assert sidelog.read(path) == []

    for entry in entries:
        sidelog.write(entry)

    assert sidelog.read(path) == entries
