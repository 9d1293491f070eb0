"""Columns over the trials of an experiment, kept up to date one document at a time."""

from __future__ import annotations

import math
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    new_trial,
)
from hpo.observations import Observations


def trial(tid, state=JOB_STATE_DONE, loss=None, values=None, *, result=None, **fields):
    document = new_trial(tid, values=values or {}, labels=("x", "y"))
    if result is None:
        result = {"status": "ok", "loss": loss} if state == JOB_STATE_DONE else {"status": "new"}
    return {**document, "state": state, "result": result, **fields}


def observe(*trials):
    observations = Observations()
    for document in trials:
        observations.update(document)
    return observations


def test_a_trial_is_a_row_and_a_hyperparameter_a_column():
    observations = observe(
        trial(3, loss=0.5, values={"x": 1.5, "y": 2}), trial(4, loss=0.1, values={"x": -1.0})
    )

    assert len(observations) == 2
    assert observations.tids.tolist() == [3, 4]
    assert 3 in observations
    assert 5 not in observations
    assert observations.states.tolist() == [JOB_STATE_DONE, JOB_STATE_DONE]
    assert observations.losses.tolist() == [0.5, 0.1]
    assert observations.column("x").tolist() == [1.5, -1.0]
    np.testing.assert_array_equal(observations.column("y"), [2.0, np.nan])
    assert observations.active("y").tolist() == [True, False]
    assert observations.labels == ("x", "y")


def test_a_changed_document_overwrites_its_row():
    observations = observe(
        trial(0, JOB_STATE_NEW, values={"x": 1.0, "y": 3}), trial(1, JOB_STATE_NEW)
    )
    assert observations.is_pending.tolist() == [True, True]

    observations.update(trial(0, loss=7.0, values={"x": 2.0}))

    assert len(observations) == 2
    assert observations.is_pending.tolist() == [False, True]
    np.testing.assert_array_equal(observations.losses, [7.0, np.nan])
    np.testing.assert_array_equal(observations.column("x"), [2.0, np.nan])
    assert observations.active("y").tolist() == [False, False]


def test_a_label_may_appear_late():
    observations = observe(trial(0, values={"x": 1.0}), trial(1, values={"new": 4.0}))

    np.testing.assert_array_equal(observations.column("new"), [np.nan, 4.0])
    np.testing.assert_array_equal(observations.column("never seen"), [np.nan, np.nan])
    assert not observations.active("never seen").any()


@pytest.mark.parametrize(
    ("document", "is_ok", "is_failed", "is_pending"),
    [
        (trial(0, loss=1.0), True, False, False),
        (trial(0, loss=math.inf), True, False, False),
        (trial(0, loss=np.float32(1.0)), True, False, False),
        (trial(0, loss=math.nan), False, True, False),
        (trial(0, loss="1.0"), False, True, False),
        (trial(0, result={"status": "fail"}), False, True, False),
        (trial(0, result={"status": "fail", "loss": 1.0}), False, True, False),
        (trial(0, JOB_STATE_ERROR, error=["ValueError", "no"]), False, True, False),
        (trial(0, JOB_STATE_ERROR, error=None), False, True, False),
        (trial(0, JOB_STATE_ERROR, error=["LostWorker", "gone"]), False, False, False),
        (trial(0, JOB_STATE_CANCEL), False, False, False),
        (trial(0, JOB_STATE_NEW), False, False, True),
        (trial(0, JOB_STATE_RUNNING), False, False, True),
        # A checkpoint is no result yet.
        (trial(0, JOB_STATE_RUNNING, result={"status": "ok", "loss": 1.0}), False, False, True),
    ],
)
def test_what_became_of_a_trial(document, is_ok, is_failed, is_pending):
    observations = observe(document)

    assert observations.is_ok.tolist() == [is_ok]
    assert observations.is_failed.tolist() == [is_failed]
    assert observations.is_pending.tolist() == [is_pending]
    assert np.isnan(observations.losses[0]) == (not is_ok)
    assert observations.history.tolist() == ([0] if is_ok or is_failed or is_pending else [])


def test_an_error_left_in_misc_counts_like_one_of_a_worker():
    document = trial(0, JOB_STATE_ERROR)
    document["misc"]["error"] = ("ValueError", "no")

    assert observe(document).is_failed.tolist() == [True]


def test_the_variance_of_a_loss_is_kept_beside_it():
    measured = {"status": "ok", "loss": 1.0, "loss_variance": 0.25}

    observations = observe(trial(0, result=measured), trial(1, loss=1.0))

    np.testing.assert_array_equal(observations.loss_variances, [0.25, np.nan])


def test_an_injected_result_remembers_its_source():
    injected = trial(9, loss=1.0)
    injected["misc"]["from_tid"] = 2

    observations = observe(trial(2), injected)

    assert observations.source_tids.tolist() == [2, 2]
    assert observations.has_sources
    assert not observe(trial(2)).has_sources


