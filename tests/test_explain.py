"""What TPE saw and thought, computed again: it must be what happened."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate

from hpo import Trials, explain, fmin, hp, rand, tpe
from hpo.exceptions import InvalidOptionValue

SPACE = {
    "x": hp.uniform("x", -2.0, 6.0),
    "lr": hp.loguniform("lr", -6.0, 0.0),
    "model": hp.choice("model", ["a", {"depth": hp.randint("depth", 1, 9)}]),
}


def loss_of(config):
    depth = config["model"]["depth"] if isinstance(config["model"], dict) else 5
    return (config["x"] - 1.0) ** 2 + (math.log(config["lr"]) + 3.0) ** 2 + abs(depth - 3)


@pytest.fixture(scope="module")
def trials():
    found = Trials()
    fmin(loss_of, SPACE, max_evals=40, trials=found, rstate=0, show_progressbar=False)
    return found


def test_the_winner_is_the_suggestion_and_has_the_best_score(trials):
    for tid in trials.tids[10:]:
        seen = explain(trials, tid, SPACE)

        [winner] = [candidate for candidate in seen.candidates if candidate.was_picked]
        assert winner.params == seen.params == trials.trial(tid)["params"]
        assert winner.score == max(candidate.score for candidate in seen.candidates)
        assert len(seen.candidates) == 24


def test_the_good_trials_are_the_best_of_the_branch_that_was_decided(trials):
    seen = explain(trials, 35, SPACE)

    [branch] = seen.decided.values()
    inside = [t for t in trials if t["tid"] < 35 and t["misc"]["vals"]["model"] == [branch]]
    losses = sorted(trial["result"]["loss"] for trial in inside)
    assert {*seen.good, *seen.rest} == {trial["tid"] for trial in inside}
    assert len(seen.good) == math.ceil(0.1 * len(inside))
    assert (
        max(trials.trial(tid)["result"]["loss"] for tid in seen.good) == losses[len(seen.good) - 1]
    )


def test_the_margins_are_densities(trials):
    for tid in trials.tids[10:]:
        for label, margin in explain(trials, tid, SPACE).margins.items():
            for density in (margin.l, margin.g):
                if label in ("model", "depth"):
                    assert density.sum() == pytest.approx(1.0), label
                else:
                    # In unit coordinates; the grid is even in these.
                    assert integrate.trapezoid(density, dx=1 / 199) == pytest.approx(1.0, abs=0.01)
            np.testing.assert_allclose(margin.log_ratio, np.log(margin.l / margin.g))


def test_the_first_trials_are_points_of_the_start(trials):
    seen = explain(trials, 4, SPACE)

    assert (seen.start, seen.candidates, seen.good) == (4, (), ())
    assert "point 4 of the start" in str(seen)


def test_the_next_trial_can_be_explained_before_it_exists(trials):
    seen = explain(trials, space=SPACE, options=tpe.Options(n_EI_candidates=7))

    assert seen.tid is None
    assert len(seen.candidates) == 7
    assert "the next trial" in str(seen)


def test_as_text_it_shows_the_good_trials_and_the_best_candidates(trials):
    text = str(explain(trials, 39, SPACE))

    lines = text.splitlines()
    assert lines[0].startswith("trial 39: ")
    assert "'model' was decided first" in text
    assert sum(line.startswith("->") for line in lines) == 1
    assert lines[-1].split()[:2] in (["log", "l/g"], ["->", "log"])


def test_what_tpe_did_not_suggest_is_not_explained():
    found = Trials()
    fmin(loss_of, SPACE, algo=rand.suggest, max_evals=3, trials=found, show_progressbar=False)

    with pytest.raises(InvalidOptionValue, match="does not say that one of tpe"):
        explain(found, 1, SPACE)
    with pytest.raises(InvalidOptionValue, match="say what is searched"):
        explain(found)


def test_what_was_drawn_from_the_prior_is_named_once_a_search_is_stuck():
    losses = iter(range(60))
    # The first trial stays the best.
    trials = Trials()
    fmin(lambda _: next(losses), SPACE, max_evals=60, trials=trials, rstate=0,
         show_progressbar=False)  # fmt: skip

    seen = [explain(trials, tid, SPACE) for tid in range(10, 60)]

    is_stuck = [bool(each.anew) for each in seen]
    assert not any(is_stuck[:10])
    assert 2 <= sum(is_stuck[10:]) <= 20
    for each in seen:
        assert set(each.anew) <= set(each.params) - {"model"}
        assert (f"drawn from the prior: {', '.join(each.anew)}" in str(each)) is bool(each.anew)


def test_what_a_regression_adds_is_told_where_it_had_a_say(trials):
    alone, having = (
        explain(trials, space=SPACE, options=tpe.Options(regression=each)) for each in (None, True)
    )

    assert "outlook" not in str(alone)
    assert {candidate.outlook for candidate in alone.candidates} == {0.0}
    assert len({candidate.outlook for candidate in having.candidates}) > 1
    # The same candidates, in another order: l and g think of them what they did.
    ratio_of = {str(each.params): each.score for each in alone.candidates}
    for candidate in having.candidates:
        expected = ratio_of[str(candidate.params)]
        assert candidate.score - candidate.outlook == pytest.approx(expected, abs=1e-9)
    best = having.candidates[0]
    shown = next(line for line in str(having).splitlines() if line.startswith("->"))
    assert shown.split()[3:6] == [
        f"{best.score - best.outlook:.3f}",
        "outlook",
        f"{best.outlook:.3f}",
    ]
