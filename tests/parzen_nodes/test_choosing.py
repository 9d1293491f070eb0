"""Which trials are good, and which candidate is best."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo.parzen_nodes import ap_filter_trials, ap_split_trials, broadcast_best
from hpo.pyll import rec_eval, scope


def test_values_follow_their_trials_to_the_good_ones_and_the_others():
    tids, losses = [3, 5, 7, 9], [4.0, 1.0, 3.0, 2.0]

    below, above = ap_split_trials([5, 7, 3], [50, 70, 30], tids, losses, gamma=1.0)

    # ceil(1.0 * sqrt(4)) = 2 are good: 5 and 9, of which only 5 has the hyperparameter.
    assert below.tolist() == [50]
    assert above.tolist() == [70, 30]


@pytest.mark.parametrize(("n_trials", "gamma", "cap"), [(20, 0.25, 25), (400, 2.0, 25), (9, 1, 2)])
def test_as_many_are_good_as_the_rule_says(n_trials, gamma, cap):
    rng = np.random.default_rng(5)
    tids, losses = list(range(n_trials)), rng.permutation(n_trials).astype(float)

    below, above = ap_split_trials(tids, losses, tids, losses, gamma, cap)

    n_good = min(math.ceil(gamma * math.sqrt(n_trials)), cap)
    assert sorted(below) == list(range(n_good))
    assert sorted(above) == list(range(n_good, n_trials))


def test_a_trial_without_a_loss_is_never_good_and_an_unknown_one_in_neither():
    below, above = ap_split_trials([0, 1, 8], [10, 11, 18], [0, 1], [math.nan, 5.0], gamma=9.0)

    assert below.tolist() == [11]
    assert above.tolist() == [10]


def test_nothing_observed_splits_into_nothing():
    below, above = ap_split_trials([], [], [0, 1], [1.0, 2.0], gamma=0.25)

    assert below.size == above.size == 0


def test_the_best_candidate_is_where_the_good_are_denser():
    best = broadcast_best([10.0, 20.0, 30.0], [-1.0, -5.0, -2.0], [-1.0, -9.0, -3.0])

    assert best == [20.0, 20.0, 20.0]
    assert broadcast_best([], [], []) == []


def test_as_many_scores_as_candidates_are_needed():
    with pytest.raises(ValueError, match="2 samples have 3 log likelihoods"):
        broadcast_best([1.0, 2.0], [0.0] * 3, [0.0] * 3)


def test_both_are_operations_and_so_is_the_older_name():
    below, above = scope.ap_split_trials([0, 1], [5.0, 6.0], [0, 1], [2.0, 1.0], 0.5)
    older, _ = scope.ap_filter_trials([0, 1], [5.0, 6.0], [0, 1], [2.0, 1.0], 0.5)

    assert (rec_eval(below).tolist(), rec_eval(above).tolist()) == ([6.0], [5.0])
    assert rec_eval(older).tolist() == [6.0]
    assert ap_filter_trials is ap_split_trials
    assert rec_eval(scope.broadcast_best([1, 2], [0, 1], [0, 0])) == [2, 2]
