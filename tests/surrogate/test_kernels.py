"""Kernels equal scikit-learn's, and their slopes equal differences of their values."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import kernels as theirs

from hpo.exceptions import InvalidOption
from hpo.surrogate.kernels import KERNELS, kernel_named, squared_distances

LENGTHSCALES = np.array([0.3, 2.0, 0.7])


def inputs(n, seed=0):
    return np.random.default_rng(seed).random((n, 3))


def scikit_learns(name, shape):
    return {
        "rbf": lambda: theirs.RBF(LENGTHSCALES),
        "matern32": lambda: theirs.Matern(LENGTHSCALES, nu=1.5),
        "matern52": lambda: theirs.Matern(LENGTHSCALES, nu=2.5),
        # It knows one lengthscale only, so the inputs are scaled.
        "rational_quadratic": lambda: (
            lambda X, Z: theirs.RationalQuadratic(1.0, shape)(X / LENGTHSCALES, Z / LENGTHSCALES)
        ),
    }[name]()


@pytest.mark.parametrize("name", KERNELS)
def test_correlations_equal_scikit_learns(name):
    X, Z = inputs(7), inputs(5, seed=1)

    value, _ = KERNELS[name].value_and_slope(squared_distances(X, Z, LENGTHSCALES), 0.6)

    np.testing.assert_allclose(value, scikit_learns(name, 0.6)(X, Z), rtol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shape", [0.1, 1.0, 30.0])
def test_the_slope_is_that_of_the_value(name, shape):
    kernel, squares = KERNELS[name], np.array([1e-3, 0.1, 1.0, 20.0])
    h = 1e-6 * squares

    _, slope = kernel.value_and_slope(squares, shape)

    above, below = (kernel.value_and_slope(squares + d, shape)[0] for d in (h, -h))
    np.testing.assert_allclose(slope, (above - below) / (2.0 * h), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
def test_at_distance_0_the_correlation_is_1_and_the_slope_finite(name):
    value, slope = KERNELS[name].value_and_slope(np.zeros(1))

    assert value == 1.0
    assert np.isfinite(slope) and slope < 0.0


def test_the_slope_by_the_shape_is_that_of_the_value():
    kernel, squares = KERNELS["rational_quadratic"], np.array([0.0, 0.1, 1.0, 20.0])

    slope = kernel.slope_by_log_shape(squares, 0.8)

    h = 1e-6
    above, below = (kernel.value_and_slope(squares, 0.8 * np.exp(d))[0] for d in (h, -h))
    np.testing.assert_allclose(slope, (above - below) / (2.0 * h), rtol=1e-6, atol=1e-9)


def test_a_large_shape_makes_the_rational_quadratic_a_squared_exponential():
    squares = np.linspace(0.0, 10.0, 7)

    value, _ = KERNELS["rational_quadratic"].value_and_slope(squares, 1e7)

    np.testing.assert_allclose(value, KERNELS["rbf"].value_and_slope(squares)[0], atol=1e-5)


@pytest.mark.parametrize("far", [0.0, 1e6])
def test_squared_distances_equal_those_of_single_pairs_even_far_from_the_origin(far):
    X, Z = far + inputs(6), far + inputs(4, seed=1)

    squares = squared_distances(X, Z, LENGTHSCALES)

    expected = [[(((x - z) / LENGTHSCALES) ** 2).sum() for z in Z] for x in X]
    np.testing.assert_allclose(squares, expected, rtol=1e-9)


def test_no_squared_distance_is_negative():
    X = np.repeat(inputs(20), 2, axis=0)

    assert squared_distances(X, X, 1e-3).min() >= 0.0


def test_an_unknown_kernel_is_answered_with_the_nearest_one():
    with pytest.raises(InvalidOption, match="did you mean 'matern52'"):
        kernel_named("matern5")
