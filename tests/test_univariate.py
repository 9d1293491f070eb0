"""The univariate estimator, hyperopt's: what it learns from, proposes and refuses."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from scipy import stats

from hpo import hp, rand, univariate
from hpo.algobase import known_rows, suggestion_rng
from hpo.document import JOB_STATE_CANCEL, JOB_STATE_DONE, JOB_STATE_NEW, new_trial
from hpo.domain import Domain
from hpo.exceptions import InvalidOption
from hpo.observations import Observations
from hpo.space import Space
from hpo.trials import Trials
from tests.searches import (
    EVERY_KIND,
    EXTREME_KINDS,
    at_random,
    failed,
    finished,
    observe,
    search,
)

X = Space({"x": hp.uniform("x", -5.0, 5.0)})

BRANCHES = Space(
    hp.choice(
        "model",
        [
            {"kind": "svm", "C": hp.loguniform("C", -5, 5)},
            {"kind": "forest", "depth": hp.uniformint("depth", 1, 20)},
        ],
    )
)


# --- searching ---


def test_it_beats_random_search_on_a_smooth_function():
    space = Space({name: hp.uniform(name, -5.0, 5.0) for name in "abc"})

    def sphere(values):
        return sum((value - 1.0) ** 2 for value in values.values())

    best = {
        algorithm: [search(algorithm, space, sphere, 60, seed).losses.min() for seed in range(10)]
        for algorithm in (univariate.suggest_values, at_random)
    }

    assert np.median(best[univariate.suggest_values]) < 0.6 * np.median(best[at_random]), best


def test_it_finds_the_better_branch_and_searches_there():
    def loss_of(values):
        return 5.0 if values["model"] == 0 else abs(values["depth"] - 7)

    shares = []
    for seed in range(10):
        observations = search(univariate.suggest_values, BRANCHES, loss_of, 50, seed)
        shares.append((observations.column("model")[20:] == 1).mean())

    assert np.median(shares) > 0.6, shares


def test_it_leaves_a_region_where_trials_fail():
    rng = np.random.default_rng(0)
    trials = [failed(tid, {"x": x}) for tid, x in enumerate(rng.uniform(0, 5, 30))]
    trials += [finished(100 + tid, {"x": x}, 1.0) for tid, x in enumerate([-4.0, -1.0])]
    observations = observe(*trials)

    proposed = [univariate.suggest_values(X, observations, 200 + i, 0)["x"] for i in range(50)]

    assert np.mean(np.array(proposed) < 0) > 0.9


def test_running_trials_push_the_next_ones_away():
    seen = [finished(tid, {"x": x}, x * x) for tid, x in enumerate(np.linspace(-5, 5, 25))]
    crowd = [new_trial(100 + i, values={"x": 0.0}) for i in range(30)]

    def distance(observations):
        drawn = [univariate.suggest_values(X, observations, 500 + i, 0)["x"] for i in range(40)]
        return np.median(np.abs(drawn))

    assert distance(observe(*seen, *crowd)) > distance(observe(*seen))


# --- what a proposal depends on ---


def test_a_proposal_depends_on_seed_and_tid_alone():
    observations = search(at_random, BRANCHES, lambda values: float(values["model"]), 30, seed=1)

    def propose(tid, seed):
        return univariate.suggest_values(BRANCHES, observations, tid, seed)

    assert propose(50, 1) == propose(50, 1)
    different = {str(propose(tid, seed)) for tid in range(50, 55) for seed in range(3)}
    assert len(different) > 10


def test_the_order_of_arrival_does_not_matter():
    documents = [
        finished(tid, rand.suggest_values(BRANCHES, tid, 0), math.sin(tid)) for tid in range(40)
    ]
    shuffled = [documents[i] for i in np.random.default_rng(0).permutation(40)]

    there = univariate.suggest_values(BRANCHES, observe(*documents), 40, 0)
    back = univariate.suggest_values(BRANCHES, observe(*shuffled), 40, 0)

    assert there == back


def test_asking_for_several_is_asking_for_one_after_the_other():
    domain, together, apart = Domain(sum, BRANCHES.expr), Trials(), Trials()
    for trials in (together, apart):
        documents = rand.suggest(trials.new_trial_ids(25), domain, trials, 0)
        for document in documents:
            document["state"] = JOB_STATE_DONE
            document["result"] = {"status": "ok", "loss": math.sin(document["tid"])}
        trials.insert_trial_docs(documents)
        trials.refresh()
    new_ids = [100, 101, 102, 103]

    at_once = univariate.suggest(new_ids, domain, together, 7)
    one_by_one = []
    for tid in new_ids:
        proposed = univariate.suggest([tid], domain, apart, 7)
        apart.insert_trial_docs(proposed)
        apart.refresh()
        one_by_one += proposed

    assert [d["misc"]["vals"] for d in at_once] == [d["misc"]["vals"] for d in one_by_one]
    assert [d["tid"] for d in at_once] == new_ids
    assert [d["state"] for d in at_once] == [JOB_STATE_NEW] * 4
    # Nothing was added to what the caller's trials know.
    assert len(together.observations()) == 25


# --- the start ---


@pytest.mark.parametrize("n_seen", [0, 1, 19])
def test_below_the_start_up_length_it_draws_at_random(n_seen):
    documents = [finished(tid, {"x": 1.0}, 1.0) for tid in range(n_seen)]

    proposed = univariate.suggest_values(X, observe(*documents), 99, 3)

    assert proposed == rand.suggest_values(X, 99, 3)


def test_known_points_failures_and_running_trials_count_as_start():
    history = [
        finished(0, {"x": 1.0}, 1.0),
        failed(1, {"x": 2.0}),
        new_trial(2, values={"x": 3.0}),
    ]
    options = univariate.Options(n_startup_jobs=3)

    assert univariate.suggest_values(X, observe(*history), 9, 3, options) != rand.suggest_values(
        X, 9, 3
    )


def test_cancelled_and_lost_trials_say_nothing():
    cancelled = {**new_trial(1, values={"x": 1.0}), "state": JOB_STATE_CANCEL}
    lost = {**failed(2, {"x": 1.0}), "error": ["LostWorker", "gone"]}
    options = univariate.Options(n_startup_jobs=1)

    proposed = univariate.suggest_values(X, observe(cancelled, lost), 9, 3, options)

    assert proposed == rand.suggest_values(X, 9, 3)


def test_without_any_start_the_first_proposal_comes_from_the_prior():
    options = univariate.Options(n_startup_jobs=0)

    drawn = [
        univariate.suggest_values(X, Observations(), tid, 0, options)["x"] for tid in range(300)
    ]

    # One component, the prior: a normal over the range, twice as wide.
    prior = stats.truncnorm(-0.5, 0.5, loc=0.0, scale=10.0)
    assert stats.kstest(drawn, prior.cdf).pvalue > 0.001


# --- histories that hold little ---


@pytest.mark.parametrize(
    "losses",
    [
        [None] * 30,
        [1.0] * 30,
        [math.nan] * 30,
        [math.inf] * 30,
        [-math.inf] + [math.inf] * 29,
        [3.0] + [None] * 29,
    ],
    ids=["all failed", "all equal", "all NaN", "all infinite", "both infinities", "one loss"],
)
def test_a_history_that_says_little_gives_proposals_in_range(losses):
    observations = Observations()
    for tid, loss in enumerate(losses):
        values = rand.suggest_values(BRANCHES, tid, 0)
        observations.update(failed(tid, values) if loss is None else finished(tid, values, loss))

    for tid in range(100, 120):
        values = univariate.suggest_values(BRANCHES, observations, tid, 0)
        if values["model"] == 0:
            assert math.exp(-5) <= values["C"] <= math.exp(5)
        else:
            assert 1 <= values["depth"] <= 20


def test_one_observation_is_enough():
    options = univariate.Options(n_startup_jobs=1)

    x = univariate.suggest_values(X, observe(finished(0, {"x": 2.0}, 1.0)), 1, 0, options)["x"]

    assert -5 <= x <= 5


@pytest.mark.parametrize(
    "values", [[-5.0, 5.0], [-1e9, 1e9], [5.0, 5.0], [0.0, 0.0], [math.inf, 1.0]]
)
def test_values_on_and_outside_the_bounds_give_proposals_inside(values):
    documents = [finished(tid, {"x": values[tid % 2]}, tid) for tid in range(30)]

    for tid in range(100, 110):
        assert -5 <= univariate.suggest_values(X, observe(*documents), tid, 0)["x"] <= 5


def test_results_injected_from_one_trial_count_once_by_the_best():
    observations = observe(finished(0, {"x": 0.0}, 5.0), finished(1, {"x": 1.0}, 4.0))
    for tid, loss in [(2, 3.0), (3, 9.0)]:
        injected = finished(tid, {"x": 2.0}, loss)
        injected["misc"]["from_tid"] = 0
        observations.update(injected)

    assert known_rows(observations).tolist() == [2, 1]


# --- kinds of hyperparameters ---


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_gets_values_that_its_prior_could_draw(kind):
    space = Space({"v": EVERY_KIND[kind]})
    ((label, hyperparameter),) = space.hyperparameters.items()

    observations = search(at_random, space, lambda values: float(values[label]), 30, seed=0)

    for tid in range(100, 130):
        value = univariate.suggest_values(space, observations, tid, 0)[label]
        assert hyperparameter.prior.contains(value), value
        assert type(value) is (int if hyperparameter.is_integer else float)
        observations.update(finished(tid, {label: value}, float(value)))
    # The loss is the value itself, so the search goes down.
    late, early = observations.column(label)[-30:], observations.column(label)[:30]
    assert np.median(late) <= np.median(early)


@pytest.mark.parametrize("kind", EXTREME_KINDS)
def test_extreme_spaces_get_finite_values_in_range(kind):
    space = Space({"v": EXTREME_KINDS[kind]})
    ((label, hyperparameter),) = space.hyperparameters.items()
    options = univariate.Options(n_startup_jobs=5)

    observations = search(
        partial(univariate.suggest_values, options=options),
        space,
        lambda v: math.sin(v[label]),
        30,
        0,
    )

    assert all(hyperparameter.prior.contains(value) for value in observations.column(label))


def test_only_active_hyperparameters_are_proposed():
    observations = search(at_random, BRANCHES, lambda values: 1.0, 30, seed=0)

    for tid in range(40, 80):
        values = univariate.suggest_values(BRANCHES, observations, tid, 0)
        assert set(values) == {"model", ["C", "depth"][values["model"]]}


def test_bounds_that_depend_on_another_hyperparameter_are_kept():
    width = hp.uniform("width", 1.0, 2.0)
    space = Space({"width": width, "x": hp.uniform("x", 0.0, width)})
    observations = search(at_random, space, lambda values: values["x"], 30, seed=0)

    for tid in range(40, 60):
        values = univariate.suggest_values(space, observations, tid, 0)
        assert 0 <= values["x"] <= values["width"]


def test_zero_in_a_log_scaled_history_is_harmless():
    space = Space({"n": hp.qloguniform("n", -2.0, 5.0, 1.0)})
    documents = [finished(tid, {"n": float(tid % 3)}, float(tid)) for tid in range(40)]

    for tid in range(50, 70):
        assert univariate.suggest_values(space, observe(*documents), tid, 0)["n"] >= 0


# --- agreement with the definition ---


def test_it_takes_the_best_ratio_among_the_candidates_of_the_good():
    rng = np.random.default_rng(0)
    documents = [
        finished(tid, {"x": x}, abs(x - 1)) for tid, x in enumerate(rng.uniform(-5, 5, 40))
    ]
    observations = observe(*documents)

    proposed = univariate.suggest_values(X, observations, 40, 5)["x"]

    # The same, slowly: 40 trials have ceil(0.25 sqrt(40)) = 2 good ones.
    by_loss = sorted(documents, key=lambda d: d["result"]["loss"])
    good_tids = {d["tid"] for d in by_loss[:2]}
    groups = {True: [], False: []}
    for document in documents:
        groups[document["tid"] in good_tids].append(document["misc"]["vals"]["x"][0])
    good, rest = (
        univariate.fit_estimator(X.hyperparameters["x"].prior, np.array(groups[key]), 1.0)
        for key in (True, False)
    )
    candidates = good.sample(suggestion_rng(5, 40), 24)
    ratios = [slow_density(good, x) / slow_density(rest, x) for x in candidates]
    assert proposed == candidates[int(np.argmax(ratios))]


def slow_density(mixture, x):
    total = accepted = 0.0
    for weight, mu, sigma in zip(mixture.weights, mixture.mus, mixture.sigmas, strict=True):
        component = stats.norm(mu, sigma)
        total += weight * component.pdf(x)
        accepted += weight * (component.cdf(5.0) - component.cdf(-5.0))
    return total / accepted


def test_more_candidates_find_a_larger_ratio():
    xs = np.linspace(-5, 5, 40)
    observations = observe(*(finished(tid, {"x": x}, x * x) for tid, x in enumerate(xs)))
    is_good = np.isin(np.arange(40), [19, 20])
    prior = X.hyperparameters["x"].prior
    good, rest = (univariate.fit_estimator(prior, xs[group], 1.0) for group in (is_good, ~is_good))

    def median_log_ratio(n_candidates):
        options = univariate.Options(n_EI_candidates=n_candidates)
        x = [
            univariate.suggest_values(X, observations, tid, 0, options)["x"]
            for tid in range(40, 90)
        ]
        return np.median(good.log_density(x) - rest.log_density(x))

    assert median_log_ratio(100) > median_log_ratio(10) > median_log_ratio(1)


# --- options ---


def test_hyperopts_defaults_can_be_read():
    assert univariate._default_prior_weight == 1.0
    assert univariate._default_n_EI_candidates == 24
    assert univariate._default_gamma == 0.25
    assert univariate._default_n_startup_jobs == 20
    assert univariate._default_linear_forgetting == 25


def test_options_come_through_partial():
    algorithm = partial(
        univariate.suggest, n_startup_jobs=0, gamma=0.5, n_EI_candidates=8, verbose=False
    )

    (document,) = algorithm([3], Domain(abs, hp.uniform("x", 0, 1)), Trials(), 1)

    assert 0 <= document["misc"]["vals"]["x"][0] <= 1
    assert document["misc"]["idxs"] == {"x": [3]}


def test_a_misspelt_option_is_refused_with_a_suggestion():
    with pytest.raises(InvalidOption, match="no option 'gama'; did you mean 'gamma'"):
        univariate.suggest([0], Domain(abs, hp.uniform("x", 0, 1)), Trials(), 1, gama=0.5)


@pytest.mark.parametrize(
    "option",
    [
        {"gamma": 0.0},
        {"gamma": "0.25"},
        {"prior_weight": -1.0},
        {"prior_weight": math.nan},
        {"n_EI_candidates": 0},
        {"n_EI_candidates": 2.5},
        {"n_startup_jobs": None},
    ],
)
def test_an_impossible_option_is_refused_by_name(option):
    with pytest.raises(InvalidOption, match=next(iter(option))):
        univariate.Options(**option)


def test_a_seed_that_is_no_number_is_refused():
    with pytest.raises(InvalidOption, match="seed must be an integer"):
        univariate.suggest([0], Domain(abs, hp.uniform("x", 0, 1)), Trials(), "today")


def test_a_prior_without_weight_is_allowed():
    options = univariate.Options(prior_weight=0.0)
    observations = search(at_random, BRANCHES, lambda values: 1.0, 30, seed=0)

    for tid in range(40, 60):
        assert univariate.suggest_values(BRANCHES, observations, tid, 0, options)


def test_it_says_what_it_used(caplog):
    domain, trials = Domain(abs, hp.uniform("x", 0, 1)), Trials()

    with caplog.at_level("INFO", logger="hpo.univariate"):
        univariate.suggest([0], domain, trials, 1)
        univariate.suggest([0], domain, trials, 1, verbose=False)

    assert caplog.messages == ["TPE using 0 trials, 0 with a loss, no loss yet"]
