"""Whatever the history and the space, proposals are finite and in range, or an error says why."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo import gp, hp, rand
from hpo.domain import Domain
from hpo.exceptions import InvalidOption, SpaceExhausted
from hpo.observations import Observations
from hpo.pyll import scope
from hpo.space import Space
from hpo.trials import Trials
from tests.searches import EVERY_KIND, EXTREME_KINDS, at_random, failed, finished, observe, search
from tests.test_tpe_bad_input import BRANCHES, HISTORIES, X, assert_possible

QUICK = gp.Options(n_startup_jobs=1, n_candidates=64, n_starts=2)


def suggest(space, observations, tid, seed=0):
    return gp.suggest_values(space, observations, tid, seed, QUICK)


@pytest.mark.parametrize("acquisition", ["logei", "pi", "ucb", "hedge"])
@pytest.mark.parametrize("history", HISTORIES)
def test_any_losses(history, acquisition):
    observations = Observations()
    for tid, loss in enumerate(HISTORIES[history]):
        values = rand.suggest_values(BRANCHES, tid, 0)
        observations.update(failed(tid, values) if loss is None else finished(tid, values, loss))
    options = gp.Options(acquisition, n_startup_jobs=1, n_candidates=64, n_starts=2)

    for tid in range(100, 103):
        assert_possible(BRANCHES, gp.suggest_values(BRANCHES, observations, tid, 0, options))


@pytest.mark.parametrize("kernel", ["matern52", "rbf"])
def test_the_same_point_thirty_times(kernel):
    options = gp.Options(kernel=kernel, n_candidates=64, n_starts=2)
    for losses in ([1.0] * 30, list(range(30))):
        documents = [finished(tid, {"x": 2.0}, float(loss)) for tid, loss in enumerate(losses)]

        values = gp.suggest_values(X, observe(*documents), 100, 0, options)

        assert_possible(X, values)


def test_one_observation():
    values = suggest(X, observe(finished(0, {"x": 1.0}, 3.0)), 1)

    assert_possible(X, values)
    assert values["x"] != 1.0


def test_the_first_trials_are_still_running():
    running = Observations()
    for tid in range(20):
        running.add_pending(tid, {"x": 0.1 * tid})

    assert_possible(X, suggest(X, running, 20))


@pytest.mark.parametrize(
    "xs",
    [[-5.0, 5.0], [0.0, 0.0], [-1e9, 1e9], [-math.inf, math.inf], [math.nan, 1.0]],
    ids=str,
)
def test_values_on_and_outside_the_bounds(xs):
    documents = [finished(tid, {"x": xs[tid % 2]}, tid) for tid in range(20)]

    for tid in range(100, 103):
        assert_possible(X, suggest(X, observe(*documents), tid))


def test_values_that_a_normal_distribution_never_gives():
    space = Space({"x": hp.normal("x", 0.0, 1.0), "y": hp.normal("y", 0.0, 1e-3)})
    documents = [
        finished(tid, {"x": 10.0 ** (tid - 5), "y": (-10.0) ** tid}, float(tid))
        for tid in range(15)
    ]

    for tid in range(100, 103):
        assert_possible(space, suggest(space, observe(*documents), tid))


def test_values_of_another_space():
    strangers = [
        finished(tid, {"model": 7, "gone": 1.0, "depth": -3.0}, float(tid)) for tid in range(15)
    ]
    known = [
        finished(tid, rand.suggest_values(BRANCHES, tid, 0), float(tid)) for tid in range(20, 40)
    ]

    for documents in (strangers, [*strangers, *known]):
        for tid in range(100, 105):
            assert_possible(BRANCHES, suggest(BRANCHES, observe(*documents), tid))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_of_hyperparameter_is_searched_downhill(kind):
    space = Space({"v": EVERY_KIND[kind], "x": hp.uniform("x", 0.0, 1.0)})
    (label,) = set(space.hyperparameters) - {"x"}

    observations = search(at_random, space, lambda values: float(values[label]), 20, seed=0)

    for tid in range(100, 115):
        values = suggest(space, observations, tid)
        assert_possible(space, values)
        observations.update(finished(tid, values, float(values[label])))
    late, early = observations.column(label)[-15:], observations.column(label)[:20]
    assert np.median(late) <= np.median(early)


@pytest.mark.parametrize("kind", EXTREME_KINDS)
def test_extreme_hyperparameters(kind):
    space = Space({"v": EXTREME_KINDS[kind], "x": hp.uniform("x", 0.0, 1.0)})

    def checked(searched, observations, tid, seed):
        values = suggest(searched, observations, tid, seed)
        assert_possible(space, values)
        return values

    search(checked, space, lambda values: math.sin(values["v"]) + values["x"], 15, 0)


@pytest.mark.parametrize("n_labels", [1, 60])
def test_few_and_many_labels(n_labels):
    space = Space({f"x{i}": hp.uniform(f"x{i}", 0.0, 1.0) for i in range(n_labels)})

    observations = search(suggest, space, lambda values: values["x0"], 8, seed=0)

    assert np.isfinite(observations.losses).all()


def test_a_space_without_hyperparameters():
    space = Space({"constant": 3})

    known = observe(finished(0, {}, 1.0))
    options = gp.Options(n_startup_jobs=1, noisy=True)

    assert gp.suggest_values(space, known, 1, 0, options) == {}
    with pytest.raises(SpaceExhausted):
        suggest(space, known, 1)


def test_a_hyperparameter_whose_distribution_depends_on_another():
    low = hp.uniform("low", 0.0, 1.0)
    space = Space({"low": low, "x": hp.uniform("x", low, low + 1.0)})
    observations = search(suggest, space, lambda values: values["x"], 15, seed=0)

    values = suggest(space, observations, 99)

    assert values["low"] <= values["x"] <= values["low"] + 1.0


def test_a_branch_that_is_computed():
    n = hp.randint("n", 6)
    space = Space(scope.switch(n % 2, {"e": hp.uniform("e", 0, 1)}, {"o": hp.uniform("o", 0, 1)}))

    observations = search(suggest, space, lambda values: float(values["n"]), 6, seed=0)

    assert np.isfinite(observations.losses).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acquisition": "logie"}, "did you mean 'logei'"),
        ({"kernel": "matern"}, "kernel must be one of"),
        ({"n_startup_jobs": 0}, "n_startup_jobs must be at least 1"),
        ({"n_candidates": 2.5}, "n_candidates must be a whole number"),
        ({"kappa": -1.0}, "kappa must be at least 0"),
        ({"margin": math.nan}, "margin must be finite"),
        ({"acquisitoin": "ei"}, "did you mean 'acquisition'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        gp.suggest([0], Domain(abs, X.expr), Trials(), 0, **options)
