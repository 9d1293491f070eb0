"""Annealing proposes near good trials, and nearer as there are more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpo import anneal, fmin, hp
from hpo.document import JOB_STATE_NEW, new_trial
from hpo.domain import Domain
from hpo.exceptions import InvalidOption
from hpo.observations import Observations
from hpo.space import Space
from hpo.trials import Trials, miscs_to_idxs_vals
from tests.searches import (
    EVERY_KIND,
    EXTREME_KINDS,
    at_random,
    finished,
    observe,
    search,
    stopped,
)

X = Space({"x": hp.uniform("x", -5.0, 5.0)})


def draws(space, observations, n_draws=300, options=None):
    return [anneal.suggest_values(space, observations, tid, 0, options) for tid in range(n_draws)]


def test_it_beats_random_search_on_a_smooth_function():
    space = Space({name: hp.uniform(name, -5.0, 5.0) for name in "abc"})

    def sphere(values):
        return sum((value - 1.0) ** 2 for value in values.values())

    ours, random = (
        [search(algorithm, space, sphere, 60, seed).losses.min() for seed in range(10)]
        for algorithm in (anneal.suggest_values, at_random)
    )

    assert np.median(ours) < 0.5 * np.median(random)


def test_without_a_loss_it_draws_from_the_prior():
    running = new_trial(0, values={"x": 0.0})
    failed = {**finished(1, {"x": 0.0}, None), "result": {"status": "fail"}}

    for observations in (Observations(), observe(running, failed)):
        drawn = [values["x"] for values in draws(X, observations)]
        assert stats.kstest(drawn, stats.uniform(-5, 10).cdf).pvalue > 0.001


def picked(observations):
    """The values that are drawn near when everything is drawn very near."""
    options = anneal.Options(avg_best_idx=1.0, shrink_coef=1e6)
    return {round(values["x"], 1) for values in draws(X, observations, 20, options)}


def test_a_stopped_trial_is_good_only_after_the_complete_ones():
    complete, further = finished(0, {"x": 1.0}, 0.9), stopped(1, {"x": 2.0}, 0.5, step=9)
    earlier = stopped(2, {"x": 3.0}, 0.1, step=3)

    assert picked(observe(complete, further, earlier)) == {1.0}
    assert picked(observe(further, earlier)) == {2.0}
    assert picked(observe(earlier)) == {3.0}


@pytest.mark.parametrize(("model", "window"), [(0.0, (-2.5, 2.5)), (4.0, (0.0, 5.0))])
def test_the_window_around_the_best_shrinks_and_stays_inside_the_bounds(model, window):
    # After 10 trials the width is 1 / (1 + 10 * 0.1), half of the range.
    observations = observe(*(finished(tid, {"x": model}, 1.0) for tid in range(10)))

    drawn = [values["x"] for values in draws(X, observations)]

    low, high = window
    assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).pvalue > 0.001


def test_a_normal_kind_keeps_its_shape_with_a_smaller_deviation():
    space = Space(hp.lognormal("x", 0.0, 2.0))
    observations = observe(*(finished(tid, {"x": math.e}, 1.0) for tid in range(30)))

    drawn = np.log([values["x"] for values in draws(space, observations)])

    assert stats.kstest(drawn, stats.norm(1.0, 2.0 / 4.0).cdf).pvalue > 0.001


def test_a_choice_keeps_the_good_option_more_often():
    space = Space(hp.pchoice("c", [(0.5, "a"), (0.3, "b"), (0.2, "c")]))
    observations = observe(*(finished(tid, {"c": 2}, 1.0) for tid in range(30)))

    drawn = [values["c"] for values in draws(space, observations, 1000)]

    # Three quarters stay, the rest come from the prior.
    expected = 1000 * np.array([0.25 * 0.5, 0.25 * 0.3, 0.75 + 0.25 * 0.2])
    assert stats.chisquare(np.bincount(drawn, minlength=3), expected).pvalue > 0.001


def test_the_best_trials_are_picked_with_geometric_ranks():
    observations = observe(*(finished(tid, {"x": float(tid - 5)}, tid) for tid in range(11)))
    narrow = anneal.Options(avg_best_idx=2.0, shrink_coef=1e9)

    drawn = [round(values["x"]) + 5 for values in draws(X, observations, 1000, narrow)]

    ranks = np.bincount(drawn, minlength=11)
    expected = 1000 * 0.5 ** np.arange(1, 12)
    expected[-1] = 1000 - expected[:-1].sum()
    grouped = [*ranks[:5], ranks[5:].sum()], [*expected[:5], expected[5:].sum()]
    assert stats.chisquare(*grouped).pvalue > 0.001


def test_hyperparameters_come_from_the_same_good_trial():
    space = Space({"a": hp.uniform("a", -5.0, 5.0), "b": hp.uniform("b", -5.0, 5.0)})
    observations = observe(
        *(finished(tid, {"a": a, "b": -a}, 1.0) for tid, a in enumerate([-4.0, -2.0, 2.0, 4.0]))
    )
    narrow = anneal.Options(shrink_coef=1e9)

    for values in draws(space, observations, 50, narrow):
        assert values["a"] == pytest.approx(-values["b"], abs=1e-6)


def test_what_the_picked_trial_lacks_comes_from_another_or_the_prior():
    space = Space(
        hp.choice("m", [{"x": hp.uniform("x", 0.0, 1.0)}, {"y": hp.uniform("y", 0.0, 1.0)}])
    )
    observations = observe(*(finished(tid, {"m": 0, "x": 0.5}, 1.0) for tid in range(3)))

    drawn = draws(space, observations, 1000)

    assert {frozenset(values) for values in drawn} == {frozenset("mx"), frozenset("my")}
    y = [values["y"] for values in drawn if "y" in values]
    assert stats.kstest(y, "uniform").pvalue > 0.001


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_gets_values_that_its_prior_could_draw(kind):
    space = Space({"v": EVERY_KIND[kind]})
    ((label, hyperparameter),) = space.hyperparameters.items()
    observations = search(at_random, space, lambda values: float(values[label]), 20, seed=0)

    for values in draws(space, observations, 50):
        assert hyperparameter.prior.contains(values[label]), values
        assert type(values[label]) is (int if hyperparameter.is_integer else float)


@pytest.mark.parametrize("kind", EXTREME_KINDS)
def test_extreme_spaces_get_finite_values_in_range(kind):
    space = Space({"v": EXTREME_KINDS[kind]})
    ((label, hyperparameter),) = space.hyperparameters.items()

    observations = search(anneal.suggest_values, space, lambda v: math.sin(v[label]), 30, 0)

    assert all(hyperparameter.prior.contains(value) for value in observations.column(label))


def test_an_option_that_no_longer_exists_is_not_proposed():
    space = Space(hp.choice("c", ["a", "b"]))
    observations = observe(*(finished(tid, {"c": 7}, 1.0) for tid in range(30)))

    assert {values["c"] for values in draws(space, observations, 50)} == {0, 1}


def test_each_id_gets_a_document():
    domain, trials = Domain(abs, hp.uniform("x", 0.0, 1.0)), Trials()

    documents = anneal.suggest([3, 5], domain, trials, 1)

    assert [document["tid"] for document in documents] == [3, 5]
    assert [document["state"] for document in documents] == [JOB_STATE_NEW] * 2
    assert (
        documents[0]["misc"]["vals"] == anneal.suggest([3], domain, trials, 1)[0]["misc"]["vals"]
    )


@pytest.mark.parametrize("option", [{"avg_best_idx": 0.5}, {"shrink_coef": -0.1}])
def test_an_impossible_option_is_refused_by_name(option):
    with pytest.raises(InvalidOption, match=next(iter(option))):
        anneal.Options(**option)


def test_a_misspelt_option_is_refused_with_a_suggestion():
    with pytest.raises(InvalidOption, match="did you mean 'shrink_coef'"):
        anneal.suggest([0], Domain(abs, hp.uniform("x", 0.0, 1.0)), Trials(), 1, shrink_coeff=0.2)


def test_a_batch_is_the_same_configurations_as_columns():
    model = hp.choice("model", ["none", {"depth": hp.randint("depth", 9)}])
    domain = Domain(len, {"x": hp.uniform("x", 0, 1), "model": model})
    trials = Trials()
    for tid in range(5):
        values = {"x": 0.1 * tid, "model": 1, "depth": tid}
        trials.insert_trial_doc(finished(tid, values, float(tid)))
    trials.refresh()
    ids = list(range(10, 18))

    idxs, vals = anneal.suggest_batch(ids, domain, trials, 3, shrink_coef=0.5)

    documents = anneal.suggest(ids, domain, trials, 3, shrink_coef=0.5)
    assert (idxs, vals) == miscs_to_idxs_vals([document["misc"] for document in documents])
    assert idxs["x"] == ids


def test_a_batch_knows_the_same_options():
    with pytest.raises(InvalidOption, match="suggest_batch has no option 'shrink'"):
        anneal.suggest_batch([0], Domain(abs, hp.uniform("x", 0, 1)), Trials(), 1, shrink=0.1)


# --- for subclasses ------------------------------------------------------------------------


MIXED = {
    "model": hp.choice("model", [hp.randint("depth", 9), hp.normal("degree", 3.0, 1.0)]),
    "lr": hp.loguniform("lr", -5.0, 0.0),
    "width": hp.uniformint("width", 1, 64),
    "noise": stats.gamma(2.0),
}


def searched(space, loss, max_evals=30, algo=anneal.suggest):
    trials = Trials()
    fmin(loss, space, algo, max_evals, trials=trials, rstate=1, return_argmin=False, verbose=False)
    return trials


def test_the_class_draws_as_the_function_does():
    space = [hp.uniform(label, -5.0, 5.0) for label in "abc"]
    trials = searched(space, lambda values: sum((value - 1.0) ** 2 for value in values))
    domain = Domain(len, space)

    (ours,) = anneal.suggest([99], domain, trials, 7)
    (theirs,) = anneal.AnnealingAlgo(domain, trials, 7)(99)

    assert theirs["misc"]["vals"] == ours["misc"]["vals"]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_class_stays_inside_every_kind_of_distribution(kind):
    space = {"v": EVERY_KIND[kind]}
    trials = searched(space, lambda config: 0.0)
    algorithm = anneal.AnnealingAlgo(domain := Domain(len, space), trials, 7)

    _, vals = algorithm.batch(range(50))

    (parameter,) = domain.space.hyperparameters.values()
    assert all(
        parameter.prior.contains(parameter.as_value(value)) for value in vals[parameter.label]
    )


def test_a_subclass_changes_how_one_distribution_is_drawn_from():
    calls = []

    class Tidy(anneal.AnnealingAlgo):
        def hp_loguniform(self, memo, node, label, tid, val):
            calls.append((label, memo[node.arg["low"]], tid, val))
            return [math.exp(-3.0)]

    trials = searched(
        MIXED, lambda config: config["lr"], algo=lambda *given: Tidy(*given[1:])(given[0][0])
    )

    (label, low, (tid,), (value,)), *_ = calls
    assert (label, low) == ("lr", -5.0)
    assert trials.vals["lr"][trials.tids.index(tid)] == value
    assert trials.vals["lr"][1:] == [math.exp(-3.0)] * 29


def test_the_class_shows_what_it_works_on():
    trials = searched(MIXED, lambda config: config["lr"])
    algorithm = anneal.AnnealingAlgo(Domain(len, MIXED), trials, 7, shrink_coef=0.5)

    assert list(algorithm.tids) == trials.tids
    assert list(algorithm.losses) == trials.losses()
    assert algorithm.node_vals["width"] == trials.vals["width"]
    assert algorithm.node_tids["depth"] == trials.idxs["depth"]
    assert algorithm.shrinking("lr") == 1 / (1 + 30 * 0.5)


def test_one_trial_is_the_model_of_all_the_labels_it_has():
    algorithm = anneal.AnnealingAlgo(
        Domain(len, MIXED), searched(MIXED, lambda config: config["lr"]), 7
    )

    first, second, many = (
        algorithm.choose_ltv(label, size) for label, size in [("lr", 1), ("width", 1), ("lr", 5)]
    )

    losses, tids, values = zip(first, second, many, strict=True)
    assert tids[0] == tids[1] == algorithm.best_tids[:1]
    assert len(losses[2]) == len(tids[2]) == len(values[2]) == 5


def test_a_trial_without_a_loss_is_no_model_of_the_class_either():
    trials = searched(MIXED, lambda config: {"status": "fail"})
    algorithm = anneal.AnnealingAlgo(Domain(len, MIXED), trials, 7)

    assert algorithm.choose_ltv("lr", 1) is None
    assert algorithm(99)[0]["tid"] == 99


def test_the_class_refuses_options_that_make_no_sense():
    with pytest.raises(InvalidOption, match="avg_best_idx must be at least 1"):
        anneal.AnnealingAlgo(Domain(len, MIXED), Trials(), 7, avg_best_idx=0.5)
