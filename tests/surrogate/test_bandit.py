"""A branch is chosen as often as it may be the best."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from hpo.surrogate.bandit import choose_branch, tally_branches

NAN = math.nan
N_DRAWS = 4000


def frequencies(branches, losses, n_branches):
    rng = np.random.default_rng(0)
    arrays = np.array(branches, dtype=float), np.array(losses, dtype=float)
    tally = tally_branches(*arrays, n_branches)
    drawn = [choose_branch(rng, tally) for _ in range(N_DRAWS)]
    return np.bincount(drawn, minlength=n_branches) / N_DRAWS


def chance_of_first(a, b):
    """P(r_0 > r_1) for two independent Beta variables, by quadrature."""
    first, second = stats.beta(*a), stats.beta(*b)
    return integrate.quad(lambda r: first.pdf(r) * second.cdf(r), 0.0, 1.0)[0]


def assert_chance(observed, expected):
    assert abs(observed - expected) < 4.0 * math.sqrt(expected * (1 - expected) / N_DRAWS)


def test_without_trials_every_branch_is_as_likely():
    for frequency in frequencies([], [], 4):
        assert_chance(frequency, 0.25)


def test_two_branches_are_chosen_with_the_chance_that_each_is_better():
    # Of ten trials one is good, and it is in branch 0, which has four.
    branches = [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]

    first, _ = frequencies(branches, range(10), 2)

    assert_chance(first, chance_of_first((2, 4), (1, 7)))


def test_three_percent_of_the_trials_with_a_loss_are_good():
    # ceil(0.03 * 67) = 3: one in branch 0 and two in branch 1; what failed is in branch 1.
    branches = [0] * 20 + [1] * 80
    losses = [1.0] + [9.0] * 19 + [2.0, 3.0] + [9.0] * 45 + [NAN] * 33

    first, _ = frequencies(branches, losses, 2)

    assert_chance(first, chance_of_first((2, 20), (3, 79)))


def test_failed_and_running_trials_make_a_branch_less_likely():
    first, second = frequencies([0] * 10 + [1], [NAN] * 11, 2)

    assert first < 0.25 < second


def test_a_branch_that_lost_is_visited_less_and_less_but_never_given_up():
    shares = [
        frequencies([0] * 100 + [1] * n, [0.0] * 100 + [1.0] * n, 2)[1] for n in (10, 40, 80)
    ]

    assert shares[0] > 2 * shares[1] > 4 * shares[2] > 0


@pytest.mark.parametrize("elsewhere", [NAN, -1.0, 2.0, 7.0])
def test_trials_in_none_of_the_branches_do_not_count(elsewhere):
    with_others = frequencies([0, 1, 1, elsewhere, elsewhere], [1.0, 2.0, 3.0, 0.0, 0.1], 2)

    assert with_others.tolist() == frequencies([0, 1, 1], [1.0, 2.0, 3.0], 2).tolist()


def test_only_one_branch_is_no_choice():
    assert frequencies([0, 0], [NAN, 1.0], 1).tolist() == [1.0]
