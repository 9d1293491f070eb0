"""The truncated normal agrees with scipy and with quadrature, out to 30 sigma and beyond."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from hpo.surrogate import truncnorm

INTERVALS = [
    (-1.0, 1.0),
    (-0.1, 4.0),
    (0.0, 0.5),
    (-8.0, -3.0),
    (3.0, 8.0),
    (-math.inf, 2.0),
    (2.0, math.inf),
    (-math.inf, math.inf),
    (-3.0, 30.0),
    (29.0, 31.0),
    (-31.0, -30.0),
    (30.0, math.inf),
    (-math.inf, -50.0),
    (40.0, 41.0),
    (1e3, 2e3),
]


def log_mass_by_quadrature(a: float, b: float) -> float:
    """log of the integral of phi over [a, b] for 0 <= a < b, scaled so that nothing underflows."""
    integral, _ = integrate.quad(lambda t: math.exp(-a * t - 0.5 * t * t), 0.0, b - a, epsabs=0)
    return -0.5 * a * a - 0.5 * math.log(2 * math.pi) + math.log(integral)


@pytest.mark.parametrize(("a", "b"), INTERVALS)
def test_the_log_pdf_equals_scipys_to_ten_digits(a, b):
    x = stats.truncnorm.ppf([0.01, 0.2, 0.5, 0.9, 0.999], a, b)

    ours = truncnorm.log_pdf(x, a, b)

    np.testing.assert_allclose(ours, stats.truncnorm.logpdf(x, a, b), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("a", "b"), INTERVALS)
def test_the_inverse_equals_scipys(a, b):
    u = np.array([1e-6, 0.01, 0.2, 0.5, 0.9, 0.999])

    ours = truncnorm.ppf(u, a, b)

    np.testing.assert_allclose(ours, stats.truncnorm.ppf(u, a, b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("start", [0.0, 0.3, 5.0, 30.0, 60.0])
@pytest.mark.parametrize("width", [1e-12, 1e-6, 1e-3, 0.0199, 0.0201, 0.1, 3.0])
def test_the_log_mass_of_an_interval_of_any_width_equals_quadrature(start, width):
    a, b = start, start + width
    expected = log_mass_by_quadrature(a, b)

    # The mirrored interval has the same mass.
    for left, right in [(a, b), (-b, -a)]:
        assert truncnorm.log_mass(left, right) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_masses_of_neighbouring_intervals_add_up_to_one():
    edges = np.concatenate([[-np.inf], np.linspace(-12, 12, 1001), [np.inf]])

    masses = np.exp(truncnorm.log_mass(edges[:-1], edges[1:]))

    assert masses.sum() == pytest.approx(1.0, abs=1e-14)


def test_an_empty_interval_has_no_mass_and_no_density_beside_it():
    assert truncnorm.log_mass(2.0, 2.0) == -math.inf
    assert truncnorm.log_mass(3.0, 1.0) == -math.inf
    np.testing.assert_array_equal(truncnorm.log_pdf([-1.1, 1.1], -1.0, 1.0), [-np.inf, -np.inf])


@pytest.mark.parametrize(
    ("a", "b"), [(-1.0, 2.0), (30.0, 31.0), (-45.0, -44.0), (7.0, 7.0 + 1e-9)]
)
def test_draws_follow_the_distribution(a, b):
    u = np.random.default_rng(1).random(4000)

    draws = truncnorm.ppf(u, a, b)

    assert ((a <= draws) & (draws <= b)).all()
    # The distribution function by our own masses, which the tests above hold to quadrature.
    cdf = np.exp(truncnorm.log_mass(a, np.sort(draws)) - truncnorm.log_mass(a, b))
    assert stats.kstest(cdf, "uniform").pvalue > 0.001


def test_the_ends_of_the_interval_are_never_passed():
    u = np.array([0.0, 5e-324, 1.0 - 2**-53, 1.0])
    for a, b in [(-1.0, 1.0), (30.0, 30.5), (-30.5, -30.0), (1e6, 1e6 + 1), (0.0, 1e-300)]:
        draws = truncnorm.ppf(u, a, b)
        assert ((a <= draws) & (draws <= b)).all(), (a, b, draws)


def test_arguments_broadcast():
    assert truncnorm.log_mass(np.zeros((3, 1)), np.ones(4)).shape == (3, 4)
    assert truncnorm.ppf(np.full(5, 0.5), -1.0, 1.0).shape == (5,)
