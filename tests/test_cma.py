"""CMA-ES follows from the trials alone, and finds the bottom of smooth bowls."""

from __future__ import annotations

import builtins
import itertools
import time

import numpy as np
import pytest

pytest.importorskip("cmaes")

from hpo import cma, fmin, hp
from hpo.document import JOB_STATE_CANCEL, new_trial
from hpo.domain import Domain
from hpo.exceptions import BadSearchSpace, InvalidOption
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
    stopped,
)

NAMES = "abcde"
BOX = Space({name: hp.uniform(name, -5.0, 5.0) for name in NAMES})
NUMERIC_KINDS = sorted(EVERY_KIND.keys() - {"choice", "pchoice"})


def shifted_sphere(seed):
    centre = np.random.default_rng(seed).uniform(-3.0, 3.0, len(NAMES))
    return lambda values: sum((values[n] - c) ** 2 for n, c in zip(NAMES, centre, strict=True))


def bests(algorithm, space, n_trials, n_seeds=7):
    return [
        search(algorithm, space, shifted_sphere(seed), n_trials, seed).losses.min()
        for seed in range(n_seeds)
    ]


def trials_of(space, n, loss_of, seed=0):
    """Finished documents of a search by cma."""
    observations = search(cma.suggest_values, space, loss_of, n, seed)
    return [
        finished(
            tid,
            {n: observations.column(n)[tid].item() for n in space.hyperparameters},
            observations.losses[tid].item(),
        )
        for tid in range(n)
    ]


def test_it_finds_the_bottom_of_a_shifted_sphere_where_random_search_does_not():
    ours, random = bests(cma.suggest_values, BOX, 200), bests(at_random, BOX, 200)

    assert max(ours) < min(random)
    assert np.median(ours) < 0.05 * np.median(random)


def test_it_learns_that_hyperparameters_depend_on_each_other():
    space = Space({name: hp.uniform(name, -5.0, 5.0) for name in "ab"})

    def valley(values):
        return (values["a"] + values["b"] - 3.0) ** 2 + 1e-3 * (values["a"] - values["b"]) ** 2

    ours, random = (
        np.median([search(algorithm, space, valley, 150, seed).losses.min() for seed in range(7)])
        for algorithm in (cma.suggest_values, at_random)
    )

    assert ours < 0.01 * random


def test_it_finds_the_best_whole_numbers():
    space = Space(
        {
            "a": hp.uniform("a", -5.0, 5.0),
            "b": hp.normal("b", 0.0, 2.0),
            "c": hp.quniform("c", -5.0, 5.0, 1.0),
            "d": hp.randint("d", -5, 6),
            "e": hp.uniformint("e", -5, 5),
        }
    )
    least = []
    for seed in range(7):
        centre = np.random.default_rng(seed).uniform(-3.0, 3.0, 5)[2:]
        least.append(((centre - np.rint(centre)) ** 2).sum())

    excess = np.array(bests(cma.suggest_values, space, 300)) - least

    assert np.median(excess) < 0.05


def test_a_fresh_process_suggests_what_the_running_one_does():
    documents = trials_of(BOX, 60, shifted_sphere(0))
    running = Observations()
    for document in documents:
        running.update(document)
        cma.suggest_values(BOX, running, 100, 5)

    fresh = observe(*documents)

    assert cma.suggest_values(BOX, running, 100, 5) == cma.suggest_values(BOX, fresh, 100, 5)


def test_the_order_in_which_results_arrive_does_not_matter():
    documents = trials_of(BOX, 60, shifted_sphere(0))
    in_order = observe(*documents)
    late = [*documents[:20], *documents[30:], *documents[29:19:-1]]
    out_of_order = Observations()
    for document in late:
        out_of_order.update(document)
        cma.suggest_values(BOX, out_of_order, 100, 5)

    assert cma.suggest_values(BOX, out_of_order, 100, 5) == cma.suggest_values(
        BOX, in_order, 100, 5
    )


def test_a_result_that_was_corrected_changes_the_suggestion_as_if_it_had_always_been_so():
    documents = trials_of(BOX, 60, shifted_sphere(0))
    observations = observe(*documents)
    before = cma.suggest_values(BOX, observations, 100, 5)
    values = {label: vals[0] for label, vals in documents[3]["misc"]["vals"].items()}
    corrected = finished(3, values, -100.0)

    observations.update(corrected)
    after = cma.suggest_values(BOX, observations, 100, 5)

    assert after != before
    fresh = observe(*documents[:3], corrected, *documents[4:])
    assert after == cma.suggest_values(BOX, fresh, 100, 5)


