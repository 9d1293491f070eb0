"""A good trial weighs what it improves on the others, another how bad it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpo.surrogate.weights import badness_weights, improvement_weights


def test_weights_are_proportional_to_the_improvement():
    # Improvements on 5 are 4, 3 and 1; their mean is 8 / 3.
    assert improvement_weights([1.0, 2.0, 4.0], 5.0) == pytest.approx([1.5, 1.125, 0.375])


def test_who_improves_on_nothing_weighs_next_to_nothing():
    weights = improvement_weights([1.0, 5.0], 5.0)

    assert weights == pytest.approx([2.0, 0.0], abs=1e-9)
    assert weights[1] > 0


def test_equal_losses_weigh_the_same():
    assert improvement_weights([3.0, 3.0, 3.0], 3.0) == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf])
def test_without_a_finite_threshold_all_weigh_the_same(threshold):
    assert improvement_weights([1.0, 2.0], threshold).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
def test_beside_an_infinite_loss_all_weigh_the_same(infinite):
    assert improvement_weights([infinite, 2.0], 3.0).tolist() == [1.0, 1.0]


def test_no_trials_have_no_weights():
    assert improvement_weights([], math.nan).shape == (0,)


losses = st.lists(st.floats(allow_nan=False), min_size=1, max_size=30)


@given(losses, st.floats())
def test_weights_are_never_negative_and_one_on_average(below, threshold):
    weights = improvement_weights(below, threshold)

    assert (weights >= 0).all()
    assert weights.mean() == pytest.approx(1.0)


@given(
    st.lists(st.integers(-1000, 999), min_size=1, max_size=20),
    st.integers(-10_000, 10_000),
    st.floats(0.01, 100.0),
)
def test_shifting_and_scaling_all_losses_changes_nothing(below, shift, scale):
    weights = improvement_weights(below, 1000.0)

    moved = improvement_weights(scale * (np.array(below) + shift), scale * (1000.0 + shift))

    np.testing.assert_allclose(moved, weights, rtol=1e-6)


# --- the others --------------------------------------------------------------------------


def test_the_worst_weighs_nineteen_times_what_the_best_of_the_others_does():
    weights = badness_weights(np.array([5.0, 2.0, 1e9, 4.0, 3.0]))

    assert weights == pytest.approx([1.45, 0.1, 1.9, 1.0, 0.55])


def test_failed_trials_are_worse_than_any_loss_and_all_the_same():
    weights = badness_weights(np.array([math.nan, 1.0, math.inf, math.nan, 2.0]))

    assert weights == pytest.approx([1.675, 0.1, 1.0, 1.675, 0.55])


@pytest.mark.parametrize("n", [0, 1])
def test_one_trial_alone_weighs_one(n):
    assert badness_weights(np.full(n, 7.0)).tolist() == [1.0] * n


def test_among_many_the_worst_and_the_best_weigh_nearly_the_same():
    weights = badness_weights(np.arange(500.0))

    assert weights[[0, -1]] == pytest.approx([0.91, 1.09])


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=200))
def test_badness_is_the_mean_rank_and_one_on_average(losses):
    weights = badness_weights(np.array(losses, dtype=float))

    n = len(losses)
    ranks = (stats.rankdata(losses) - 1) / (n - 1)
    assert weights == pytest.approx(1.0 + 1.8 * min(1.0, 50 / n) * (ranks - 0.5))
    assert weights.mean() == pytest.approx(1.0)
