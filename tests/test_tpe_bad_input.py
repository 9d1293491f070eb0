"""Whatever the history and the space, proposals are finite and in range, or an error says why."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from hpo import hp, rand, tpe
from hpo.algobase import known_rows
from hpo.domain import Domain
from hpo.exceptions import InvalidOption
from hpo.observations import Observations
from hpo.space import Space
from hpo.trials import Trials
from tests.searches import EVERY_KIND, EXTREME_KINDS, at_random, failed, finished, observe, search

X = Space({"x": hp.uniform("x", -5.0, 5.0)})

BRANCHES = Space(
    {
        "model": hp.choice(
            "model",
            [
                {"kind": "svm", "C": hp.loguniform("C", -5, 5)},
                {"kind": "forest", "depth": hp.uniformint("depth", 1, 20)},
            ],
        ),
        "shared": hp.normal("shared", 0.0, 1.0),
    }
)


def assert_possible(space, values):
    """Exactly the active labels have a value, and their priors could have drawn it."""
    assert set(values) == set(space.active_labels(values))
    for label, value in values.items():
        hyperparameter = space.hyperparameters[label]
        assert type(value) is (int if hyperparameter.is_integer else float), (label, value)
        if hyperparameter.prior is not None:
            assert hyperparameter.prior.contains(value), (label, value)


# --- histories ---------------------------------------------------------------------------

HISTORIES = {
    "one loss": [3.0],
    "one failure": [None],
    "one loss among failures": [3.0] + [None] * 29,
    "all failed": [None] * 30,
    "all equal": [1.0] * 30,
    "all zero": [0.0] * 30,
    "all NaN": [math.nan] * 30,
    "all infinite": [math.inf] * 30,
    "all minus infinite": [-math.inf] * 30,
    "both infinities": [-math.inf] + [math.inf] * 29,
    "infinite and finite": [math.inf, 1.0, 2.0] * 10,
    "minus infinite and finite": [-math.inf, 1.0, 2.0] * 10,
    "NaN and finite": [math.nan, 1.0] * 15,
    "huge": [1.7e308, -1.7e308, 0.0] * 10,
    "tiny": [5e-324, 0.0, -5e-324] * 10,
}


@pytest.mark.parametrize("regression", [False, True], ids=["estimators", "regression"])
@pytest.mark.parametrize("noisy", [False, True], ids=["exact", "noisy"])
@pytest.mark.parametrize("history", HISTORIES)
def test_any_losses(history, noisy, regression):
    observations = Observations()
    for tid, loss in enumerate(HISTORIES[history]):
        values = rand.suggest_values(BRANCHES, tid, 0)
        observations.update(failed(tid, values) if loss is None else finished(tid, values, loss))
    options = tpe.Options(n_startup_jobs=1, noisy=noisy, regression=regression)

    for tid in range(100, 115):
        assert_possible(BRANCHES, tpe.suggest_values(BRANCHES, observations, tid, 0, options))


def test_no_history_and_no_start():
    options = tpe.Options(n_startup_jobs=0)

    for tid in range(10):
        assert_possible(BRANCHES, tpe.suggest_values(BRANCHES, Observations(), tid, 0, options))


@pytest.mark.parametrize("regression", [False, True], ids=["estimators", "regression"])
@pytest.mark.parametrize(
    "xs",
    [
        [-5.0, 5.0], [5.0, 5.0], [0.0, 0.0], [-1e9, 1e9], [math.inf, 1.0], [-math.inf, math.inf],
        [math.nan, 1.0], [1e308, -1e308],
    ],
    ids=str,
)  # fmt: skip
def test_values_on_and_outside_the_bounds(xs, regression):
    observations = observe(*(finished(tid, {"x": xs[tid % 2]}, tid) for tid in range(30)))
    options = tpe.Options(regression=regression)

    for tid in range(100, 110):
        assert_possible(X, tpe.suggest_values(X, observations, tid, 0, options))


def test_values_of_another_space():
    strangers = [
        finished(tid, {"model": 7, "gone": 1.0, "depth": -3.0}, float(tid)) for tid in range(15)
    ]
    known = [
        finished(tid, rand.suggest_values(BRANCHES, tid, 0), float(tid)) for tid in range(20, 40)
    ]

    for documents in (strangers, [*strangers, *known]):
        for tid in range(100, 115):
            values = tpe.suggest_values(BRANCHES, observe(*documents), tid, 0)
            assert_possible(BRANCHES, values)


def test_an_option_of_probability_zero_that_was_tried():
    space = Space({"c": hp.pchoice("c", [(0.0, "a"), (1.0, "b")]), "x": hp.uniform("x", 0, 1)})
    documents = [finished(tid, {"c": 0, "x": 0.05 * tid}, tid) for tid in range(20)]

    for tid in range(100, 120):
        values = tpe.suggest_values(space, observe(*documents), tid, 0)
        assert values["c"] in (0, 1)
        assert 0.0 <= values["x"] <= 1.0


def test_zero_in_a_log_scaled_history():
    space = Space({"n": hp.qloguniform("n", -2.0, 5.0, 1.0), "x": hp.uniform("x", 0, 1)})
    documents = [finished(tid, {"n": float(tid % 3), "x": 0.5}, tid) for tid in range(40)]

    for tid in range(50, 70):
        assert_possible(space, tpe.suggest_values(space, observe(*documents), tid, 0))


def test_results_injected_from_one_trial_count_once_by_the_best():
    observations = observe(finished(0, {"x": 0.0}, 5.0), finished(1, {"x": 1.0}, 4.0))
    for tid, loss in [(2, 3.0), (3, 9.0)]:
        injected = finished(tid, {"x": 2.0}, loss)
        injected["misc"]["from_tid"] = 0
        observations.update(injected)

    assert known_rows(observations).tolist() == [2, 1]


# --- spaces ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_of_hyperparameter_is_searched_downhill(kind):
    space = Space({"v": EVERY_KIND[kind], "x": hp.uniform("x", 0.0, 1.0)})
    (label,) = set(space.hyperparameters) - {"x"}

    observations = search(at_random, space, lambda values: float(values[label]), 30, seed=0)

    for tid in range(100, 130):
        values = tpe.suggest_values(space, observations, tid, 0)
        assert_possible(space, values)
        observations.update(finished(tid, values, float(values[label])))
    late, early = observations.column(label)[-30:], observations.column(label)[:30]
    assert np.median(late) <= np.median(early)


@pytest.mark.parametrize("regression", [False, True], ids=["estimators", "regression"])
@pytest.mark.parametrize("kind", EXTREME_KINDS)
def test_extreme_hyperparameters(kind, regression):
    space = Space({"v": EXTREME_KINDS[kind], "x": hp.uniform("x", 0.0, 1.0)})
    options = tpe.Options(n_startup_jobs=5, regression=regression)

    def suggest(searched, observations, tid, seed):
        values = tpe.suggest_values(searched, observations, tid, seed, options)
        assert_possible(space, values)
        return values

    search(suggest, space, lambda values: math.sin(values["v"]) + values["x"], 30, 0)


@pytest.mark.parametrize("kind", EXTREME_KINDS)
def test_extreme_hyperparameters_many_at_once(kind):
    space = Space({"v": EXTREME_KINDS[kind], "x": hp.uniform("x", 0.0, 1.0)})
    domain, trials = Domain(abs, space.expr), Trials()

    documents = tpe.suggest(range(40), domain, trials, 0)

    assert len(documents) == 40
    for document in documents:
        assert_possible(space, {label: v[0] for label, v in document["misc"]["vals"].items()})


def test_a_thousand_labels():
    space = Space({f"x{i}": hp.uniform(f"x{i}", 0.0, 1.0) for i in range(1000)})
    observations = search(at_random, space, lambda values: values["x0"], 15, seed=0)

    for regression in (False, True):
        options = tpe.Options(regression=regression)
        values = tpe.suggest_values(space, observations, 20, 0, options)
        assert len(values) == 1000
        assert_possible(space, values)


def test_a_thousand_conditional_labels():
    options = [{"x": hp.uniform(f"x{i}", 0.0, 1.0), "i": i} for i in range(999)]
    space = Space(hp.choice("which", options))
    observations = search(at_random, space, lambda values: float(values["which"]), 15, seed=0)

    for tid in range(20, 30):
        regression = tpe.Options(regression=tid % 2 == 0)
        values = tpe.suggest_values(space, observations, tid, 0, regression)
        assert set(values) == {"which", f"x{values['which']}"}


def test_a_space_without_hyperparameters_has_one_configuration():
    assert len(tpe.suggest(range(3), Domain(abs, {"x": 1.0}), Trials(), 0)) == 1


def test_bounds_that_depend_on_another_hyperparameter():
    width = hp.uniform("width", 1.0, 2.0)
    space = Space({"width": width, "x": hp.uniform("x", 0.0, width)})
    observations = search(at_random, space, lambda values: values["x"], 30, seed=0)

    for tid in range(40, 60):
        values = tpe.suggest_values(space, observations, tid, 0)
        assert 0 <= values["x"] <= values["width"]


# --- options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        {"gamma": 0.0}, {"gamma": "0.25"}, {"gamma": math.inf}, {"prior_weight": -1.0},
        {"prior_weight": math.nan}, {"n_EI_candidates": 0}, {"n_EI_candidates": 2.5},
        {"n_startup_jobs": None}, {"n_startup_jobs": -1}, {"below_fraction": 0.0},
        {"below_fraction": None}, {"least_sigma": 0.0}, {"max_kernels": 1}, {"max_kernels": True},
        {"regression": 1}, {"regression": "auto"},
    ],
    ids=str,
)  # fmt: skip
def test_an_impossible_option_is_refused_by_name(option):
    (name,) = option

    with pytest.raises(InvalidOption, match=f"{name} must be"):
        tpe.suggest([0], Domain(abs, hp.uniform("x", 0, 1)), Trials(), 1, **option)


def test_a_misspelt_option_is_refused_with_a_suggestion():
    with pytest.raises(InvalidOption, match="no option 'gama'; did you mean 'gamma'"):
        tpe.suggest([0], Domain(abs, hp.uniform("x", 0, 1)), Trials(), 1, gama=0.5)


def test_a_seed_that_is_no_number_is_refused():
    with pytest.raises(InvalidOption, match="seed must be an integer"):
        tpe.suggest([0], Domain(abs, hp.uniform("x", 0, 1)), Trials(), "today")


@pytest.mark.parametrize(
    "option",
    [
        {"prior_weight": 0.0}, {"prior_weight": 1e300}, {"n_EI_candidates": 1}, {"gamma": 1e6},
        {"below_fraction": 5.0}, {"least_sigma": 1e-12}, {"least_sigma": 1e6}, {"max_kernels": 2},
    ],
    ids=str,
)  # fmt: skip
def test_the_most_extreme_options_that_are_possible(option):
    suggest = partial(tpe.suggest_values, options=tpe.Options(n_startup_jobs=3, **option))

    observations = search(suggest, BRANCHES, lambda values: float(values["shared"]), 30, 0)

    for row in range(30):
        columns = {label: observations.column(label)[row] for label in BRANCHES.hyperparameters}
        assert all(math.isnan(value) or math.isfinite(value) for value in columns.values())
