"""The good trials are few, have a loss, and have the least."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.surrogate.split import (
    best_and_latest,
    count_below,
    fraction_below,
    least,
    split_by_loss,
)


@pytest.mark.parametrize(
    ("n_trials", "n_good"), [(0, 0), (1, 1), (20, 2), (100, 3), (400, 5), (10**6, 25)]
)
def test_the_number_of_good_trials_grows_with_the_root_up_to_25(n_trials, n_good):
    assert count_below(n_trials, gamma=0.25) == n_good


@pytest.mark.parametrize(
    ("n_losses", "n_good"), [(0, 0), (1, 1), (10, 1), (11, 2), (100, 10), (249, 25), (10**6, 25)]
)
def test_or_with_the_number_of_losses_up_to_25(n_losses, n_good):
    assert fraction_below(n_losses, beta=0.1) == n_good


def test_the_least_losses_are_good():
    is_below = split_by_loss([3.0, 1.0, 2.0, -np.inf, np.inf], 2)

    assert is_below.tolist() == [False, True, False, True, False]


def test_of_equal_losses_the_earlier_is_better():
    assert split_by_loss([1.0] * 100, 3).nonzero()[0].tolist() == [0, 1, 2]
    assert split_by_loss([2.0, 1.0, 2.0, 0.0, 2.0], 4).tolist() == [True, True, True, True, False]
    assert split_by_loss([-np.inf, np.inf, -np.inf], 1).tolist() == [True, False, False]


def test_a_trial_without_a_loss_is_never_good():
    assert split_by_loss([np.nan, np.inf, np.nan], 3).tolist() == [False, True, False]
    assert not split_by_loss([np.nan] * 5, 3).any()


def test_no_trials_can_be_split():
    assert split_by_loss([], 3).tolist() == []
    assert not split_by_loss([1.0, 2.0], 0).any()


losses = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, -np.inf]) | st.floats(), max_size=40
)


@given(losses, st.integers(0, 50))
def test_it_equals_sorting_by_loss_and_age(losses, n_below):
    with_loss = [i for i, loss in enumerate(losses) if not np.isnan(loss)]
    expected = sorted(with_loss, key=lambda i: (losses[i], i))[:n_below]

    assert split_by_loss(losses, n_below).nonzero()[0].tolist() == sorted(expected)


@pytest.mark.parametrize("n_losses", [4097, 4160, 20_000])
@pytest.mark.parametrize("n_different", [3, 50, 10**9])
def test_among_many_the_least_are_those_that_sorting_finds(n_losses, n_different):
    rng = np.random.default_rng(n_losses)
    losses = rng.integers(0, n_different, n_losses).astype(np.float64)
    losses[rng.random(n_losses) < 0.3] = np.nan
    losses[500:1500] = np.nan

    expected = np.lexsort([np.arange(n_losses), losses])[:26]

    np.testing.assert_array_equal(least(losses, 26), expected)


def test_of_many_without_a_loss_none_is_least():
    losses = np.full(10_000, np.nan)
    losses[[9_000, 17]] = [1.0, np.inf]

    assert least(losses, 26).tolist() == [9_000, 17]


def test_the_best_and_the_latest_of_the_others():
    losses = np.array([5.0, np.nan, 1.0, 9.0, 2.0, 8.0, 7.0, 6.0])

    assert best_and_latest(losses, 4).tolist() == [2, 4, 6, 7]
    assert best_and_latest(losses, 5).tolist() == [2, 4, 5, 6, 7]
    assert best_and_latest(losses, 8).tolist() == list(range(8))


def test_where_few_have_a_loss_more_of_the_latest_are_taken():
    losses = np.array([np.nan, 3.0, *[np.nan] * 6])

    assert best_and_latest(losses, 4).tolist() == [1, 5, 6, 7]
