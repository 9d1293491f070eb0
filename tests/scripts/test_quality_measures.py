"""Regret, ranks and the shape of point clouds on data made by hand."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

from scripts.quality.measures import (
    Outcome,
    border_share,
    clump_index,
    duplicate_share,
    mean_nearest_distance,
    measure,
)
from scripts.quality.problem import CONTINUOUS, DEVELOPMENT, Problem
from scripts.quality.simulation import Evaluation, SimulatedRun
from scripts.quality.spaces import Choice, Real

SQUARE = Problem(
    "square", DEVELOPMENT, CONTINUOUS, (Real("x", 0.0, 10.0), Real("rate", 1e-4, 1.0, log=True)),
    lambda point: float(point["x"]), {"x": 0.0, "rate": 1.0}, 0.0, "x is not negative",
)  # fmt: skip
CHOICES = Problem(
    "choices", DEVELOPMENT, CONTINUOUS, (Choice("c", ("a", "b")),),
    lambda point: 0.0, {"c": "a"}, 0.0, "it is constant",
)  # fmt: skip


def at(number, point, loss=0.0, seen=None):
    return Evaluation(number, point, loss, loss if seen is None else seen)


def run_at(units):
    """A run through points of the square, given by their units."""
    return [at(i, {"x": 10 * u, "rate": 1e-4 ** (1 - v)}) for i, (u, v) in enumerate(units)]


def test_of_each_recommended_trial_the_loss_without_noise_is_kept():
    run = run_at([(0.1, 0.5), (0.9, 0.5)])
    lucky = at(1, run[1].point, loss=9.0, seen=0.5)

    outcome = measure(SQUARE, SimulatedRun([run[0], lucky], {50: run[0], 100: lucky}))

    assert outcome.recommended == {50: 0.0, 100: 9.0}


def test_a_value_within_a_hundredth_of_the_range_lies_at_the_border():
    # 4 of 6 coordinates: 0.005, 0.995 and both of the last point; the rate by its logarithm.
    run = run_at([(0.005, 0.5), (0.5, 0.995), (0.0, 1.0)])

    assert border_share(SQUARE, run) == pytest.approx(4 / 6)


def test_choices_have_no_border_and_do_not_clump():
    run = [at(0, {"c": "a"}), at(1, {"c": "b"})]

    assert border_share(CHOICES, run) is None
    assert clump_index(CHOICES, run) is None


def test_points_that_repeat_an_earlier_one_are_duplicates():
    run = [at(i, {"c": option}) for i, option in enumerate("abba")]

    assert duplicate_share(run) == 0.5
    assert duplicate_share(run[:2]) == 0.0


def test_nearest_distances_worked_out_by_hand():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])

    assert mean_nearest_distance(points) == pytest.approx((5 + 1 + 1) / 3)


def test_the_clump_index_is_above_one_for_a_grid_one_at_random_and_below_for_a_heap():
    ticks = (np.arange(10) + 0.5) / 10
    rng = np.random.default_rng(0)
    grid = run_at(list(product(ticks, ticks)))
    at_random = run_at(rng.random((100, 2)))
    heap = run_at(0.5 + 0.01 * rng.random((100, 2)))

    assert clump_index(SQUARE, grid) > 1.5
    assert clump_index(SQUARE, at_random) == pytest.approx(1.0, abs=0.15)
    assert clump_index(SQUARE, heap) < 0.05


def test_an_outcome_survives_its_trip_through_json():
    outcome = Outcome({50: 1.5, 100: 1.0}, border=None, duplicates=0.25, clump=0.9)

    assert Outcome.from_json(json.loads(json.dumps(outcome.as_json()))) == outcome
