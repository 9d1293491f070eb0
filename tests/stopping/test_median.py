"""The median rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.exceptions import InvalidOptionValue
from hpo.stopping import MedianRule
from tests.stopping.experiments import Experiment

FINITE = st.floats(-10, 10)


@given(
    others=st.lists(FINITE, min_size=1, max_size=20), own=st.lists(FINITE, min_size=3, max_size=3)
)
def test_a_trial_is_stopped_when_its_best_loss_exceeds_half_of_the_others(others, own):
    experiment = Experiment()
    for number, loss in enumerate(others, 1):
        experiment.train(number, 99.0, 99.0, loss)
    experiment.train(0, *own)

    is_stopped = experiment.asks(MedianRule(warmup_trials=1), 0)

    n_not_worse = sum(loss < min(own) for loss in others)
    assert is_stopped == (n_not_worse >= math.ceil(len(others) / 2))


def test_one_good_step_long_ago_protects_a_trial():
    experiment = Experiment()
    for number in range(1, 6):
        experiment.train(number, 0.5, 0.5)
    experiment.train(0, 0.1, 0.9)

    assert not experiment.asks(MedianRule(), 0)


@pytest.mark.parametrize("n_others, is_stopped", [(4, False), (5, True)])
def test_nobody_is_stopped_before_enough_others_came_so_far(n_others, is_stopped):
    experiment = Experiment()
    for number in range(1, n_others + 1):
        experiment.train(number, 0.1)
    experiment.train(0, 0.9)

    assert experiment.asks(MedianRule(warmup_trials=5), 0) == is_stopped


@pytest.mark.parametrize("n_steps, is_stopped", [(3, False), (4, True)])
def test_nobody_is_stopped_in_the_warmup(n_steps, is_stopped):
    experiment = Experiment()
    for number in range(1, 6):
        experiment.train(number, *[0.1] * 9)
    experiment.train(0, *[0.9] * n_steps)

    assert experiment.asks(MedianRule(warmup_steps=3), 0) == is_stopped


def test_between_two_decisions_nothing_is_read():
    experiment = Experiment()
    experiment.train(0, 0.5, 0.5, 0.5)

    experiment.asks(MedianRule(interval_steps=4), 0)

    assert experiment.steps_read == []


def test_diverged_trials_count_as_the_worst():
    experiment = Experiment()
    for number, loss in enumerate([0.1, 0.2, math.inf, math.inf, math.inf], 1):
        experiment.train(number, loss)
    experiment.train(0, 0.9)

    assert not experiment.asks(MedianRule(), 0)


def test_a_lower_percentile_is_stricter():
    experiment = Experiment()
    for number, loss in enumerate(np.linspace(0.0, 1.0, 11), 1):
        experiment.train(number, loss)
    experiment.train(0, 0.3)

    assert not experiment.asks(MedianRule(percentile=50), 0)
    assert experiment.asks(MedianRule(percentile=10), 0)


def test_a_percentile_beyond_100_is_refused():
    with pytest.raises(InvalidOptionValue, match="0 to 100, not 120"):
        MedianRule(percentile=120)
