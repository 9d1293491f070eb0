"""The search ends on a peak of the acquisition, at values that could run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpo import hp
from hpo.gp_inputs import Points, inputs_of
from hpo.gp_model import History, Model
from hpo.gp_search import Landscape, screened, search
from hpo.space import Space
from hpo.surrogate.acquisition import LogExpectedImprovement, UpperConfidenceBound
from tests.searches import at_random
from tests.searches import search as searched

CONTINUOUS = Space({name: hp.uniform(name, -1.0, 1.0) for name in "abcd"})
DISCRETE = Space(
    {
        "i": hp.randint("i", 12),
        "q": hp.quniform("q", 0.0, 5.0, 0.5),
        "c": hp.choice("c", ["p", "q", "r"]),
        "d": hp.choice("d", list(range(5))),
    }
)
TREE = Space(
    {
        "m": hp.choice("m", [{"x": hp.uniform("x", 0, 1)}, {"k": hp.randint("k", 8)}]),
        "n": hp.normal("n", 0.0, 1.0),
    }
)


def waves(values):
    return sum(np.sin(3.0 * value + place) for place, value in enumerate(values.values()))


def landscape(space, acquisition=None, n=25):
    model = Model(History(space, searched(at_random, space, waves, n, 0)), "matern52", False)
    acquisition = acquisition or LogExpectedImprovement()
    return Landscape(inputs_of(space), model.posterior, acquisition, model.best_in({}))


def nowhere(space):
    inputs = inputs_of(space)
    return inputs.at_quantiles(np.zeros((0, inputs.n_dims)))


def found(seen, n_points=256, n_starts=4, seed=0):
    rng = np.random.default_rng(seed)
    points = screened(seen.inputs, nowhere(seen.inputs.space), rng, n_points)
    return list(search(seen, points, rng, n_starts))


@pytest.mark.parametrize("acquisition", [LogExpectedImprovement(), UpperConfidenceBound(2.0)])
@pytest.mark.parametrize("space", [CONTINUOUS, DISCRETE, TREE], ids=["flat", "discrete", "tree"])
def test_no_random_point_is_better_than_the_first_that_is_found(space, acquisition):
    seen = landscape(space, acquisition)
    quantiles = np.random.default_rng(1).uniform(0.001, 0.999, (20_000, seen.inputs.n_dims))

    first = found(seen)[0]

    best = seen.values(seen.inputs.at_quantiles(quantiles)).max()
    assert seen.values(first)[0] >= best - 1e-9


def test_the_gradient_vanishes_where_the_climb_ends_inside_the_bounds():
    seen = landscape(CONTINUOUS, UpperConfidenceBound(1.0))

    first = found(seen)[0]

    _, slopes = seen.value_and_slopes(first)
    inside = (first.t[:, 0] > 1e-6) & (first.t[:, 0] < 1.0 - 1e-6)
    assert np.abs(slopes[inside]).max(initial=0.0) < 1e-2
    # At a bound it would climb only beyond it.
    assert (slopes[first.t[:, 0] <= 1e-6] <= 1e-6).all()
    assert (slopes[first.t[:, 0] >= 1.0 - 1e-6] >= -1e-6).all()


@pytest.mark.parametrize("space", [CONTINUOUS, TREE], ids=["flat", "tree"])
def test_slopes_along_coordinates_equal_differences(space):
    seen = landscape(space)
    quantiles = np.random.default_rng(2).uniform(0.1, 0.9, (5, seen.inputs.n_dims))
    points = seen.inputs.at_quantiles(quantiles)

    for place in range(5):
        point = points.at([place])
        _, slopes = seen.value_and_slopes(point)
        is_active = seen.inputs.active(point)[0][:, 0] & seen.inputs.is_continuous
        for row in np.flatnonzero(is_active):
            step = np.zeros_like(point.t)
            step[row] = 1e-6
            above, below = (
                seen.values(Points(point.t + side * step, point.codes))[0] for side in (1.0, -1.0)
            )
            assert slopes[row] == pytest.approx((above - below) / 2e-6, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("space", [DISCRETE, TREE], ids=["discrete", "tree"])
def test_every_point_is_inside_the_bounds_and_rounded(space):
    seen = landscape(space)

    for point in found(seen, n_points=32):
        again = seen.inputs.bounded(point)
        np.testing.assert_allclose(again.t, point.t, atol=1e-12)
        assert (point.codes >= 0).all()
        assert (point.codes[:, 0] < seen.inputs.n_options).all()


def test_in_a_branch_that_was_decided_the_search_stays():
    seen = landscape(TREE)
    inside = replace(seen, decided={"m": 1})
    rng = np.random.default_rng(0)
    points = seen.inputs.within(screened(seen.inputs, nowhere(TREE), rng, 64), {"m": 1})

    found_inside = list(search(inside, points, rng, 4))

    assert len(found_inside) == 68
    features = np.concatenate([seen.inputs.features(point) for point in found_inside])
    assert seen.inputs.is_within(features, {"m": 1}).all()
    assert not seen.inputs.is_within(features, {"m": 0}).any()


def test_points_come_in_the_order_of_their_value():
    seen = landscape(DISCRETE)

    values = np.array([seen.values(point)[0] for point in found(seen, n_points=64, n_starts=3)])

    assert (np.diff(values[:3]) <= 1e-12).all()
    assert (np.diff(values[3:]) <= 1e-12).all()
    assert len(values) == 3 + 64


def test_some_points_lie_around_the_best_trials():
    inputs = inputs_of(CONTINUOUS)
    best = inputs.at_quantiles(np.full((1, 4), 0.3))

    points = screened(inputs, best, np.random.default_rng(0), 400)

    distances = np.linalg.norm(points.t - 0.3, axis=0)
    assert len(points) == 400
    assert (distances < 0.02).sum() > 20
    assert (distances > 0.4).sum() > 200
