"""The problems of the quality bench: their optima are optima, their halves are alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from scripts.quality import tables
from scripts.quality.boxes import box
from scripts.quality.problem import DEVELOPMENT, HALVES, HELD_OUT
from scripts.quality.spaces import (
    Choice,
    draw,
    from_unit,
    parameters_of,
    points,
    to_unit,
    walk,
)
from scripts.quality.suite import NAMES, names_in, problem


def test_the_suite_is_large_and_its_halves_have_the_same_mix_of_kinds():
    kinds = {half: Counter(problem(name).kind for name in names_in(half)) for half in HALVES}

    assert len(NAMES) >= 24
    assert kinds[DEVELOPMENT] == kinds[HELD_OUT]


def test_an_unknown_problem_is_answered_with_the_list():
    with pytest.raises(KeyError, match="branin2"):
        problem("branin3")


@pytest.mark.parametrize("name", NAMES)
def test_the_best_point_has_the_least_loss_and_lies_in_the_space(name):
    posed = problem(name)

    def is_in_range(parameter):
        value = posed.best[parameter.label]
        if isinstance(parameter, Choice):
            assert value in parameter.values
        else:
            assert parameter.low <= value <= parameter.high
        return value

    assert posed.loss(posed.best) == pytest.approx(posed.least, abs=1e-8)
    assert walk(posed.space, is_in_range) == posed.best


@pytest.mark.parametrize("name", NAMES)
def test_neither_random_points_nor_small_steps_from_the_best_have_less(name):
    posed = problem(name)
    rng = np.random.default_rng(1)
    known = parameters_of(posed.space)

    def step_from_best():
        point = dict(posed.best)
        for label, value in point.items():
            if not isinstance(known[label], Choice):
                u = to_unit(known[label], value) + rng.normal(scale=10.0 ** -rng.integers(1, 6))
                point[label] = from_unit(known[label], min(1.0, max(0.0, u)))
        return point

    losses = [posed.loss(draw(posed.space, rng)) for _ in range(300)]
    losses += [posed.loss(step_from_best()) for _ in range(300)]

    assert min(losses) >= posed.least - 1e-9


def test_the_least_of_a_discrete_problem_is_the_least_of_all_its_points():
    posed = problem("choices-6000")

    losses = [posed.loss(point) for point in points(posed.space)]

    assert len(losses) == 6000
    assert min(losses) == pytest.approx(posed.least)


def test_the_grid_has_as_many_points_as_its_name_says():
    sizes = [p.high - p.low + 1 for p in problem("grid-69300").space]

    assert np.prod(sizes) == 69_300


def test_the_best_place_of_a_box_is_nowhere_special():
    best = problem("ackley10").best
    units = [to_unit(p, best[p.label]) for p in problem("ackley10").space]

    assert all(0.15 <= u <= 0.85 for u in units)
    assert len({round(u, 3) for u in units}) == len(units)


def test_a_turned_box_keeps_distances_from_the_best_place():
    # A sphere looks the same however it is turned, so only lengths can matter.
    plain = box("same name", DEVELOPMENT, "sphere", 5)
    turned = box("same name", DEVELOPMENT, "sphere", 5, rotated=True)
    point = draw(plain.space, np.random.default_rng(0))

    assert turned.loss(point) == pytest.approx(plain.loss(point))


def test_noise_depends_on_the_run_and_the_trial_only():
    posed = problem("hartmann3-noisy")
    here, there = posed.best, draw(posed.space, np.random.default_rng(0))

    def noise(point, seed, number):
        loss, seen = posed.observe(point, seed, number)
        return seen - loss

    assert noise(here, 3, 7) == pytest.approx(noise(there, 3, 7))
    assert noise(here, 3, 7) != noise(here, 3, 8)
    draws = [noise(here, 0, number) for number in range(400)]
    assert np.std(draws) == pytest.approx(posed.noise_sd, rel=0.15)


def test_a_problem_without_noise_is_seen_as_it_is():
    loss, seen = problem("branin2").observe(problem("branin2").best, 0, 0)

    assert loss == seen


def test_a_table_is_exact_at_its_crossings_and_linear_between_them():
    axes = (
        tables.Axis("rate", tables.LOGARITHMIC, (0.01, 0.1, 1.0)),
        tables.Axis("depth", tables.WHOLE, (1, 4)),
        tables.Axis("kernel", tables.OPTIONS, ("a", "b")),
    )
    table = tables.Table(axes, np.arange(12.0).reshape(3, 2, 2))

    assert table.loss({"rate": 0.1, "depth": 4, "kernel": "b"}) == 7
    assert table.loss({"rate": 1.0, "depth": 1, "kernel": "a"}) == 8
    # Half-way in the logarithm of the rate, a third of the way in depth.
    between = table.loss({"rate": 0.1**1.5, "depth": 2, "kernel": "a"})
    assert between == pytest.approx((0 + 4) / 2 + 2 / 3)
    assert table.best == {"rate": 0.01, "depth": 1, "kernel": "a"}


def test_all_tables_together_stay_small():
    assert sum(path.stat().st_size for path in tables.DIRECTORY.iterdir()) < 300_000
