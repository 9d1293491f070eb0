"""A good trial weighs what it improves on the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.surrogate.weights import improvement_weights


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
