"""One space in three dialects: neutral, hpo's and hyperopt's, Optuna's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo import hp
from hpo.space import Space
from scripts.quality.dialects import in_hp_words, suggest_in_optuna, value_of
from scripts.quality.spaces import (
    Branch,
    Choice,
    Integer,
    Real,
    draw,
    from_unit,
    parameters_of,
    points,
    to_unit,
    walk,
)
from scripts.quality.suite import NAMES, problem

SHARED = Real("shared", 0.0, 1.0)
SPACE = (
    Real("plain", -2.0, 3.0),
    Real("rate", 1e-4, 1.0, log=True),
    Real("stepped", -1.0, 1.0, step=0.5),
    Integer("whole", 3, 9),
    Choice(
        "model",
        (
            Branch("deep", (SHARED, Integer("depth", 1, 4))),
            Branch("flat", (SHARED,)),
            "none",
        ),
    ),
)


class Extremes:
    """Stands for an Optuna trial: takes the low or the high end, and options in turn."""

    def __init__(self, at_high, option):
        self.at_high, self.option = at_high, option
        self.asked = {}

    def suggest_float(self, label, low, high, *, step=None, log=False):
        self.asked[label] = ("float", low, high, step, log)
        return high if self.at_high else low

    def suggest_int(self, label, low, high):
        self.asked[label] = ("int", low, high)
        return high if self.at_high else low

    def suggest_categorical(self, label, options):
        self.asked[label] = ("categorical", options)
        return options[self.option]


def drawn_by_hpo(space, n):
    """Points that hpo draws at random, in its words and in neutral ones."""
    compiled = Space(in_hp_words(space, hp))
    for i in range(n):
        stored = compiled.sample(np.random.default_rng(i))
        yield stored, in_neutral_words(space, stored)


def in_neutral_words(space, stored):
    return walk(space, lambda parameter: value_of(parameter, stored[parameter.label]))


def test_optuna_is_asked_for_the_same_ranges():
    trial = Extremes(at_high=True, option=0)

    point = walk(SPACE, lambda parameter: suggest_in_optuna(trial, parameter))

    assert trial.asked == {
        "plain": ("float", -2.0, 3.0, None, False),
        "rate": ("float", 1e-4, 1.0, None, True),
        "stepped": ("float", -1.0, 1.0, 0.5, False),
        "whole": ("int", 3, 9),
        "model": ("categorical", ("deep", "flat", "none")),
        "shared": ("float", 0.0, 1.0, None, False),
        "depth": ("int", 1, 4),
    }
    assert point["model"] == "deep" and point["depth"] == 4


def test_a_parameter_is_asked_for_only_where_its_branch_is_chosen():
    trial = Extremes(at_high=False, option=2)

    point = walk(SPACE, lambda parameter: suggest_in_optuna(trial, parameter))

    assert "shared" not in point and "depth" not in trial.asked


def test_hpo_knows_the_same_labels_and_stays_in_the_same_ranges():
    known = parameters_of(SPACE)
    seen = {label: set() for label in known}

    for stored, point in drawn_by_hpo(SPACE, 300):
        assert set(stored) == set(point)
        for label, value in point.items():
            seen[label].add(value)

    for label, parameter in known.items():
        if isinstance(parameter, Choice):
            assert seen[label] == set(parameter.values)
        else:
            assert parameter.low <= min(seen[label])
            assert max(seen[label]) <= parameter.high
    # Discrete ones are filled to both ends, and with nothing beside their grid.
    assert seen["whole"] == set(range(3, 10))
    assert seen["depth"] == {1, 2, 3, 4}
    assert seen["stepped"] == {-1.0, -0.5, 0.0, 0.5, 1.0}
    # Continuous ones come near both ends, the rate in its logarithm.
    assert to_unit(known["rate"], min(seen["rate"])) < 0.02
    assert to_unit(known["rate"], max(seen["rate"])) > 0.98


@pytest.mark.parametrize("name", NAMES)
def test_every_problem_can_be_evaluated_where_hpo_draws(name):
    posed = problem(name)

    for _, point in drawn_by_hpo(posed.space, 5):
        assert math.isfinite(posed.loss(point))


@pytest.mark.parametrize("parameter", [p for p in SPACE if not isinstance(p, Choice)])
def test_units_run_from_zero_to_one_and_back(parameter):
    assert to_unit(parameter, parameter.low) == 0.0
    assert to_unit(parameter, parameter.high) == 1.0
    assert from_unit(parameter, 0.0) == parameter.low
    assert from_unit(parameter, 1.0) == pytest.approx(parameter.high)


def test_the_middle_of_a_logarithmic_range_is_its_geometric_mean():
    assert from_unit(Real("rate", 1e-4, 1.0, log=True), 0.5) == pytest.approx(1e-2)


def test_drawing_is_uniform_over_steps_and_options():
    rng = np.random.default_rng(0)
    drawn = [draw(SPACE, rng) for _ in range(4000)]

    for label, n_values in (("stepped", 5), ("whole", 7), ("model", 3)):
        _, counts = np.unique([str(point[label]) for point in drawn], return_counts=True)
        assert counts == pytest.approx([4000 / n_values] * n_values, rel=0.15)


def test_all_points_of_a_tree_are_listed_once():
    space = (
        Choice("model", (Branch("deep", (Integer("depth", 1, 3),)), "flat")),
        Integer("k", 0, 1),
    )

    listed = list(points(space))

    assert len(listed) == (3 + 1) * 2
    assert {"model": "flat", "k": 1} in listed
    assert {"model": "deep", "depth": 3, "k": 0} in listed


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Real("x", 1.0, 1.0),
        lambda: Real("x", 0.0, 1.0, log=True),
        lambda: Real("x", 0.0, 1.0, step=0.3),
        lambda: Integer("x", 3, 2),
        lambda: parameters_of((Real("x", 0, 1), Integer("x", 0, 1))),
    ],
)
def test_a_space_that_cannot_mean_the_same_to_all_is_refused(wrong):
    with pytest.raises(ValueError, match="x"):
        wrong()
