"""Expected improvement and its kin, against integrals, simulation and exact tails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from hpo.criteria import (
    UCB,
    EI_empirical,
    EI_gaussian,
    EI_gaussian_empirical,
    logEI_gaussian,
)


def integrated_improvement(mean, var, thresh):
    """E[max(X - t, 0)] is the integral of P(X > x) from t on."""
    sigma = math.sqrt(var)
    beyond = max(thresh, mean) + 40 * sigma
    value, _ = integrate.quad(
        stats.norm(mean, sigma).sf, thresh, beyond, points=[mean], epsabs=0, limit=400
    )
    return value


@pytest.mark.parametrize("mean, var", [(0.0, 1.0), (-4.0, 9.0), (1e3, 1e-4)])
@pytest.mark.parametrize("z", [-8.0, -3.0, -0.5, 0.0, 0.5, 3.0, 8.0])
def test_expected_improvement_is_the_integral_of_what_lies_above(mean, var, z):
    thresh = mean - z * math.sqrt(var)

    assert EI_gaussian(mean, var, thresh) == pytest.approx(
        integrated_improvement(mean, var, thresh), rel=1e-8
    )


def test_the_empirical_estimate_comes_close_to_the_exact_value():
    rng = np.random.default_rng(7)

    estimate = EI_gaussian_empirical(-4.0, 9.0, -3.0, rng, 200_000)

    assert estimate == pytest.approx(EI_gaussian(-4.0, 9.0, -3.0), rel=0.02)


def test_samples_improve_by_what_exceeds_the_threshold():
    assert EI_empirical([0.0, 1.0, 2.0, 5.0], thresh=1.0) == (1.0 + 4.0) / 4


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="samples is empty"):
        EI_empirical([], 0.0)


@pytest.mark.parametrize("z", [-37.0, -5.0, -1.0, 0.0, 1.0, 30.0])
def test_the_log_agrees_with_the_improvement_where_both_are_numbers(z):
    assert logEI_gaussian(z, 1.0, 0.0) == pytest.approx(math.log(EI_gaussian(z, 1.0, 0.0)))


@pytest.mark.parametrize("t", [40.0, 99.0, 101.0, 1e3, 1e6, 1e40])
def test_the_log_is_exact_far_below_the_threshold(t):
    # By parts, h(-t) = phi(t) (1/t^2 - 3/t^4 + 15/t^6 - ...), an alternating series.
    log_phi = -0.5 * t * t - 0.5 * math.log(2 * math.pi)
    log_h = log_phi - 2 * math.log(t) + math.log1p(-3 / t**2 + 15 / t**4 - 105 / t**6)

    assert logEI_gaussian(0.0, 1.0, t) == pytest.approx(log_h, rel=1e-9)


def test_the_log_has_no_step_where_its_formula_changes():
    z = np.array([-100.0 - 1e-9, -100.0 + 1e-9, -1e-9, 1e-9])

    below, above = logEI_gaussian(z, 1.0, 0.0).reshape(2, 2).T

    # The derivative of log h is Phi / h: about 100 at -100, and sqrt(pi / 2) at 0.
    np.testing.assert_allclose(above - below, [2e-7, 2e-9 * math.sqrt(math.pi / 2)], rtol=1e-3)


def test_the_log_of_an_improvement_beyond_any_float_is_minus_infinity():
    assert logEI_gaussian(0.0, 1.0, 1e200) == -math.inf


def test_without_variance_only_the_improvement_itself_is_left():
    assert EI_gaussian(3.0, 0.0, 1.0) == pytest.approx(2.0)
    assert EI_gaussian(1.0, 0.0, 3.0) == 0.0
    assert logEI_gaussian(3.0, 0.0, 1.0) == pytest.approx(math.log(2.0))
    assert logEI_gaussian(1.0, 0.0, 1.0) == -math.inf


def test_arrays_are_taken_elementwise_and_numbers_give_floats():
    means, variances = np.array([0.0, 1.0, -50.0]), np.array([1.0, 0.0, 4.0])

    together = EI_gaussian(means, variances, 0.5)

    assert together.tolist() == [
        EI_gaussian(m, v, 0.5) for m, v in zip(means, variances, strict=True)
    ]
    assert type(EI_gaussian(0, 1, 0)) is float
    assert type(UCB(0, 1, 2)) is float


def test_the_upper_confidence_bound_is_so_many_deviations_above_the_mean():
    assert UCB(1, 4, 1) == 3
    np.testing.assert_allclose(UCB([0.0, 1.0], [1.0, 4.0], 2.0), [2.0, 5.0])


@pytest.mark.parametrize("criterion", [EI_gaussian, logEI_gaussian, UCB])
def test_a_negative_variance_is_refused(criterion):
    with pytest.raises(ValueError, match="var is -1"):
        criterion([0.0, 1.0], [1.0, -1.0], 0.0)
