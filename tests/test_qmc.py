"""Quasi-random search proposes one sequence of points, whoever asks and in whatever portions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc as scipy_qmc

from hpo import fmin, hp, qmc
from hpo.domain import Domain
from hpo.exceptions import InvalidOption
from hpo.pyll import scope
from hpo.sequence import METHODS
from hpo.space import Space
from hpo.trials import Trials
from tests.searches import EVERY_KIND, EXTREME_KINDS

BOX = {name: hp.uniform(name, 0.0, 1.0) for name in "abcd"}


def zero(config):
    return 0.0


def propose(domain, trials, n, seed=0, **options):
    documents = qmc.suggest(trials.new_trial_ids(n), domain, trials, seed, **options)
    trials.insert_trial_docs(documents)
    trials.refresh()
    return [
        {label: vals[0] for label, vals in d["misc"]["vals"].items() if vals} for d in documents
    ]


def as_array(configurations):
    return np.array([list(values.values()) for values in configurations])


@pytest.mark.parametrize("method", METHODS)
def test_its_points_are_spread_more_evenly_than_random_ones(method):
    random = [scipy_qmc.discrepancy(np.random.default_rng(s).random((50, 4))) for s in range(20)]

    for seed in range(10):
        points = as_array(propose(Domain(zero, BOX), Trials(), 50, seed, method=method))
        assert scipy_qmc.discrepancy(points) < min(random)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_gets_the_points_that_it_would_get_one_by_one(method):
    domain, one_by_one, in_batches = Domain(zero, BOX), Trials(), Trials()

    first = [propose(domain, one_by_one, 1, method=method)[0] for _ in range(12)]
    second = [
        values for n in (5, 1, 6) for values in propose(domain, in_batches, n, method=method)
    ]

    assert first == second


def test_a_resumed_driver_goes_on_where_the_last_one_left_off():
    whole, stored = Trials(), Trials()
    propose(Domain(zero, BOX), whole, 20)
    propose(Domain(zero, BOX), stored, 8)

    propose(Domain(zero, BOX), stored, 12)

    assert stored.vals == whole.vals


def test_the_searchs_own_seed_holds_the_points_together_when_every_call_has_another():
    domain, trials = Domain(zero, BOX), Trials()
    domain.search_seed = 7

    points = [propose(domain, trials, 1, seed)[0] for seed in range(64)]

    slices = np.sort((as_array(points) * 64).astype(int), axis=0)
    np.testing.assert_array_equal(slices, np.repeat(np.arange(64)[:, None], 4, axis=1))


def test_without_scrambling_it_is_the_plain_sequence():
    points = as_array(propose(Domain(zero, BOX), Trials(), 3, method="halton", scramble=False))

    expected = [
        [1 / 2, 1 / 3, 1 / 5, 1 / 7],
        [1 / 4, 2 / 3, 2 / 5, 2 / 7],
        [3 / 4, 1 / 9, 3 / 5, 3 / 7],
    ]
    np.testing.assert_allclose(np.sort(points, axis=1), np.sort(expected, axis=1))


@pytest.mark.parametrize("kind", sorted(EVERY_KIND))
def test_each_kind_is_drawn_by_its_quantiles(kind):
    space = Space({"v": EVERY_KIND[kind]})
    ((label, parameter),) = space.hyperparameters.items()

    values = [qmc.suggest_values(space, i, i, 3)[label] for i in range(256)]

    # The middle quantiles of 256 slices, one point in each.
    quantiles = parameter.prior.ppf((np.arange(256) + 0.5) / 256)
    assert all(type(v) is (int if parameter.is_integer else float) for v in values)
    statistic = stats.ks_2samp(np.array(values, float), quantiles.astype(float)).statistic
    assert statistic <= 2 / 256


@pytest.mark.parametrize("kind", sorted(EXTREME_KINDS))
def test_extreme_priors_give_finite_values(kind):
    space = Space({"v": EXTREME_KINDS[kind]})

    for index in range(20):
        value = qmc.suggest_values(space, index, index, 0)["v"]
        assert np.isfinite(value) and space.hyperparameters["v"].prior.contains(value)


def test_only_active_hyperparameters_get_a_value():
    space = Space(
        hp.choice("model", [{"c": hp.uniform("c", 0, 1)}, {"depth": hp.randint("depth", 1, 9)}])
    )

    seen = [qmc.suggest_values(space, i, i, 0) for i in range(64)]

    assert {frozenset(values) for values in seen} == {
        frozenset({"model", "c"}),
        frozenset({"model", "depth"}),
    }
    assert sum(values["model"] for values in seen) == 32


def test_a_distribution_that_depends_on_another_value_is_drawn():
    x = hp.uniform("x", 1.0, 2.0)
    space = Space({"x": x, "y": hp.uniform("y", 0.0, scope.float(x))})

    first, again = ([qmc.suggest_values(space, i, i, 4) for i in range(30)] for _ in range(2))

    assert first == again
    assert all(0.0 <= values["y"] <= values["x"] for values in first)
    assert len({values["y"] for values in first}) == 30


def test_documents_say_which_point_they_are():
    domain, trials = Domain(zero, BOX), Trials()
    propose(domain, trials, 3)

    (document,) = qmc.suggest(trials.new_trial_ids(1), domain, trials, 5, method="halton")

    record = document["suggested_by"]
    assert (record["algorithm"], record["seed"], record["start"]) == ("qmc", 5, 3)
    assert record["options"] == {"method": "halton", "scramble": True}


def test_fmin_searches_with_it():
    trials = Trials()

    fmin(
        lambda c: c["a"],
        BOX,
        algo=qmc.suggest,
        max_evals=16,
        trials=trials,
        rstate=np.random.default_rng(0),
        show_progressbar=False,
    )

    assert len(trials) == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "sobel"}, "sobel.*did you mean 'sobol'"),
        ({"scramble": 1}, "scramble must be True or False, not 1"),
        ({"scrambel": True}, "did you mean 'scramble'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        propose(Domain(zero, BOX), Trials(), 1, **options)
