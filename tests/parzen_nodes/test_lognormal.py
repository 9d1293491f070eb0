"""Distribution functions of one component, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hpo.parzen_nodes import (
    EPS,
    lognormal_cdf,
    lognormal_lpdf,
    normal_cdf,
    qlognormal_lpdf,
)

MUS_SIGMAS = [(0.0, 1.0), (-3.0, 0.2), (2.0, 5.0)]


@pytest.mark.parametrize(("mu", "sigma"), MUS_SIGMAS)
def test_the_distribution_functions_are_scipys(mu, sigma):
    x = np.array([0.0, 1e-9, 0.05, 1.0, 2.5, 1e6])

    assert normal_cdf(x, mu, sigma) == pytest.approx(stats.norm(mu, sigma).cdf(x), rel=1e-12)
    assert lognormal_cdf(x, mu, sigma) == pytest.approx(
        stats.lognorm(s=sigma, scale=np.exp(mu)).cdf(x), rel=1e-10
    )


@pytest.mark.parametrize(("mu", "sigma"), MUS_SIGMAS)
def test_the_density_of_a_lognormal_is_scipys_and_zero_where_nothing_is(mu, sigma):
    x = np.array([0.05, 1.0, 2.5, 1e6])

    log_density = lognormal_lpdf(x, mu, sigma)

    expected = stats.lognorm(s=sigma, scale=np.exp(mu)).logpdf(x)
    assert log_density == pytest.approx(expected, rel=1e-10)
    assert np.all(lognormal_lpdf([0.0, -1.0], mu, sigma) == -np.inf)


@pytest.mark.parametrize("q", [0.5, 1.0, 3.0])
def test_a_lognormal_that_is_rounded_up_has_probabilities_that_sum_to_one(q):
    mu, sigma = 0.5, 0.7
    x = q * np.arange(0, 2000)

    probability = np.exp(qlognormal_lpdf(x, mu, sigma, q))

    edges = stats.lognorm(s=sigma, scale=np.exp(mu)).cdf(np.concatenate([[0.0], x]))
    assert probability == pytest.approx(np.diff(edges), abs=1e-12)
    assert probability.sum() == pytest.approx(1.0)


def test_a_far_tail_keeps_its_digits():
    # The mass of (e^20 - q, e^20] is far below what a difference of two cdfs can tell.
    x, q = np.exp(20.0), 1.0

    log_probability = qlognormal_lpdf(x, 0.0, 1.0, q)

    assert log_probability == pytest.approx(stats.lognorm(s=1.0).logpdf(x) + np.log(q), rel=1e-6)


def test_components_and_values_broadcast():
    x, mus, sigmas = np.array([[0.5], [1.0], [2.0]]), np.array([0.0, 1.0]), np.array([1.0, 2.0])

    assert lognormal_lpdf(x, mus, sigmas).shape == (3, 2)
    assert normal_cdf(x, mus, sigmas).shape == (3, 2)
    assert lognormal_cdf([], 0.0, 1.0).shape == (0,)


def test_a_deviation_of_zero_is_a_step():
    assert normal_cdf([0.9, 1.1], 1.0, 0.0).tolist() == [0.0, 1.0]
    assert normal_cdf(1.0 + EPS, 1.0, 0.0) == pytest.approx(stats.norm.cdf(1.0), rel=1e-3)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="negative argument: -1; cut"):
        lognormal_cdf([1.0, -1.0], 0.0, 1.0)
    with pytest.raises(ValueError, match="sigma must not be negative, but is -2"):
        lognormal_lpdf([1.0], 0.0, -2.0)
