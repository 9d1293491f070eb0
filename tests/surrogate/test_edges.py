"""How thin truncated normals are next to a bound, against many of them and an integral."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from hpo.surrogate.edges import log_thinness


def thinness(u, sigma=0.02):
    """b of points on one axis."""
    return np.exp(log_thinness(np.array([u], dtype=float), np.array([[sigma]])))


def test_at_a_bound_it_is_log_two():
    assert thinness([0.0, 1.0]) == pytest.approx([math.log(2.0)] * 2, rel=2e-4)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.5, 4.0])
def test_it_is_the_integral(t):
    expected, _ = integrate.quad(lambda v: stats.norm.pdf(t - v) / stats.norm.cdf(v), 0, 20)

    assert thinness([t * 0.02]) == pytest.approx([expected], rel=2e-4)


def test_it_is_how_thin_kernels_on_even_centres_are():
    sigma, points = 0.02, np.array([0.0, 0.01, 0.05, 0.5, 0.97, 1.0])
    centres = (np.arange(20_000) + 0.5) / 20_000
    kernels = stats.truncnorm(-centres / sigma, (1 - centres) / sigma, loc=centres, scale=sigma)
    density = kernels.pdf(points[:, None]).mean(axis=1)

    np.testing.assert_allclose(thinness(points, sigma), density, rtol=1e-3)


@pytest.mark.parametrize("sigma", [0.02, 0.09, 0.11, 0.5, 1.0])
def test_both_bounds_are_felt_where_they_are_near(sigma):
    def log_b(t):
        ends = max(0.0, t - 12.0), t + 12.0
        b, _ = integrate.quad(lambda v: stats.norm.pdf(t - v) / stats.norm.cdf(v), *ends)
        return np.log(b)

    points = np.array([0.0, 0.1, 0.5, 0.85])
    expected = [log_b(u / sigma) + log_b((1.0 - u) / sigma) for u in points]
    # An axis of another deviation beside it counts by itself.
    found = log_thinness(np.array([points, [0.5] * 4]), np.array([[sigma], [0.01]]))

    # A table is interpolated, and nothing is felt from five deviations on.
    np.testing.assert_allclose(found, expected, atol=3e-4)


def test_axes_count_where_they_are_active():
    corner = log_thinness(np.array([[0.0, 0.0], [1.0, np.nan]]), np.full((2, 1), 0.02))

    assert corner == pytest.approx([2 * math.log(math.log(2)), math.log(math.log(2))], abs=4.4e-4)
