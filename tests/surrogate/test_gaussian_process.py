"""The posterior is that of the textbook, however it was put together."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as theirs

from hpo.exceptions import InvalidOption, InvalidOptionValue
from hpo.surrogate.gaussian_process import GaussianProcess, Hyperparameters, Posterior
from hpo.surrogate.kernels import KERNELS, squared_distances

GIVEN = Hyperparameters(np.array([0.3, 2.0, 0.7]), 1.7, 1e-3, shape=0.8)


def wave(X):
    return np.sin(5.0 * X[:, 0]) + X[:, 1] ** 2 - 0.3 * X[:, 2]


def points(n, seed=0):
    return np.random.default_rng(seed).random((n, 3))


def posterior(n, name="matern52", given=GIVEN):
    X = points(n)
    return Posterior(KERNELS[name], given, X, wave(X))


def solved_directly(process, Z):
    """Mean and standard deviation from the inverse of the covariance."""
    given = process.hyperparameters

    def covariance(A, B):
        squares = squared_distances(A, B, given.lengthscales)
        return given.signal_variance * process.kernel.value_and_slope(squares, given.shape)[0]

    inverse = np.linalg.inv(
        covariance(process.X, process.X) + given.noise_variance * np.eye(len(process))
    )
    cross = covariance(Z, process.X)
    variance = given.signal_variance - np.diag(cross @ inverse @ cross.T)
    return cross @ inverse @ process.y, np.sqrt(variance)


@pytest.mark.parametrize("name", KERNELS)
def test_the_posterior_equals_a_direct_dense_solve(name):
    process, Z = posterior(40, name), points(15, seed=1)

    mean, std = process.predict(Z)

    expected_mean, expected_std = solved_directly(process, Z)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-8)
    np.testing.assert_allclose(std, expected_std, atol=1e-8)


@pytest.mark.parametrize(("name", "nu"), [("matern32", 1.5), ("matern52", 2.5), ("rbf", np.inf)])
def test_posterior_and_likelihood_equal_scikit_learns(name, nu):
    process, Z = posterior(40, name), points(15, seed=1)
    kernel = theirs.ConstantKernel(1.7) * theirs.Matern(GIVEN.lengthscales, nu=nu)
    regressor = GaussianProcessRegressor(kernel, alpha=1e-3, optimizer=None)

    regressor.fit(process.X, process.y)

    mean, std = regressor.predict(Z, return_std=True)
    np.testing.assert_allclose(process.predict(Z), (mean, std), atol=1e-8)
    assert process.log_likelihood == pytest.approx(
        regressor.log_marginal_likelihood_value_, rel=1e-9
    )


@pytest.mark.parametrize("n_first", [40, 25])
def test_known_variances_are_what_scikit_learn_calls_alpha(n_first):
    X, Z = points(40), points(15, seed=1)
    variances = np.random.default_rng(2).exponential(0.1, 40)
    regressor = GaussianProcessRegressor(
        theirs.ConstantKernel(1.7) * theirs.Matern(GIVEN.lengthscales, nu=2.5),
        alpha=GIVEN.noise_variance + variances,
        optimizer=None,
    )
    regressor.fit(X, wave(X))

    process = Posterior(
        KERNELS["matern52"], GIVEN, X[:n_first], wave(X[:n_first]), None, variances[:n_first]
    )
    if n_first < 40:
        process = process.with_more(X[n_first:], wave(X[n_first:]), variances[n_first:])

    expected = regressor.predict(Z, return_std=True)
    np.testing.assert_allclose(process.predict(Z), expected, atol=1e-8)
    assert process.log_likelihood == pytest.approx(
        regressor.log_marginal_likelihood_value_, rel=1e-9
    )


def test_where_variances_are_known_the_rest_is_learnt():
    X = points(60)
    rng = np.random.default_rng(3)
    stds = np.where(np.arange(60) % 2, 1.0, 0.0)
    y = 10.0 * wave(X) + stds * 10.0 * rng.standard_normal(60)

    told = GaussianProcess().fit(X, y, (10.0 * stds) ** 2)
    untold = GaussianProcess().fit(X, y)

    Z = points(200, seed=1)
    errors = [np.abs(process.predict(Z)[0] - 10.0 * wave(Z)).mean() for process in (told, untold)]
    assert errors[0] < 0.5 * errors[1]
    assert told.hyperparameters.noise_variance < 0.1 * untold.hyperparameters.noise_variance


@pytest.mark.parametrize("variances", [[0.1], [0.1, -1.0], [0.1, np.inf]])
def test_variances_without_sense_are_refused(variances):
    with pytest.raises(InvalidOptionValue, match="variances must be finite numbers from 0"):
        GaussianProcess().fit([[0.0], [1.0]], [0.0, 1.0], variances)


@pytest.mark.parametrize("name", KERNELS)
def test_slopes_equal_differences_of_predictions(name):
    process, Z = posterior(30, name), points(6, seed=1)

    there = process.predict_with_slopes(Z)

    np.testing.assert_allclose((there.mean, there.std), process.predict(Z), rtol=1e-12)
    h = 1e-6
    for feature, step in enumerate(h * np.eye(3)):
        above, below = process.predict(Z + step), process.predict(Z - step)
        slopes = [(a - b) / (2.0 * h) for a, b in zip(above, below, strict=True)]
        np.testing.assert_allclose(there.mean_slopes[:, feature], slopes[0], atol=1e-6)
        np.testing.assert_allclose(there.std_slopes[:, feature], slopes[1], atol=1e-6)


@pytest.mark.parametrize("n_at_once", [1, 4])
def test_rows_that_are_added_give_what_a_fresh_factorisation_gives(n_at_once):
    X, Z = points(24), points(9, seed=1)
    grown = Posterior(KERNELS["matern52"], GIVEN, X[:12], wave(X[:12]))

    for first in range(12, 24, n_at_once):
        more = X[first : first + n_at_once]
        grown = grown.with_more(more, wave(more))

    fresh = Posterior(KERNELS["matern52"], GIVEN, X, wave(X))
    np.testing.assert_allclose(grown.predict(Z), fresh.predict(Z), atol=1e-10)
    assert grown.log_likelihood == pytest.approx(fresh.log_likelihood, rel=1e-10)


def test_a_believed_result_leaves_the_mean_and_takes_the_doubt_away():
    process, Z = posterior(20), points(9, seed=1)

    believing = process.with_more(Z[:1])

    mean, std = process.predict(Z)
    mean_then, std_then = believing.predict(Z)
    np.testing.assert_allclose(mean_then, mean, atol=1e-9)
    assert std_then[0] < 0.2 * std[0]
    assert (std_then <= std + 1e-12).all()


def test_other_targets_need_no_new_factor():
    process, Z = posterior(20), points(9, seed=1)

    turned = process.with_targets(-process.y)

    np.testing.assert_allclose(turned.predict(Z)[0], -process.predict(Z)[0], atol=1e-12)


def test_without_observations_it_says_what_the_prior_does():
    process = Posterior(KERNELS["rbf"], GIVEN, np.zeros((0, 3)), np.zeros(0))

    mean, std = process.predict(points(4))

    np.testing.assert_array_equal(mean, 0.0)
    np.testing.assert_allclose(std, np.sqrt(1.7))


def test_duplicates_without_noise_can_be_factorised():
    X = np.repeat(points(10), 3, axis=0)
    noiseless = Hyperparameters(GIVEN.lengthscales, 1.7, 0.0)

    mean, std = Posterior(KERNELS["rbf"], noiseless, X, wave(X)).predict(X)

    np.testing.assert_allclose(mean, wave(X), atol=1e-3)
    assert np.isfinite(std).all()


def test_features_of_one_group_share_a_lengthscale():
    X, Z = points(20), points(5, seed=1)
    groups = np.array([0, 1, 1])
    together = Hyperparameters(np.array([0.3, 0.9]), 1.0, 1e-4)
    apart = Hyperparameters(np.array([0.3, 0.9, 0.9]), 1.0, 1e-4)

    grouped = Posterior(KERNELS["matern32"], together, X, wave(X), groups)

    expected = Posterior(KERNELS["matern32"], apart, X, wave(X)).predict(Z)
    np.testing.assert_allclose(grouped.predict(Z), expected, atol=1e-12)


# --- learning from data ---------------------------------------------------------------


def test_it_learns_a_smooth_function():
    X, Z = points(60), points(200, seed=1)

    mean, std = GaussianProcess().fit(X, 1000.0 * wave(X) + 5.0).predict(Z)

    expected = 1000.0 * wave(Z) + 5.0
    assert np.abs(mean - expected).max() < 0.05 * expected.std()
    assert (np.abs(mean - expected) < 3.0 * std).mean() > 0.97


def test_it_learns_which_features_matter():
    X = points(60)

    process = GaussianProcess("rbf").fit(X, np.sin(6.0 * X[:, 1]))

    relevant = process.hyperparameters.lengthscales[1]
    others = process.hyperparameters.lengthscales[[0, 2]]
    assert (others > 5.0 * relevant).all()


def test_it_learns_how_noisy_the_targets_are():
    X = points(150)
    y = np.sin(5.0 * X[:, 0])
    noise = 0.3 * np.random.default_rng(0).standard_normal(150)

    process = GaussianProcess().fit(X, y + noise)

    variance = (y + noise).var() * process.hyperparameters.noise_variance
    assert np.sqrt(variance) == pytest.approx(0.3, rel=0.2)


def test_updating_keeps_the_hyperparameters_and_takes_the_observations_in():
    X = points(40)
    process = GaussianProcess().fit(X[:30], wave(X[:30]))
    before = process.hyperparameters

    process.update(X[30:], wave(X[30:]))

    assert process.hyperparameters is before
    np.testing.assert_allclose(process.predict(X)[0], wave(X), atol=0.01)


def test_slopes_are_in_the_unit_of_the_targets():
    X, Z = points(30), points(4, seed=1)
    process = GaussianProcess().fit(X, 100.0 * wave(X))

    there = process.predict_with_slopes(Z)

    step = np.array([0.0, 1e-5, 0.0])
    means = [process.predict(Z + side * step)[0] for side in (1.0, -1.0)]
    np.testing.assert_allclose(there.mean_slopes[:, 1], (means[0] - means[1]) / 2e-5, rtol=1e-3)


@pytest.mark.parametrize("y", [[3.0], [2.0, 2.0, 2.0]])
def test_one_observation_or_equal_ones_predict_that_value(y):
    X = points(len(y))

    mean, std = GaussianProcess().fit(X, y).predict(points(3, seed=1))

    np.testing.assert_allclose(mean, y[0], atol=1e-9)
    assert np.isfinite(std).all()


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(InvalidOptionValue, match="shape"):
        GaussianProcess().fit(points(3), [1.0, 2.0])
    with pytest.raises(InvalidOptionValue, match="finite"):
        GaussianProcess().fit(points(2), [1.0, np.nan])
    with pytest.raises(InvalidOption, match="call fit"):
        GaussianProcess().predict(points(2))