def test_trials_that_run_or_were_cancelled_are_ignored():
    documents = trials_of(BOX, 40, shifted_sphere(0))
    values = dict.fromkeys(NAMES, 0.0)
    running = [new_trial(tid, values=values) for tid in range(40, 60)]
    cancelled = {**new_trial(60, values=values), "state": JOB_STATE_CANCEL}

    without = cma.suggest_values(BOX, observe(*documents), 100, 5)

    assert cma.suggest_values(BOX, observe(*documents, *running, cancelled), 100, 5) == without


def test_a_failed_trial_counts_as_the_worst_of_its_generation():
    documents = trials_of(BOX, 24, shifted_sphere(0))
    values = {label: vals[0] for label, vals in documents[5]["misc"]["vals"].items()}
    others = (*documents[:5], *documents[6:])

    with_failure = observe(*others, failed(5, values))

    for very_bad in (finished(5, values, 1e9), finished(5, values, np.inf)):
        assert cma.suggest_values(BOX, with_failure, 100, 5) == cma.suggest_values(
            BOX, observe(*others, very_bad), 100, 5
        )
    very_good = observe(*others, finished(5, values, -1e9))
    assert cma.suggest_values(BOX, with_failure, 100, 5) != cma.suggest_values(
        BOX, very_good, 100, 5
    )


def test_a_search_where_everything_fails_keeps_drawing_from_the_first_distribution():
    observations = observe(*(failed(tid, dict.fromkeys(NAMES, 0.0)) for tid in range(50)))

    drawn = cma.suggest_values(BOX, observations, 100, 5)

    assert drawn == cma.suggest_values(BOX, Observations(), 100, 5)


def test_a_far_off_trial_of_somebody_else_does_not_break_a_search_that_has_narrowed():
    documents = trials_of(BOX, 320, shifted_sphere(0))
    stranger = finished(320, dict.fromkeys(NAMES, -5.0), -1e3)
    observations = observe(*documents, stranger)

    for tid in range(321, 600):
        values = cma.suggest_values(BOX, observations, tid, 0)
        observations.update(finished(tid, values, shifted_sphere(0)(values)))

    assert np.median(observations.losses[-20:]) < 0.1


def test_a_search_that_has_converged_starts_again_elsewhere():
    space = Space({name: hp.uniform(name, -5.0, 5.0) for name in "ab"})

    observations = search(cma.suggest_values, space, lambda values: 1.0, 700, 0)

    points = np.array([observations.column(name) for name in "ab"])
    # A flat function is converged at once; each restart begins in another place.
    assert np.std(points[:, -300:], axis=1).min() > 0.3


@pytest.mark.parametrize("kind", NUMERIC_KINDS)
def test_every_numeric_kind_is_searched_within_its_bounds(kind):
    space = Space({"v": EVERY_KIND[kind], "w": hp.uniform("w", 0.0, 1.0)})
    label = next(label for label in space.hyperparameters if label != "w")
    parameter = space.hyperparameters[label]
    target = parameter.prior.ppf(0.8)
    scale = abs(parameter.prior.ppf(0.9) - parameter.prior.ppf(0.1))

    def distance(values):
        return abs(values[label] - target) / scale + abs(values["w"] - 0.3)

    observations = search(cma.suggest_values, space, distance, 150, 1)

    for value in observations.column(label):
        assert parameter.prior.contains(parameter.as_value(value))
    assert observations.losses.min() < 0.06


@pytest.mark.parametrize("kind", sorted(EXTREME_KINDS.keys() - {"10,000 options", "one option"}))
def test_extreme_priors_give_finite_values(kind):
    space = Space({"v": EXTREME_KINDS[kind], "w": hp.uniform("w", 0.0, 1.0)})

    observations = search(cma.suggest_values, space, lambda values: values["w"], 60, 0)

    assert np.isfinite(observations.column("v")).all()
    prior = space.hyperparameters["v"].prior
    assert all(prior.contains(value) for value in observations.column("v"))


def test_a_narrow_distribution_still_leaves_a_cell_once_in_a_generation_or_so():
    space = Space({"n": hp.randint("n", 100), "m": hp.randint("m", 100)})
    observations = search(
        cma.suggest_values, space, lambda v: (v["n"] - 40) ** 2 + (v["m"] - 60) ** 2, 400, 0
    )

    late = np.array([observations.column(name)[-100:] for name in "nm"])

    assert (np.abs(np.diff(late, axis=1)) > 0).any(axis=0).mean() > 0.05


