"""A kernel is as wide as the larger of the gaps to its neighbours, within limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.surrogate.bandwidth import larger_gap_bandwidths

NAN = math.nan


def test_the_larger_gap_to_a_neighbour_counts_and_the_ends_of_the_range_do_not():
    sigmas = larger_gap_bandwidths(np.array([[0.9, 0.1, 0.3, 0.4]]))

    # In order: 0.1 has one neighbour, 0.2 away; 0.3 has 0.1 and 0.4; and so on.
    np.testing.assert_allclose(sigmas, [[0.5, 0.2, 0.2, 0.5]])


@pytest.mark.parametrize(
    ("n", "least", "expected"),
    # (1 + n)^-2 is 1/9, 1/25 and 1/121.
    [(2, 0.03, 1 / 9), (4, 0.03, 1 / 25), (10, 0.03, 0.03), (10, 0.0, 1 / 121), (2, 0.5, 0.5)],
)
def test_gaps_are_widened_to_a_least_that_falls_with_the_number_of_observations(
    n, least, expected
):
    sigmas = larger_gap_bandwidths(np.full((1, n), 0.7), least)

    np.testing.assert_allclose(sigmas, expected)


def test_no_kernel_is_wider_than_the_range():
    np.testing.assert_array_equal(larger_gap_bandwidths(np.array([[-40.0, 7.0]])), [[1.0, 1.0]])
    np.testing.assert_array_equal(larger_gap_bandwidths(np.array([[0.1, 0.2]]), 3.0), [[1.0, 1.0]])


def test_an_observation_alone_is_as_wide_as_the_range():
    np.testing.assert_array_equal(larger_gap_bandwidths(np.array([[0.2]])), [[1.0]])
    np.testing.assert_array_equal(larger_gap_bandwidths(np.array([[NAN, 0.2]])), [[1.0, 1.0]])


def test_sets_side_by_side_know_nothing_of_each_other():
    rng = np.random.default_rng(0)
    sets = [np.append(rng.random((2, n)), [[NAN]] * 2, axis=1) for n in (3, 0, 1, 30)]

    sigmas = larger_gap_bandwidths(
        np.concatenate(sets, axis=1), 0.05, [each.shape[1] for each in sets], is_complete=True
    )

    expected = [larger_gap_bandwidths(each, 0.05) for each in sets]
    np.testing.assert_array_equal(sigmas, np.concatenate(expected, axis=1))


@pytest.mark.parametrize("shape", [(3, 0), (0, 4), (0, 0)])
def test_nothing_has_no_width(shape):
    assert larger_gap_bandwidths(np.empty(shape)).shape == shape


def slow_bandwidth(value, others, least):
    below = [value - other for other in others if other < value]
    above = [other - value for other in others if other > value]
    gaps = [min(side) for side in (below, above) if side]
    smallest = max(least, (1 + len(others)) ** -2)
    return min(max([*gaps, smallest] if gaps else [1.0]), 1.0)


axes = st.lists(
    # Far enough apart that no two are one after rounding.
    st.integers(-2000, 2000).map(lambda i: i / 1000) | st.just(NAN),
    min_size=1,
    max_size=12,
    unique_by=lambda u: u if u == u else object(),
)


@given(axes, st.floats(0.0, 0.5))
def test_it_equals_a_search_for_the_neighbours_of_each(row, least):
    present = [u for u in row if not math.isnan(u)]
    expected = [1.0 if math.isnan(u) else slow_bandwidth(u, present, least) for u in row]

    np.testing.assert_allclose(larger_gap_bandwidths(np.array([row]), least), [expected])
