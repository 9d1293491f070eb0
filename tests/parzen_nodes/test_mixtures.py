"""GMM1 and LGMM1: draws follow the density, and the density is a density."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from hpo.exceptions import InvalidOption
from hpo.parzen_nodes import GMM1, LGMM1, GMM1_lpdf, LGMM1_lpdf, logsum_rows
from hpo.pyll import as_apply, rec_eval, scope
from hpo.pyll.stochastic import sample

WEIGHTS, MUS, SIGMAS = [0.1, 0.3, 0.4, 0.2], [-2.0, 1.0, 0.0, 1.5], [0.3, 0.4, 0.8, 0.5]
MIXTURE = (WEIGHTS, MUS, SIGMAS)
BOUNDS = [(None, None), (-1.0, 1.2), (0.5, None), (None, 0.0)]


def normal_cdf_of_mixture(z):
    """The distribution function of the mixture without bounds, by scipy."""
    z = np.asarray(z, dtype=float)[..., None]
    return (np.array(WEIGHTS) * stats.norm.cdf(z, MUS, SIGMAS)).sum(axis=-1)


def cdf(z, low, high):
    """The same, cut at the bounds; positions outside count as the bound."""
    lowest = -np.inf if low is None else low
    highest = np.inf if high is None else high
    below, above = normal_cdf_of_mixture(lowest), normal_cdf_of_mixture(highest)
    return (normal_cdf_of_mixture(np.clip(z, lowest, highest)) - below) / (above - below)


# --- draws ---


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_draws_have_the_distribution_of_the_mixture_within_its_bounds(low, high):
    rng = np.random.default_rng(3)

    draws = GMM1(*MIXTURE, low=low, high=high, rng=rng, size=(4000,))
    log_draws = np.log(LGMM1(*MIXTURE, low=low, high=high, rng=rng, size=(4000,)))

    for latent in (draws, log_draws):
        assert stats.kstest(latent, lambda z: cdf(z, low, high)).pvalue > 1e-3


@pytest.mark.parametrize("draw", [GMM1, LGMM1])
@pytest.mark.parametrize("q", [0.25, 1.0])
def test_quantised_draws_are_as_frequent_as_their_probability(draw, q):
    lpdf = {GMM1: GMM1_lpdf, LGMM1: LGMM1_lpdf}[draw]
    bounds = {"low": -1.0, "high": 1.2, "q": q}
    n_draws = 20_000

    draws = draw(*MIXTURE, **bounds, rng=np.random.default_rng(4), size=n_draws)

    values, counts = np.unique(draws, return_counts=True)
    probability = np.exp(lpdf(values, *MIXTURE, **bounds))
    assert np.all(values == np.rint(values / q) * q)
    assert probability.sum() == pytest.approx(1.0, abs=1e-9)
    assert counts / n_draws == pytest.approx(probability, abs=4.0 / np.sqrt(n_draws) / 2.0)


@pytest.mark.parametrize("draw", [GMM1, LGMM1])
@pytest.mark.parametrize("size", [(), 3, (3,), [2, 5], (0,)])
def test_draws_have_the_shape_that_is_asked_for(draw, size):
    shape = (size,) if isinstance(size, int) else tuple(size)

    assert draw(*MIXTURE, rng=np.random.default_rng(0), size=size).shape == shape


def test_the_same_generator_gives_the_same_draws_and_none_gives_fresh_ones():
    first, again = (GMM1(*MIXTURE, rng=np.random.default_rng(8), size=5) for _ in range(2))

    assert np.array_equal(first, again)
    assert not np.array_equal(GMM1(*MIXTURE, size=5), GMM1(*MIXTURE, size=5))


# --- densities ---


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_densities_are_the_derivative_of_the_distribution_function(low, high):
    inside = np.array([-0.9, -0.3, 0.7, 1.1])
    inside = inside[(inside > (low or -9.0)) & (inside < (9.0 if high is None else high))]
    step = 1e-5
    slope = (cdf(inside + step, low, high) - cdf(inside - step, low, high)) / (2.0 * step)

    normal = np.exp(GMM1_lpdf(inside, *MIXTURE, low=low, high=high))
    lognormal = np.exp(LGMM1_lpdf(np.exp(inside), *MIXTURE, low=low, high=high))

    assert normal == pytest.approx(slope, rel=1e-6)
    assert lognormal == pytest.approx(slope / np.exp(inside), rel=1e-6)


@pytest.mark.parametrize("lpdf", [GMM1_lpdf, LGMM1_lpdf])
def test_a_bounded_density_integrates_to_one(lpdf):
    low, high = -1.0, 1.2
    ends = (low, high) if lpdf is GMM1_lpdf else (np.exp(low), np.exp(high))

    area, _ = integrate.quad(lambda x: np.exp(lpdf(x, *MIXTURE, low=low, high=high)), *ends)

    assert area == pytest.approx(1.0, abs=1e-7)


def test_densities_have_the_shape_of_the_samples_and_end_at_the_bounds():
    samples = np.array([[-1.5, 0.0], [1.0, 1.3]])

    log_density = GMM1_lpdf(samples, *MIXTURE, low=-1.0, high=1.2)

    assert np.isneginf(log_density).tolist() == [[True, False], [False, True]]
    assert GMM1_lpdf(0.5, *MIXTURE).shape == ()
    assert LGMM1_lpdf([], *MIXTURE).shape == (0,)


def test_only_the_proportions_of_the_weights_matter():
    doubled = [2.0 * weight for weight in WEIGHTS]

    assert GMM1_lpdf([0.1, 2.0], doubled, MUS, SIGMAS) == pytest.approx(
        GMM1_lpdf([0.1, 2.0], *MIXTURE)
    )


def test_rows_are_summed_as_logarithms_without_overflow():
    rows = np.array([[1000.0, 1000.0], [-1000.0, -np.inf], [-np.inf, -np.inf]])

    assert logsum_rows(rows).tolist() == [1000.0 + np.log(2.0), -1000.0, -np.inf]
    assert logsum_rows([[0.3, -2.0]]) == pytest.approx(special.logsumexp([0.3, -2.0]))


# --- as operations ---


def test_the_mixtures_are_operations_that_sampling_gives_its_generator():
    node = scope.GMM1(*MIXTURE, low=-1.0, high=1.2, size=(6,))

    first, again = (sample(node, np.random.default_rng(1)) for _ in range(2))

    assert np.array_equal(first, again)
    assert np.all((first >= -1.0) & (first <= 1.2))


def test_the_density_of_draws_is_an_expression_too():
    draws = scope.LGMM1(*MIXTURE, rng=as_apply(np.random.default_rng(2)), size=(6,))

    values, log_density = rec_eval(as_apply([draws, scope.LGMM1_lpdf(draws, *draws.pos_args)]))

    assert log_density == pytest.approx(LGMM1_lpdf(values, *MIXTURE))


# --- what makes no sense ---


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], [0.0, 1.0], [1.0]), ValueError, "same length, at least 1, but have 1, 2 and 1"),
        (([], [], []), ValueError, "at least 1"),
        (([[1.0]], [0.0], [1.0]), TypeError, r"weights must be a vector, .* \(1, 1\)"),
        ((*MIXTURE, 2.0, 2.0), ValueError, "low must be less than high"),
    ],
)
def test_components_and_bounds_without_sense_are_refused(arguments, error, message):
    for draw in (GMM1, LGMM1):
        with pytest.raises(InvalidOption, match=message) as caught:
            draw(*arguments)
        assert isinstance(caught.value, error)
