"""Categorical estimators count what was seen and smooth it by the prior."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpo.surrogate.categorical import Categorical, fit_categorical


def test_without_observations_the_prior_stands_alone():
    fitted = fit_categorical([], [0.7, 0.2, 0.1], prior_weight=0.0)

    assert fitted.probabilities == pytest.approx([0.7, 0.2, 0.1])


def test_each_option_has_its_count_and_its_share_of_the_prior():
    fitted = fit_categorical([0, 2, 2], [0.5, 0.25, 0.25], prior_weight=1.0)

    # Counts 1, 0, 2 and pseudocounts 3 * (0.5, 0.25, 0.25), of 6 in all.
    assert fitted.probabilities == pytest.approx([2.5 / 6, 0.75 / 6, 2.75 / 6])


def test_a_uniform_prior_adds_its_weight_to_every_integer():
    fitted = fit_categorical([11, 11, 13], np.full(4, 0.25), prior_weight=2.0, first=10)

    assert fitted.probabilities == pytest.approx(np.array([2, 4, 2, 3]) / 11)


def test_old_observations_count_less():
    # 26 observations: the oldest weighs 1 / 26, the others 1.
    fitted = fit_categorical([1] + [0] * 25, [0.5, 0.5], prior_weight=1.0)

    assert fitted.probabilities[1] / fitted.probabilities[0] == pytest.approx((1 + 1 / 26) / 26)


def test_an_option_that_no_longer_exists_is_left_out():
    fitted = fit_categorical([0, 7, -1], [0.5, 0.5], prior_weight=1.0)

    assert fitted.probabilities == pytest.approx([2 / 3, 1 / 3])


def test_draws_come_with_their_probabilities():
    probabilities = np.array([0.5, 0.0, 0.2, 0.3])
    draws = Categorical(probabilities, first=5).sample(np.random.default_rng(0), 5000)

    counts = np.array([(draws == value).sum() for value in range(5, 9)])
    possible = probabilities > 0
    assert counts[~possible].sum() == 0
    assert stats.chisquare(counts[possible], 5000 * probabilities[possible]).pvalue > 0.001


def test_the_density_is_the_logarithm_of_the_probability():
    log_density = Categorical(np.array([0.25, 0.75, 0.0]), first=1).log_density([1, 2, 3, 4, 1.5])

    expected = [math.log(0.25), math.log(0.75), -math.inf, -math.inf, -math.inf]
    assert log_density.tolist() == pytest.approx(expected)
