"""The joint estimator is a density over the whole space, as a slow loop with scipy says."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hpo.surrogate.cells import distinct
from hpo.surrogate.joint import Axes, Points, log_sums_exp
from hpo.surrogate.joint_fit import fit as fit_joint
from hpo.surrogate.joint_fit import fit_together
from tests.surrogate.joint_slowly import (
    BOUNDED,
    NAN,
    NORMAL,
    axes_of,
    branch_masses,
    conditional_estimator,
    fit,
    points_of,
    quadrature,
    slow_log_density,
)

FIELDS = ("u", "codes", "numbers")


def assert_equals_the_slow_loop(axes, trials, weights, points, **options):
    estimator = fit_joint(axes, trials, np.asarray(weights), **options)
    expected = slow_log_density(axes, trials, weights, points, **options)
    np.testing.assert_allclose(estimator.log_density(points), expected, rtol=1e-10, atol=1e-10)


def test_it_equals_the_slow_loop_on_axes_of_every_kind():
    rng = np.random.default_rng(0)
    axes = axes_of(BOUNDED, NORMAL, 8, 5, options=[[0.5, 0.3, 0.2], [0.25] * 4])

    def draw(n):
        u = [rng.random(n), rng.normal(size=n)]
        u += [(rng.integers(0, cells, n) + 0.5) / cells for cells in (8, 5)]
        codes = [rng.integers(0, 3, n), rng.integers(0, 4, n)]
        return points_of(axes, u, codes)

    assert_equals_the_slow_loop(axes, draw(12), rng.uniform(0.1, 2, 12), draw(30))


def test_it_equals_the_slow_loop_where_hyperparameters_are_inactive():
    rng = np.random.default_rng(1)
    axes = axes_of(BOUNDED, BOUNDED, 6, options=[[0.5, 0.5], [0.2, 0.8]])

    def draw(n):
        u = np.array([rng.random(n), rng.random(n), (rng.integers(0, 6, n) + 0.5) / 6])
        codes = rng.integers(0, 2, (2, n))
        in_first = codes[0] == 0
        u[0, ~in_first] = u[2, in_first] = NAN
        codes[1, in_first] = -1
        return points_of(axes, u, codes)

    assert_equals_the_slow_loop(
        axes, draw(15), np.ones(15), draw(30), prior_weight=2.5, least_sigma=0.01
    )


@pytest.mark.parametrize("kind", [BOUNDED, 200], ids=["continuous", "discrete"])
def test_it_equals_the_slow_loop_thirty_deviations_away(kind):
    axes = axes_of(kind)
    trials = points_of(axes, [[0.0025, 0.0075, 0.0125]])
    points = points_of(axes, [[0.0025, 0.1025, 0.5025, 0.9075, 0.9975]])

    # The prior's part would hide the tails, so it gets next to no weight.
    assert_equals_the_slow_loop(axes, trials, np.ones(3), points, prior_weight=1e-290)


@pytest.mark.parametrize("far", [0.0, 20.0, 99.0, 101.0, 1e4, 1e8])
def test_it_equals_the_slow_loop_far_from_a_normals_mean(far):
    axes = axes_of(NORMAL, BOUNDED)
    trials = points_of(axes, [[far, far + 0.25, far + 2.0, -1.0], [0.1, 0.2, 0.9, 0.4]])
    points = points_of(axes, [[far + 0.125, far - 0.5, 0.0, NAN], [0.5, 0.25, 0.0, 1.0]])
    # Coordinates have 16 digits, of which squares of distances in units of sigma cost some.
    rounding = 1e-16 * far * far / 0.03**2 if far < 100 else 0.0

    estimator = fit_joint(axes, trials, np.ones(4))

    expected = slow_log_density(axes, trials, np.ones(4), points)
    np.testing.assert_allclose(
        estimator.log_density(points), expected, rtol=1e-10, atol=1e-10 + 10 * rounding
    )


def test_one_far_trial_changes_no_density_elsewhere():
    axes = axes_of(NORMAL, NORMAL)
    near = np.random.default_rng(2).normal(size=(2, 10))
    points = points_of(axes, np.random.default_rng(3).normal(size=(2, 20)))
    # The far one decides by which of two ways everything is computed.
    far = np.append(near, [[99.0], [0.0]], axis=1), np.append(near, [[101.0], [0.0]], axis=1)

    by_product, by_distance = (fit(axes, u, weights=np.ones(11)).log_density(points) for u in far)

    np.testing.assert_allclose(by_product, by_distance, rtol=1e-10, atol=1e-9)


def test_mixtures_fitted_together_are_those_fitted_alone():
    rng = np.random.default_rng(4)
    axes = axes_of(BOUNDED, NORMAL, 9, 100, options=[[0.5, 0.3, 0.2]])

    def draw(n):
        u = np.stack([rng.random(n), rng.normal(size=n), *rng.integers(0, [[9], [100]], (2, n))])
        u[2:] = (u[2:] + 0.5) / [[9], [100]]
        u[:, rng.random(n) < 0.3] = NAN
        return points_of(axes, u, rng.integers(-1, [[3]], (1, n)))

    sets = [draw(n) for n in (3, 0, 12)]
    weights = [rng.uniform(0.5, 2.0, len(each)) for each in sets]
    prior_weights, points = [1.0, 0.5, 5.0], draw(20)
    blanks = [each.with_blank() for each in sets]
    side_by_side = Points(
        *(np.concatenate([getattr(each, name) for each in blanks], axis=1) for name in FIELDS)
    )

    together = fit_together(axes, side_by_side, weights, prior_weights)

    for mixture, trials, own, prior_weight in zip(
        together, sets, weights, prior_weights, strict=True
    ):
        alone = fit_joint(axes, trials, own, prior_weight)
        np.testing.assert_allclose(
            mixture.log_density(points), alone.log_density(points), rtol=1e-12
        )
        drawn, expected = (each.sample(np.random.default_rng(1), 50) for each in (mixture, alone))
        for name in FIELDS:
            np.testing.assert_allclose(getattr(drawn, name), getattr(expected, name), rtol=1e-12)


# --- densities sum to one ----------------------------------------------------------------


def test_a_bounded_density_integrates_to_one():
    axes = axes_of(BOUNDED)
    estimator = fit(axes, [[0.0, 0.01, 0.3, 0.33, 1.0]], weights=[1, 2, 0.5, 1, 3])
    nodes, weights = quadrature(0.0, 1.0)

    total = weights @ np.exp(estimator.log_density(points_of(axes, [nodes])))

    assert total == pytest.approx(1.0, abs=1e-10)


def test_an_unbounded_density_integrates_to_one():
    axes = axes_of(NORMAL)
    estimator = fit(axes, [[-3.0, 0.1, 0.2, 4.0]], weights=[1, 2, 0.5, 1])
    nodes, weights = quadrature(-15.0, 15.0, n_panels=300)

    total = weights @ np.exp(estimator.log_density(points_of(axes, [nodes])))

    assert total == pytest.approx(1.0, abs=1e-10)


def test_a_density_in_two_dimensions_integrates_to_one():
    axes = axes_of(BOUNDED, NORMAL)
    estimator = fit(axes, [[0.1, 0.2, 0.9], [1.0, -2.0, 0.0]], weights=[1, 1, 2])
    (a, w_a), (b, w_b) = quadrature(0.0, 1.0, 20, 8), quadrature(-12.0, 12.0, 60, 8)
    u = [np.repeat(a, len(b)), np.tile(b, len(a))]

    density = np.exp(estimator.log_density(points_of(axes, u)))

    assert np.repeat(w_a, len(b)) * np.tile(w_b, len(a)) @ density == pytest.approx(1.0, abs=1e-9)


def test_a_mixed_density_sums_to_one_over_cells_options_and_the_line():
    axes = axes_of(BOUNDED, 5, options=[[0.5, 0.3, 0.2]])
    estimator = fit(
        axes, [[0.2, 0.3, NAN], [0.1, NAN, 0.9]], [[0, 2, -1]], [1, 1, 2], least_sigma=0.01
    )
    nodes, weights = quadrature(0.0, 1.0)

    total = 0.0
    for cell, option in itertools.product(range(5), range(3)):
        u = [nodes, np.full(len(nodes), (cell + 0.5) / 5)]
        points = points_of(axes, u, [np.full(len(nodes), option)])
        total += weights @ np.exp(estimator.log_density(points))

    assert total == pytest.approx(1.0, abs=1e-10)


def test_a_conditional_density_sums_to_one_over_the_active_axes_of_each_branch():
    first, cells = branch_masses(*conditional_estimator())

    assert first + cells.sum() == pytest.approx(1.0, abs=1e-10)


def test_a_choice_of_ten_thousand_options_sums_to_one():
    axes = axes_of(options=[np.full(10_000, 1e-4)])
    codes = [[7, 7, 7, 9_999]]

    density = np.exp(
        fit(axes, codes=codes, weights=np.ones(4)).log_density(
            points_of(axes, codes=[np.arange(10_000)])
        )
    )

    assert density.sum() == pytest.approx(1.0, abs=1e-12)
    assert density[7] > density[9_999] > density[0] > 0


# --- by hand -----------------------------------------------------------------------------


def test_without_trials_it_is_the_prior():
    axes = axes_of(BOUNDED, NORMAL, 4, options=[[0.7, 0.3]])
    points = points_of(axes, [[0.5, 0.1], [0.0, 2.0], [0.125, 0.875]], [[0, 1]])

    density = np.exp(fit(axes).log_density(points))

    # A normal as wide as the range, around its middle; a standard normal; its cells; p0.
    unit = stats.truncnorm(-0.5, 0.5, loc=0.5)
    outer_cell = unit.cdf(0.25)
    expected = [
        unit.pdf(0.5) * stats.norm.pdf(0.0) * outer_cell * 0.7,
        unit.pdf(0.1) * stats.norm.pdf(2.0) * outer_cell * 0.3,
    ]
    assert density == pytest.approx(expected, rel=1e-12)


def test_an_options_probability_is_its_share_of_the_hits_and_of_the_prior():
    axes = axes_of(options=[[0.9, 0.1]])
    options = points_of(axes, codes=[[0, 1]])

    # One trial, so K = 2 and a = 1 * 2 / 2 = 1. Its kernel gives (1 + 0.1) / 2 to option 1
    # and 0.9 / 2 to option 0; the prior's kernel 0.1 and 0.9; each weighs a half.
    density = np.exp(fit(axes, codes=[[1]], weights=[1.0]).log_density(options))

    assert density == pytest.approx([0.5 * 0.45 + 0.5 * 0.9, 0.5 * 0.55 + 0.5 * 0.1], rel=1e-14)


def test_an_option_without_prior_probability_is_possible_once_it_was_seen():
    axes = axes_of(options=[[1.0, 0.0]])
    options = points_of(axes, codes=[[0, 1]])

    assert np.exp(fit(axes).log_density(options)) == pytest.approx([1.0, 0.0], abs=1e-200)
    assert np.exp(fit(axes, codes=[[1]], weights=[1.0]).log_density(options)[1]) > 0


def test_weights_count_in_proportion():
    axes = axes_of(BOUNDED)
    points = points_of(axes, [[0.1, 0.9]])

    once = fit(axes, [[0.1, 0.9]], weights=[3.0, 1.0], prior_weight=1.0)
    scaled = fit(axes, [[0.1, 0.9]], weights=[30.0, 10.0], prior_weight=10.0)

    np.testing.assert_allclose(once.log_density(points), scaled.log_density(points), rtol=1e-13)
    at_heavy, at_light = once.log_density(points)
    assert at_heavy > at_light


def test_cells_narrower_than_a_float_still_tell_near_from_far():
    # Around 1e6 the ends of a cell of width 1e-20 are one float.
    axes = Axes(0, np.array([[-np.inf]]), np.array([[np.inf]]), np.array([[5e-21]]), [])
    estimator = fit(axes, [[1e6]], weights=[1.0])

    at, near, far = estimator.log_density(points_of(axes, [[1e6, 1e6 + 0.5, 1e6 + 3.0]]))

    assert np.isfinite([at, near, far]).all()
    assert at > near > far


def test_the_log_of_a_sum_of_vanishing_terms_is_minus_infinity_and_not_nan():
    terms = np.array([[-np.inf, 0.0, -1e300], [-np.inf, 0.0, -1e300]])

    assert log_sums_exp(terms, [terms])[0] == pytest.approx([-np.inf, math.log(2.0), -1e300])


@pytest.mark.parametrize("most_dense", [0, 1000])
@pytest.mark.parametrize("most", [0, 3, 6, 100])
def test_what_has_a_table_and_what_has_none_say_the_same(monkeypatch, most, most_dense):
    rng = np.random.default_rng(6)
    monkeypatch.setattr("hpo.surrogate.slots.MOST_VALUES", most)
    monkeypatch.setattr("hpo.surrogate.axes._MOST_DENSE", most_dense)
    axes = axes_of(BOUNDED, NORMAL, 4, 9, options=[[0.5, 0.3, 0.2], [0.2] * 5])

    def draw(n):
        u = np.stack([rng.random(n), rng.normal(size=n), *rng.integers(0, [[4], [9]], (2, n))])
        u[2:] = (u[2:] + 0.5) / [[4], [9]]
        u[:, rng.random(n) < 0.2] = NAN
        return points_of(axes, u, rng.integers(-1, [[3], [5]], (2, n)))

    trials, weights, points = draw(8), rng.uniform(0.5, 2.0, 8), draw(12)

    assert len(axes.slots.choices) + len(axes.slots.axes) == {0: 0, 3: 1, 6: 3, 100: 4}[most]
    assert_equals_the_slow_loop(axes, trials, weights, points)


@pytest.mark.parametrize("most_dense", [0, 1000])
@pytest.mark.parametrize("most", [0, 6, 100])
@pytest.mark.parametrize("far", [0.0, 101.0])
def test_points_that_are_known_to_be_complete_have_the_same_density(
    monkeypatch, most, far, most_dense
):
    rng = np.random.default_rng(7)
    monkeypatch.setattr("hpo.surrogate.slots.MOST_VALUES", most)
    monkeypatch.setattr("hpo.surrogate.axes._MOST_DENSE", most_dense)
    axes = axes_of(BOUNDED, NORMAL, 1, 9, options=[[0.5, 0.3, 0.2], [1.0], [0.2] * 5])

    def draw(n):
        u = np.stack(
            [rng.random(n), rng.normal(far, size=n), *rng.integers(0, [[1], [9]], (2, n))]
        )
        u[2:] = (u[2:] + 0.5) / [[1], [9]]
        return points_of(axes, u, rng.integers(0, [[3], [1], [5]], (3, n)))

    trials, weights, points = draw(8), rng.uniform(0.5, 2.0, 8), draw(40)
    complete = replace(points, is_complete=True)
    estimator = fit_joint(axes, trials, weights)

    expected = slow_log_density(axes, trials, weights, points)
    for each in (points, complete):
        np.testing.assert_allclose(estimator.log_density(each), expected, rtol=1e-10, atol=1e-9)


def test_different_values_are_ranked_from_one_and_nan_is_rank_zero():
    centres, ranks = distinct(np.array([[3.0, 1.0, 3.0, NAN], [NAN, NAN, 2.0, 2.0]]))

    np.testing.assert_array_equal(centres, [[NAN, 1.0, 3.0], [NAN, 2.0, NAN]])
    assert ranks.tolist() == [[2, 1, 2, 0], [0, 0, 1, 1]]
