"""Mixtures are distributions: they add up to one and their draws follow them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from hpo.surrogate.mixture import NormalMixture

WEIGHTS = np.array([0.2, 0.5, 0.3])
MUS = np.array([-1.0, 0.4, 2.0])
SIGMAS = np.array([0.5, 0.05, 1.5])

CONTINUOUS = {
    "free": NormalMixture(WEIGHTS, MUS, SIGMAS),
    "bounded": NormalMixture(WEIGHTS, MUS, SIGMAS, low=-1.2, high=2.5),
    "log": NormalMixture(WEIGHTS, MUS, SIGMAS, is_log=True),
    "bounded log": NormalMixture(WEIGHTS, MUS, SIGMAS, low=-1.2, high=2.5, is_log=True),
    "far outside its bounds": NormalMixture(WEIGHTS, MUS, SIGMAS, low=30.0, high=31.0),
}
QUANTISED = {
    "free": NormalMixture(WEIGHTS, MUS, SIGMAS, q=0.5),
    "bounded": NormalMixture(WEIGHTS, MUS, SIGMAS, low=-1.2, high=2.5, q=0.5),
    "log": NormalMixture(WEIGHTS, MUS, SIGMAS, is_log=True, q=0.5),
    "bounded log": NormalMixture(WEIGHTS, MUS, SIGMAS, low=-1.2, high=2.5, is_log=True, q=0.5),
    "bounds off the grid": NormalMixture(WEIGHTS, MUS, SIGMAS, low=-0.33, high=1.71, q=0.7),
    "step beyond the range": NormalMixture(WEIGHTS, MUS, SIGMAS, low=0.0, high=1.0, q=10.0),
}


def density(mixture, value):
    return math.exp(mixture.log_density([value])[0])


def probability_up_to(mixture, values):
    """The distribution function, by scipy: equations (1) and (2) written as they stand."""
    latent = np.log(values) if mixture.is_log else np.asarray(values)
    cdf = stats.norm(mixture.mus, mixture.sigmas).cdf
    below = cdf(np.clip(latent, mixture.low, mixture.high)[:, None]) - cdf(mixture.low)
    return below @ mixture.weights / ((cdf(mixture.high) - cdf(mixture.low)) @ mixture.weights)


def grid(mixture):
    lowest, highest = (-30.0, 30.0) if not mixture.is_log else (0.0, 4000.0)
    return (
        np.arange(math.floor(lowest / mixture.q), math.ceil(highest / mixture.q) + 1) * mixture.q
    )


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_continuous_mixture_integrates_to_one(name):
    mixture = CONTINUOUS[name]
    low = mixture.low if math.isfinite(mixture.low) else -12.0
    high = mixture.high if math.isfinite(mixture.high) else 15.0
    # Latent positions as the variable of integration keep the log scale tractable.
    to_value, slope = (np.exp, np.exp) if mixture.is_log else (lambda z: z, lambda z: 1.0)

    total, _ = integrate.quad(
        lambda z: density(mixture, to_value(z)) * slope(z),
        low,
        high,
        points=[*np.clip(MUS, low, high)],
        limit=400,
    )

    assert total == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("name", QUANTISED)
def test_the_probabilities_of_a_quantised_mixture_sum_to_one(name):
    mixture = QUANTISED[name]

    total = np.exp(mixture.log_density(grid(mixture))).sum()

    # Beyond the grid lies what a normal has beyond 8 sigma.
    assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in CONTINUOUS if "far" not in name])
def test_draws_from_a_continuous_mixture_follow_its_definition(name):
    mixture = CONTINUOUS[name]

    draws = mixture.sample(np.random.default_rng(2), 4000)

    result = stats.kstest(draws, lambda values: probability_up_to(mixture, values))
    assert result.pvalue > 0.001, result


@pytest.mark.parametrize("name", QUANTISED)
def test_draws_from_a_quantised_mixture_come_with_its_probabilities(name):
    mixture = QUANTISED[name]
    n_draws = 4000

    draws = mixture.sample(np.random.default_rng(3), n_draws)

    cells, counts = np.unique(draws, return_counts=True)
    expected = np.exp(mixture.log_density(cells)) * n_draws
    frequent = expected > 5
    observed = np.append(counts[frequent], n_draws - counts[frequent].sum())
    wanted = np.append(expected[frequent], n_draws - expected[frequent].sum())
    enough = wanted > 1
    statistic = ((observed - wanted) ** 2 / np.where(enough, wanted, 1))[enough].sum()
    assert stats.chi2.sf(statistic, max(enough.sum() - 1, 1)) > 0.001


@pytest.mark.parametrize("name", QUANTISED)
def test_the_probability_of_a_value_is_the_mass_of_its_cell(name):
    mixture = QUANTISED[name]
    values = mixture.sample(np.random.default_rng(4), 50)

    upper, lower = values + 0.5 * mixture.q, values - 0.5 * mixture.q
    if mixture.is_log:
        lower = np.maximum(lower, 5e-324)
    expected = probability_up_to(mixture, upper) - probability_up_to(mixture, lower)

    np.testing.assert_allclose(
        np.exp(mixture.log_density(values)), expected, rtol=1e-8, atol=1e-12
    )


def test_the_density_of_one_component_is_scipys_truncated_normal_even_30_sigma_out():
    mu, sigma, low, high = 1.0, 0.1, 4.0, 4.5
    mixture = NormalMixture(np.ones(1), np.array([mu]), np.array([sigma]), low=low, high=high)
    values = np.linspace(low, high, 20)

    expected = stats.truncnorm.logpdf(
        values, (low - mu) / sigma, (high - mu) / sigma, loc=mu, scale=sigma
    )

    np.testing.assert_allclose(mixture.log_density(values), expected, rtol=1e-10, atol=1e-10)


def test_the_density_equals_a_slow_loop():
    rng = np.random.default_rng(5)
    weights = rng.dirichlet(np.ones(40))
    mus, sigmas = rng.uniform(-2, 2, 40), rng.uniform(0.01, 4, 40)
    mixture = NormalMixture(weights, mus, sigmas, low=-2.0, high=2.0)
    values = rng.uniform(-2, 2, 10)

    for value, log_density in zip(values, mixture.log_density(values), strict=True):
        total = accepted = 0.0
        for weight, mu, sigma in zip(weights, mus, sigmas, strict=True):
            component = stats.norm(mu, sigma)
            total += weight * component.pdf(value)
            accepted += weight * (component.cdf(2.0) - component.cdf(-2.0))
        assert log_density == pytest.approx(math.log(total / accepted), rel=1e-10)


def test_a_cell_out_of_reach_of_every_component_still_has_a_log_probability():
    mixture = NormalMixture(np.ones(1), np.zeros(1), np.ones(1), q=1.0)

    expected = stats.norm.logsf(99.5) + math.log1p(
        -math.exp(stats.norm.logsf(100.5) - stats.norm.logsf(99.5))
    )
    assert mixture.log_density([100.0])[0] == pytest.approx(expected, rel=1e-12)


def test_a_component_outside_the_bounds_loses_its_weight():
    mixture = NormalMixture(
        np.array([0.5, 0.5]), np.array([0.5, 1e9]), np.array([0.1, 0.1]), low=0.0, high=1.0
    )
    alone = NormalMixture(np.ones(1), np.array([0.5]), np.array([0.1]), low=0.0, high=1.0)
    values = np.linspace(0, 1, 7)

    np.testing.assert_allclose(mixture.log_density(values), alone.log_density(values))


def test_outside_the_bounds_there_is_nothing():
    for mixture in [CONTINUOUS["bounded"], CONTINUOUS["bounded log"]]:
        assert mixture.log_density([1e6])[0] == -math.inf
    assert QUANTISED["bounded"].log_density([4.0])[0] == -math.inf


def test_a_cell_narrower_than_a_float_can_tell_has_the_density_times_its_width():
    mixture = NormalMixture(np.ones(1), np.zeros(1), np.array([1e20]), q=1.0)
    continuous = NormalMixture(np.ones(1), np.zeros(1), np.array([1e20]))

    value = 3e19
    assert value + 0.5 == value - 0.5
    assert mixture.log_density([value]) == pytest.approx(continuous.log_density([value]))


@pytest.mark.parametrize(("low", "high"), [(-690.0, 0.0), (-800.0, -700.0), (0.0, 700.0)])
def test_hundreds_of_decades_give_finite_draws_inside_the_bounds(low, high):
    mixture = NormalMixture(
        np.array([0.5, 0.5]),
        np.array([low, high]),
        np.array([1e-3, high - low]),
        low=low,
        high=high,
        is_log=True,
    )

    draws = mixture.sample(np.random.default_rng(6), 200)

    assert np.isfinite(mixture.log_density(draws)).all()
    assert (draws <= np.exp(high)).all()
