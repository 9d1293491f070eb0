"""The benchmark of suggestions holds the same trials in every library, and judges by ratios."""

from __future__ import annotations

import time

import numpy as np
import pytest

from scripts import suggest_clock
from scripts.bench_suggest import HPO_TPE, Case, Times, targets
from scripts.quality.optimisers import OPTUNA_TPE, Name
from scripts.quality.spaces import Choice, Integer, Real, draw, parameters_of
from scripts.suggest_clock import LIBRARIES, SPACES, loss_of


@pytest.mark.parametrize(("name", "n_labels"), [("mixed10", 10), ("mixed50", 50), ("cond19", 19)])
def test_spaces_have_as_many_labels_as_their_names_say(name, n_labels):
    assert len(parameters_of(SPACES[name])) == n_labels


def test_the_mixed_spaces_have_every_kind_in_nearly_equal_parts():
    kinds = [
        "choice" if isinstance(p, Choice) else "log" if p.log else "step" if p.step else "plain"
        for p in SPACES["mixed50"]
        if not isinstance(p, Integer)
    ]

    assert {kind: kinds.count(kind) for kind in kinds} == {
        "plain": 13, "log": 13, "step": 12, "choice": 12
    }  # fmt: skip


def test_a_configuration_of_the_conditional_space_has_a_part_of_its_labels():
    points = [draw(SPACES["cond19"], np.random.default_rng(seed)) for seed in range(200)]

    assert {point["model"] for point in points} == {"svm", "forest", "boosting", "network"}
    assert {len(point) for point in points} == {8}
    assert {len(parameters_of(SPACES["cond19"])) - len(point) for point in points} == {11}


def test_the_loss_is_least_at_the_bottom_of_the_bowl():
    space = [Real("x", 0.0, 10.0), Choice("c", ("a", "b"))]

    assert loss_of(space, {"x": 6.0, "c": "a"}) == pytest.approx(0.0)
    assert loss_of(space, {"x": 6.0, "c": "b"}) == pytest.approx(0.25)
    assert loss_of(space, {"x": 1.0, "c": "a"}) == pytest.approx(0.25)


@pytest.mark.parametrize("space", sorted(SPACES))
def test_hpo_is_asked_with_every_finished_trial_and_told_of_what_it_suggested(space):
    library = LIBRARIES["hpo"](
        Name.parse("hpo tpe"),
        SPACES[space],
        [draw(SPACES[space], np.random.default_rng(seed)) for seed in range(20)],
    )

    asked = library.ask(4)
    library.tell(asked)

    assert [document["suggested_by"]["seen"]["last"] for document in asked] == [19] * 4
    (document,) = library.ask(1)
    assert document["suggested_by"]["seen"]["last"] == 23
    assert document["suggested_by"]["seen"]["pending"] == ""


def test_only_the_asking_is_timed():
    class Slow:
        def ask(self, n):
            return n

        def tell(self, asked):
            self.was_told = asked
            time.sleep(0.05)

    library = Slow()

    assert suggest_clock._timed(library, 3) < 25.0
    assert library.was_told == 3


def test_targets_are_multiples_of_hpos_time_and_of_one_of_a_batch():
    times = Times(Case("mixed10", 1_000, 3, (OPTUNA_TPE,)))
    times.single = {HPO_TPE: [1.0, 1.0, 9.0], OPTUNA_TPE: [20.0, 20.0, 10.0]}
    times.in_batch = [0.5, 0.5, 0.1]

    of_optuna, of_batch = targets([times])

    assert of_optuna.value == pytest.approx(20.0) and of_optuna.verdict == "ok"
    assert of_batch.value == pytest.approx(2.0) and of_batch.verdict == "MISSED"


def test_growth_is_judged_when_100_000_trials_were_measured():
    few, many = (Times(Case("mixed10", n, 3, ())) for n in (1_000, 100_000))
    few.single, many.single = {HPO_TPE: [1.0]}, {HPO_TPE: [2.5]}
    few.in_batch = many.in_batch = [0.1]

    *_, growth = targets([few, many])

    assert (growth.value, growth.verdict) == (2.5, "ok")
