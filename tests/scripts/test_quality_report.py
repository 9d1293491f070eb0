"""Normalised regrets, ranks and verdicts on results made by hand."""

from __future__ import annotations

import json
import math

import pytest

from scripts.quality import __main__ as command_line
from scripts.quality import report
from scripts.quality.__main__ import main
from scripts.quality.measures import BUDGETS, Outcome
from scripts.quality.optimisers import HYPEROPT_TPE, OPTUNA_GROUP, OPTUNA_TPE, RANDOM
from scripts.quality.report import Figures, rank, targets
from scripts.quality.runs import Results, Run
from scripts.quality.suite import problem

OURS = "hpo tpe"
PROBLEMS = ("branin2", "three-models", "choices-6000")
CONTESTANTS = (OURS, HYPEROPT_TPE, OPTUNA_TPE, OPTUNA_GROUP, RANDOM)


def outcomes(name, *regrets):
    """One outcome for each regret, the same at every budget."""
    least = problem(name).least
    return [
        Outcome({n: least + r for n in BUDGETS}, border=0.1, duplicates=0.1, clump=0.5)
        for r in regrets
    ]


def figures(ours=1.0, ours_with_eight=None, peers=(2.0, 3.0, 4.0), at_random=(4.0, 6.0)):
    """Every optimiser with the same regret on every problem; random search with 5 on average."""

    def runs(one, eight):
        return {name: {1: outcomes(name, *one), 8: outcomes(name, *eight)} for name in PROBLEMS}

    eight = ours if ours_with_eight is None else ours_with_eight
    stored = {OURS: runs([ours, ours], [eight, eight]), RANDOM: runs(at_random, at_random)}
    for name, regret in zip(CONTESTANTS[1:4], peers, strict=True):
        stored[name] = runs([regret], [regret])
    return Figures(CONTESTANTS, PROBLEMS, (1, 8), stored)


def verdicts(made):
    return {target.statement: target.holds for target in targets(made, OURS)}


def test_regret_is_counted_in_units_of_random_searchs_mean():
    regret = figures(ours=2.0).regret(OURS, "branin2", 1, 100)

    assert regret.mean == pytest.approx(2.0 / 5.0)
    assert regret.error == pytest.approx(0.0)


def test_the_standard_error_is_that_of_the_mean_over_seeds():
    regret = figures().regret(RANDOM, "branin2", 8, 100)

    assert regret.mean == pytest.approx(1.0)
    # 4 and 6: standard deviation √2, of the mean of two 1, in units of 5.
    assert regret.error == pytest.approx(1 / 5)


def test_a_groups_error_falls_with_the_number_of_problems():
    assert figures().group(RANDOM, PROBLEMS, 1, 50).error == pytest.approx(0.2 / math.sqrt(3))


def test_a_group_has_no_figure_before_all_its_problems_were_run():
    made = figures()
    del made.outcomes[OPTUNA_TPE]["branin2"]

    assert made.group(OPTUNA_TPE, PROBLEMS, 1, 50) is None
    assert made.group(OPTUNA_TPE, ("three-models",), 1, 50) is not None


def test_equal_values_share_the_mean_of_their_ranks():
    assert rank([0.3, 0.1, 0.3, 0.5]) == [2.5, 1.0, 2.5, 4.0]


def test_ranks_are_taken_problem_by_problem():
    made = figures()
    made.outcomes[OURS]["branin2"][1] = outcomes("branin2", 9.0)

    ranks = made.mean_ranks(CONTESTANTS, 1, 100)

    assert ranks[OURS] == pytest.approx((1 + 1 + 5) / 3)
    assert ranks[HYPEROPT_TPE] == pytest.approx((2 + 2 + 1) / 3)


def test_an_algorithm_that_halves_the_best_peers_regret_meets_every_target():
    assert all(verdicts(figures(ours=1.0)).values())


def test_equal_regret_is_not_enough_and_nor_is_a_narrow_lead():
    equal, narrow = verdicts(figures(ours=2.0)), verdicts(figures(ours=1.8))

    assert not equal["ranks first, 100 evaluations, one at a time"]
    assert narrow["ranks first, 100 evaluations, one at a time"]
    assert not narrow["all problems, 200 evaluations: at most 0.8 of the best peer"]


