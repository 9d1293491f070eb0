"""Kernels on axes of few values are integrated once, whoever asks for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

from tests.surrogate.joint_slowly import axes_of, slow_sigma


def kernels_of(axes, numbers, sizes, least_sigma=0.03):
    kernels = axes.slot_kernels(least_sigma)
    return kernels, kernels.of_trials(np.array(numbers), sizes)


def log_masses_slowly(n_cells, mu, sigma):
    normal = stats.truncnorm(-mu / sigma, (1.0 - mu) / sigma, loc=mu, scale=sigma)
    edges = np.linspace(0.0, 1.0, n_cells + 1)
    # On the side where the tail is small, a difference of probabilities is exact.
    masses = np.where(edges[1:] > mu, -np.diff(normal.sf(edges)), np.diff(normal.cdf(edges)))
    return np.log(masses)


@pytest.mark.parametrize("least_sigma", [0.03, 0.2])
@pytest.mark.parametrize("taken", [[3], [0, 7], [1, 2, 7], [0, 1, 2, 3, 4, 5, 6, 7]])
def test_a_kernel_is_as_wide_as_the_larger_gap_between_taken_cells(taken, least_sigma):
    axes = axes_of(8)

    # Twice in the same cell is once.
    kernels, (rows,) = kernels_of(axes, [[*taken, taken[0]]], [len(taken) + 1], least_sigma)

    middles = (np.array(taken) + 0.5) / 8
    for middle, row in zip([*middles, middles[0]], rows, strict=True):
        sigma = slow_sigma(middle, list(middles), max(least_sigma, 1 / 16))
        expected = log_masses_slowly(8, middle, sigma)
        np.testing.assert_allclose(kernels.log_masses[row], expected, rtol=1e-9)


def test_where_nothing_is_active_the_prior_stands():
    kernels, (rows,) = kernels_of(axes_of(4), [[-1, 2, -1]], [3])

    np.testing.assert_allclose(kernels.log_masses[rows[0]], log_masses_slowly(4, 0.5, 1.0))
    assert rows[0] == rows[2] != rows[1]


def test_axes_of_different_lengths_and_sets_side_by_side_are_told_apart():
    axes = axes_of(8, 3)
    numbers = [[0, 7, -1, 4, 5, -1], [1, 1, -1, 0, 2, -1]]

    kernels, rows = kernels_of(axes, numbers, [3, 3])

    for axis, n_cells in enumerate((8, 3)):
        for start in (0, 3):
            own = slice(start, start + 3)
            alone, (expected,) = kernels_of(axes_of(n_cells), [numbers[axis][own]], [3])
            np.testing.assert_allclose(
                kernels.log_masses[rows[axis, own], :n_cells], alone.log_masses[expected]
            )


def test_each_kernel_is_integrated_once():
    axes = axes_of(10)
    kernels, first = kernels_of(axes, [[1, 4, 9]], [3])
    n_kernels = len(kernels.log_masses)

    # The neighbour that 4 reaches to stays 9, and so does the one of 9, which is 4.
    _, second = kernels_of(axes, [[2, 4, 9]], [3])

    assert len(kernels.log_masses) == n_kernels + 1
    assert second[0, 1:].tolist() == first[0, 1:].tolist()


def test_searches_in_several_threads_get_their_own_kernels():
    axes = axes_of(60)
    rng = np.random.default_rng(0)
    sets = [rng.integers(0, 60, (1, 12)) for _ in range(200)]
    kernels = axes.slot_kernels(0.03)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda numbers: kernels.of_trials(numbers, [12]), sets))

    for numbers, rows in zip(sets, found, strict=True):
        alone, expected = kernels_of(axes_of(60), numbers, [12])
        np.testing.assert_array_equal(kernels.log_masses[rows], alone.log_masses[expected])
