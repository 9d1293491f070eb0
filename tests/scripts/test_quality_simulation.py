"""The simulated queue against examples worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scripts.quality.optimisers import RandomSearch
from scripts.quality.problem import CONTINUOUS, DEVELOPMENT, Problem
from scripts.quality.simulation import gamma_duration, simulate
from scripts.quality.spaces import Real

LINE = Problem(
    "line", DEVELOPMENT, CONTINUOUS, (Real("x", 0.0, 100.0),), lambda point: float(point["x"]),
    {"x": 0.0}, 0.0, "it is a line",
)  # fmt: skip


class Counting:
    """Proposes 0, 1, 2, … and writes down what it knows at each proposal."""

    def __init__(self, recommends_the_last=False):
        self.recommends_the_last = recommends_the_last
        self.knew = []
        self.told = []

    def ask(self):
        self.knew.append(sorted(self.told))
        return {"x": float(len(self.knew) - 1)}

    def tell(self, number, loss):
        assert loss == number
        self.told.append(number)

    def recommend(self):
        return self.told[-1] if self.recommends_the_last else None


def run(durations, n_workers):
    optimiser = Counting()
    simulated = simulate(
        optimiser,
        LINE,
        n_evaluations=len(durations),
        n_workers=n_workers,
        seed=0,
        duration=durations.__getitem__,
    )
    return optimiser, [evaluation.number for evaluation in simulated.finished]


def test_one_worker_takes_one_trial_after_another():
    optimiser, order = run([3.0, 1.0, 2.0], n_workers=1)

    assert order == [0, 1, 2]
    assert optimiser.knew == [[], [0], [0, 1]]


def test_two_workers_finish_in_the_order_of_the_clock():
    # time  0    1    2    3    4    5    6    7
    # A     0--------------4---------|
    # B     1----2----3------------------------|
    optimiser, order = run([3.0, 1.0, 1.0, 5.0, 2.0], n_workers=2)

    assert order == [1, 2, 0, 4, 3]
    assert optimiser.knew == [[], [], [1], [1, 2], [0, 1, 2]]


def test_as_many_points_are_in_flight_as_there_are_workers():
    optimiser, _ = run([1.0] * 12, n_workers=4)

    in_flight = [number - len(knew) for number, knew in enumerate(optimiser.knew)]
    assert max(in_flight) == 3
    assert in_flight[:4] == [0, 1, 2, 3]


def test_no_more_trials_begin_than_are_wanted():
    optimiser, order = run([1.0] * 5, n_workers=8)

    assert len(optimiser.knew) == len(order) == 5


def recommended(optimiser, problem=LINE, budgets=(2, 5)):
    """{budget: number of the recommended trial} of one worker."""
    simulated = simulate(optimiser, problem, n_evaluations=6, n_workers=1, seed=0, budgets=budgets)
    return {n: evaluation.number for n, evaluation in simulated.recommended.items()}


def test_unless_the_optimiser_has_a_rule_the_trial_seen_to_be_best_is_recommended():
    downhill = replace(LINE, loss=lambda point: -float(point["x"]))

    class Falling(Counting):
        def tell(self, number, loss):
            """Expects other losses than its parent."""

    assert recommended(Counting()) == {2: 0, 5: 0}
    assert recommended(Falling(), downhill) == {2: 1, 5: 4}


def test_of_equal_trials_the_earliest_is_recommended():
    class Indifferent(Counting):
        def tell(self, number, loss):
            """Expects other losses than its parent."""

    assert recommended(Indifferent(), replace(LINE, loss=lambda point: 1.0)) == {2: 0, 5: 0}


def test_an_optimiser_may_recommend_another():
    assert recommended(Counting(recommends_the_last=True)) == {2: 1, 5: 4}


def test_durations_belong_to_the_run_and_the_trial_and_have_mean_one():
    takes = gamma_duration(4)
    drawn = [takes(number) for number in range(2000)]

    assert takes(17) == gamma_duration(4)(17) != gamma_duration(5)(17)
    assert np.mean(drawn) == pytest.approx(1.0, abs=0.05)
    assert np.std(drawn) == pytest.approx(0.5, abs=0.05)


def test_the_same_seed_gives_the_same_run():
    def losses(seed):
        search = RandomSearch(LINE.space, seed)
        found = simulate(search, LINE, n_evaluations=20, n_workers=8, seed=seed)
        return [evaluation.loss for evaluation in found.finished]

    assert losses(1) == losses(1) != losses(2)
