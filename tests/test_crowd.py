"""What was picked from one lot of candidates counts as a kernel of g for all the later ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo import hp
from hpo.candidates import Crowd, Way, _numbered, draw_lots
from hpo.space import Space
from hpo.tree_model import History, Model, Options
from tests.searches import at_random, search

MIXED = Space(
    {
        "rate": hp.loguniform("rate", -9, 0),
        "shift": hp.normal("shift", 3.0, 10.0),
        "percent": hp.quniform("percent", 0, 100, 10),
        "scaling": hp.choice("scaling", ["none", "unit"]),
        "model": hp.choice(
            "model",
            [{"width": hp.uniform("width", 0, 1)}, {"depth": hp.uniformint("depth", 1, 9)}],
        ),
    }
)
LINE = Space({"x": hp.uniform("x", -5.0, 5.0)})
CHOICES = Space([hp.choice("a", [1, 2, 3]), hp.choice("b", [1, 2])])


def lots_of(space, n_lots):
    observations = search(at_random, space, lambda values: sum(values.values()), 40, seed=3)
    model = Model(History(space, observations, Options()), {})
    return list(draw_lots(model, np.random.default_rng(4), Way.NEAR, n_lots=n_lots))


def log_kernel_slowly(history, points, of, around):
    """log of the narrowest kernel around one candidate, at another one."""
    log_density = 0.0
    for row, half_cell in enumerate(history.axes.half_cells[:, 0]):
        there, here = points.u[row, of], points.u[row, around]
        if math.isnan(there) or math.isnan(here):
            continue
        sigma = max(history.options.least_sigma, half_cell)
        peak = 1.0 / (sigma * math.sqrt(2.0 * math.pi))
        if half_cell:
            peak = min(2.0 * half_cell * peak, 1.0)
        log_density += math.log(peak) - 0.5 * ((there - here) / sigma) ** 2
    is_there = (points.codes[:, of] == points.codes[:, around]).all()
    return log_density if is_there else -math.inf


@pytest.mark.parametrize("space", [MIXED, LINE, CHOICES], ids=["mixed", "line", "choices"])
def test_every_pick_is_one_more_kernel_for_the_lots_after_it(space):
    lots = lots_of(space, 3)
    drawn, history = lots[0].drawn, lots[0].model.history
    n, total = len(lots[0].log_g), lots[0].model.total_weight_of_rest
    expected = [lot.log_g.copy() for lot in lots]

    for number, lot in enumerate(Crowd(lots).in_turn()):
        lot.picked = number + 1
        for later in range(number + 1, len(lots)):
            kernel = [
                log_kernel_slowly(history, drawn.points, later * n + c, number * n + lot.picked)
                for c in range(n)
            ]
            # A quarter of a kernel, because nobody knows yet that it is bad there.
            before, after = (math.log(total + 0.25 * n_picks) for n_picks in (number, number + 1))
            quarter = np.array(kernel) + math.log(0.25)
            expected[later] = np.logaddexp(expected[later] + before, quarter) - after

    for lot, log_g in zip(lots, expected, strict=True):
        np.testing.assert_allclose(lot.log_g, log_g, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_choices", [0, 3, 200])
def test_equal_options_have_equal_numbers_and_others_have_not(n_choices):
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 2, (n_choices, 40))
    codes[:, 20:] = codes[:, :20]

    numbers = _numbered(codes, [2] * n_choices)

    is_equal = (codes[:, :, None] == codes[:, None, :]).all(axis=0)
    np.testing.assert_array_equal(numbers[:, None] == numbers, is_equal)
