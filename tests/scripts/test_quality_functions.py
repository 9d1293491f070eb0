"""The analytic functions of the quality bench against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from scripts.quality import functions
from scripts.quality.functions import FUNCTIONS

N_DIMS = {
    "branin": 2,
    "six_hump_camel": 2,
    "heart": 2,
    "hartmann3": 3,
    "hartmann6": 6,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_minimum_is_taken_at_the_minimiser(name):
    function, n_dims = FUNCTIONS[name], N_DIMS.get(name, 4)

    at_minimiser = function.of(function.minimiser(n_dims))

    assert at_minimiser == pytest.approx(function.minimum(n_dims), abs=1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_descent_finds_less_even_far_outside_the_usual_range(name):
    function, n_dims = FUNCTIONS[name], N_DIMS.get(name, 3)
    rng = np.random.default_rng(0)
    low, high = np.broadcast_to(function.low, n_dims), np.broadcast_to(function.high, n_dims)
    width = high - low

    for _ in range(12):
        start = rng.uniform(low - width, high + width)
        found = minimize(function.of, start, method="Nelder-Mead")
        assert found.fun >= function.minimum(n_dims) - 1e-9, (name, found.x)


@pytest.mark.parametrize(
    ("name", "n_dims", "published"),
    [
        ("branin", 2, 0.397887),
        ("six_hump_camel", 2, -1.0316),
        ("hartmann3", 3, -3.86278),
        ("hartmann6", 6, -3.32237),
        ("styblinski_tang", 5, -39.16617 * 5),
        ("levy", 7, 0.0),
    ],
)
def test_minima_agree_with_the_published_ones(name, n_dims, published):
    assert FUNCTIONS[name].minimum(n_dims) == pytest.approx(published, abs=1e-4)


def test_values_worked_out_by_hand():
    assert functions.sphere(np.array([3.0, 4.0])) == 25
    assert functions.ellipsoid(np.array([1.0, 1.0])) == pytest.approx(1001)
    assert functions.rosenbrock(np.array([0.0, 0.0, 0.0])) == 2
    assert functions.rastrigin(np.array([0.5])) == pytest.approx(0.25 + 20)
    assert functions.ackley(np.array([1.0])) == pytest.approx(20 - 20 * math.exp(-0.2))
    # w = 1 + 4/4 = 2: sin²(2π) + 1 · (1 + sin²(4π))
    assert functions.levy(np.array([5.0])) == pytest.approx(1.0)
    assert functions.griewank(np.array([math.pi])) == pytest.approx(math.pi**2 / 4000 + 2)
    assert functions.styblinski_tang(np.array([1.0])) == pytest.approx(-5.0)
    assert functions.branin(np.array([0.0, 0.0])) == pytest.approx(36 + 20 - 10 / (8 * math.pi))
    assert functions.six_hump_camel(np.array([1.0, 1.0])) == pytest.approx(2.9 + 1 / 3)
    assert functions.heart(np.array([1.0, 1.0])) == 0.0
    assert functions.heart(np.array([0.0, 0.0])) == -1.0