def test_a_suggestion_late_in_a_search_is_cheap():
    observations = search(cma.suggest_values, BOX, shifted_sphere(0), 800, 0)
    cma.suggest_values(BOX, observations, 800, 0)

    began = time.perf_counter()
    for tid in itertools.islice(itertools.count(801), 50):
        cma.suggest_values(BOX, observations, tid, 0)
    per_suggestion_secs = (time.perf_counter() - began) / 50

    assert per_suggestion_secs < 0.005


def test_fmin_searches_with_it_and_documents_say_so():
    trials = Trials()

    fmin(
        lambda config: (config["a"] - 1.0) ** 2 + config["b"] ** 2,
        {name: hp.uniform(name, -5.0, 5.0) for name in "ab"},
        algo=cma.suggest,
        max_evals=60,
        trials=trials,
        rstate=np.random.default_rng(0),
        show_progressbar=False,
    )

    assert trials.best_trial["result"]["loss"] < 0.1
    assert trials.trials[-1]["suggested_by"]["options"] == {"sigma": 0.2, "popsize": None}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"c": hp.choice("c", [1, 2]), "x": hp.uniform("x", 0, 1)}, "'c' is a choice.*tpe"),
        ({"c": hp.pchoice("c", [(0.5, 1), (0.5, 2)]), "x": hp.uniform("x", 0, 1)}, "is a choice"),
        ({"y": hp.uniform("y", 0, hp.uniform("x", 1, 2))}, "'y' has a distribution"),
        ({"x": hp.uniform("x", 0, 1)}, "at least two.*has 1.*tpe"),
        ({}, "has 0"),
    ],
)
def test_spaces_that_are_not_numbers_are_refused_with_what_to_use_instead(space, message):
    with pytest.raises(BadSearchSpace, match=message):
        cma.suggest_values(Space(space), Observations(), 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma must be greater than 0"),
        ({"popsize": 3}, "popsize must be at least 4"),
        ({"popsize": 4.5}, "popsize must be a whole number"),
        ({"pop_size": 8}, "did you mean 'popsize'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        cma.suggest([0], Domain(lambda config: 0.0, BOX.expr), Trials(), 0, **options)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def without_cmaes(name, *args, **kwargs):
        if name == "cmaes":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_cmaes)
    space = Space({name: hp.uniform(name, 0.0, 1.0) for name in "ab"})

    with pytest.raises(InvalidOption, match=r"pip install 'hpo\[cma\]'"):
        cma.suggest_values(space, Observations(), 0, 0)


# --- trials that were stopped -----------------------------------------------------------------


def places_of(rng, n):
    return [dict(zip(NAMES, row.tolist(), strict=True)) for row in rng.uniform(-5, 5, (n, 5))]


def next_point(documents):
    return cma.suggest_values(BOX, observe(*documents), 1000, 0)


def test_a_generation_is_ranked_by_step_and_then_by_loss():
    values = places_of(np.random.default_rng(0), 8)
    # The losses of stopped trials are the least: by these alone the order would be another.
    partly = [finished(tid, values[tid], 5.0 + tid) for tid in range(4)] + [
        stopped(tid, values[tid], 0.1 * tid, step)
        for tid, step in zip(range(4, 8), (27, 27, 9, 3), strict=True)
    ]
    in_order = [finished(tid, values[tid], float(tid)) for tid in range(8)]
    by_loss_alone = [
        finished(tid, values[tid], document["result"]["loss"])
        for tid, document in enumerate(partly)
    ]

    assert next_point(partly) == next_point(in_order)
    assert next_point(partly) != next_point(by_loss_alone)


def test_later_trials_do_not_change_what_was_learnt_from_a_generation():
    values = places_of(np.random.default_rng(1), 16)
    first = [stopped(tid, values[tid], float(tid), step=9) for tid in range(8)]
    second = [finished(tid, values[tid], 100.0 + tid) for tid in range(8, 16)]
    observations = observe(*first)
    cma.suggest_values(BOX, observations, 1000, 0)
    for document in second:
        observations.update(document)

    grown = cma.suggest_values(BOX, observations, 1000, 0)

    assert grown == next_point([*first, *second])
