"""Losses become finite numbers of the same order, and about normal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpo.surrogate.warping import (
    power_of,
    standardised,
    targets_and_slopes,
    targets_of,
    yeo_johnson,
)

LOSSES = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30)


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.3, 1.0, 2.0])
def test_the_transformation_equals_scipys(power):
    x = np.array([-30.0, -2.0, -0.1, 0.0, 0.1, 2.0, 30.0])

    np.testing.assert_allclose(yeo_johnson(x, power), stats.yeojohnson(x, power), rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_power_is_the_likeliest_one(seed):
    x = np.random.default_rng(seed).lognormal(0.0, 0.5, 80)
    x = (x - np.median(x)) / x.std()

    assert power_of(x) == pytest.approx(stats.yeojohnson_normmax(x), abs=0.01)


def test_a_long_tail_of_bad_losses_is_drawn_in():
    losses = np.random.default_rng(0).lognormal(0.0, 2.0, 200)

    assert abs(stats.skew(targets_of(losses))) < 0.2 * stats.skew(losses)


@given(LOSSES)
def test_targets_are_finite_and_in_the_order_of_the_losses(losses):
    losses = np.array(losses)

    targets = targets_of(losses)

    assert np.isfinite(targets).all()
    known = np.isfinite(losses)
    order = np.argsort(losses[known], kind="stable")
    assert (np.diff(targets[known][order]) >= -1e-9).all()


@pytest.mark.parametrize("is_warped", [False, True])
def test_targets_have_mean_0_and_variance_1(is_warped):
    losses = np.random.default_rng(0).gamma(2.0, 1e6, 50)

    targets = targets_of(losses, is_warped)

    assert targets.mean() == pytest.approx(0.0, abs=1e-9)
    assert targets.std() == pytest.approx(1.0)


def test_targets_do_not_depend_on_the_unit_of_the_losses():
    losses = np.random.default_rng(0).gamma(2.0, 1.0, 50)

    np.testing.assert_allclose(targets_of(1e9 * losses - 4e9), targets_of(losses), atol=1e-6)


def test_a_failed_trial_counts_as_the_worst_and_minus_infinity_as_the_best():
    targets = targets_of(np.array([3.0, np.nan, 1.0, np.inf, 2.0, -np.inf]))

    assert targets[1] == targets[3] == targets[0] == targets.max()
    assert targets[5] == targets[2] == targets.min()


@pytest.mark.parametrize("losses", [[7.0], [7.0] * 9, [np.nan, np.nan], [np.inf], [1e-320] * 6])
def test_without_differences_all_targets_are_0(losses):
    np.testing.assert_array_equal(targets_of(np.array(losses)), 0.0)


def test_equal_numbers_that_differ_by_rounding_are_constant():
    np.testing.assert_array_equal(standardised(np.array([0.1 + 0.2, 0.3])), 0.0)


@pytest.mark.parametrize("is_warped", [True, False])
def test_slopes_are_how_much_a_target_moves_with_its_loss_alone(is_warped):
    # One loss among so many moves neither the power nor the mean by much.
    losses = np.random.default_rng(0).lognormal(0.0, 1.0, 4000)
    targets, slopes = targets_and_slopes(losses, is_warped)

    order = np.argsort(losses)[200:-200]
    between = np.diff(targets[order]) / np.diff(losses[order])
    middle = 0.5 * (slopes[order][1:] + slopes[order][:-1])

    np.testing.assert_allclose(between, middle, rtol=1e-3)
    np.testing.assert_array_equal(targets, targets_of(losses, is_warped))


def test_slopes_of_what_is_no_number_are_0():
    _, slopes = targets_and_slopes(np.array([1.0, 2.0, np.nan, np.inf, -np.inf]))

    assert (slopes[:2] > 0).all()
    assert (slopes[2:] == 0).all()
    assert (targets_and_slopes(np.full(9, 3.0))[1] == 0).all()
