"""The search that is a scikit-learn estimator."""

from __future__ import annotations

import pickle
from unittest import SkipTest

import numpy as np
import pytest

from hpo import Trials, hp, rand
from hpo.exceptions import InvalidOption

pytestmark = pytest.mark.demo

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is optional")

from sklearn.base import clone  # noqa: E402  (only where there is a scikit-learn)
from sklearn.linear_model import Ridge, RidgeClassifier  # noqa: E402

from hpo.sklearn import HyperoptSearchCV  # noqa: E402

ALPHA = {"alpha": hp.loguniform("alpha", -8.0, 8.0)}


def measurements(n=60, seed=0):
    """Points on a noisy plane in five dimensions."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    return x, x @ np.array([3.0, -2.0, 0.0, 0.0, 1.0]) + 0.1 * rng.normal(size=n)


def search(**options):
    return HyperoptSearchCV(
        Ridge(), ALPHA, **{"max_evals": 8, "algo": rand.suggest, "random_state": 1, **options}
    )


def test_it_finds_parameters_and_predicts_with_them():
    x, y = measurements()

    found = search(max_evals=25).fit(x, y)

    scores = found.cv_results_["mean_test_score"]
    assert found.best_score_ == max(scores) > 0.99
    assert found.best_params_["alpha"] < 1.0
    assert found.score(*measurements(seed=1)) > 0.99
    assert len(found.trials_) == len(scores) == 25


def test_a_trial_has_the_negated_score_as_its_loss():
    found = search().fit(*measurements())

    np.testing.assert_allclose(found.trials_.losses(), -found.cv_results_["mean_test_score"])
    assert found.trials_.results[0]["params"] == found.cv_results_["params"][0]


def test_equal_seeds_try_equal_settings():
    first, second, other = (
        search(random_state=seed).fit(*measurements()).cv_results_["params"]
        for seed in (7, np.random.default_rng(7), 8)
    )

    assert first == search(random_state=7).fit(*measurements()).cv_results_["params"]
    assert first != other and len(second) == len(first)


def test_a_warm_start_goes_on_and_keeps_the_best_so_far():
    found = search(warm_start=True, max_evals=20).fit(*measurements())
    best = found.best_params_

    found.set_params(max_evals=21).fit(*measurements())

    assert len(found.trials_) == 21
    assert found.best_params_ == best


def test_a_warm_start_with_nothing_left_to_try_fits_the_best_again():
    found = search(warm_start=True).fit(*measurements())
    best = found.best_params_

    found.fit(*measurements())

    assert found.best_params_ == best and len(found.trials_) == 8


def test_without_a_warm_start_each_fit_begins_anew():
    found = search()

    assert found.fit(*measurements()).trials_ is not found.fit(*measurements()).trials_
    assert len(found.trials_) == 8


def test_given_trials_are_used_and_never_emptied():
    trials = Trials()
    search(trials=trials).fit(*measurements())
    assert len(trials) == 8

    with pytest.raises(InvalidOption, match="holds 8 trials already; set warm_start=True"):
        search(trials=trials).fit(*measurements())
    search(trials=trials, warm_start=True, max_evals=9).fit(*measurements())
    assert len(trials) == 9


def test_trials_that_workers_share_are_refused():
    class Shared(Trials):
        asynchronous = True

    with pytest.raises(InvalidOption, match="evaluates in this process"):
        search(trials=Shared()).fit(*measurements())


def test_a_setting_that_cannot_be_fitted_is_a_failed_trial():
    space = {"alpha": hp.choice("alpha", [-1.0, 1.0])}  # a negative alpha is refused by Ridge

    found = HyperoptSearchCV(Ridge(), space, 12, algo=rand.suggest, random_state=1)
    found.fit(*measurements())

    assert found.best_params_ == {"alpha": 1.0}
    assert {"ok", "fail"} == set(found.trials_.statuses())


def test_when_every_setting_fails_the_first_reason_is_told():
    with pytest.raises(ValueError, match="alpha"):
        HyperoptSearchCV(Ridge(), {"alpha": hp.uniform("alpha", -2, -1)}, 3).fit(*measurements())


def test_an_error_is_raised_at_once_if_that_is_asked_for():
    with pytest.raises(ValueError, match="alpha"):
        HyperoptSearchCV(
            Ridge(), {"alpha": hp.uniform("alpha", -2, -1)}, 3, error_score="raise"
        ).fit(*measurements())


def test_of_several_scores_refit_names_the_one_to_maximise():
    scoring = ["r2", "neg_mean_absolute_error"]

    found = search(scoring=scoring, refit="r2").fit(*measurements())

    np.testing.assert_allclose(found.trials_.losses(), -found.cv_results_["mean_test_r2"])
    with pytest.raises(InvalidOption, match=r"r2, neg_mean_absolute_error.*name the one"):
        search(scoring=scoring, refit=False).fit(*measurements())


def test_it_can_be_cloned_and_pickled():
    found = search().fit(*measurements())

    again = pickle.loads(pickle.dumps(found))

    assert again.best_params_ == found.best_params_
    assert clone(found).get_params().keys() == found.get_params().keys()


# scikit-learn excuses its own GridSearchCV from it too: the estimator inside sees `y` as it is.
EXCUSED = {"check_supervised_y_2d"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("inner", [Ridge(), RidgeClassifier()], ids=["regressor", "classifier"])
def test_it_keeps_scikit_learns_rules_for_estimators(inner):
    rules = pytest.importorskip("sklearn.utils.estimator_checks")
    if not hasattr(rules, "estimator_checks_generator"):
        pytest.skip("scikit-learn 1.6 and later can list its rules")
    space = {"alpha": hp.uniform("alpha", 0.0, 1.0)}

    broken = []
    for estimator, check in rules.estimator_checks_generator(
        HyperoptSearchCV(inner, space, max_evals=2, random_state=1)
    ):
        try:
            check(estimator)
        except SkipTest:
            continue
        except Exception as error:
            if check.func.__name__ not in EXCUSED:
                broken.append(f"{check.func.__name__}: {error!r}")

    assert not broken
