"""The trial document: its builder, its checks, its transitions, and plain data."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from hpo import document
from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    Claim,
    check_trial,
    columns_of,
    new_trial,
    plain,
)
from hpo.exceptions import InvalidTrial, UnstorableResult

HELD = Claim(tid=7, owner="node1:10:ab", attempt=2)


def running_trial(**fields):
    return {
        **new_trial(7),
        "state": JOB_STATE_RUNNING,
        "owner": HELD.owner,
        "attempt": HELD.attempt,
        **fields,
    }


# --- building and checking ---


def test_a_new_trial_has_every_field_that_hyperopt_requires():
    trial = new_trial(3, exp_key="digits", values={"x": 0.5}, labels=["x", "y"])

    check_trial(trial)
    assert set(document.ROOT_KEYS) <= set(trial)
    assert trial["misc"]["idxs"] == {"x": [3], "y": []}
    assert trial["misc"]["vals"] == {"x": [0.5], "y": []}
    assert trial["misc"]["cmd"] == ("domain_attachment", "FMinIter_Domain")
    assert trial["state"] == JOB_STATE_NEW


@pytest.mark.parametrize(
    ("values", "vals"),
    [
        ({"y": 2, "x": 0.5}, {"x": [0.5], "y": [2]}),
        ({"y": 2}, {"x": [], "y": [2]}),
        ({}, {"x": [], "y": []}),
        # Of another space: as many, but not the same.
        ({"y": 2, "z": 1}, {"x": [], "y": [2]}),
    ],
)
def test_every_label_of_the_space_has_a_column_of_none_or_one(values, vals):
    columns = columns_of(7, values, {"x": None, "y": None})

    assert columns == {
        "idxs": {label: [7] * len(own) for label, own in vals.items()},
        "vals": vals,
    }
    # In the order of the space; and each list is the document's own.
    assert [list(each) for each in columns.values()] == [["x", "y"], ["x", "y"]]
    lists = [own for each in columns.values() for own in each.values()]
    assert len({id(own) for own in lists}) == len(lists)


def test_active_values_leaves_inactive_labels_out():
    trial = new_trial(3, values={"x": 0.5}, labels=["x", "y"])

    assert document.active_values(trial) == {"x": 0.5}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("not a dictionary", "must be a dictionary, not str"),
        ({"tid": 1}, "lacks"),
        ({**new_trial(1), "misc": None}, "misc"),
        ({**new_trial(1), "misc": {"tid": 1}}, "lacks"),
        ({**new_trial(1), "tid": 2}, "tid mismatch"),
        ({**new_trial(1), "state": 9}, "unknown state 9"),
    ],
)
def test_a_malformed_document_is_named(broken, message):
    with pytest.raises(InvalidTrial, match=message):
        check_trial(broken)


# --- transitions ---


def test_a_claim_takes_only_new_trials_and_counts_the_attempt():
    step = document.claim("node1:10:ab", "node1", lease_secs=30)

    assert step.requires == {"state": JOB_STATE_NEW}
    assert step.sets["state"] == JOB_STATE_RUNNING
    assert "attempt" in step.increments
    assert step.lease_secs == 30


@pytest.mark.parametrize(
    "step",
    [
        document.heartbeat(HELD),
        document.checkpoint(HELD, {"status": "running"}),
        document.finish(HELD, {"status": "ok", "loss": 0.0}),
        document.fail(HELD, ("ValueError", "no")),
        document.release(HELD, "preempted"),
        document.expire(running_trial()),
    ],
    ids=lambda step: step.verb,
)
def test_every_write_under_a_claim_is_fenced_by_owner_and_attempt(step):
    assert step.requires == {
        "tid": 7,
        "state": JOB_STATE_RUNNING,
        "owner": "node1:10:ab",
        "attempt": 2,
    }


def test_a_heartbeat_leaves_the_version_so_that_no_reader_fetches_the_trial_again():
    assert "version" not in document.heartbeat(HELD).increments


def test_result_and_end_are_one_step():
    step = document.finish(HELD, {"status": "ok", "loss": 1.5})

    assert step.sets["state"] == JOB_STATE_DONE
    assert step.sets["result"] == {"status": "ok", "loss": 1.5}
    assert step.sets["lease_until"] is None


def test_a_failure_keeps_type_text_and_traceback():
    step = document.fail(HELD, ("ValueError", "no"), "Traceback …", details={"signal": 11})

    assert step.sets["state"] == JOB_STATE_ERROR
    assert step.sets["error"] == ["ValueError", "no"]
    assert step.sets["traceback"] == "Traceback …"
    assert step.attempt_end == {"reason": "exception", "error": ["ValueError", "no"], "signal": 11}


def test_a_release_spends_no_attempt():
    step = document.release(HELD, "preempted")

    assert step.sets["state"] == JOB_STATE_NEW
    assert "lost_attempts" not in step.increments


def test_a_lost_trial_returns_to_the_queue_until_its_attempts_are_spent():
    again = document.expire(running_trial(lost_attempts=1, max_attempts=3))
    spent = document.expire(running_trial(lost_attempts=2, max_attempts=3))

    assert again.sets["state"] == JOB_STATE_NEW
    assert spent.sets["state"] == JOB_STATE_ERROR
    assert spent.sets["error"][0] == "LostWorker"
    assert "3 attempts" in spent.sets["error"][1]


def test_cancel_applies_to_the_trial_exactly_as_it_was_seen():
    step = document.cancel(running_trial(version=4))

    assert step.requires == {"tid": 7, "state": JOB_STATE_RUNNING, "version": 4}
    assert step.sets["state"] == JOB_STATE_CANCEL


# --- plain data ---


def test_numpy_values_become_pythons():
    converted = plain(
        {
            "loss": np.float64(0.5),
            "n": np.int32(3),
            "ok": np.bool_(True),
            "curve": np.array([[1.0, 2.0]]),
            "pair": (1, 2),
            "when": datetime(2024, 1, 2),
            "blob": b"\0",
        }
    )

    assert converted == {
        "loss": 0.5,
        "n": 3,
        "ok": True,
        "curve": [[1.0, 2.0]],
        "pair": [1, 2],
        "when": datetime(2024, 1, 2),
        "blob": b"\0",
    }
    assert type(converted["loss"]) is float
    assert type(converted["n"]) is int
    assert type(converted["ok"]) is bool


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"model": {"parts": [object()]}}, r"result\['model'\]\['parts'\]\[0\] is of type object"),
        ({"seen": {1, 2}}, r"result\['seen'\] is of type set"),
        ({"n": 2**63}, r"result\['n'\] is 9223372036854775808"),
        ({"table": {1: "a"}}, r"result\['table'\] has the key 1"),
        ({"z": 1j}, r"result\['z'\] is of type complex"),
        ({"z": np.array([1j])}, r"result\['z'\]\[0\] is of type complex"),
    ],
)
def test_what_no_document_can_hold_is_named_by_its_path(value, path):
    with pytest.raises(UnstorableResult, match=path):
        plain(value)


# --- what an end says about the configuration ---


@pytest.mark.parametrize("reason", sorted(document.LOSSES.keys() - {"lost", "killed"}))
def test_what_the_infrastructure_did_costs_no_attempt(reason):
    step = document.release(HELD, reason)

    assert step.sets["state"] == JOB_STATE_NEW
    assert "lost_attempts" not in step.increments


def test_a_lost_attempt_is_counted_and_the_last_one_ends_the_trial():
    first = document.lose(running_trial(max_attempts=2), "killed", {"signal": 9})
    last = document.lose(running_trial(max_attempts=2, lost_attempts=1), "killed")

    assert first.sets["state"] == JOB_STATE_NEW
    assert "lost_attempts" in first.increments
    assert first.attempt_end == {"reason": "killed", "signal": 9}
    assert last.sets["state"] == JOB_STATE_ERROR
    assert last.sets["error"][0] == document.LOST_WORKER


@pytest.mark.parametrize(
    ("state", "error", "is_failure"),
    [
        (JOB_STATE_ERROR, ["ValueError", "bad"], True),
        (JOB_STATE_ERROR, ["TrialTimeout", "too long"], True),
        (JOB_STATE_ERROR, ["OutOfMemory", "too much"], True),
        (JOB_STATE_ERROR, ["ProcessKilled", "SIGSEGV"], True),
        (JOB_STATE_ERROR, None, True),
        (JOB_STATE_ERROR, ["LostWorker", "3 attempts were lost"], False),
        (JOB_STATE_ERROR, ["UntrustedObjective", "not signed"], False),
        (JOB_STATE_ERROR, [{"odd": 1}], True),
        (JOB_STATE_DONE, None, False),
        (JOB_STATE_CANCEL, None, False),
    ],
)
def test_only_what_would_happen_again_is_held_against_the_configuration(state, error, is_failure):
    trial = {**new_trial(0), "state": state} | ({} if error is None else {"error": error})

    assert document.is_failure(trial) == is_failure


def test_no_end_is_both_a_failure_and_a_loss():
    assert not document.FAILURES.keys() & document.LOSSES.keys()
