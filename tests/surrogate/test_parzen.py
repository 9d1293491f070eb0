"""The adaptive Parzen estimator, on examples worked by hand from its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.surrogate.parzen import adaptive_parzen_normal, linear_forgetting_weights


def test_without_observations_the_prior_stands_alone():
    weights, mus, sigmas = adaptive_parzen_normal([], 0.0, prior_mu=0.5, prior_sigma=2.0)

    assert (weights.tolist(), mus.tolist(), sigmas.tolist()) == ([1.0], [0.5], [2.0])


@pytest.mark.parametrize(
    ("observed", "mus", "sigmas"), [(0.2, [0.2, 0.5], [0.5, 1.0]), (0.9, [0.5, 0.9], [1.0, 0.5])]
)
def test_a_lone_observation_is_half_as_wide_as_the_prior(observed, mus, sigmas):
    result = adaptive_parzen_normal([observed], 1.0, prior_mu=0.5, prior_sigma=1.0)

    assert [part.tolist() for part in result] == [[0.5, 0.5], mus, sigmas]


def test_the_deviation_is_the_larger_gap_to_a_neighbour():
    # Centres with the prior: 0, 2, [5], 6, 10, so the gaps are 2, 3, 1, 4.
    weights, mus, sigmas = adaptive_parzen_normal([6, 0, 10, 2], 1.0, prior_mu=5, prior_sigma=10)

    assert mus.tolist() == [0, 2, 5, 6, 10]
    # 0 has the gap 2, 2 has max(2, 3), the prior its own, 6 has max(1, 4), 10 has 4.
    assert sigmas.tolist() == [2, 3, 10, 4, 4]
    assert weights.tolist() == [0.2] * 5


def test_a_gap_is_clipped_between_a_fraction_of_the_prior_and_the_prior():
    # Centres: 1, 1.1, [5], 99. Gaps: 0.1, 3.9, 94. Least deviation: 10 / (4 + 1).
    _, mus, sigmas = adaptive_parzen_normal([1, 99, 1.1], 1.0, prior_mu=5, prior_sigma=10)

    assert mus.tolist() == [1, 1.1, 5, 99]
    assert sigmas == pytest.approx([2.0, 3.9, 10.0, 10.0])


def test_the_least_deviation_is_a_hundredth_of_the_prior_however_many_observe():
    _, _, sigmas = adaptive_parzen_normal(np.full(500, 0.3), 1.0, prior_mu=0.5, prior_sigma=1.0)

    assert np.sort(sigmas)[:-2] == pytest.approx(np.full(499, 0.01))


def test_the_weight_of_the_prior_is_relative_to_one_observation():
    weights, mus, _ = adaptive_parzen_normal([0.1, 0.9], 3.0, prior_mu=0.5, prior_sigma=1.0)

    assert mus.tolist() == [0.1, 0.5, 0.9]
    assert weights.tolist() == [0.2, 0.6, 0.2]


def test_old_observations_weigh_less():
    assert linear_forgetting_weights(0).tolist() == []
    assert linear_forgetting_weights(25).tolist() == [1.0] * 25
    assert linear_forgetting_weights(26).tolist() == [1 / 26] + [1.0] * 25
    assert linear_forgetting_weights(5, n_recent=2) == pytest.approx([0.2, 0.6, 1.0, 1.0, 1.0])


def test_weights_follow_their_observations_through_the_sorting():
    observed = np.random.default_rng(0).permutation(40) / 10 + 0.05

    weights, mus, _ = adaptive_parzen_normal(observed, 1.0, prior_mu=100.0, prior_sigma=5.0)

    ages = linear_forgetting_weights(40)
    expected = ages[np.argsort(observed)] / (ages.sum() + 1.0)
    np.testing.assert_allclose(weights[:-1], expected)
    assert mus[-1] == 100.0


@given(
    observed=st.lists(st.floats(-5, 5), max_size=60),
    prior_mu=st.floats(-5, 5),
    prior_sigma=st.floats(0.1, 10),
)
def test_the_vectorised_fit_equals_a_slow_loop(observed, prior_mu, prior_sigma):
    weights, mus, sigmas = adaptive_parzen_normal(observed, 1.0, prior_mu, prior_sigma)

    slow = slow_fit(observed, prior_mu, prior_sigma)

    np.testing.assert_allclose(np.column_stack([mus, sigmas, weights]), slow)


def slow_fit(observed, prior_mu, prior_sigma, n_recent=25):
    """Equation (1), one component after the other: [(mu, sigma, weight)]."""
    n = len(observed)
    aged = []
    for age, mu in enumerate(observed):
        is_old = age < n - n_recent
        n_ramp = max(n - n_recent - 1, 1)
        weight = 1 / n + (1 - 1 / n) * age / n_ramp if is_old else 1.0
        aged.append((mu, 1, age, weight))
    # Among equal centres the prior comes first, then the older observation.
    components = sorted([*aged, (prior_mu, 0, 0, 1.0)])
    total = sum(weight for *_, weight in components)
    fitted = []
    for k, (mu, is_observed, _, weight) in enumerate(components):
        gaps = []
        if k > 0:
            gaps.append(mu - components[k - 1][0])
        if k < n:
            gaps.append(components[k + 1][0] - mu)
        sigma = max(gaps) if n > 1 else prior_sigma / 2
        sigma = min(max(sigma, prior_sigma / min(100, n + 2)), prior_sigma)
        fitted.append((mu, sigma if is_observed else prior_sigma, weight / total))
    return fitted
