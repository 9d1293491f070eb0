"""ASHA: who goes on at a rung, and who is taken up again."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.exceptions import InvalidOption, InvalidOptionValue
from hpo.stopping import ASHA
from tests.stopping.experiments import Experiment


@pytest.fixture
def experiment():
    return Experiment()


# --- rungs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule, rungs",
    [
        (ASHA(1, 81), (1, 3, 9, 27)),
        (ASHA(1, 82), (1, 3, 9, 27, 81)),
        (ASHA(3, 81, eta=4), (3, 12, 48)),
        (ASHA(5, 5), ()),
        (ASHA(1, 10, eta=1.5), (1, 2, 3, 4, 6, 8)),
    ],
)
def test_rungs_are_min_steps_times_powers_of_eta_below_the_full_budget(rule, rungs):
    assert rule.rungs == rungs


def test_without_a_full_budget_a_rung_follows_every_other():
    assert ASHA(2).rungs[:5] == (2, 6, 18, 54, 162)
    assert len(ASHA(2).rungs) < 30


# --- one decision ------------------------------------------------------------------------


def test_the_first_trial_at_a_rung_goes_on(experiment):
    experiment.train(0, 9.9)

    assert not experiment.asks(ASHA(1, 9), 0)


def test_of_three_trials_the_best_goes_on(experiment):
    for number, loss in enumerate([0.5, 0.4, 0.3]):
        experiment.train(number, loss)

    assert [experiment.asks(ASHA(1, 9), number) for number in range(3)] == [True, True, False]


def test_equally_good_trials_go_on_together(experiment):
    for number in range(3):
        experiment.train(number, 0.5)

    assert not any(experiment.asks(ASHA(1, 9), number) for number in range(3))


def test_nothing_is_read_between_two_rungs(experiment):
    experiment.train(0, 0.5, 0.5, 0.5, 0.5)
    experiment.train(1, 0.9, 0.9, 0.9, 0.9)

    assert not experiment.asks(ASHA(3, 9), 1)
    assert experiment.steps_read == []


def test_a_rung_that_a_report_skips_is_decided_at_the_next_report(experiment):
    experiment.train(0, 0.1, 0.1, 0.1, 0.1, 0.1)
    experiment.report(1, 2, 0.9)
    experiment.report(1, 4, 0.8)

    assert experiment.asks(ASHA(3, 9), 1)


def test_what_was_not_asked_at_a_rung_is_decided_when_it_asks_by_its_loss_there(experiment):
    experiment.train(0, 0.9, 0.9, 0.3, 0.3)
    experiment.train(1, 0.9, 0.9, 0.2, 0.9)

    assert not experiment.asks(ASHA(3, 9), 1, asked_step=2)


def test_a_diverged_trial_is_stopped_even_when_it_is_the_first(experiment):
    experiment.train(0, math.inf)

    assert experiment.asks(ASHA(1, 9), 0)


def test_at_the_full_budget_nobody_is_stopped(experiment):
    experiment.train(0, *[0.1] * 9)
    experiment.train(1, *[0.9] * 9)

    assert not experiment.asks(ASHA(1, 9), 1)


# --- many decisions, against a plain simulation ------------------------------------------


def allowed_at(losses, eta):
    """How many of those at a rung go on at least."""
    return max(1, int(len(losses) / eta + 1e-9))


class Simulation:
    """Successive halving by the book: one table of losses for each rung."""

    def __init__(self, rungs, eta):
        self.eta = eta
        self.at_rung = {rung: {} for rung in rungs}

    def arrives(self, number, rung, loss):
        """A trial comes to a rung; whether it is stopped there."""
        losses = self.at_rung[rung]
        losses[number] = loss
        rank = sorted(losses.values()).index(loss)
        return rank >= allowed_at(losses, self.eta)

    def best_at(self, rung):
        losses = self.at_rung[rung]
        n_best = int(len(losses) / self.eta + 1e-9)
        return sorted(losses, key=lambda number: (losses[number], number))[:n_best]


@given(
    n_trials=st.integers(1, 25),
    eta=st.sampled_from([2, 3, 4, 2.5]),
    stride=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    lost=st.floats(0, 0.5),
)
def test_decisions_are_those_of_a_simulation_whatever_the_order_and_whatever_is_lost(
    n_trials, eta, stride, seed, lost
):
    """Workers interleave at random, report every `stride` steps, and lose some reports."""
    rng = random.Random(seed)
    rule = ASHA(2, 30, eta=eta)
    experiment, simulation = Experiment(), Simulation(rule.rungs, eta)
    progress, stopped_at = dict.fromkeys(range(n_trials), 0), {}
    while progress:
        number = rng.choice(list(progress))
        before, progress[number] = progress[number], progress[number] + stride
        step = progress[number]
        # Round losses: ties are part of it.
        loss = round(rng.random(), 1)
        is_lost = rng.random() < lost
        if not is_lost:
            experiment.report(number, step, loss)
            reports = experiment.documents[number]["reports"]
            before = reports[-2]["step"] if len(reports) > 1 else -1
            passed = [rung for rung in rule.rungs if before < rung <= step]
            # It stands at every rung that it passed, and is judged at the highest.
            judged = [simulation.arrives(number, rung, loss) for rung in passed]
            expected = bool(judged) and judged[-1]
            assert experiment.asks(rule, number) == expected, (number, step, loss)
            if expected:
                stopped_at[number] = passed[-1]
                experiment.end(number, "stopped")
                del progress[number]
                continue
        if step >= 30:
            if number in experiment.documents:
                experiment.end(number, "ok")
            del progress[number]

    promoted = rule.promotions(experiment.history())

    assert set(promoted) == {
        number for number, rung in stopped_at.items() if number in simulation.best_at(rung)
    }


# --- promotions --------------------------------------------------------------------------


def rung_of(experiment, *losses, end="stopped"):
    for number, loss in enumerate(losses):
        experiment.train(number, loss, end=end)


def test_a_trial_that_later_is_among_the_best_is_taken_up(experiment):
    rung_of(experiment, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8)
    experiment.end(0, "ok")

    assert ASHA(1, 9).promotions(experiment.history()) == [1]


def test_nothing_is_taken_up_while_fewer_than_eta_have_come(experiment):
    rung_of(experiment, 0.2, 0.3)

    assert ASHA(1, 9).promotions(experiment.history()) == []


def test_the_best_come_first_and_the_highest_rung_before_the_others(experiment):
    for number, loss in enumerate([0.6, 0.5, 0.4]):
        experiment.train(number, 0.0, 0.0, loss, end="stopped")
    for number, loss in enumerate([0.3, 0.2, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7], 3):
        experiment.train(number, loss, end="stopped")

    assert ASHA(1, 9).promotions(experiment.history()) == [2, 4, 3]


def test_what_diverged_is_not_taken_up(experiment):
    rung_of(experiment, math.inf, math.inf, math.inf)

    assert ASHA(1, 9).promotions(experiment.history()) == []


def test_what_was_taken_up_is_not_taken_up_again(experiment):
    rung_of(experiment, 0.2, 0.5, 0.6)
    taken_up = {**experiment.documents[0], "tid": 3, "number": 3, "continues": 0, "line": 0}
    experiment.documents[3] = taken_up
    experiment.end(3, "running")

    assert ASHA(1, 9).promotions(experiment.history()) == []


def test_a_line_whose_continuation_was_cancelled_can_be_taken_up_again(experiment):
    rung_of(experiment, 0.2, 0.5, 0.6)
    cancelled = {**experiment.documents[0], "state": 4, "result": {"status": "new"}}
    experiment.documents[3] = {**cancelled, "tid": 3, "number": 3, "continues": 0, "line": 0}

    assert ASHA(1, 9).promotions(experiment.history()) == [0]


def test_a_line_counts_once_at_a_rung(experiment):
    rung_of(experiment, 0.2, 0.5)
    experiment.documents[2] = {
        **experiment.documents[0],
        "tid": 2,
        "number": 2,
        "continues": 0,
        "line": 0,
    }

    assert [(one.line, one.tid) for one in experiment.history().at(1)] == [(0, 2), (1, 1)]


def test_promotion_can_be_switched_off(experiment):
    rung_of(experiment, 0.2, 0.5, 0.6)

    assert ASHA(1, 9, promote=False).promotions(experiment.history()) == []


# --- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"min_steps": 0}, InvalidOptionValue, "min_steps must be at least 1"),
        ({"min_steps": 1.5}, InvalidOption, "min_steps must be a whole number"),
        ({"min_steps": 9, "max_steps": 3}, InvalidOptionValue, "less than min_steps=9"),
        ({"eta": 1}, InvalidOptionValue, "eta must be finite and above 1"),
        ({"eta": math.nan}, InvalidOptionValue, "eta must be finite and above 1"),
        ({"eta": "3"}, InvalidOption, "eta must be a number"),
    ],
)
def test_options_without_sense_are_refused(options, error, text):
    with pytest.raises(error, match=text):
        ASHA(**options)
