"""The benchmark of the Gaussian process judges by ratios, and by the same seeds for all."""

from __future__ import annotations

import pytest

from scripts import bench_gp
from scripts.quality.measures import Outcome
from scripts.quality.optimisers import GP_PEERS, HPO_GP, OPTUNA_GP, SKOPT_GP, Name
from scripts.quality.runs import Results, Run
from scripts.quality.suite import problem


def verdicts(figures):
    return {figure.name: figure.verdict for figure in figures}


def test_every_library_has_a_name_that_can_be_taken_apart():
    assert [Name.parse(name).algorithm for name in (HPO_GP, *GP_PEERS)] == ["gp"] * 3


def test_optuna_takes_part_where_a_python_with_torch_is_named(monkeypatch):
    monkeypatch.delenv("HPO_BENCH_OPTUNA_PYTHON", raising=False)
    assert OPTUNA_GP not in bench_gp.libraries()

    monkeypatch.setenv("HPO_BENCH_OPTUNA_PYTHON", "/somewhere/python")
    assert bench_gp.libraries() == (HPO_GP, SKOPT_GP, OPTUNA_GP)


def test_the_problems_are_continuous_and_have_up_to_ten_hyperparameters():
    names = bench_gp.continuous_problems()

    assert {"branin2", "ackley10", "hartmann6"} <= set(names)
    assert all(len(problem(name).space) <= 10 for name in names)
    assert not {"sphere20", "levy8-mixed", "camel2-noisy"} & set(names)


@pytest.mark.parametrize(("ours_ms", "verdict"), [(20.0, "ok"), (70.0, "MISSED")])
def test_the_time_is_judged_by_its_share_of_scikit_optimizes(ours_ms, verdict):
    figures = bench_gp.time_figures({HPO_GP: ours_ms, SKOPT_GP: 200.0})

    assert verdicts(figures)["continuous10 N=100: hpo as a share of skopt gp"] == verdict


def test_regrets_are_judged_after_a_hundred_evaluations_beside_each_peer():
    figures = bench_gp.quality_figures(
        {HPO_GP: {50: 0.5, 100: 0.2}, SKOPT_GP: {50: 0.4, 100: 0.3}, OPTUNA_GP: {100: 0.1}}
    )

    judged = {name: verdict for name, verdict in verdicts(figures).items() if verdict}
    assert judged == {
        "regret as a share of that of skopt gp": "ok",
        "regret as a share of that of optuna gp": "MISSED",
    }


def test_runs_of_another_length_are_not_mixed_in(tmp_path):
    outcome = Outcome({50: 1.0, 100: 0.5}, None, 0.0, None)
    run = Run("random", "branin2", seed=0, n_workers=1, n_evaluations=100)
    answer = {
        "problem": run.problem, "seed": 0, "n_workers": 1, "n_evaluations": 100,
        "digest": problem("branin2").digest, "outcome": outcome.as_json(), "secs": 0.1,
    }  # fmt: skip
    Results(tmp_path, 100).add(run, "1", answer)

    assert Results(tmp_path, 100).of("random") == {run: outcome}
    assert Results(tmp_path).of("random") == {}
