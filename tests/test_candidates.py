"""Candidates of which some axes are drawn anew, and what a regression adds to their scores.

How they keep out of each other's way is in `test_crowd`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpo import hp, tpe
from hpo.candidates import Way, draw_lots
from hpo.document import new_trial
from hpo.space import Space
from hpo.surrogate.axes import Points
from hpo.surrogate.outlook import Outlook
from hpo.tree_model import History, Model, Options
from tests.searches import EVERY_KIND, at_random, finished, observe, search
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


# --- the outlook ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", Way)
def test_the_outlook_is_a_term_of_the_score(way):
    model = model_of(MIXED)

    (alone,), (lot,) = (
        draw_lots(model, np.random.default_rng(4), way, with_outlook=with_outlook)
        for with_outlook in (False, True)
    )

    # A loss that is expected to be better by one deviation counts as a ratio of e^10.
    added = 10.0 * model.outlook(lot.drawn.points)
    assert np.ptp(added) > 1.0
    np.testing.assert_allclose(lot.score - alone.score, added, rtol=1e-9, atol=1e-9)


def test_the_outlook_knows_what_the_estimators_know():
    model = model_of(MIXED)
    history = model.history

    outlook = Outlook(history.axes, history.points(np.arange(40)), history.losses)

    (lot,) = lots_of(model, Way.NEAR, 1)
    points = lot.drawn.points
    assert (model.outlook(points) == outlook(points)).all()


def test_the_outlook_is_of_one_branch_and_awaits_the_trials_that_run():
    space = Space(hp.choice("m", [hp.uniform("x", 0.0, 1.0), hp.uniform("y", 0.0, 1.0)]))
    rng = np.random.default_rng(0)
    trials = [finished(tid, {"m": 0, "x": x}, x) for tid, x in enumerate(rng.random(9))]
    trials += [finished(10 + tid, {"m": 1, "y": y}, 9.0) for tid, y in enumerate(rng.random(9))]
    running = [new_trial(30 + tid, values={"m": 0, "x": x}) for tid, x in enumerate(rng.random(5))]
    running += [new_trial(40, values={"m": 1, "y": 0.5})]

    history = History(space, observe(*trials, *running), Options())
    ended, awaited = np.arange(9), np.arange(18, 23)
    expected = Outlook(history.axes, history.points(ended), history.losses[ended])
    expected = expected.awaiting(history.points(awaited))

    points = history.points(np.arange(9))
    outlook = Model(history, {"m": 0}).outlook
    assert outlook is not None and (outlook(points) == expected(points)).all()


def test_models_of_several_branches_that_are_fitted_together_are_the_same_as_alone():
    branches = [{"y": hp.uniform("y", 0.0, 1.0)}, {"z": hp.quniform("z", 0.0, 5.0, 1.0)}, "r"]
    space = Space({"x": hp.normal("x", 0.0, 1.0), "m": hp.choice("m", branches)})
    observations = search(at_random, space, lambda values: values["x"] ** 2, 60, seed=3)
    wanted = [({"m": 0}, False), ({"m": 1}, True), ({"m": 0}, True), ({"m": 2}, False)]

    def models():
        # Nothing is kept for a copy.
        history = History(space, observations.copy(), Options())
        return {decided["m"]: Model(history, decided) for decided, _ in wanted}

    together = models()
    Model.fit_all([(together[decided["m"]], is_wide) for decided, is_wide in wanted])
    points = together[0].history.points(np.arange(60))

    for decided, is_wide in wanted:
        alone = models()[decided["m"]].fit(is_wide=is_wide)
        fitted = together[decided["m"]].fit(is_wide=is_wide)
        for own, expected in zip(fitted, alone, strict=True):
            np.testing.assert_allclose(
                own.log_density(points), expected.log_density(points), rtol=1e-12
            )


def test_a_trial_without_an_inner_choice_is_not_complete_though_all_its_numbers_are_there():
    inner = hp.choice("inner", ["p", "q"])
    space = Space({"x": hp.uniform("x", 0.0, 1.0), "outer": hp.choice("outer", [inner, "r"])})
    trials = [finished(0, {"x": 0.2, "outer": 0, "inner": 1}, 0.0)]
    trials += [finished(tid, {"x": 0.1 * tid, "outer": 1}, float(tid)) for tid in range(1, 9)]

    model = Model(History(space, observe(*trials), Options()), {})
    l, _ = model.fit()  # noqa: E741
    points = model.history.points(np.arange(9))

    expected = slow_log_density(
        model.history.axes, model.history.points(model.good), model.weights, points
    )
    assert not points.is_complete
    np.testing.assert_allclose(l.log_density(points), expected, rtol=1e-9)


def test_there_is_no_outlook_where_hardly_a_trial_has_ended():
    running = [new_trial(30 + tid, values={"x": 0.1 * tid}) for tid in range(9)]
    trials = [finished(tid, {"x": 0.1 * tid}, float(tid)) for tid in range(7)]
    space = Space({"x": hp.uniform("x", 0.0, 1.0)})

    model = Model(History(space, observe(*trials, *running), Options()), {})

    assert model.outlook is None
    (lot,) = draw_lots(model, np.random.default_rng(0), Way.NEAR, with_outlook=True)
    assert np.isfinite(lot.score).all()


def test_of_many_trials_the_outlook_takes_the_best_and_the_latest():
    model = model_of(MIXED)
    observations = search(at_random, MIXED, lambda values: sum(values.values()), 300, seed=3)
    history = History(MIXED, observations, Options())

    ranks = history.losses.argsort().argsort()
    places = [place for place in range(300) if ranks[place] < 64]
    places += [place for place in range(300) if ranks[place] >= 64][-64:]
    expected = Outlook(
        history.axes, history.points(np.sort(places)), history.losses[np.sort(places)]
    )

    (lot,) = lots_of(model, Way.NEAR, 1)
    points = lot.drawn.points
    outlook = Model(history, {}).outlook
    assert outlook is not None and (outlook(points) == expected(points)).all()
