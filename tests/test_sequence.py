"""Points of a low-discrepancy sequence are evenly spread, and can be asked for by index."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from hpo.sequence import METHODS, first_primes, sobol_engine, unit_points

POINTS_IN_CELLS = 2.0**-30


def radical_inverse(index, base):
    """The digits of `index` in `base`, mirrored at the point; by definition."""
    value, weight = 0.0, 1.0 / base
    while index:
        index, digit = divmod(index, base)
        value += digit * weight
        weight /= base
    return value


def test_halton_is_the_radical_inverse_in_prime_bases():
    points = unit_points(4, None, range(200), "halton")

    by_hand = [[radical_inverse(index + 1, base) for base in (2, 3, 5, 7)] for index in range(200)]
    np.testing.assert_allclose(points, by_hand, rtol=1e-14)


@pytest.mark.parametrize("key", [None, 0, 17])
@pytest.mark.parametrize("n_dims", [1, 3, 300])
def test_sobol_is_scipys_sequence_at_any_index(n_dims, key):
    indices = [0, 1, 2, 63, 64, 255, 256, 700, 5]

    points = unit_points(n_dims, key, indices)

    first = 1 if key is None else 0
    expected = sobol_engine(n_dims, key).random(1024)[np.array(indices) + first]
    np.testing.assert_allclose(points, expected, atol=POINTS_IN_CELLS)


@pytest.mark.parametrize("method", METHODS)
def test_points_do_not_depend_on_how_they_are_asked_for(method):
    together = unit_points(5, 3, range(600), method)

    one_by_one = [unit_points(5, 3, [index], method)[0] for index in reversed(range(600))]

    np.testing.assert_array_equal(together, one_by_one[::-1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_points", [32, 100])
def test_discrepancy_is_far_below_that_of_random_points(method, n_points):
    keys = range(10)

    ours = [qmc.discrepancy(unit_points(5, key, range(n_points), method)) for key in keys]
    random = [qmc.discrepancy(np.random.default_rng(key).random((n_points, 5))) for key in keys]

    assert max(ours) < min(random)
    assert np.median(ours) < 0.5 * np.median(random)


def test_the_first_points_of_a_power_of_two_have_one_in_every_slice():
    points = unit_points(20, 5, range(64))

    slices = np.sort((points * 64).astype(int), axis=0)
    np.testing.assert_array_equal(slices, np.repeat(np.arange(64)[:, None], 20, axis=1))


@pytest.mark.parametrize("method", METHODS)
def test_other_keys_give_other_points_and_the_average_over_keys_is_the_middle(method):
    points = np.array([unit_points(4, key, [3], method)[0] for key in range(400)])

    assert len(np.unique(points[:, 0])) > 300
    # The deviation of a uniform mean of 400 is 0.0144.
    np.testing.assert_allclose(points.mean(axis=0), 0.5, atol=0.06)
    np.testing.assert_allclose(np.corrcoef(points.T), np.eye(4), atol=0.2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("key", [None, 1])
@pytest.mark.parametrize("n_dims", [1, 1000, 22_000])
def test_every_coordinate_is_inside_the_cube_in_any_number_of_dimensions(n_dims, key, method):
    points = unit_points(n_dims, key, range(20), method)

    assert points.shape == (20, n_dims)
    assert points.min() > 0.0 and points.max() < 1.0


def test_halton_in_many_dimensions_keeps_its_later_dimensions_apart():
    points = unit_points(25_000, 1, range(64), "halton")

    neighbours = points[:, -40:]
    # Unscrambled, the large bases have counted to 64 / 280,000 in unison.
    assert neighbours.std(axis=0).min() > 0.2
    correlations = np.abs(np.corrcoef(neighbours.T)[np.triu_indices(40, 1)])
    # Of 64 independent points the mean of |r| is 0.1.
    assert correlations.mean() < 0.2


def test_a_far_index_is_reached():
    point = unit_points(10, 1, [1_000_000])

    assert point.min() > 0.0 and point.max() < 1.0


def test_no_dimensions_and_no_points():
    assert unit_points(0, 1, range(5)).shape == (5, 0)
    assert unit_points(3, 1, []).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1, [-1]), "-1"),
        ((2, 1, [2**30]), "1073741824"),
        ((2, -5, [0]), "-5"),
        ((2, 1, [0], "lattice"), "lattice"),
    ],
)
def test_what_no_sequence_has_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        unit_points(*arguments)


def test_primes_are_those_that_trial_division_finds():
    expected = [n for n in range(2, 1000) if all(n % d for d in range(2, n))]

    np.testing.assert_array_equal(first_primes(len(expected)), expected)
    assert [len(first_primes(n)) for n in (1, 5, 6, 7, 21_202)] == [1, 5, 6, 7, 21_202]
