"""The schedule explores first; the hedge follows whoever nominates well."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.surrogate.portfolio import MEMBERS, hedge_probabilities, scheduled_probabilities


@pytest.mark.parametrize("n_ended", [0, 1, 40, 10_000])
def test_probabilities_sum_to_1(n_ended):
    means = {name: np.full(n_ended % 100, place) for place, name in enumerate(MEMBERS)}

    for shares in (scheduled_probabilities(n_ended), hedge_probabilities(means)):
        assert set(shares) == set(MEMBERS)
        assert sum(shares.values()) == pytest.approx(1.0)


def test_the_schedule_begins_with_the_confidence_bound_and_ends_with_the_probability():
    assert scheduled_probabilities(0)["ucb"] == 1.0
    assert scheduled_probabilities(40, halfway=40)["ucb"] == 0.5
    late = scheduled_probabilities(4000, halfway=40)
    assert late["pi"] > 0.95


def test_before_anything_was_nominated_all_are_equal():
    shares = hedge_probabilities({name: np.zeros(0) for name in MEMBERS})

    assert list(shares.values()) == pytest.approx([1.0 / 3.0] * 3)


def test_the_hedge_prefers_whose_nominees_have_small_losses():
    shares = hedge_probabilities({"ucb": np.ones(9), "ei": np.zeros(9), "pi": -np.ones(9)})

    assert shares["pi"] > shares["ei"] > shares["ucb"]
    # exp(eta * 9) between neighbours, eta = sqrt(8 log 3 / 9)
    assert shares["pi"] / shares["ei"] == pytest.approx(np.exp(9.0 * np.sqrt(8 * np.log(3) / 9)))


def test_huge_gains_do_not_overflow():
    shares = hedge_probabilities({"ucb": np.full(5, 1e6), "ei": np.zeros(5), "pi": np.zeros(5)})

    assert shares == {"ucb": 0.0, "ei": 0.5, "pi": 0.5}