@given(st.permutations(range(12)))
def test_the_order_is_by_tid_whatever_arrives_first(tids):
    observations = observe(*(trial(tid, loss=float(tid)) for tid in tids))

    assert observations.tids[observations.order].tolist() == list(range(12))
    assert observations.losses[observations.history].tolist() == list(range(12))


STATES = st.sampled_from(
    [JOB_STATE_NEW, JOB_STATE_RUNNING, JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_CANCEL]
)


@given(st.lists(st.tuples(st.integers(0, 30), STATES, st.integers(0, 3))))
def test_what_is_counted_on_the_way_is_what_a_look_at_all_rows_finds(updates):
    observations = Observations()
    for tid, state, n_provisional in updates:
        observations.update(trial(tid, state, 1.0, {"x": 0.5}))
        observations.history  # noqa: B018 - it is kept up to date from its first use on
        with observations.provisional():
            for extra in range(n_provisional):
                observations.add_pending(100 + extra, {"x": 0.5})
            assert_is_what_the_rows_say(observations)
        assert_is_what_the_rows_say(observations)


def assert_is_what_the_rows_say(observations):
    rows = [row for row in observations.order if observations.configurations[row]]
    assert observations.history.tolist() == rows
    assert observations.n_pending == np.count_nonzero(observations.is_pending)
    assert observations.last_tid == max(observations.tids)


def test_ids_may_be_of_any_hashable_type():
    names = observe(trial("b"), trial("a"))
    mixed = [trial("b"), trial(7), trial((1, 2))]

    assert names.order.tolist() == [1, 0]
    there, back = observe(*mixed), observe(*reversed(mixed))
    assert there.tids[there.order].tolist() == back.tids[back.order].tolist()
    assert 2**80 in observe(trial(2**80), trial(-1))


def test_a_value_that_is_no_number_counts_as_inactive():
    observations = observe(trial(0, values={"x": "rbf", "y": np.array([1, 2])}))

    assert not observations.active("x").any()
    assert not observations.active("y").any()


def test_a_malformed_document_leaves_no_row_behind():
    observations = Observations()

    with pytest.raises(KeyError):
        observations.update({"tid": 0, "state": JOB_STATE_NEW})

    assert len(observations) == 0
    assert 0 not in observations


def test_many_rows_keep_their_contents_while_the_columns_grow():
    observations = Observations()
    for tid in range(1000):
        observations.update(trial(tid, loss=float(-tid), values={"x": tid / 2}))

    assert observations.losses.tolist() == [-tid for tid in range(1000)]
    assert observations.column("x").tolist() == [tid / 2 for tid in range(1000)]
    assert observations.is_ok.all()


def test_a_trial_of_20_labels_takes_less_than_420_bytes():
    labels = [f"label {i}" for i in range(20)]
    tracemalloc.start()

    observations = Observations()
    for tid in range(5000):
        observations.update(finished_with(labels, tid))

    n_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_bytes / 5000 < 420


def finished_with(labels, tid):
    vals = {label: [0.5] for label in labels}
    result = {"status": "ok", "loss": 1.0}
    return {"tid": tid, "state": JOB_STATE_DONE, "result": result, "misc": {"vals": vals}}


def test_readers_get_views_that_they_cannot_write_to():
    observations = observe(trial(0, loss=1.0, values={"x": 1.0}))
    before = observations.losses

    with pytest.raises(ValueError, match="read-only"):
        observations.column("x")[0] = 2.0
    observations.update(trial(0, loss=3.0, values={"x": 1.0}))

    assert before[0] == 3.0


def test_a_copy_goes_its_own_way():
    original = observe(trial(0, loss=1.0, values={"x": 1.0}))

    twin = original.copy()
    twin.add_pending(1, {"x": 2.0, "z": 1})
    twin.update(trial(0, loss=5.0, values={"x": 4.0}))

    assert twin.is_pending.tolist() == [False, True]
    assert twin.column("x").tolist() == [4.0, 2.0]
    assert (len(original), original.labels) == (1, ("x", "y")[:1])
    assert original.losses.tolist() == [1.0]
    assert original.column("x").tolist() == [1.0]


def test_it_survives_pickling_without_its_spare_room():
    observations = observe(*(trial(tid, loss=1.0, values={"x": 1.0}) for tid in range(65)))

    twin = pickle.loads(pickle.dumps(observations))
    twin.update(trial(65, loss=2.0, values={"x": 3.0}))

    assert len(pickle.dumps(observe(trial(0)))) < 2000
    assert (len(observations), len(twin)) == (65, 66)
    assert twin.column("x")[-2:].tolist() == [1.0, 3.0]


def test_it_describes_itself():
    observations = observe(trial(0, loss=1.0, values={"x": 1.0}), trial(1, JOB_STATE_NEW))

    assert repr(observations) == "Observations(2 trials: 1 ok, 0 failed, 1 pending; 1 labels)"
