"""The benchmark of stopping rules trains along recorded curves, and counts the epochs."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace

import numpy as np
import pytest

from hpo.stopping.asha import ASHA
from hpo.stopping.base import Rule
from hpo.stopping.curve import CurveRule
from scripts import bench_stopping
from scripts.bench_stopping import Summary, targets
from scripts.stopping import make_curves
from scripts.stopping.curves import (
    CHOSEN_ON,
    HELD_OUT,
    N_EPOCHS,
    TABLES,
    WORST,
    load_curves,
    path_of,
)
from scripts.stopping.simulation import Outcome, simulate


class Never(Rule):
    """Stops nothing."""

    def should_stop(self, curve, history):
        return False


class AtOnce(Rule):
    """Stops everything after its first report."""

    def should_stop(self, curve, history):
        return True


def falling(n, length=9, seed=0):
    """Losses that fall to different ends, the same order at every step; shape (n, length)."""
    ends = np.random.default_rng(seed).permutation(np.linspace(0.1, 1.0, n))
    return ends[:, None] * (1 + np.exp(-np.arange(length)))


# --- the recorded curves ----------------------------------------------------------------


def test_the_tables_are_small_and_hold_losses():
    assert sum(path_of(table).stat().st_size for table in TABLES) < 1_000_000
    for table in TABLES:
        curves = load_curves(table)
        assert curves.shape[0] >= 120
        assert curves.shape[1] == N_EPOCHS
        assert 0 < curves.min() < curves.max() <= WORST + 1e-3


def test_the_tables_can_be_recorded_again(monkeypatch):
    monkeypatch.setattr(make_curves, "N_EPOCHS", 2)
    (task,) = [task for task in make_curves.TASKS if task.name == "net_digits"]

    again = make_curves.record(dataclasses.replace(task, n_configurations=1))

    # Libraries may round differently.
    np.testing.assert_allclose(again[0], load_curves("net_digits")[0, :2], rtol=0.02)


def test_a_learner_that_diverged_has_the_worst_loss():
    class Diverged:
        classes_ = np.array([0, 1])

        def predict_proba(self, x):
            return np.full((len(x), 2), np.nan)

    assert make_curves.loss_of(Diverged(), np.zeros((3, 1)), np.array([0, 1, 1])) == WORST


# --- the simulation -----------------------------------------------------------------------


@pytest.mark.parametrize("n_workers", [1, 3, 8])
def test_without_a_rule_everything_is_trained(n_workers):
    curves = falling(12)

    outcome = simulate(curves, Never(), n_workers=n_workers, seed=0)

    assert outcome.n_epochs == outcome.full_budget == curves.size
    assert (outcome.loses_best, outcome.regret) == (False, 0)


def test_one_worker_trains_one_after_the_other():
    curves = falling(12)
    is_met = curves.ravel() <= 1.01 * curves.min()

    outcome = simulate(curves, Never(), n_workers=1, seed=0)

    assert outcome.n_epochs_to_best == 1 + is_met.argmax()


def test_a_stopped_training_costs_no_more_epochs():
    curves = falling(12)

    outcome = simulate(curves, AtOnce(), n_workers=3, seed=0)

    assert outcome.n_epochs == 12
    assert outcome.loses_best
    assert outcome.n_epochs_to_best is None
    assert outcome.share == 1
    assert outcome.regret == pytest.approx(curves[:, 0].min() / curves.min() - 1)


def test_halving_by_one_worker_is_what_the_rule_says():
    curves = falling(40)

    outcome = simulate(curves, ASHA(1, 9, eta=3, promote=False), n_workers=1, seed=0)

    assert outcome.n_epochs == epochs_of_halving(curves, rungs=(1, 3), eta=3)


def epochs_of_halving(curves, rungs, eta):
    """Of trials that run one after the other and are never taken up again, by hand."""
    seen = {rung: [] for rung in rungs}
    n_epochs = 0
    for losses in curves:
        for epoch in range(1, len(losses) + 1):
            n_epochs += 1
            if epoch in seen:
                seen[epoch].append(losses[epoch - 1])
                place = sorted(seen[epoch]).index(losses[epoch - 1])
                if place >= max(1, len(seen[epoch]) // eta):
                    break
    return n_epochs


def test_a_promoted_training_goes_on_where_it_stood():
    # The first is stopped by nobody, the second by the first, and later ones let it rise.
    curves = np.array([[1.0, 0.9, 0.8], [2.0, 0.1, 0.05]] + [[3.0, 3.0, 3.0]] * 6)

    with_promotion = simulate(curves, ASHA(1, 3, eta=3), n_workers=1, seed=0)
    without = simulate(curves, ASHA(1, 3, eta=3, promote=False), n_workers=1, seed=0)

    assert without.loses_best
    assert not with_promotion.loses_best
    assert with_promotion.n_epochs == without.n_epochs + 2


def test_workers_report_out_of_step():
    seen = []

    class Watching(Never):
        def should_stop(self, curve, history):
            seen.append({one.line: one.last_step for one in history.curves()})
            return False

    simulate(falling(3), Watching(), n_workers=3, seed=0)

    assert any(len(set(steps.values())) > 1 for steps in seen)
    assert seen[-1].keys() == {0, 1, 2}


def test_the_same_seed_gives_the_same_outcome():
    curves = falling(30)

    first, second = (simulate(curves, ASHA(1, 9), n_workers=4, seed=5) for _ in range(2))

    assert first == second


# --- the figures --------------------------------------------------------------------------


def test_a_summary_is_over_seeds():
    met = Outcome(100, n_epochs=40, n_epochs_to_best=20, loses_best=False, regret=0.0)
    lost = Outcome(100, n_epochs=30, n_epochs_to_best=None, loses_best=True, regret=0.2)

    summary = Summary.of("net_digits", "ASHA", [met, met, lost])

    assert summary == Summary(
        "net_digits",
        "ASHA",
        0.2,
        pytest.approx(1.1 / 3),
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
    )
    assert summary.row().split() == ["net_digits", "ASHA", "20%", "37%", "33%", "33%"]


def test_tables_that_no_setting_was_chosen_on_are_marked():
    summary = Summary("net_wine", "ASHA", to_best=0.2, in_all=0.3, lost=0.0, not_met=0.0)

    assert summary.row().startswith("net_wine (held out) ")
    assert [figure.name for figure in targets([summary])] == [
        "ASHA on net_wine (held out): epochs to best",
        "ASHA on net_wine (held out): seeds lost",
    ]
    assert set(HELD_OUT).isdisjoint(CHOSEN_ON)


def test_rules_are_judged_by_epochs_and_lost_seeds():
    good = Summary("t", "ASHA", to_best=0.3, in_all=0.4, lost=0.05, not_met=0.0)
    bad = Summary("t", "curve", to_best=0.61, in_all=0.7, lost=0.06, not_met=0.0)
    free = Summary("t", "median", to_best=1.0, in_all=1.0, lost=1.0, not_met=1.0)

    verdicts = [figure.verdict for figure in targets([good, bad, free])]

    assert verdicts == ["ok", "ok", "MISSED", "MISSED"]


@pytest.mark.parametrize("rule", ["ASHA", "curve"])
def test_rules_reach_their_targets_on_a_few_seeds(rule):
    found = bench_stopping.outcomes("net_digits", bench_stopping.RULES[rule], n_seeds=3)

    summary = Summary.of("net_digits", rule, found)

    assert summary.to_best <= bench_stopping.EPOCHS_TO_BEST[rule]
    assert summary.lost == 0


def test_what_is_measured_are_the_rules_that_searches_use():
    assert isinstance(bench_stopping.RULES["ASHA"], ASHA)
    assert isinstance(bench_stopping.RULES["curve"], CurveRule)


def test_calls_are_timed_in_turn_and_each_alone(monkeypatch):
    happened = []
    # Only there: a database client of another test may have threads that sleep as well.
    own_time = SimpleNamespace(sleep=happened.append, perf_counter=time.perf_counter)
    monkeypatch.setattr(bench_stopping, "time", own_time)

    medians = bench_stopping._medians_ms(
        (lambda step: happened.append("a"), lambda step: happened.append("b")), range(2), 0.1
    )

    assert happened == [0.1, "a", 0.1, "b", 0.1, "a", 0.1, "b"]
    assert all(0 <= median < 5 for median in medians)
