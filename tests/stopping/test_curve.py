"""The curve rule: stopping by what a learning curve foretells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo.exceptions import InvalidOptionValue
from hpo.stopping import CurveRule
from tests.stopping.experiments import Experiment


def falling(limit, n_steps=9):
    """A curve that halves its distance to `limit` at each step: its end is linear in its begin."""
    return [limit + 0.5**step for step in range(n_steps)]


def taught(n_complete=12):
    """An experiment with complete curves whose final losses are 0.1, 0.2 …"""
    experiment = Experiment()
    for number in range(1, n_complete + 1):
        experiment.train(number, *falling(0.1 * number), end="ok")
    return experiment


@pytest.mark.parametrize("limit, is_stopped", [(0.05, False), (0.5, True), (5.0, True)])
def test_a_curve_that_cannot_reach_the_best_is_stopped(limit, is_stopped):
    experiment = taught()
    experiment.train(0, *falling(limit)[:4])

    assert experiment.asks(CurveRule(), 0) == is_stopped


def test_an_explicit_limit_takes_the_place_of_the_best():
    experiment = taught()
    experiment.train(0, *falling(0.5)[:4])

    assert not experiment.asks(CurveRule(loss_limit=0.6), 0)
    assert experiment.asks(CurveRule(loss_limit=0.4), 0)


def test_what_a_trial_teaches_holds_from_its_end_on():
    experiment, rule = taught(), CurveRule()
    experiment.train(0, *falling(0.05)[:4])
    assert not experiment.asks(rule, 0)

    experiment.train(99, *falling(0.01), end="ok")

    assert experiment.asks(rule, 0)


def test_noisy_curves_are_stopped_only_beyond_the_error_of_the_forecast():
    rng = np.random.default_rng(0)
    experiment = Experiment()
    for number in range(1, 41):
        noise = rng.normal(0.0, 0.05, 9)
        experiment.train(number, *(falling(rng.random()) + noise), end="ok")
    best = min(min(one.losses) for one in experiment.history().curves())
    experiment.train(0, *falling(best + 0.02)[:4])
    experiment.train(99, *falling(best + 2.0)[:4])

    assert not experiment.asks(CurveRule(), 0)
    assert experiment.asks(CurveRule(), 99)


def test_nobody_is_stopped_before_enough_trials_are_complete():
    experiment = taught(n_complete=9)
    experiment.train(0, *falling(5.0)[:4])

    assert not experiment.asks(CurveRule(burn_in=10), 0)


def test_stopped_and_diverged_trials_teach_nothing():
    experiment = taught(n_complete=9)
    experiment.train(10, *falling(0.1), end="stopped")
    experiment.train(11, *[math.inf] * 9, end="ok")
    experiment.train(0, *falling(5.0)[:4])

    assert not experiment.asks(CurveRule(burn_in=10), 0)


def test_a_diverged_trial_is_stopped_at_once():
    experiment = Experiment()
    experiment.train(0, 0.5, 0.5, math.inf)

    assert experiment.asks(CurveRule(), 0)


def test_a_short_curve_reads_nothing():
    experiment = taught()
    experiment.train(0, 0.9, 0.9)

    assert not experiment.asks(CurveRule(min_input_size=3), 0)
    assert experiment.steps_read == []


def test_thinned_curves_teach_by_the_steps_that_they_share():
    experiment = Experiment()
    for number in range(1, 13):
        curve = falling(0.1 * number, 20)
        kept = range(0, 20, 2) if number % 2 else range(0, 20, 4)
        for index in kept:
            experiment.report(number, index + 1, curve[index])
        experiment.end(number, "ok")
    experiment.train(0, *falling(5.0, 20)[:14])

    assert experiment.asks(CurveRule(), 0)


def test_an_uncertain_probability_is_refused():
    with pytest.raises(InvalidOptionValue, match=r"above 0\.5 and below 1"):
        CurveRule(probability=0.3)
