"""A search without progress stops after the given number of finished trials."""

from __future__ import annotations

import math

import pytest

from hpo.document import JOB_STATE_DONE, JOB_STATE_NEW, new_trial
from hpo.early_stop import no_progress_loss
from hpo.exceptions import InvalidOption
from hpo.observations import Observations


class Experiment:
    """Stands for `Trials`: all that a stopping rule reads."""

    def __init__(self):
        self._observations = Observations()

    def observations(self):
        return self._observations

    def finish(self, loss, tid=None):
        status = "fail" if loss is None else "ok"
        document = new_trial(len(self._observations) if tid is None else tid)
        result = {"status": status, "loss": loss}
        self._observations.update({**document, "state": JOB_STATE_DONE, "result": result})

    def start(self):
        self._observations.update({**new_trial(len(self._observations)), "state": JOB_STATE_NEW})


def n_trials_until_stop(rule, losses):
    """Finish one trial after the other; how many there are when the rule says stop, or None."""
    experiment, state = Experiment(), []
    for n_trials, loss in enumerate(losses, start=1):
        experiment.finish(loss)
        stop, state = rule(experiment, *state)
        if stop:
            return n_trials
    return None


def test_it_stops_when_the_first_loss_stays_the_best():
    assert n_trials_until_stop(no_progress_loss(10), [0.0] + [1.0] * 50) == 10


def test_progress_starts_the_count_afresh():
    losses = [5.0, 6.0, 6.0, 4.0, 6.0, 6.0, 6.0, 6.0]

    assert n_trials_until_stop(no_progress_loss(3), losses) == 3
    assert n_trials_until_stop(no_progress_loss(4), losses) == 8


def test_a_search_that_always_improves_goes_on():
    assert n_trials_until_stop(no_progress_loss(2), [-float(i) for i in range(50)]) is None


def test_a_gain_within_the_percentage_is_no_progress():
    losses = [100.0, 99.5, 99.2, 98.0, 97.9, 97.8, 97.7]

    # 99.0 is needed, and 98.0 comes fourth.
    assert n_trials_until_stop(no_progress_loss(3, percent_increase=1.0), losses) == 3
    assert n_trials_until_stop(no_progress_loss(4, percent_increase=1.0), losses) is None
    # 97.0 is needed.
    assert n_trials_until_stop(no_progress_loss(4, percent_increase=3.0), losses) == 4


def test_the_percentage_is_of_the_size_of_a_negative_loss():
    losses = [-100.0, -100.5, -102.0, -102.1, -102.2]

    assert n_trials_until_stop(no_progress_loss(3, percent_increase=1.0), losses) is None
    assert n_trials_until_stop(no_progress_loss(3), losses) is None
    assert n_trials_until_stop(no_progress_loss(2, percent_increase=1.0), losses) == 2


def test_failed_trials_make_no_progress():
    assert n_trials_until_stop(no_progress_loss(4), [1.0, None, None, None, None]) == 4
    assert n_trials_until_stop(no_progress_loss(4), [None] * 10) == 4


def test_any_loss_is_progress_after_an_infinite_one():
    assert n_trials_until_stop(no_progress_loss(3), [math.inf, 3.0, 2.0, 1.0, 0.0]) is None


def test_several_trials_may_finish_between_two_looks_and_others_may_be_open():
    rule, experiment = no_progress_loss(5), Experiment()
    experiment.finish(1.0)
    _, state = rule(experiment)

    for _ in range(10):
        experiment.start()
    stop, state = rule(experiment, *state)
    assert not stop

    for tid in range(1, 4):
        experiment.finish(2.0, tid=tid)
    stop, state = rule(experiment, *state)
    assert not stop
    experiment.finish(2.0, tid=4)
    stop, state = rule(experiment, *state)
    assert stop
    assert state == [1.0, 5, 5]


def test_it_starts_counting_when_it_first_looks():
    experiment = Experiment()
    for _ in range(30):
        experiment.finish(1.0)

    stop, state = no_progress_loss(20)(experiment)

    assert not stop
    assert state == [1.0, 1, 30]


def test_hyperopts_two_part_state_is_enough():
    experiment = Experiment()
    experiment.finish(1.0)
    experiment.finish(2.0)

    assert no_progress_loss(3)(experiment, 1.0, 1) == (False, [1.0, 2, 2])


@pytest.mark.parametrize(
    "arguments",
    [
        {"iteration_stop_count": 0},
        {"iteration_stop_count": "20"},
        {"percent_increase": -1.0},
        {"percent_increase": math.nan},
    ],
)
def test_an_impossible_rule_is_refused_by_name(arguments):
    with pytest.raises(InvalidOption, match=next(iter(arguments))):
        no_progress_loss(**arguments)
