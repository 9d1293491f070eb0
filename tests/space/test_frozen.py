"""Frozen scipy distributions as priors."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
import scipy.stats

from hpo.exceptions import BadSearchSpace
from hpo.space import Frozen, Integers, Normal, Uniform, is_frozen_distribution
from hpo.space.frozen import prior_of_frozen

OTHERS = {
    "beta": scipy.stats.beta(2, 3, loc=-1, scale=4),
    "gamma": scipy.stats.gamma(2.5),
    "cauchy": scipy.stats.cauchy(1, 2),
    "expon": scipy.stats.expon(scale=0.1),
    "truncnorm": scipy.stats.truncnorm(-1, 2, loc=5),
    "poisson": scipy.stats.poisson(3.5),
    "binom": scipy.stats.binom(10, 0.3),
    "lognorm shifted": scipy.stats.lognorm(0.5, loc=3),
}


def test_only_frozen_distributions_are_taken_for_such():
    assert is_frozen_distribution(scipy.stats.norm(0, 1))
    assert is_frozen_distribution(scipy.stats.poisson(3))
    for other in (scipy.stats.norm, 1, "norm", mock.MagicMock(), np.ones(3), Uniform):
        assert not is_frozen_distribution(other)


@pytest.mark.parametrize(
    ("dist", "prior"),
    [
        (scipy.stats.uniform(-1, 4), Uniform(-1, 3)),
        (scipy.stats.loguniform(1e-3, 10), Uniform(math.log(1e-3), math.log(10), is_log=True)),
        (scipy.stats.reciprocal(1, 2), Uniform(0, math.log(2), is_log=True)),
        (scipy.stats.norm(1, 2), Normal(1, 2)),
        (scipy.stats.lognorm(0.5, scale=math.exp(2)), Normal(2, 0.5, is_log=True)),
        (scipy.stats.randint(2, 6), Integers(2, 6)),
    ],
    ids=lambda value: getattr(getattr(value, "dist", None), "name", ""),
)
def test_common_ones_become_hpos_own_priors(dist, prior):
    found = prior_of_frozen(dist)

    assert type(found) is type(prior)
    assert found.kind == prior.kind
    for name, value in prior.arguments.items():
        assert found.arguments[name] == pytest.approx(value, rel=1e-12, abs=1e-12)
    x = np.linspace(0.5, 5, 10)
    np.testing.assert_allclose(found.cdf(x), dist.cdf(x), atol=1e-9)


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_follows_its_own_methods(name):
    dist = OTHERS[name]
    prior = prior_of_frozen(dist)
    u = np.linspace(0.01, 0.99, 25)

    assert isinstance(prior, Frozen)
    assert prior.is_integer == hasattr(dist, "pmf")
    np.testing.assert_allclose(prior.ppf(u), dist.ppf(u))
    np.testing.assert_allclose(prior.cdf(prior.ppf(u)), dist.cdf(dist.ppf(u)))
    assert prior.bounds == dist.support()


@pytest.mark.parametrize("name", OTHERS)
def test_draws_are_pythons_numbers_and_follow_the_distribution(name):
    dist = OTHERS[name]
    prior = prior_of_frozen(dist)

    draws = prior.sample(np.random.default_rng(1), 1000)

    one = prior.sample(np.random.default_rng(1))
    assert type(one) is (int if prior.is_integer else float)
    assert all(prior.contains(value) for value in draws.tolist())
    if not prior.is_integer:
        assert scipy.stats.kstest(draws, dist.cdf).pvalue > 1e-3
    else:
        assert abs(draws.mean() - dist.mean()) < 4 * dist.std() / math.sqrt(1000)


def test_the_scale_comes_from_bounds_or_else_from_quantiles():
    assert prior_of_frozen(OTHERS["beta"]).latent_mu_sigma == pytest.approx((1.0, 4.0))
    # A Cauchy distribution has no mean and no variance.
    mu, sigma = prior_of_frozen(OTHERS["cauchy"]).latent_mu_sigma
    assert mu == pytest.approx(1.0)
    assert sigma == pytest.approx(2 * math.tan(math.pi * (0.8413447460685429 - 0.5)))


def test_the_quantile_of_zero_is_a_possible_value():
    assert prior_of_frozen(scipy.stats.poisson(3.5)).ppf(0.0) == 0


def test_distributions_that_are_not_one_number_are_refused():
    with pytest.raises(BadSearchSpace, match="has arrays as parameters"):
        prior_of_frozen(scipy.stats.uniform([0, 1], 2))
    with pytest.raises(BadSearchSpace, match="parameters that scipy does not allow"):
        prior_of_frozen(scipy.stats.beta(-1, 2))


def test_arguments_are_plain_data():
    arguments = prior_of_frozen(OTHERS["beta"]).arguments

    assert arguments == {"distribution": "beta", "args": [2.0, 3.0], "loc": -1.0, "scale": 4.0}
