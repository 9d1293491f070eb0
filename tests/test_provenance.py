"""A document says where it came from, in a few words."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.document import JOB_STATE_CANCEL, new_trial
from hpo.observations import Observations
from hpo.provenance import Provenance, as_runs, from_runs
from tests.searches import failed, finished, observe

# --- ids as runs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tids", "runs"),
    [
        ([], ""),
        ([4], "4"),
        ([3, 5, 6, 7, 9], "3,5-7,9"),
        ([9, 7, 6, 3, 5], "3,5-7,9"),
        (range(1000), "0-999"),
        ([np.int64(2), 3], "2-3"),
    ],
)
def test_ids_become_runs(tids, runs):
    assert as_runs(tids) == runs


@pytest.mark.parametrize("tids", [["a", "b"], [1, "b"], [-1, 3], [0.5]], ids=str)
def test_ids_that_are_no_whole_numbers_stay_a_list(tids):
    assert as_runs(tids) == tids
    assert from_runs(tids) == tids


@given(st.sets(st.integers(0, 10**6) | st.integers(0, 50)))
def test_runs_become_the_same_ids_again(tids):
    assert from_runs(as_runs(tids)) == sorted(tids)


@pytest.mark.parametrize("text", ["a", "-1", "1-b", "1 to 3"])
def test_a_text_of_another_form_is_an_error(text):
    with pytest.raises(ValueError, match="invalid literal"):
        from_runs(text)


# --- the record --------------------------------------------------------------------------


def some_trials():
    return [
        finished(0, {"x": 1.0}, 0.5),
        failed(1, {"x": 2.0}),
        new_trial(2, values={"x": 3.0}),
        new_trial(3, values={"x": 4.0}),
        finished(4, {"x": 5.0}, 0.25),
    ]


def test_the_record_holds_everything_that_determines_a_suggestion():
    observations = observe(*some_trials())

    origin = Provenance.of("tpe", 1, {"gamma": None}, 123, 7, observations)

    assert origin.for_place([5, 6, 9], 2) == {
        "algorithm": "tpe",
        "version": 1,
        "options": {"gamma": None},
        "seed": 123,
        "search_seed": 7,
        "seen": {"last": 4, "pending": "2-3", "digest": observations.digest},
        "batch": {"first": 5, "place": 2, "size": 3},
    }
    assert origin.for_place([5], 0, start=0)["start"] == 0
    json.dumps(origin.for_place([5], 0))


def test_before_any_trial_nothing_was_seen():
    origin = Provenance.of("tpe", 1, {}, 0, None, Observations())

    assert origin.seen == {"last": None, "pending": "", "digest": Observations().digest}


# --- the digest of what was seen ---------------------------------------------------------


@given(st.permutations(range(5)))
def test_the_digest_does_not_depend_on_the_order_of_arrival(order):
    trials = some_trials()

    digest = observe(*(trials[index] for index in order)).digest

    assert digest == observe(*trials).digest


def test_the_digest_does_not_depend_on_what_a_trial_was_before():
    observations = observe(new_trial(0, values={"x": 1.0}), *some_trials()[1:])

    observations.update(some_trials()[0])

    assert observations.digest == observe(*some_trials()).digest


@pytest.mark.parametrize(
    "other",
    [
        finished(0, {"x": 1.0}, 0.6),
        finished(0, {"x": 1.5}, 0.5),
        finished(0, {"y": 1.0}, 0.5),
        finished(7, {"x": 1.0}, 0.5),
        failed(0, {"x": 1.0}),
        new_trial(0, values={"x": 1.0}),
    ],
    ids=["loss", "value", "label", "tid", "failed", "running"],
)
def test_the_digest_tells_of_every_change(other):
    trials = some_trials()

    assert observe(other, *trials[1:]).digest != observe(*trials).digest


def test_what_says_nothing_is_not_in_the_digest():
    cancelled = {**new_trial(9, values={"x": 1.0}), "state": JOB_STATE_CANCEL}
    lost = {**failed(8, {"x": 1.0}), "error": ["LostWorker", "gone"]}

    assert observe(*some_trials(), cancelled, lost).digest == observe(*some_trials()).digest


def test_provisional_trials_leave_no_trace():
    observations = observe(*some_trials())
    before = observations.digest

    with observations.provisional():
        observations.add_pending(5, {"x": 0.0})
        assert observations.digest != before
        assert observations.has_tried({"x": 0.0})

    assert observations.digest == before
    assert not observations.has_tried({"x": 0.0})
    assert observations.has_tried({"x": 3.0})
