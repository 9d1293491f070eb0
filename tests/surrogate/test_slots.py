"""Kernels on axes of few values are integrated over all of them, and kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

from hpo.surrogate.cells import log_masses_inside
from tests.surrogate.joint_slowly import axes_of, slow_sigma


def kernels_of(axes, numbers, sizes, least_sigma=0.03):
    """Log masses of each axis' prior, and behind it of the kernels around its cells."""
    kernels = axes.slots.kernels(np.array(numbers))
    tables = axes.slot_kernels(least_sigma).of_trials(kernels, sizes)
    return [by_axes(axes, table.log_masses) for table in tables]


def by_axes(axes, of_all_kernels):
    return of_all_kernels.reshape(len(axes.cells), -1, of_all_kernels.shape[1])


def log_masses_slowly(n_cells, mu, sigma):
    normal = stats.truncnorm(-mu / sigma, (1.0 - mu) / sigma, loc=mu, scale=sigma)
    edges = np.linspace(0.0, 1.0, n_cells + 1)
    # On the side where the tail is small, a difference of probabilities is exact.
    masses = np.where(edges[1:] > mu, -np.diff(normal.sf(edges)), np.diff(normal.cdf(edges)))
    return np.log(masses)


@pytest.mark.parametrize("least_sigma", [0.03, 0.2])
@pytest.mark.parametrize("taken", [[3], [0, 7], [1, 2, 7], [0, 1, 2, 3, 4, 5, 6, 7]])
def test_a_kernel_is_as_wide_as_the_larger_gap_between_taken_cells(taken, least_sigma):
    # Twice in the same cell is once.
    (kernels,) = kernels_of(axes_of(8), [[*taken, taken[0]]], [len(taken) + 1], least_sigma)

    middles = (np.array(taken) + 0.5) / 8
    for cell, middle in zip(taken, middles, strict=True):
        sigma = slow_sigma(middle, list(middles), max(least_sigma, 1 / 16))
        expected = log_masses_slowly(8, middle, sigma)
        np.testing.assert_allclose(kernels[0, 1 + cell], expected, rtol=1e-9)


def test_before_the_cells_stands_the_prior():
    (kernels,) = kernels_of(axes_of(4), [[-1, 2, -1]], [3])
    (of_nobody,) = kernels_of(axes_of(4), np.empty((1, 0), dtype=int), [0])

    np.testing.assert_allclose(kernels[0, 0], log_masses_slowly(4, 0.5, 1.0))
    np.testing.assert_array_equal(of_nobody[0, 0], kernels[0, 0])


def test_axes_of_different_lengths_and_sets_side_by_side_are_told_apart():
    numbers = np.array([[0, 7, -1, 4, 5, -1], [1, 1, -1, 0, 2, -1]])

    together = kernels_of(axes_of(8, 3), numbers, [3, 3])

    for kernels, own in zip(together, (numbers[:, :3], numbers[:, 3:]), strict=True):
        for axis, n_cells in enumerate((8, 3)):
            (alone,) = kernels_of(axes_of(n_cells), own[axis : axis + 1], [3])
            # Of a trial in which the axis is inactive the prior.
            taken = 1 + own[axis]
            np.testing.assert_allclose(kernels[axis, taken, :n_cells], alone[0, taken])


def test_each_set_of_taken_cells_is_integrated_once(monkeypatch):
    axes, integrated = axes_of(10), []
    monkeypatch.setattr(
        "hpo.surrogate.slots.log_masses_inside",
        lambda *args: integrated.append(args) or log_masses_inside(*args),
    )

    first = kernels_of(axes, [[1, 4, 9, 4]], [4])
    # The same cells, and so many trials are in them as you like.
    again = kernels_of(axes, [[9, 9, 1, 4, 4]], [5])
    other = kernels_of(axes, [[9, 9, 1, 5, 5]], [5])

    assert np.shares_memory(again[0], first[0])
    assert not np.shares_memory(other[0], first[0])
    assert len(integrated) == 2


def test_masses_are_added_up_to_more_than_any_random_number():
    axes = axes_of(8, 3)
    kernels = axes.slots.kernels(np.array([[0, 7], [1, 1]]))
    (table,) = axes.slot_kernels(0.03).of_trials(kernels, [2])

    log_masses, cumulative = (by_axes(axes, each) for each in (table.log_masses, table.cumulative))

    for axis, n_cells in enumerate((8, 3)):
        masses = np.exp(log_masses[axis, 0, :n_cells])
        np.testing.assert_allclose(masses.sum(), 1.0)
        expected = np.append(np.cumsum(masses)[:-1], np.inf)
        np.testing.assert_allclose(cumulative[axis, 0, :n_cells], expected)


def test_searches_in_several_threads_get_their_own_kernels():
    axes = axes_of(60)
    rng = np.random.default_rng(0)
    # Some of them the same, so that one thread may find what another takes away.
    sets = [rng.integers(0, 60, (1, 12)) for _ in range(60)] * 4

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda numbers: kernels_of(axes, numbers, [12]), sets))

    for numbers, (own,) in zip(sets, found, strict=True):
        (alone,) = kernels_of(axes_of(60), numbers, [12])
        np.testing.assert_array_equal(own, alone)
