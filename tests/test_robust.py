"""The best trial of a noisy objective stands among good ones."""

from __future__ import annotations

import numpy as np
import pytest

from hpo import fmin, hp, tpe
from hpo.domain import Domain
from hpo.exceptions import AllTrialsFailed
from hpo.robust import robust_trial
from hpo.space import Space
from hpo.trials import Trials
from tests.searches import failed, finished

SPACE = {"x": hp.uniform("x", 0.0, 1.0)}


def trials_of(*documents):
    trials = Trials()
    trials.insert_trial_docs(list(documents))
    trials.refresh()
    return trials


def lonely_and_cluster():
    """A lucky loss among bad ones at 0.1, and steadily good ones at 0.8."""
    xs = [0.10, 0.11, 0.12, 0.09, 0.08, 0.80, 0.81, 0.82, 0.79, 0.78]
    losses = [-1.0, 5.0, 5.0, 5.0, 5.0, 0.2, 0.1, 0.0, 0.2, 0.3]
    return [
        finished(tid, {"x": x}, loss) for tid, (x, loss) in enumerate(zip(xs, losses, strict=True))
    ]


def test_it_is_one_of_the_cluster_rather_than_the_lone_lucky_loss():
    trials = trials_of(*lonely_and_cluster(), failed(10, {"x": 0.8}))

    assert trials.best_trial["tid"] == 0
    assert robust_trial(trials, SPACE)["tid"] >= 5


def test_the_space_may_be_given_in_any_form():
    trials = trials_of(*lonely_and_cluster())

    tids = {
        robust_trial(trials, form)["tid"]
        for form in (SPACE, Space(SPACE), Domain(abs, Space(SPACE).expr))
    }

    assert len(tids) == 1


def test_it_shows_the_loss_that_was_measured():
    trials = trials_of(*lonely_and_cluster())

    best = robust_trial(trials, SPACE)

    assert best in trials.trials
    assert best["result"]["loss"] in [0.2, 0.1, 0.0, 0.3]


def test_without_a_single_loss_there_is_none():
    with pytest.raises(AllTrialsFailed):
        robust_trial(trials_of(failed(0, {"x": 0.5})), SPACE)


def test_fmin_of_a_noisy_objective_returns_it():
    trials, rng = Trials(), np.random.default_rng(0)

    best = fmin(
        lambda values: (values["x"] - 0.3) ** 2 + rng.normal(), SPACE, tpe.suggest, 40,
        trials=trials, rstate=0, noisy=True, verbose=False,
    )  # fmt: skip

    assert best["x"] == robust_trial(trials, SPACE)["misc"]["vals"]["x"][0]


def test_it_is_nearer_to_the_truth_than_the_smallest_loss():
    def noisy_history(seed):
        rng = np.random.default_rng(seed)
        xs = rng.random(80)
        losses = 4.0 * (xs - 0.3) ** 2 + rng.normal(size=80)
        return trials_of(
            *(finished(tid, {"x": xs[tid]}, losses[tid]) for tid in range(80))
        )  # fmt: skip

    def distance(trial):
        return abs(trial["misc"]["vals"]["x"][0] - 0.3)

    histories = [noisy_history(seed) for seed in range(20)]

    robust = np.median([distance(robust_trial(trials, SPACE)) for trials in histories])
    lucky = np.median([distance(trials.best_trial) for trials in histories])
    assert robust < lucky