def test_conditional_spaces_are_judged_more_strictly():
    judged = verdicts(figures(ours=1.5))

    assert judged["all problems, 200 evaluations: at most 0.8 of the best peer"]
    assert not judged["conditional problems, 200 evaluations: at most 0.7 of the best peer"]


def test_losing_too_much_to_parallel_work_is_noticed():
    statement = "8 workers, 200 evaluations: at most 1.15 of one's"

    assert verdicts(figures(ours=1.0, ours_with_eight=1.1))[statement]
    assert not verdicts(figures(ours=1.0, ours_with_eight=1.2))[statement]


def test_shapes_are_averaged_over_seeds_then_over_problems_that_have_them():
    made = figures()
    border = report.SHAPES[0]
    made.outcomes[OURS]["branin2"][1] = [
        Outcome({}, border=value, duplicates=0.0, clump=None) for value in (0.2, 0.4)
    ]
    made.outcomes[OURS]["choices-6000"][1] = [Outcome({}, None, 0.0, None)]

    assert report.mean_shape(made, border, OURS, PROBLEMS, 1) == pytest.approx((0.3 + 0.1) / 2)
    assert report.mean_shape(made, border, OURS, ["choices-6000"], 1) is None
    assert report.mean_shape(made, border, OURS, [*PROBLEMS, "layers"], 1) is None


def test_a_peer_that_always_finds_the_optimum_can_only_be_equalled():
    nothing_left = figures(ours=0.0, peers=(0.0, 1.0, 1.0))

    assert "0.000 ± 0.000 [  1.00]" in report.as_text(nothing_left)
    assert "[999.00]" in report.as_text(figures(ours=1.0, peers=(0.0, 1.0, 1.0)))


def test_without_peers_the_verdict_stays_open():
    made = figures()
    for peer in CONTESTANTS[1:4]:
        made.outcomes[peer].clear()

    judged = verdicts(made)

    assert judged["ranks first, 50 evaluations, 8 workers"] is None
    assert judged["all problems, 100 evaluations: at most 0.8 of the best peer"] is None
    assert "runs are missing" in report.as_text(made)


def test_one_missing_peer_keeps_the_verdict_open_but_shows_the_ratio_so_far():
    made = figures(ours=1.0)
    made.outcomes[OPTUNA_GROUP].clear()

    (target,) = (t for t in targets(made, OURS) if t.statement.startswith("all problems, 200"))

    assert target.holds is None
    assert target.figures.startswith("0.50 ") and "so far" in target.figures


def test_the_text_shows_ratios_and_verdicts_and_the_json_the_same_figures():
    made = figures(ours=1.0)

    text, fields = report.as_text(made, per_problem=True), report.as_json(made)

    assert "0.200 ± 0.000 [  0.50]" in text
    assert "yes ranks first, 50 evaluations, one at a time" in text
    assert fields["regrets"][0]["groups"]["all"][OURS][0] == pytest.approx(0.2)
    assert all(holds for _, _, holds in fields["targets"][OURS])


def test_the_command_line_refuses_what_it_does_not_know(capsys):
    with pytest.raises(SystemExit, match="branin3"):
        main(["--cached", "--problems", "branin3"])
    with pytest.raises(SystemExit):
        main(["--half", "the better one"])
    assert "development" in capsys.readouterr().err


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """What the command line finds stored."""
    monkeypatch.setattr(command_line, "Results", lambda measured: Results(tmp_path))
    return Results(tmp_path)


def test_the_command_line_reports_what_is_stored_and_runs_nothing(stored, tmp_path, capsys):
    run = Run(RANDOM, "branin2", seed=0, n_workers=1)
    (outcome,) = outcomes("branin2", 1.0)
    answer = {"digest": problem("branin2").digest, "outcome": outcome.as_json(), "secs": 0.1}
    stored.add(run, "1", {**run.task, **answer})

    status = main(["--cached", "--problems", "branin2", "--json", str(tmp_path / "figures")])

    assert status == 0
    assert "1 problems" in capsys.readouterr().out
    (table, *_) = json.loads((tmp_path / "figures").read_text())["regrets"]
    assert table["problems"]["branin2"][RANDOM][0] == 1.0


def test_an_empty_store_is_said_to_be_empty(stored, capsys):
    assert main(["--cached"]) == 0
    assert "has not been run" in capsys.readouterr().out
