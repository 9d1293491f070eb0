"""What a running objective may say to the experiment it is part of."""

from __future__ import annotations

import logging

import pytest

from hpo import Ctrl, Trials, fmin, hp, rand
from hpo.document import JOB_STATE_DONE, JOB_STATE_RUNNING, new_trial
from hpo.exceptions import InvalidOption


class ParentOfAChild:
    """The channel of a worker's child, as the parent's end of it sees the words."""

    def __init__(self):
        self.attachments = {}
        self.results = []

    def checkpoint(self, result):
        self.results.append(dict(result))


@pytest.fixture
def trials():
    found = Trials()
    found.insert_trial_doc(new_trial(0, values={"x": 0.5}))
    found.refresh()
    return found


def misc_of(value):
    return {"idxs": {"x": [0]}, "vals": {"x": [value]}}


# --- beside the trials ---


def test_a_checkpoint_is_the_trials_result_so_far(trials):
    ctrl = Ctrl(trials, current_trial=trials.trials[0])

    ctrl.checkpoint({"status": "running", "epoch": 3})
    ctrl.checkpoint()

    assert trials.trials[0]["result"] == {"status": "running", "epoch": 3}


def test_a_checkpoint_of_a_claimed_trial_is_stored_while_it_runs(trials):
    ctrl = Ctrl(trials, current_trial=trials.store.claim("driver:1:a"))

    ctrl.checkpoint({"status": "running", "epoch": 3})

    [trial] = trials.store.find(None, states=[JOB_STATE_RUNNING])
    assert trial["result"] == ctrl.current_trial["result"] == {"status": "running", "epoch": 3}


def test_an_attachment_is_kept_beside_the_trial(trials):
    ctrl = Ctrl(trials, current_trial=trials.trials[0])

    ctrl.attachments["weights"] = b"1 2 3"

    assert trials.trial_attachments(trials.trials[0])["weights"] == b"1 2 3"


@pytest.mark.parametrize("n_results", [0, 1, 3])
def test_injected_results_are_finished_trials_that_name_their_source(trials, n_results):
    ctrl = Ctrl(trials, current_trial=trials.trials[0])
    results = [{"status": "ok", "loss": float(k)} for k in range(n_results)]

    tids = ctrl.inject_results(
        [None] * n_results, results, [misc_of(0.1 * k) for k in range(n_results)]
    )

    trials.refresh()
    injected = [trial for trial in trials.trials if trial["tid"] in tids]
    assert [trial["result"] for trial in injected] == results
    assert all(trial["state"] == JOB_STATE_DONE for trial in injected)
    assert all(trial["misc"]["from_tid"] == 0 for trial in injected)


def test_injected_results_may_bring_their_ids(trials):
    ctrl = Ctrl(trials, current_trial=trials.trials[0])

    tids = ctrl.inject_results([None], [{"status": "ok", "loss": 1.0}], [misc_of(0.2)], [17])

    assert tids == [17]


def test_an_objective_can_inject_what_it_came_by():
    trials = Trials()

    def objective(expr, memo, ctrl):
        better = {"status": "ok", "loss": -1.0}
        tid = ctrl.current_trial["tid"]
        misc = {"idxs": {"x": [tid]}, "vals": {"x": [0.125]}}
        ctrl.inject_results([None], [better], [misc])
        return 1.0

    best = fmin(
        objective,
        hp.uniform("x", 0, 1),
        algo=rand.suggest,
        max_evals=1,
        trials=trials,
        pass_expr_memo_ctrl=True,
        verbose=False,
        rstate=0,
    )

    assert best == {"x": 0.125}


def test_a_ctrl_without_a_running_trial_has_nothing_to_inject_into(trials):
    with pytest.raises(InvalidOption, match="make it with current_trial="):
        Ctrl(trials).inject_results([None], [{}], [{}])


# --- in a worker's child process ---


def test_words_travel_through_the_channel():
    channel = ParentOfAChild()
    ctrl = Ctrl(None, new_trial(0), channel=channel)

    ctrl.checkpoint({"status": "running"})
    ctrl.attachments["log"] = b"..."

    assert channel.results == [{"status": "running"}]
    assert channel.attachments == {"log": b"..."}


def test_a_worker_cannot_inject_and_says_what_to_do_instead():
    ctrl = Ctrl(None, new_trial(0), channel=ParentOfAChild())

    with pytest.raises(InvalidOption, match="a worker has none; search in the driver's process"):
        ctrl.inject_results([None], [{"status": "ok", "loss": 0.0}], [misc_of(0.5)])


def test_what_an_objective_logs_goes_to_the_modules_logger(caplog):
    with caplog.at_level(logging.DEBUG, logger="hpo.ctrl"):
        for say in (Ctrl.debug, Ctrl.info, Ctrl.warn, Ctrl.error):
            say("epoch %d", 3)

    assert [record.getMessage() for record in caplog.records] == ["epoch 3"] * 4
