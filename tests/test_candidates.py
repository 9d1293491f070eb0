"""Candidates of which some axes are drawn anew: by the prior there, by l elsewhere.

How they keep out of each other's way is in `test_crowd`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpo import hp, tpe
from hpo.candidates import Way, draw_lots
from hpo.space import Space
from hpo.surrogate.axes import Points
from hpo.tree_model import History, Model, Options
from tests.searches import EVERY_KIND, at_random, search
from tests.surrogate.joint_slowly import slow_log_density

NUMBERS = [kind for kind in EVERY_KIND if "choice" not in kind]
MIXED = Space(
    {
        "a": hp.uniform("a", 0.0, 1.0),
        "b": hp.normal("b", 3.0, 10.0),
        "c": hp.quniform("c", 0.0, 7.0, 1.0),
        "d": hp.choice("d", ["p", "q", "r"]),
    }
)


def model_of(space, loss_of=lambda values: sum(values.values())):
    observations = search(at_random, space, loss_of, 40, seed=3)
    return Model(History(space, observations, Options()), {})


def lots_of(model, way=Way.ANEW, n_lots=200):
    return list(draw_lots(model, np.random.default_rng(4), way, n_lots))


@pytest.mark.parametrize("kind", NUMBERS)
def test_what_is_drawn_anew_follows_the_prior(kind):
    space = Space({"v": EVERY_KIND[kind]})
    (prior,) = (each.prior for each in space.hyperparameters.values())

    lots = lots_of(model_of(space))

    values = [lot.values(c, None)["v"] for lot in lots for c in range(24)]
    expected = prior.sample(np.random.default_rng(0), len(values))
    assert stats.ks_2samp(values, expected).pvalue > 1e-3


def test_at_least_one_axis_is_drawn_anew_and_others_for_each_suggestion():
    model = model_of(MIXED)
    numeric = model.history.space.coordinates.numeric

    lots = lots_of(model)

    assert set(numeric) == {"a", "b", "c"}
    assert {lot.anew for lot in lots} == {
        tuple(label for label, is_in in zip(numeric, pattern, strict=True) if is_in)
        for pattern in np.ndindex(2, 2, 2)
        if any(pattern)
    }
    assert all(lot.anew == () for lot in lots_of(model, Way.NEAR, 5) + lots_of(model, Way.WIDE, 5))


def test_of_what_is_drawn_anew_l_has_nothing_to_say_but_g_has():
    model = model_of(MIXED)
    history = model.history
    trials = {place: history.points(np.array([place])) for place in range(40)}

    def joined(places):
        parts = [trials[place] for place in places]
        return Points(
            *(np.concatenate([getattr(each, name) for each in parts], axis=1)
              for name in ("u", "codes", "numbers"))
        )  # fmt: skip

    for lot in lots_of(model, n_lots=5):
        everywhere = lot.drawn.points
        own = slice(lot.place.start, lot.place.start + 6)
        u = everywhere.u[:, own]
        seen = Points(u, everywhere.codes[:, own], everywhere.numbers[:, own])
        is_anew = [[label in lot.anew] for label in history.space.coordinates.numeric]
        unseen = Points(np.where(is_anew, np.nan, u), seen.codes, seen.numbers)

        expected_l = slow_log_density(history.axes, joined(model.good), model.weights, unseen)
        expected_g = slow_log_density(
            history.axes, joined(model.rest), model.weights_of_rest, seen
        )

        np.testing.assert_allclose(lot.log_l[:6], expected_l, rtol=1e-9)
        np.testing.assert_allclose(lot.log_g[:6], expected_g, rtol=1e-9)


FIVE = Space({f"x{i}": hp.uniform(f"x{i}", -10.0, 10.0) for i in range(5)})
VALLEY = np.array([5.3, -2.6, 5.0, -6.2, -4.6])


def many_valleys(values):
    """Five valleys along each axis; in each that is not the right one the loss is 1 or more."""
    z = (np.array([values[f"x{i}"] for i in range(5)]) - VALLEY) / 4.0
    return float((z**2 + 1.0 - np.cos(2.0 * math.pi * z)).sum())


def test_a_search_that_took_a_wrong_valley_on_one_axis_gets_away(monkeypatch):
    def median_best():
        searches = [
            search(tpe.suggest_values, FIVE, many_valleys, 200, seed) for seed in range(20)
        ]
        return np.median([found.losses.min() for found in searches])

    with_axes_anew = median_best()
    monkeypatch.setattr("hpo.tpe._ANEW_FRACTION", 0.0)

    assert with_axes_anew < 0.75 * median_best()
