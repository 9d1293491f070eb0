"""Features: rounded, comparable, and equally far from what is inactive."""

from __future__ import annotations

import numpy as np
import pytest

from hpo import hp
from hpo.gp_inputs import Points, directions, inputs_of
from hpo.space import Space
from tests.searches import EVERY_KIND, at_random, search

TREE = Space(
    {
        "model": hp.choice(
            "model",
            [{"c": hp.uniform("c", 0.0, 1.0)}, {"k": hp.choice("k", ["p", "q", "r"])}, "none"],
        ),
        "x": hp.uniform("x", 0.0, 1.0),
    }
)


def quantiles(space, n, seed=0):
    inputs = inputs_of(space)
    n_dims = len(inputs.numeric) + len(inputs.options)
    return np.random.default_rng(seed).uniform(0.01, 0.99, (n, n_dims))


def values_at(space, point):
    inputs = inputs_of(space)
    choose = inputs.chooser(point)
    labels = (*inputs.numeric, *inputs.options)
    every = {label: space.hyperparameters[label].as_value(choose(label, None)) for label in labels}
    return {label: every[label] for label in space.active_labels(every)}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_point_has_the_features_of_the_trial_that_it_becomes(kind):
    space = Space({"v": EVERY_KIND[kind], "x": hp.uniform("x", 0.0, 1.0)})
    inputs = inputs_of(space)
    points = inputs.at_quantiles(quantiles(space, 20))

    observations = search(
        lambda space, observations, tid, seed: values_at(space, points.at([tid])),
        space, lambda values: 0.0, 20, 0,
    )  # fmt: skip

    features = inputs.of_trials(observations, np.arange(20))
    np.testing.assert_allclose(inputs.features(points), features, atol=1e-9)


def test_so_it_is_where_hyperparameters_are_conditional():
    inputs = inputs_of(TREE)
    points = inputs.at_quantiles(quantiles(TREE, 30))

    observations = search(
        lambda space, observations, tid, seed: values_at(space, points.at([tid])),
        TREE, lambda values: 0.0, 30, 0,
    )  # fmt: skip

    features = inputs.of_trials(observations, np.arange(30))
    np.testing.assert_allclose(inputs.features(points), features, atol=1e-9)


def test_values_become_the_point_that_they_came_from():
    inputs = inputs_of(TREE)
    points = inputs.at_quantiles(quantiles(TREE, 12))

    for place in range(12):
        point = points.at([place])
        again = inputs.of_values(values_at(TREE, point), point)
        np.testing.assert_allclose(again.t, point.t, atol=1e-9)
        np.testing.assert_array_equal(again.codes, point.codes)


def squared_distance(inputs, one, other, label):
    labels = (*inputs.numeric, *inputs.options)
    mine = inputs.groups == labels.index(label)
    return ((inputs.features(one) - inputs.features(other))[0, mine] ** 2).sum()


def at(model, c=0.5, k=0, x=0.5):
    inputs = inputs_of(TREE)
    numbers = {"c": c, "x": x}
    codes = {"model": model, "k": k}
    return Points(
        np.array([[numbers[label]] for label in inputs.numeric]),
        np.array([[codes[label]] for label in inputs.options]),
    )


@pytest.mark.parametrize("c", [0.0, 0.3, 1.0])
def test_every_value_is_equally_far_from_being_inactive(c):
    inputs = inputs_of(TREE)

    assert squared_distance(inputs, at(0, c), at(2), "c") == pytest.approx(1.0)
    assert squared_distance(inputs, at(1, c), at(2, 0.9), "c") == 0.0


@pytest.mark.parametrize("other", [0.1, 0.5, 1.0])
def test_on_the_arc_values_are_about_as_far_apart_as_they_are(other):
    inputs = inputs_of(TREE)

    distance = np.sqrt(squared_distance(inputs, at(0, 0.0), at(0, other), "c"))

    assert distance == pytest.approx(other, rel=0.05)
    assert squared_distance(inputs, at(0, x=0.0), at(0, x=other), "x") == pytest.approx(other**2)


def test_two_options_are_one_apart_and_inactive_is_half_as_far():
    inputs = inputs_of(TREE)

    assert squared_distance(inputs, at(1, k=0), at(1, k=2), "k") == pytest.approx(1.0)
    assert squared_distance(inputs, at(1, k=1), at(0), "k") == pytest.approx(0.5)


@pytest.mark.parametrize("n_options", [3, 64, 65, 1000])
def test_options_have_directions_that_are_about_one_apart(n_options):
    table = directions(n_options)

    squares = ((table[:, None, :50] - table[None, :40, :50]) ** 2).sum(axis=2)
    full = ((table[:20, None] - table[None, :20]) ** 2).sum(axis=2)[
        np.triu_indices(min(20, n_options), 1)
    ]
    assert table.shape[1] <= 64
    assert squares.shape[0] == n_options
    np.testing.assert_allclose(full, 1.0, atol=0.0 if n_options <= 64 else 0.6)


def test_the_slope_by_a_coordinate_is_that_of_the_features():
    inputs = inputs_of(TREE)
    point, weights = at(0, 0.3, x=0.7), np.random.default_rng(0).random(inputs.n_features)

    slopes = inputs.slopes_by_t(weights, point.t[:, 0])

    for row in range(2):
        step = np.zeros((2, 1))
        step[row] = 1e-6
        above, below = (
            inputs.features(Points(point.t + side * step, point.codes))[0] @ weights
            for side in (1.0, -1.0)
        )
        assert slopes[row] == pytest.approx((above - below) / 2e-6, abs=1e-6)


def test_features_of_random_trials_are_finite():
    observations = search(at_random, TREE, lambda values: 0.0, 40, 0)

    features = inputs_of(TREE).of_trials(observations, np.arange(40))

    assert features.shape == (40, inputs_of(TREE).n_features)
    assert np.isfinite(features).all()
