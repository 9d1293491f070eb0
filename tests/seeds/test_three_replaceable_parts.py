"""The idea behind hyperopt: a space, an evaluation and a search that do not know each other.

What passes between them is a protocol: the search sees {label: value} and losses, the
evaluation sees configurations, and either can be replaced by the user's own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from hpo import (
    JOB_STATE_DONE,
    STATUS_OK,
    Ctrl,
    Domain,
    Trials,
    anneal,
    fmin,
    hp,
    mix,
    partial,
    rand,
    space_eval,
    tpe,
)

# --- three spaces, each with its function ---

LINE = hp.uniform("x", -10, 10)

PAIR = [hp.normal("a", 0, 2), {"b": hp.loguniform("b", -3, 3)}]

# The parameters of one classifier do not exist for the other.
CLASSIFIER = hp.choice(
    "classifier",
    [
        {"type": "naive_bayes"},
        {"type": "svm", "C": hp.lognormal("C", 0, 1), "width": hp.lognormal("width", 0, 1)},
    ],
)


def line_loss(x):
    return (x - 3.0) ** 2


def pair_loss(pair):
    a, inner = pair
    return (a - 1.0) ** 2 + np.log(inner["b"]) ** 2


def classifier_loss(classifier):
    if classifier["type"] == "naive_bayes":
        return 1.0
    return float(np.log(classifier["C"]) ** 2 + np.log(classifier["width"]) ** 2)


PROBLEMS = {
    "line": (LINE, line_loss),
    "pair": (PAIR, pair_loss),
    "classifier": (CLASSIFIER, classifier_loss),
}


# --- a search of the user's own ---


def nearby(new_ids, domain, trials, seed, shrink=0.3):
    """Hill climbing: the best configuration so far, with one number moved a little."""
    rng = np.random.default_rng(seed)
    known = [(t["result"]["loss"], t["misc"]["vals"]) for t in trials.trials]
    if len(known) < 5:
        return rand.suggest(new_ids, domain, trials, seed)
    _, best = min(known, key=lambda pair: pair[0])
    documents = []
    for tid in new_ids:
        values = {label: vals[0] for label, vals in best.items() if len(vals)}
        moving = [label for label, value in values.items() if isinstance(value, float)]
        if moving:
            values[str(rng.choice(moving))] *= float(np.exp(shrink * rng.normal()))
        misc = {
            "tid": tid,
            "cmd": domain.cmd,
            "workdir": domain.workdir,
            "idxs": {label: [tid] if label in values else [] for label in domain.params},
            "vals": {label: [values[label]] if label in values else [] for label in domain.params},
        }
        documents += trials.new_trial_docs([tid], [None], [domain.new_result()], [misc])
    return documents


SEARCHES: dict[str, Any] = {
    "random": rand.suggest,
    "tpe": tpe.suggest,
    "anneal": anneal.suggest,
    "mixed": partial(mix.suggest, p_suggest=[(0.2, rand.suggest), (0.8, tpe.suggest)]),
    "own": nearby,
    "own with an option": partial(nearby, shrink=0.1),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_works_on_every_space(problem, search):
    space, loss = PROBLEMS[problem]
    trials = Trials()

    best = fmin(
        loss,
        space,
        algo=SEARCHES[search],
        max_evals=30,
        trials=trials,
        rstate=np.random.default_rng(1),
        show_progressbar=False,
    )

    assert len(trials) == 30
    assert loss(space_eval(space, best)) == pytest.approx(min(trials.losses()))
    assert min(trials.losses()) < np.median(trials.losses()[:10])


def test_a_search_of_the_users_own_can_be_the_better_one():
    def least(search, seed):
        trials = Trials()
        fmin(
            line_loss,
            LINE,
            algo=search,
            max_evals=40,
            trials=trials,
            rstate=np.random.default_rng(seed),
            show_progressbar=False,
        )
        return min(trials.losses())

    own = [least(nearby, seed) for seed in range(7)]
    at_random = [least(rand.suggest, seed) for seed in range(7)]

    assert np.median(own) < np.median(at_random), (own, at_random)


# --- an evaluation of the user's own ---


def test_the_evaluation_can_be_done_by_threads_of_the_users_own():
    domain, trials = Domain(classifier_loss, CLASSIFIER), Trials()

    def evaluate(document):
        values = {label: vals[0] for label, vals in document["misc"]["vals"].items() if len(vals)}
        return domain.evaluate(values, Ctrl(trials, current_trial=document))

    with ThreadPoolExecutor(4) as threads:
        for batch in range(8):
            documents = tpe.suggest(trials.new_trial_ids(4), domain, trials, seed=batch)
            for document, result in zip(documents, threads.map(evaluate, documents), strict=True):
                document.update(state=JOB_STATE_DONE, result=result)
            trials.insert_trial_docs(documents)
            trials.refresh()

    assert len(trials) == 32
    assert set(trials.statuses()) == {STATUS_OK}
    assert trials.best_trial["result"]["loss"] == min(trials.losses()) < 1.0


# --- conditional parameters are part of the protocol ---


def test_a_parameter_exists_only_where_it_has_a_meaning():
    trials = Trials()

    fmin(
        classifier_loss, CLASSIFIER, max_evals=30, trials=trials, rstate=0, show_progressbar=False
    )

    kinds = set()
    for trial in trials:
        active = {label for label, vals in trial["misc"]["vals"].items() if len(vals)}
        kinds.add(frozenset(active))
    assert kinds == {frozenset({"classifier"}), frozenset({"classifier", "C", "width"})}
