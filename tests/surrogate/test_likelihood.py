"""The likelihood is scikit-learn's, its gradient that of its values, its maximum found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as theirs

from hpo.surrogate.kernels import KERNELS
from hpo.surrogate.likelihood import Likelihood, Priors, fitted


def likelihood(name="matern52", n=30, n_features=4, groups=None, priors=None, extra_noise=None):
    X = np.random.default_rng(0).random((n, n_features))
    y = np.sin(5.0 * X[:, 0]) + X[:, 1]
    y = (y - y.mean()) / y.std()
    return Likelihood(KERNELS[name], X, y, groups, priors, extra_noise=extra_noise)


def gradient_by_differences(function, parameters, h=1e-5):
    steps = h * np.eye(len(parameters))
    return [(function(parameters + s)[0] - function(parameters - s)[0]) / (2 * h) for s in steps]


@pytest.mark.parametrize("groups", [None, np.array([0, 1, 1, 2])])
@pytest.mark.parametrize("name", KERNELS)
def test_the_gradient_equals_differences_of_the_density(name, groups):
    ours = likelihood(name, groups=groups)
    for parameters in ours.draws(np.random.default_rng(1), 3):
        _, gradient = ours.log_density(parameters)

        expected = gradient_by_differences(ours.log_density, parameters)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "known", [None, np.random.default_rng(4).exponential(0.1, 30)], ids=["", "and known noise"]
)
def test_value_and_gradient_equal_scikit_learns(known):
    ours = likelihood(extra_noise=known)
    parameters = np.log([0.4, 0.8, 3.0, 1.5, 1.3, 1e-3])
    kernel = theirs.ConstantKernel(1.3) * theirs.Matern([0.4, 0.8, 3.0, 1.5], nu=2.5)
    regressor = GaussianProcessRegressor(
        kernel + theirs.WhiteKernel(1e-3), alpha=0.0 if known is None else known, optimizer=None
    )
    regressor.fit(ours.X, ours.y)

    value, gradient = ours.log_likelihood(parameters)

    expected, expected_gradient = regressor.log_marginal_likelihood(
        regressor.kernel_.theta, eval_gradient=True
    )
    assert value == pytest.approx(expected, rel=1e-9)
    # Theirs has the signal first.
    np.testing.assert_allclose(gradient, expected_gradient[[1, 2, 3, 4, 0, 5]], rtol=1e-6)


def test_the_likelihood_is_the_density_of_a_normal_vector():
    ours = likelihood(n=6)
    parameters = ours.draws(np.random.default_rng(2), 1)[0]
    given = ours.as_hyperparameters(parameters)
    scaled = ours.X / given.lengthscales
    squares = ((scaled[:, None] - scaled) ** 2).sum(axis=2)
    covariance = given.signal_variance * KERNELS["matern52"].value_and_slope(squares)[0]

    value, _ = ours.log_likelihood(parameters)

    covariance += given.noise_variance * np.eye(6)
    assert value == pytest.approx(stats.multivariate_normal(cov=covariance).logpdf(ours.y))
    assert value == pytest.approx(ours.posterior(given).log_likelihood)


@pytest.mark.parametrize("name", KERNELS)
def test_hyperparameters_and_their_logarithms_are_the_same_thing(name):
    ours = likelihood(name)
    parameters = ours.draws(np.random.default_rng(3), 1)[0]

    again = ours.as_parameters(ours.as_hyperparameters(parameters))

    np.testing.assert_allclose(again, parameters, rtol=1e-12)


def test_priors_are_normal_densities_of_the_logarithms():
    priors = Priors(signal=(0.5, 2.0))
    ours = likelihood(priors=priors)
    parameters = ours.draws(np.random.default_rng(4), 2)

    def log_prior(each):
        return ours.log_density(each)[0] - ours.log_likelihood(each)[0]

    mean, deviation = priors.lengthscale
    expected = [
        stats.norm(mean + 0.5 * np.log(4), deviation).logpdf(each[:4]).sum()
        + stats.norm(*priors.signal).logpdf(each[4])
        + stats.norm(*priors.noise).logpdf(each[5])
        for each in parameters
    ]
    difference = log_prior(parameters[1]) - log_prior(parameters[0])
    assert difference == pytest.approx(expected[1] - expected[0])


def test_no_random_point_is_likelier_than_what_is_found():
    ours, rng = likelihood(), np.random.default_rng(5)

    found, _ = ours.log_density(ours.as_parameters(fitted(ours, rng)))

    assert found > max(ours.log_density(each)[0] for each in ours.draws(rng, 300))


def test_the_gradient_vanishes_at_what_is_found():
    ours = likelihood(priors=Priors(noise=(-4.0, 1.0)))

    parameters = ours.as_parameters(fitted(ours, np.random.default_rng(5)))

    low, high = np.array(ours.bounds).T
    is_inside = (parameters > low + 1e-6) & (parameters < high - 1e-6)
    assert np.abs(ours.log_density(parameters)[1][is_inside]).max() < 0.1


def test_a_start_that_is_known_already_is_not_made_worse():
    ours = likelihood()
    known = fitted(ours, np.random.default_rng(6), n_restarts=8)

    again = fitted(ours, np.random.default_rng(7), n_restarts=0, known=[known])

    values = [ours.log_density(ours.as_parameters(each))[0] for each in (known, again)]
    assert values[1] >= values[0] - 1e-6
