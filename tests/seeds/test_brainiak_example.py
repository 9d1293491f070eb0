"""The example of brainiak's documentation: Branin-Hoo with a slope, and one variable."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

import hpo
from hpo.gmm import fmin


def branin(x1, x2):
    """Branin-Hoo plus 5 x1, which leaves one of its three minima."""
    a, b, c = 1.0, 5.1 / (4 * np.pi**2), 5.0 / np.pi
    r, s, t = 6.0, 10.0, 1.0 / (8 * np.pi)
    return a * (x2 - b * x1 * x1 + c * x1 - r) ** 2 + s * (1 - t) * np.cos(x1) + s + 5 * x1


def branin_wrapper(args):
    return branin(args["x1"], args["x2"])


X1_LO, X1_HI, X2_LO, X2_HI = -5, 10, 0, 15
SPACE = {
    "x1": {"dist": stats.uniform(X1_LO, X1_HI - X1_LO), "lo": X1_LO, "hi": X1_HI},
    "x2": {"dist": stats.uniform(X2_LO, X2_HI - X2_LO), "lo": X2_LO, "hi": X2_HI},
}


def grid_minimum(n=200):
    x1, x2 = np.meshgrid(np.linspace(X1_LO, X1_HI, n), np.linspace(X2_LO, X2_HI, n))
    return branin(x1, x2).min()


def test_the_minimum_is_the_one_that_the_documentation_gives():
    def of_pair(x):
        return branin(*x)

    polished = optimize.minimize(of_pair, x0=(-3.7, 13.6))

    assert polished.fun == pytest.approx(-16.644, abs=1e-3)
    assert grid_minimum() == pytest.approx(-16.644, abs=0.02)


def test_a_hundred_evaluations_come_near_the_minimum():
    found = [
        fmin(loss_fn=branin_wrapper, space=SPACE, max_evals=100, trials=[], seed=seed)["loss"]
        for seed in range(10)
    ]

    assert np.median(found) < -15.5, found
    assert min(found) >= -16.645


def test_trials_hold_what_the_example_plots():
    trials = []

    best = fmin(loss_fn=branin_wrapper, space=SPACE, max_evals=100, trials=trials, seed=0)

    x1 = np.array([tr["x1"] for tr in trials])
    x2 = np.array([tr["x2"] for tr in trials])
    y = np.array([tr["loss"] for tr in trials])
    assert len(trials) == 100
    np.testing.assert_allclose(branin(x1, x2), y, rtol=1e-12)
    assert ((x1 >= X1_LO) & (x1 <= X1_HI) & (x2 >= X2_LO) & (x2 <= X2_HI)).all()
    assert (best["x1"], best["x2"], best["loss"]) == (x1[y.argmin()], x2[y.argmin()], y.min())


def test_trials_of_an_earlier_call_are_used_and_added_to():
    trials = []
    first = fmin(loss_fn=branin_wrapper, space=SPACE, max_evals=60, trials=trials, seed=0)["loss"]

    second = fmin(loss_fn=branin_wrapper, space=SPACE, max_evals=40, trials=trials, seed=1)["loss"]

    assert len(trials) == 100
    assert second <= first


@pytest.mark.parametrize(
    "variable",
    [
        {"dist": stats.uniform(0, 1), "lo": 0, "hi": 1},
        {"dist": stats.norm(0.5, 1.0)},
        {"dist": stats.expon(scale=0.5), "lo": 0},
        {"dist": stats.beta(2, 2), "lo": 0, "hi": 1},
    ],
    ids=["uniform", "normal", "exponential", "beta"],
)
def test_one_variable_of_any_scipy_distribution_is_searched(variable):
    found = [
        fmin(lambda args: (args["x"] - 0.3) ** 2, {"x": variable}, 50, [], 20, seed=seed)["x"]
        for seed in range(5)
    ]

    assert np.median(np.abs(np.array(found) - 0.3)) < 0.03, found


def test_the_same_distributions_are_a_space_for_the_other_fmin():
    space = {name: variable["dist"] for name, variable in SPACE.items()}

    best = hpo.fmin(branin_wrapper, space, max_evals=60, rstate=0, show_progressbar=False)

    assert set(best) == {"x1", "x2"}
    assert branin_wrapper(best) < -10.0
