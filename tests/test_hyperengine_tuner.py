"""The tuner proposes, trains and learns, in this process or on a queue. It maximises."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hpo import MongoTrials, Trials, gp, rand
from hpo.exceptions import InvalidLoss, InvalidOption, UnreadableSession
from hpo.hyperengine import BayesianPortfolioStrategy, HyperTuner, spec
from hpo.hyperengine.hyper_tuner import algorithm_of

HILL = {"x": spec.uniform(), "y": spec.uniform(-1, 1)}


def height(params):
    """1 at (0.3, 0.4), less elsewhere."""
    return 1.0 - (params["x"] - 0.3) ** 2 - (params["y"] - 0.4) ** 2


class Solver:
    """Trains nothing; counts what was terminated."""

    terminated = 0

    def __init__(self, params):
        self.params = params

    def train(self):
        return height(self.params)

    def terminate(self):
        Solver.terminated += 1


def tuner(solver_generator=Solver, **options):
    return HyperTuner(HILL, solver_generator, seed=0, mc_batch_size=2000, **options)


# --- in this process ----------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strategy": "bayesian", "utility_gen": "ei"},
        {"strategy": "portfolio"},
        {"strategy": "portfolio", "methods": ["ucb", "pi"], "probabilities": [0.7, 0.3]},
    ],
)
def test_it_finds_the_top(options):
    made = tuner(max_points=25, **options)

    best = made.tune()

    assert made.best_value == made.strategy.values.max() > 0.995
    assert height(best) == made.best_value
    assert made.strategy.iteration == 25


def test_every_solver_is_terminated_come_what_may():
    class Failing(Solver):
        def train(self):
            raise RuntimeError("out of memory")

    Solver.terminated = 0
    tuner(max_points=3).tune()
    with pytest.raises(RuntimeError, match="out of memory"):
        tuner(Failing, max_points=3).tune()

    assert Solver.terminated == 4


def test_a_function_may_be_the_whole_training():
    made = tuner(height, max_points=5)

    made.tune()

    assert made.best_value == made.strategy.values.max()


def test_a_strategy_of_ones_own_gets_the_options():
    seen = {}

    def my_strategy(sampler, params):
        seen.update(params)
        return BayesianPortfolioStrategy(sampler, ["rand"])

    made = HyperTuner(HILL, Solver, my_strategy, max_points=4, depth=3)
    made.tune()

    assert seen == {"depth": 3}
    assert made.strategy.iteration == 4


def test_it_rests_after_each_point(monkeypatch):
    rests = []
    # Only there: a database client of another test may have threads that sleep as well.
    own_time = SimpleNamespace(sleep=rests.append)
    monkeypatch.setattr("hpo.hyperengine.hyper_tuner.time", own_time)

    tuner(max_points=3, timeout=0.5).tune()

    assert rests == [0.5] * 3


def test_the_same_seed_gives_the_same_search():
    runs = [tuner(max_points=5) for _ in range(2)]
    for run in runs:
        run.tune()

    assert runs[0].strategy.points.tolist() == runs[1].strategy.points.tolist()


def test_progress_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="hpo.hyperengine"):
        tuner(max_points=1).tune()

    assert "! [1] value=" in caplog.text


def test_a_training_that_diverged_is_no_end():
    values = iter([0.5, float("nan"), 0.7, 0.6])
    made = tuner(lambda params: next(values), max_points=4)

    made.tune()

    assert made.best_value == 0.7


def test_a_training_without_a_number_is_an_error():
    with pytest.raises(InvalidLoss, match="value to maximise"):
        tuner(lambda params: "fine", max_points=1).tune()


# --- between runs -------------------------------------------------------------------


def test_a_session_is_continued_and_counts(tmp_path):
    first = tuner(max_points=4, io_save_dir=tmp_path)
    first.tune()

    second = tuner(max_points=6, io_load_dir=tmp_path, io_save_dir=tmp_path)
    assert second.best_params == first.best_params
    second.tune()

    assert second.strategy.iteration == 6
    assert second.strategy.points[:4].tolist() == first.strategy.points.tolist()
    assert second.best_value >= first.best_value


def test_a_session_of_another_specification_is_refused(tmp_path):
    tuner(max_points=2, io_save_dir=tmp_path).tune()

    with pytest.raises(UnreadableSession, match="2 coordinates, but the specification 1"):
        HyperTuner({"x": spec.uniform()}, Solver, io_load_dir=tmp_path)


def test_hyperengines_session_is_continued_where_its_order_is_known(tmp_path):
    (tmp_path / "strategy-session.xjson").write_text("{'points': [[0.25]], 'values': [0.5]}")

    made = HyperTuner({"x": spec.uniform(0, 2)}, Solver, io_load_dir=tmp_path, max_points=1)

    assert made.tune() == {"x": 0.5}


def test_and_refused_where_it_is_not(tmp_path):
    (tmp_path / "strategy-session.xjson").write_text("{'points': [[0.2, 0.3]], 'values': [0.5]}")

    with pytest.raises(UnreadableSession, match="order in which"):
        tuner(io_load_dir=tmp_path)


# --- on a queue ---------------------------------------------------------------------


def test_a_queue_of_this_process_is_searched_by_gp():
    trials = Trials()
    made = HyperTuner(HILL, Solver, max_points=20, seed=0, trials=trials)

    best = made.tune()

    assert len(trials) == 20
    assert made.strategy is None
    assert height(best) == pytest.approx(made.best_value)
    assert made.best_value == -min(trials.losses()) > 0.98
    assert trials.results[0]["value"] == -trials.results[0]["loss"]


def test_workers_train_on_a_queue_at_a_url(mongo_url):
    made = HyperTuner(HILL, height, max_points=6, seed=0, trials=mongo_url, workers=1)

    best = made.tune()

    assert height(best) == pytest.approx(made.best_value)
    stored = MongoTrials(mongo_url, exp_key=f"{__name__}.height")
    try:
        assert len(stored) == 6
        assert {trial["misc"]["vals"].keys() >= {"x", "y"} for trial in stored.trials} == {True}
    finally:
        stored.close()


def test_a_search_where_everything_diverged_has_no_best():
    made = HyperTuner(HILL, lambda params: np.nan, max_points=3, trials=Trials())

    assert made.tune() is None
    assert made.best_value is None


@pytest.mark.parametrize(
    ("strategy", "params", "expected"),
    [
        ("bayesian", {}, "ucb"),
        ("bayesian", {"utility_gen": "ei"}, "ei"),
        ("portfolio", {}, "hedge"),
        ("portfolio", {"methods": ["ei", "pi", "ucb"]}, "hedge"),
    ],
)
def test_strategies_have_their_like_on_a_queue(strategy, params, expected):
    algorithm: Any = algorithm_of(strategy, params)

    assert algorithm.func is gp.suggest
    assert algorithm.keywords == {"acquisition": expected, "kernel": "rbf"}


def test_a_portfolio_with_probabilities_is_a_mixture_on_a_queue():
    algorithm: Any = algorithm_of(
        "portfolio", {"methods": ["pi", "rand"], "probabilities": [0.25, 0.75]}
    )

    (p_pi, pi), (p_rand, at_random) = algorithm.keywords["p_suggest"]
    assert (p_pi, p_rand) == (0.25, 0.75)
    assert pi.keywords["acquisition"] == "pi"
    assert at_random is rand.suggest


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"strategy": "bayes"}, "must be one of"),
        ({"strategy": lambda sampler, params: None}, "call hpo.fmin"),
        ({"utility_gen": "best"}, "a method must be one of"),
        ({"rbf_gamma": 3}, "learns its own"),
        ({"io_save_dir": "here"}, "kept by its exp_key"),
    ],
)
def test_what_a_queue_does_not_know_is_refused(options, problem):
    with pytest.raises(InvalidOption, match=problem):
        HyperTuner(HILL, Solver, trials=Trials(), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "bayes"},
        {"workers": 2},
        {"exp_key": "mine"},
        {"max_points": -1},
        {"timeout": -1},
        {"utility": "ei"},
    ],
)
def test_options_without_sense_are_refused(options):
    with pytest.raises(InvalidOption):
        HyperTuner(HILL, Solver, **options)


def test_a_generator_that_is_no_function_is_refused():
    with pytest.raises(InvalidOption, match="solver_generator"):
        HyperTuner(HILL, 3)
