"""Unit coordinates: each hyperparameter on its own scale, each discrete value in its cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpo import hp
from hpo.pyll import as_apply
from hpo.space import Space
from tests.searches import EVERY_KIND, EXTREME_KINDS
from tests.space.spaces import rng

NUMERIC = [kind for kind in EVERY_KIND if "choice" not in kind]
NUMERIC_EXTREMES = [kind for kind in EXTREME_KINDS if "option" not in kind]


def coordinates(expr):
    return Space({"v": expr}).coordinates


def samples(expr, n=200):
    space = Space({"v": expr})
    (parameter,) = space.hyperparameters.values()
    source = rng(0)
    return np.array([[float(parameter.prior.sample(source)) for _ in range(n)]])


# --- one to one --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NUMERIC)
def test_values_come_back_from_their_coordinates(kind):
    x, scale = samples(EVERY_KIND[kind]), coordinates(EVERY_KIND[kind])

    back = scale.from_unit(scale.to_unit(x))

    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", NUMERIC + NUMERIC_EXTREMES)
def test_coordinates_are_finite_inside_their_bounds_and_in_order(kind):
    expr = {**EVERY_KIND, **EXTREME_KINDS}[kind]
    scale, x = coordinates(expr), np.sort(samples(expr))

    u = scale.to_unit(x)

    assert np.isfinite(u).all()
    assert ((scale.low <= u) & (u <= scale.high)).all()
    assert (np.diff(u) >= 0).all()


@pytest.mark.parametrize("kind", NUMERIC + NUMERIC_EXTREMES)
def test_any_coordinate_inside_the_bounds_is_a_value_of_the_prior(kind):
    space = Space({"v": {**EVERY_KIND, **EXTREME_KINDS}[kind]})
    (parameter,) = space.hyperparameters.values()
    scale = space.coordinates
    u = (
        np.append(rng(1).random(50), [1e-9, 1.0 - 1e-9])
        if np.isfinite(scale.high).all()
        else rng(1).normal(size=50)
    )

    for value in scale.from_unit(u[None, :])[0]:
        assert math.isfinite(value)
        if abs(value) < 2**53:
            assert parameter.prior.contains(parameter.as_value(value)), value


# --- what the scales are -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "x", "u"),
    [
        (hp.uniform("v", -1.0, 3.0), [-1.0, 0.0, 3.0], [0.0, 0.25, 1.0]),
        (hp.loguniform("v", -8.0, 0.0), [math.exp(-8), math.exp(-2), 1.0], [0.0, 0.75, 1.0]),
        (hp.normal("v", 1.0, 2.0), [1.0, 5.0, -3.0], [0.0, 2.0, -2.0]),
        (hp.lognormal("v", 1.0, 2.0), [math.e, math.exp(5.0)], [0.0, 2.0]),
        (as_apply(stats.expon()), [math.log(2.0), math.log(4.0)], [0.5, 0.75]),
    ],
    ids=["uniform", "loguniform", "normal", "lognormal", "scipy"],
)
def test_a_coordinate_is_the_share_of_the_range_or_the_standard_score_or_the_quantile(expr, x, u):
    np.testing.assert_allclose(coordinates(expr).to_unit(np.array([x])), [u], atol=1e-12)


@pytest.mark.parametrize("outside", [-1e300, -2.0, 4.0, 1e300, math.inf, -math.inf])
def test_a_value_outside_the_bounds_is_moved_to_them(outside):
    u = coordinates(hp.uniform("v", -1.0, 3.0)).to_unit(np.array([[outside]]))

    assert u[0, 0] == (1.0 if outside > 0 else 0.0)


def test_an_inactive_value_has_no_coordinate():
    scale = Space({"a": hp.uniform("a", 0, 1), "b": hp.loguniform("b", 0, 1)}).coordinates

    u = scale.to_unit(np.array([[0.5, np.nan], [np.nan, 2.0]]))

    np.testing.assert_array_equal(np.isnan(u), [[False, True], [True, False]])


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.lists(st.floats(0, 1), min_size=1))
def test_shifting_and_scaling_a_range_leaves_coordinates(low, width, shares):
    scale = coordinates(hp.uniform("v", low, low + width))

    u = scale.to_unit(low + width * np.array([shares]))

    np.testing.assert_allclose(u, [shares], atol=1e-6)


# --- cells -------------------------------------------------------------------------------


DISCRETE = [
    ("quniform", hp.quniform("v", 0.0, 10.0, 2.5), np.arange(0, 12.5, 2.5)),
    ("uneven quniform", hp.quniform("v", 0.3, 3.9, 1.0), np.arange(0.0, 5.0)),
    ("uniformint", hp.uniformint("v", -3, 8), np.arange(-3.0, 9.0)),
    ("randint", hp.randint("v", 3, 9), np.arange(3.0, 9.0)),
    ("qloguniform", hp.qloguniform("v", -1.0, 3.0, 2.0), np.arange(0.0, 22.0, 2.0)),
    ("scipy's", as_apply(stats.randint(2, 7)), np.arange(2.0, 7.0)),
]


@pytest.mark.parametrize(
    ("expr", "x"), [case[1:] for case in DISCRETE], ids=[c[0] for c in DISCRETE]
)
def test_cells_follow_each_other_from_end_to_end_around_their_values(expr, x):
    scale = coordinates(expr)

    (lower,), (upper,) = scale.cells(x[None, :].copy())

    np.testing.assert_allclose(lower[1:], upper[:-1], atol=1e-12)
    assert (lower[0], upper[-1]) == pytest.approx((0.0, 1.0), abs=1e-12)
    (u,) = scale.to_unit(x[None, :])
    assert ((lower <= u) & (u <= upper)).all()


@pytest.mark.parametrize(
    ("expr", "x"), [case[1:] for case in DISCRETE], ids=[c[0] for c in DISCRETE]
)
def test_a_value_comes_from_every_coordinate_of_its_cell_and_from_no_other(expr, x):
    scale = coordinates(expr)
    (lower,), (upper,) = scale.cells(x[None, :].copy())
    u = np.linspace(0.0005, 0.9995, 1000)

    (values,) = scale.from_unit(u[None, :])

    expected = x[np.searchsorted(upper, u)]
    on_an_edge = np.abs(u[:, None] - np.concatenate([lower, upper])).min(axis=1) < 1e-9
    np.testing.assert_allclose(values[~on_an_edge], expected[~on_an_edge])


def test_half_a_cell_is_half_the_step_on_a_linear_axis_and_nothing_on_others():
    space = Space(
        {
            "continuous": hp.uniform("continuous", 0.0, 1.0),
            "five": hp.quniform("five", 0.0, 10.0, 2.5),
            "log": hp.qloguniform("log", 0.0, 3.0, 1.0),
            "ten": hp.randint("ten", 10),
        }
    )
    scale = space.coordinates

    half = dict(zip(scale.numeric, scale.half_cell[:, 0], strict=True))

    # A randint's range ends half a step outside its first and its last value.
    assert half == {
        "continuous": 0.0, "five": pytest.approx(0.125), "log": 0.0, "ten": pytest.approx(0.05)
    }  # fmt: skip


def test_half_a_cell_is_a_guess_of_nothing_where_only_scipy_knows_the_cells():
    assert coordinates(as_apply(stats.poisson(4.0))).half_cell.tolist() == [[0.0]]


# --- what is on which axis ---------------------------------------------------------------


def test_continuous_ones_come_first_and_choices_have_no_coordinate():
    low = hp.uniform("low", 0, 1)
    space = Space(
        {
            "n": hp.randint("n", 3),
            "low": low,
            "free": hp.uniform("free", low, 2.0),
            "c": hp.choice("c", ["a", "b"]),
            "p": hp.pchoice("p", [(0.9, "a"), (0.1, "b")]),
        }
    )

    scale = space.coordinates

    assert scale.numeric == ("low", "n")
    assert scale.n_continuous == 1
    assert set(scale.options) == {"c", "p"}
    priors = dict(zip(scale.options, scale.option_priors, strict=True))
    np.testing.assert_allclose(priors["c"], [0.5, 0.5])
    np.testing.assert_allclose(priors["p"], [0.9, 0.1])
    assert scale.free == ("free",)


def test_codes_are_option_numbers_and_what_is_none_is_inactive():
    scale = Space({"c": hp.choice("c", ["a", "b", "c"])}).coordinates

    codes = scale.to_codes(np.array([[0.0, 2.0, np.nan, 3.0, -1.0, np.inf]]))

    assert codes.tolist() == [[0, 2, -1, -1, -1, -1]]


def test_a_space_without_hyperparameters_has_no_axes():
    scale = Space({"constant": 1}).coordinates

    assert scale.to_unit(np.empty((0, 4))).shape == (0, 4)
    assert scale.to_codes(np.empty((0, 4))).shape == (0, 4)
