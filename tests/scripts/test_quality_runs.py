"""What is stored of the bench's runs, and running what is missing in other processes."""

from __future__ import annotations

import json
import sys

import pytest

from scripts.quality import optimisers, runs
from scripts.quality.measures import Outcome
from scripts.quality.optimisers import OPTUNA_TPE, RANDOM, Name
from scripts.quality.runs import N_EVALUATIONS, Results, Run
from scripts.quality.suite import problem

OUTCOME = Outcome({50: 1.0, 100: 0.5, 200: 0.25}, border=0.0, duplicates=0.0, clump=1.0)


def answer_to(run, **changes):
    fields = {"digest": problem(run.problem).digest, "outcome": OUTCOME.as_json(), "secs": 1.0}
    return {**run.task, **fields, **changes}


def unheard(optimiser, n_done, n_total):
    """Progress that nobody listens to."""


def test_a_stored_run_is_found_again(tmp_path):
    run = Run(OPTUNA_TPE, "branin2", seed=3, n_workers=8)

    Results(tmp_path).add(run, "5.0.0", answer_to(run))

    assert Results(tmp_path).of(OPTUNA_TPE) == {run: OUTCOME}


def test_runs_of_another_version_another_problem_or_another_length_do_not_count(tmp_path):
    run = Run(OPTUNA_TPE, "branin2", seed=3, n_workers=8)

    Results(tmp_path).add(run, "4.9.0", answer_to(run))
    Results(tmp_path).add(run, "5.0.0", answer_to(run, digest="of old"))
    Results(tmp_path).add(run, "5.0.0", answer_to(run, problem="given up"))
    Results(tmp_path).add(run, "5.0.0", answer_to(run, n_evaluations=N_EVALUATIONS + 1))

    assert Results(tmp_path).of(OPTUNA_TPE) == {}


def test_options_are_part_of_what_was_run(tmp_path):
    plain = Run(OPTUNA_TPE, "branin2", seed=0, n_workers=1)
    Results(tmp_path).add(plain, "5.0.0", answer_to(plain))

    assert Results(tmp_path).of('optuna tpe {"n_startup_trials": 5}') == {}


def test_only_what_is_missing_is_run(tmp_path):
    wanted = [Run(RANDOM, name, seed, 1) for name in ("branin2", "layers") for seed in range(2)]
    said = []

    def say(*progress):
        said.append(progress)

    first = runs.complete(wanted[:3], Results(tmp_path), 1, say)
    second = runs.complete(wanted, Results(tmp_path), 2, say)

    assert first == second == []
    assert said == [(RANDOM, 1, 3), (RANDOM, 2, 3), (RANDOM, 3, 3), (RANDOM, 1, 1)]
    assert set(Results(tmp_path).of(RANDOM)) == set(wanted)


def test_a_run_is_the_same_in_whatever_process(tmp_path):
    run = Run(RANDOM, "shared-rate-noisy", seed=5, n_workers=1)

    for directory in ("one", "two"):
        assert runs.complete([run], Results(tmp_path / directory), 1, unheard) == []

    one, two = (Results(tmp_path / name).of(RANDOM)[run] for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("name", ["five-models", "camel2-noisy"])
def test_our_own_algorithms_run_here(tmp_path, name):
    run = Run("hpo rand", name, seed=0, n_workers=8)

    assert runs.complete([run], Results(tmp_path), 1, unheard) == []
    assert set(Results(tmp_path).of("hpo rand")[run].recommended) == {50, 100, 200}


def test_an_optimiser_that_does_not_exist_is_a_failure_not_an_end(tmp_path, capfd):
    good, bad = Run(RANDOM, "branin2", 0, 1), Run("hpo nosuch", "branin2", 0, 1)

    failures = runs.complete([bad, good], Results(tmp_path), 1, unheard)

    assert len(failures) == 1 and "hpo nosuch did not start" in failures[0]
    assert "hpo has no algorithm 'nosuch'" in capfd.readouterr().err
    assert good in Results(tmp_path).of(RANDOM)


def test_what_an_optimiser_raises_is_reported_with_the_run(tmp_path):
    wrong_option = 'hpo rand {"gama": 1}'

    (failure,) = runs.complete([Run(wrong_option, "branin2", 0, 1)], Results(tmp_path), 1, unheard)

    assert "gama" in failure and "branin2" in failure
    assert Results(tmp_path).of(wrong_option) == {}


def test_peers_run_in_the_python_that_is_named(monkeypatch):
    monkeypatch.setenv("HPO_BENCH_OPTUNA_PYTHON", "/somewhere/python")

    assert runs.python_of("optuna") == "/somewhere/python"
    assert runs.python_of("hpo") == sys.executable


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("random", Name("random", "", {})),
        ("hpo tpe.hyperopt_suggest", Name("hpo", "tpe.hyperopt_suggest", {})),
        ('hpo  tpe {"gamma": 0.2}', Name("hpo", "tpe", {"gamma": 0.2})),
    ],
)
def test_names_of_optimisers_are_taken_apart(text, parsed):
    assert Name.parse(text) == parsed
    assert Name.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("tpe", "begins with none of"), ("optuna", "lacks an algorithm"), ("hpo tpe {x", "JSON")],
)
def test_names_that_mean_nothing_are_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        Name.parse(text)


def test_the_names_of_the_peers_are_written_in_one_way_only():
    # Or results stored under one name would be looked for under another.
    peers = [*optimisers.TPE_PEERS, optimisers.OPTUNA_CMAES, optimisers.RANDOM]

    assert [str(Name.parse(name)) for name in peers] == peers
    assert json.dumps(peers)


def test_runs_that_were_kept_are_found_beside_new_ones(tmp_path):
    old, new = (Run(OPTUNA_TPE, "branin2", seed=seed, n_workers=1) for seed in (0, 1))
    first = Results(tmp_path / "first", measured=tmp_path / "measured")
    first.add(old, "5.0.0", answer_to(old))
    first.add(new, "4.9.0", answer_to(new))

    first.keep(OPTUNA_TPE)
    second = Results(tmp_path / "second", measured=tmp_path / "measured")
    second.add(new, "5.0.0", answer_to(new))

    assert second.of(OPTUNA_TPE) == {old: OUTCOME, new: OUTCOME}
    assert set(Results(tmp_path / "third", measured=tmp_path / "measured").of(OPTUNA_TPE)) == {old}
