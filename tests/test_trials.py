"""The read model over a store, with hyperopt's names."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from hpo import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    STATUS_FAIL,
    STATUS_OK,
    Trials,
    trials_from_docs,
)
from hpo.document import new_trial
from hpo.exceptions import AllTrialsFailed, InvalidOption, InvalidTrial
from hpo.trials import miscs_to_idxs_vals


def finished(tid, loss, *, status=STATUS_OK, state=JOB_STATE_DONE, exp_key=None, **result):
    trial = new_trial(tid, values={"x": tid / 10}, labels=["x", "y"], exp_key=exp_key)
    trial["state"] = state
    trial["result"] = {"status": status, "loss": loss, **result}
    return trial


def test_inserted_trials_show_after_a_refresh():
    trials = Trials()
    trials.insert_trial_docs([finished(0, 1.0)])
    assert (len(trials), trials.trials) == (0, [])

    trials.refresh()

    assert len(trials) == 1
    assert trials.losses() == [1.0]
    assert trials.statuses() == [STATUS_OK]
    assert trials.tids == [0]


def test_trials_that_raised_are_left_out_but_not_lost():
    trials = trials_from_docs([finished(0, 1.0), finished(1, None, state=JOB_STATE_ERROR)])

    assert trials.tids == [0]
    assert [trial["tid"] for trial in trials._dynamic_trials] == [0, 1]
    assert trials.trial(1)["state"] == JOB_STATE_ERROR


def test_the_best_trial_has_the_least_loss_that_is_a_number_and_ok():
    trials = trials_from_docs(
        [
            finished(0, 3.0),
            finished(1, float("nan")),
            finished(2, -9.0, status=STATUS_FAIL),
            finished(3, 2.0),
            finished(4, float("inf")),
        ]
    )

    assert trials.best_trial["tid"] == 3
    assert trials.best_loss == 2.0
    assert trials.argmin == {"x": 0.3}


def test_without_any_usable_loss_there_is_no_best_trial():
    failed = finished(0, None, state=JOB_STATE_ERROR)
    failed["error"] = ["ValueError", "no such file"]

    with pytest.raises(AllTrialsFailed, match=r"none of 1 trials .* ValueError: no such file"):
        _ = trials_from_docs([failed]).best_trial


def test_idxs_and_vals_gather_the_active_values():
    trials = trials_from_docs([finished(0, 1.0), finished(5, 2.0)])

    assert trials.idxs == {"x": [0, 5], "y": []}
    assert trials.vals == {"x": [0.0, 0.5], "y": []}
    assert miscs_to_idxs_vals([]) == ({}, {})


def test_documents_changed_in_place_are_seen_by_the_next_refresh():
    trials = trials_from_docs([new_trial(0, values={"x": 0.5})])

    trials.trials[0]["state"] = JOB_STATE_DONE
    trials.trials[0]["result"] = {"status": STATUS_OK, "loss": 4.0}
    trials.refresh()

    assert trials.best_loss == 4.0


def test_follow_returns_only_what_changed():
    trials = trials_from_docs([finished(0, 1.0), new_trial(1)])

    trials.insert_trial_docs([new_trial(2)])
    changed = trials.follow()

    assert [trial["tid"] for trial in changed] == [2]
    assert trials.follow() == []
    assert trials.new_tids == {1, 2}


@pytest.mark.parametrize(
    ("counted", "n"),
    [(JOB_STATE_NEW, 2), (JOB_STATE_DONE, 1), ([JOB_STATE_NEW, JOB_STATE_DONE], 3), ([], 0)],
)
def test_counting_by_state(counted, n):
    trials = trials_from_docs([finished(0, 1.0), new_trial(1), new_trial(2)])

    assert trials.count_by_state_synced(counted) == n
    assert trials.count_by_state_unsynced(counted) == n


def test_counting_an_unknown_state_is_refused():
    with pytest.raises(InvalidOption, match="unknown state 12"):
        Trials().count_by_state_unsynced(12)


def test_a_view_shares_the_store_and_shows_one_experiment():
    everything = trials_from_docs([finished(0, 1.0, exp_key="a"), finished(1, 2.0, exp_key="b")])

    assert everything.tids == [0, 1]
    assert everything.view("b").tids == [1]
    assert everything.view("b").best_loss == 2.0


def test_a_document_of_another_experiment_is_refused():
    with pytest.raises(InvalidTrial, match="wrong exp_key 'b'"):
        Trials("a").insert_trial_doc(finished(0, 1.0, exp_key="b"))


def test_nothing_is_inserted_when_one_document_is_malformed():
    trials = Trials()

    with pytest.raises(InvalidTrial):
        trials.insert_trial_docs([finished(0, 1.0), {"tid": 1}])

    trials.refresh()
    assert len(trials) == 0


def test_injected_results_name_their_source():
    trials = trials_from_docs([new_trial(0, values={"x": 0.5})])
    source = trials.trials[0]
    misc = {"idxs": {"x": [9]}, "vals": {"x": [0.9]}}

    [document] = trials.source_trial_docs(
        [9], [None], [{"status": STATUS_OK, "loss": 1.0}], [misc], [source]
    )

    assert document["misc"]["from_tid"] == 0
    assert document["tid"] == document["misc"]["tid"] == 9
    with pytest.raises(InvalidTrial, match="tid 3"):
        trials.source_trial_docs([9], [None], [{}], [{**misc, "tid": 3}], [source])


def test_fresh_ids_are_never_given_twice():
    trials = Trials()

    ids = trials.new_trial_ids(2) + trials.new_trial_ids(2)

    assert len(set(ids)) == 4


def test_trials_survive_pickling():
    trials = trials_from_docs([finished(0, 1.0), new_trial(1)], exp_key=None)
    trials.attachments["note"] = b"text"

    copy = pickle.loads(pickle.dumps(trials))
    copy.insert_trial_docs([finished(2, 0.5)])
    copy.refresh()

    assert copy.best_loss == 0.5
    assert copy.attachments["note"] == b"text"
    assert len(trials) == 2


def test_attachments_beside_experiment_and_trial():
    trials = trials_from_docs([finished(0, 1.0), finished(1, 1.0)])
    first, second = trials.trials

    trials.attachments["note"] = b"a"
    trials.trial_attachments(first)["note"] = b"b"

    assert trials.attachments["note"] == b"a"
    assert trials.trial_attachments(first)["note"] == b"b"
    assert "note" not in trials.trial_attachments(second)
    del trials.trial_attachments(first)["note"]
    assert "note" not in trials.trial_attachments(first)


def test_delete_all_leaves_nothing():
    trials = trials_from_docs([finished(0, 1.0)])
    trials.attachments["note"] = b"a"

    trials.delete_all()

    assert len(trials) == 0
    assert "note" not in trials.attachments
    assert trials.best_loss is None


def test_another_reader_notices_that_trials_were_deleted():
    trials = trials_from_docs([finished(0, 1.0, exp_key="a")], exp_key="a")
    reader = trials.view("a")

    trials.delete_all()
    trials.insert_trial_docs([finished(4, 7.0, exp_key="a")])
    reader.refresh()

    assert reader.tids == [4]
    assert reader.best_loss == 7.0


def test_indexing_is_refused_because_it_would_be_ambiguous():
    with pytest.raises(InvalidOption, match=r"trials\.trial\(tid\)"):
        Trials()[0]


# --- average best error ---


def test_without_noise_the_average_best_error_is_the_best_trials_true_loss():
    trials = trials_from_docs([finished(0, 1.0, true_loss=5.0), finished(1, 2.0)])

    assert trials.average_best_error() == 5.0


def test_with_noise_it_weighs_true_losses_by_the_chance_of_being_best():
    # Two equal losses with equal noise: either is best half of the time.
    trials = trials_from_docs(
        [
            finished(0, 1.0, loss_variance=1.0, true_loss=0.0),
            finished(1, 1.0, loss_variance=1.0, true_loss=10.0),
        ]
    )

    # 1,000 draws of a fair coin: standard error 0.16 of 10.
    assert trials.average_best_error() == pytest.approx(5.0, abs=0.8)


def test_without_losses_there_is_no_best_error():
    with pytest.raises(ValueError, match="no trial with a loss"):
        Trials().average_best_error()


def test_running_owners_follow_the_documents():
    running = new_trial(3)
    running.update(state=JOB_STATE_RUNNING, owner="node1:10:ab", attempt=1)
    trials = trials_from_docs([running])

    assert trials.running_owners == {3: "node1:10:ab"}
    assert np.array_equal(trials.observations().states, [JOB_STATE_RUNNING])
