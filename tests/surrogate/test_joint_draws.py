"""What the joint estimator draws follows its own density."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.surrogate.joint_slowly import (
    BOUNDED,
    NORMAL,
    axes_of,
    branch_masses,
    conditional_estimator,
    fit,
    points_of,
)


def chi_square_pvalue(counts, probabilities):
    assert np.sum(probabilities) == pytest.approx(1.0)
    return stats.chisquare(counts, np.sum(counts) * probabilities / np.sum(probabilities)).pvalue


@pytest.mark.parametrize("kind", [BOUNDED, NORMAL])
def test_draws_follow_a_continuous_density(kind):
    axes = axes_of(kind)
    estimator = fit(axes, [[0.0, 0.02, 0.6, 1.0]], weights=[1, 2, 1, 0.5])
    low, high = (0.0, 1.0) if kind == BOUNDED else (-9.0, 9.0)
    grid = np.linspace(low, high, 20_001)
    density = np.exp(estimator.log_density(points_of(axes, [grid])))
    cdf = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(grid)))

    (drawn,) = estimator.sample(np.random.default_rng(0), 5000).u

    assert stats.kstest(drawn, lambda x: np.interp(x, grid, cdf)).pvalue > 0.001


def test_draws_follow_the_density_of_cells_and_options_together():
    axes = axes_of(4, options=[[0.5, 0.3, 0.2]])
    estimator = fit(axes, [[0.125, 0.375, 0.375]], [[0, 2, 2]], [2, 1, 1])
    cells, options = np.divmod(np.arange(12), 3)
    points = points_of(axes, [(cells + 0.5) / 4], [options])

    drawn = estimator.sample(np.random.default_rng(1), 20_000)

    counts = np.bincount(drawn.numbers[0] * 3 + drawn.codes[0], minlength=12)
    np.testing.assert_array_equal(drawn.u, (drawn.numbers + 0.5) / 4)
    assert chi_square_pvalue(counts, np.exp(estimator.log_density(points))) > 0.001, counts


def test_draws_follow_a_conditional_density():
    axes, estimator = conditional_estimator()
    first, cells = branch_masses(axes, estimator)

    drawn = estimator.sample(np.random.default_rng(2), 20_000)

    codes, (numbers,) = drawn.codes[0], drawn.numbers
    counts = [np.count_nonzero(codes == 0), *np.bincount(numbers[codes == 1], minlength=4)]
    assert chi_square_pvalue(counts, np.array([first, *cells])) > 0.001, counts


def test_draws_keep_the_correlation_of_the_trials():
    axes = axes_of(BOUNDED, BOUNDED)
    line = np.linspace(0.05, 0.95, 30)

    estimator = fit(axes, [line, line], weights=np.ones(30))
    a, b = estimator.sample(np.random.default_rng(3), 3000).u

    assert np.corrcoef(a, b)[0, 1] > 0.8


def test_draws_keep_what_is_in_a_branch_with_the_branch():
    # A shared axis that was small under option 0 and large under option 1.
    axes = axes_of(BOUNDED, options=[[0.5, 0.5]])
    u, codes = [[0.1, 0.12, 0.14, 0.86, 0.88, 0.9]], [[0, 0, 0, 1, 1, 1]]

    drawn = fit(axes, u, codes, np.ones(6)).sample(np.random.default_rng(4), 3000)

    assert np.median(drawn.u[0, drawn.codes[0] == 0]) < 0.2
    assert np.median(drawn.u[0, drawn.codes[0] == 1]) > 0.8


def test_draws_stay_inside_the_bounds_and_repeat_with_the_generator():
    axes = axes_of(BOUNDED, 3, options=[[1.0, 0.0]])
    estimator = fit(axes, [[0.0, 1.0], [1 / 6, 5 / 6]], [[0, 0]], np.ones(2))

    drawn, again = (estimator.sample(np.random.default_rng(5), 2000) for _ in range(2))

    assert ((drawn.u >= 0.0) & (drawn.u <= 1.0)).all()
    assert (drawn.codes == 0).all()
    np.testing.assert_array_equal(drawn.u, again.u)
    np.testing.assert_array_equal(drawn.codes, again.codes)
