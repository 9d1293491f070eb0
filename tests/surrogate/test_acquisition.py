"""Acquisitions equal the integrals that define them, and stay exact far out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from hpo.surrogate.acquisition import (
    LogExpectedImprovement,
    LogProbabilityOfImprovement,
    UpperConfidenceBound,
    confidence_width,
    expected_improvement,
    log_expected_improvement,
    log_probability_of_improvement,
    probability_of_improvement,
    upper_confidence_bound,
)

PREDICTIONS = [(0.0, 1.0), (0.5, 0.2), (-1.0, 0.5), (2.0, 1.0), (0.31, 0.01)]
BEST = 0.3


@pytest.mark.parametrize(("mean", "std"), PREDICTIONS)
@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_expected_improvement_is_the_integral_of_the_improvement(mean, std, margin):
    def weighted(loss):
        return (BEST - margin - loss) * stats.norm.pdf(loss, mean, std)

    improvement, _ = integrate.quad(
        weighted, mean - 12.0 * std, BEST - margin, epsabs=1e-14, points=[mean]
    )

    assert expected_improvement(mean, std, BEST, margin) == pytest.approx(
        max(improvement, 0.0), rel=1e-6, abs=1e-12
    )


@pytest.mark.parametrize(("mean", "std"), PREDICTIONS)
@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_probability_of_improvement_is_the_integral_of_the_density(mean, std, margin):
    density = stats.norm(mean, std).pdf
    probability, _ = integrate.quad(
        density, mean - 12.0 * std, BEST - margin, epsabs=1e-14, points=[mean]
    )

    assert probability_of_improvement(mean, std, BEST, margin) == pytest.approx(
        probability, abs=1e-9
    )


@pytest.mark.parametrize("delta", [0.1, 0.5])
def test_the_confidence_bound_leaves_out_the_probability_that_it_says(delta):
    kappa = stats.norm.ppf(1.0 - delta)

    bound = -upper_confidence_bound(1.5, 0.4, kappa=kappa)

    below, _ = integrate.quad(stats.norm(1.5, 0.4).pdf, -10.0, float(bound), epsabs=1e-12)
    assert below == pytest.approx(delta, abs=1e-8)


def test_the_bound_grows_wider_with_every_observation_and_dimension():
    assert confidence_width(10, 3) < confidence_width(11, 3) < confidence_width(11, 4)
    # d t^2 pi^2 / (6 delta) = 2 * 9 * pi^2 / 3
    assert confidence_width(3, 2) == pytest.approx(np.sqrt(2.0 * np.log(6.0 * np.pi**2)))


def asymptotic_log_h(z):
    """log of h(z) = phi(z) / z^2 (1 - 3 / z^2 + 15 / z^4 - 105 / z^6 + ...), for z far below 0."""
    series = sum(
        sign * factor / z**power
        for sign, factor, power in [(1, 1, 0), (-1, 3, 2), (1, 15, 4), (-1, 105, 6), (1, 945, 8)]
    )
    return stats.norm.logpdf(z) - 2.0 * np.log(-z) + np.log(series)


@pytest.mark.parametrize("z", [-20.0, -40.0, -999.0, -1001.0, -1e5, -1e8])
def test_log_expected_improvement_is_exact_where_the_improvement_is_too_small_for_a_float(z):
    assert log_expected_improvement(-z, 1.0, 0.0) == pytest.approx(asymptotic_log_h(z), rel=1e-9)


def test_log_expected_improvement_equals_its_definition_where_that_is_exact():
    z = np.linspace(-5.0, 8.0, 200)

    direct = np.log(z * stats.norm.cdf(z) + stats.norm.pdf(z))

    np.testing.assert_allclose(log_expected_improvement(-z, 1.0, 0.0), direct, atol=1e-9)


@pytest.mark.parametrize("seam", [-1.0, -1e3])
def test_the_formulas_meet_where_one_takes_over_from_the_other(seam):
    beside = np.nextafter(seam, [-np.inf, np.inf])

    left, right = log_expected_improvement(-beside, 1.0, 0.0)

    assert left == pytest.approx(right, rel=1e-9)


def test_log_probability_is_finite_far_out():
    values = log_probability_of_improvement([40.0, 1e4, 1e100], 1.0, 0.0)

    assert np.isfinite(values).all()
    # log Phi(-40) from scipy's own logarithm
    assert values[0] == pytest.approx(stats.norm.logcdf(-40.0))


@pytest.mark.parametrize(
    "acquisition",
    [
        LogExpectedImprovement(),
        LogExpectedImprovement(0.2),
        LogProbabilityOfImprovement(0.05),
        UpperConfidenceBound(1.3),
    ],
)
def test_slopes_equal_differences_of_values(acquisition):
    mean = np.array([0.0, 0.5, 3.0, 30.0, -2.0])
    std = np.array([1.0, 0.1, 0.5, 0.7, 0.3])
    h = 1e-6

    by_mean, by_std = acquisition.slopes(mean, std, BEST)

    def value(m, s):
        return acquisition.value(m, s, BEST)

    expected = (value(mean + h, std) - value(mean - h, std)) / (2 * h)
    np.testing.assert_allclose(by_mean, expected, rtol=1e-5, atol=1e-6)
    expected = (value(mean, std + h * std) - value(mean, std - h * std)) / (2 * h * std)
    np.testing.assert_allclose(by_std, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "acquisition",
    [LogExpectedImprovement(), LogProbabilityOfImprovement(), UpperConfidenceBound()],
)
def test_a_smaller_loss_is_better_and_more_doubt_too_where_the_mean_is_no_better(acquisition):
    one = np.ones(1)

    assert acquisition.value(0.5 * one, one, 0.0) > acquisition.value(0.6 * one, one, 0.0)
    assert acquisition.value(one, 0.6 * one, 0.0) > acquisition.value(one, 0.5 * one, 0.0)
