"""Hyperband: which bracket a trial is in, and whom it competes with."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from hpo.exceptions import InvalidOptionValue
from hpo.stopping import ASHA, Hyperband
from tests.stopping.experiments import Experiment


def test_a_round_of_brackets_has_the_shares_of_the_paper():
    """Li et al. 2018, table 1, R = 81, eta = 3: 81, 34, 15, 8, 5 configurations."""
    rule = Hyperband(1, 81)
    n_in_a_round = 81 + 34 + 15 + 8 + 5

    counted = Counter(rule.bracket_of(line) for line in range(n_in_a_round))

    assert [counted[bracket] for bracket in range(5)] == [81, 34, 15, 8, 5]
    assert rule.bracket_of(n_in_a_round + 7) == rule.bracket_of(7)


def test_every_bracket_has_its_share_early_on():
    rule = Hyperband(1, 81)

    counted = Counter(rule.bracket_of(line) for line in range(40))

    for bracket, n in enumerate([81, 34, 15, 8, 5]):
        assert math.isclose(counted[bracket], 40 * n / 143, abs_tol=1.0)


def test_trials_compete_within_their_bracket_only():
    rule, experiment = Hyperband(1, 9), Experiment()
    lines = {bracket: [] for bracket in range(3)}
    for line in range(30):
        lines[rule.bracket_of(line)].append(line)
    rival, first = lines[1][0], lines[0][0]
    experiment.train(rival, 0.1)
    experiment.train(first, 0.9)

    assert not experiment.asks(rule, first)

    experiment.train(lines[0][1], 0.5)
    assert experiment.asks(rule, first)


def test_the_last_bracket_stops_nobody():
    rule, experiment = Hyperband(1, 9), Experiment()
    last = [line for line in range(60) if rule.bracket_of(line) == len(rule.rungs)]
    for line in last:
        experiment.train(line, *[line / 100.0] * 8)

    assert not any(experiment.asks(rule, line, asked_step=-1) for line in last)


def test_bracket_0_alone_decides_as_asha_does():
    rule, alone, among = Hyperband(1, 9), Experiment(), Experiment()
    in_bracket_0 = [line for line in range(40) if rule.bracket_of(line) == 0]
    for line in range(40):
        among.train(line, (line * 7 % 40) / 40, end="stopped")
        if line in in_bracket_0:
            alone.train(line, (line * 7 % 40) / 40, end="stopped")

    for line in in_bracket_0:
        assert among.asks(rule, line) == alone.asks(ASHA(1, 9), line)
    promoted = rule.promotions(among.history())
    assert [tid for tid in promoted if tid in in_bracket_0] == ASHA(1, 9).promotions(
        alone.history()
    )


def test_a_budget_below_the_first_rung_is_refused():
    with pytest.raises(InvalidOptionValue, match="less than min_steps"):
        Hyperband(9, 3)
