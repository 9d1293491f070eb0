"""`auto` takes the algorithm that its rules name, and says why."""

from __future__ import annotations

import importlib.util
import logging

import numpy as np
import pytest

from hpo import auto, fmin, hp, tpe
from hpo.domain import Domain
from hpo.exceptions import InvalidOption
from hpo.space import Space
from hpo.trials import Trials

BOX = {name: hp.uniform(name, -5.0, 5.0) for name in "ab"}
LOG = {"lr": hp.loguniform("lr", -9.0, 0.0), "z": hp.normal("z", 0.0, 1.0)}

needs_cmaes = pytest.mark.skipif(
    importlib.util.find_spec("cmaes") is None, reason="cmaes is not installed"
)


def bowl(config):
    return (config["a"] - 1.0) ** 2 + (config["b"] + config["a"]) ** 2


def minimise(objective, space, n, seed, algo=auto.suggest, **options):
    trials = Trials()
    fmin(
        objective, space, algo=algo, max_evals=n, trials=trials,
        rstate=np.random.default_rng(seed), show_progressbar=False, **options,
    )  # fmt: skip
    return trials


def rule(space, n_ended, is_noisy=False):
    return auto.rule_for(auto.Situation(Space(space), is_noisy, n_ended))


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        ({"c": hp.choice("c", [1, 2]), **BOX}, "choices or conditions"),
        ({"c": hp.pchoice("c", [(0.5, 1), (0.5, 2)]), **BOX}, "choices or conditions"),
        ({"q": hp.quniform("q", 0, 1, 0.1), **BOX}, "continuous"),
        ({"n": hp.randint("n", 9), **BOX}, "continuous"),
        ({"x": hp.uniform("x", 0, 1)}, "continuous"),
        ({"y": hp.uniform("y", 0, hp.uniform("x", 1, 2))}, "continuous"),
        ({}, "continuous"),
    ],
)
def test_whatever_is_no_box_of_continuous_hyperparameters_is_for_tpe(space, reason):
    chosen = rule(space, n_ended=10_000)

    assert chosen.algorithm == "tpe"
    assert reason in chosen.because


@needs_cmaes
@pytest.mark.parametrize("space", [BOX, LOG])
def test_a_long_search_over_a_box_is_for_cma_and_a_short_or_noisy_one_for_tpe(space):
    assert rule(space, n_ended=39).algorithm == "tpe"
    assert rule(space, n_ended=40).algorithm == "cma"
    assert rule(space, n_ended=10_000, is_noisy=True).algorithm == "tpe"


def test_without_the_package_a_long_search_stays_with_tpe_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    chosen = rule(BOX, n_ended=10_000)

    assert chosen.algorithm == "tpe"
    assert "pip install 'hpo[cma]'" in chosen.because


@needs_cmaes
def test_documents_and_log_say_which_algorithm_was_taken_and_why(caplog):
    caplog.set_level(logging.INFO, logger="hpo.auto")

    trials = minimise(bowl, BOX, 50, seed=0)

    records = [document["suggested_by"] for document in trials.trials]
    assert [record["algorithm"] for record in records] == ["tpe"] * 40 + ["cma"] * 10
    assert records[-1]["because"] == "many trials of continuous hyperparameters have ended"
    assert [line.split(":")[0] for line in caplog.messages] == [
        "auto.suggest takes tpe",
        "auto.suggest takes cma",
    ]


@needs_cmaes
def test_a_long_search_ends_far_nearer_to_the_bottom_than_with_tpe_alone():
    ours, alone = (
        [minimise(bowl, BOX, 150, seed, algo).best_trial["result"]["loss"] for seed in range(5)]
        for algo in (auto.suggest, tpe.suggest)
    )

    assert np.median(ours) < 0.2 * np.median(alone)


def test_options_are_refused():
    with pytest.raises(InvalidOption, match=r"auto.suggest has no option 'gamma'"):
        auto.suggest([0], Domain(bowl, BOX), Trials(), 0, gamma=0.2)
