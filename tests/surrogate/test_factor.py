"""A factor in blocks is the factor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from hpo.surrogate.factor import Factor

# Around the edges of blocks.
SIZES = [1, 2, 31, 32, 33, 64, 65, 100, 128]


def covariance(n, seed=0):
    x = np.random.default_rng(seed).random((n, 3))
    squares = ((x[:, None] - x) ** 2).sum(axis=2)
    return np.exp(-squares / 0.1) + 0.01 * np.eye(n)


@pytest.mark.parametrize("n", SIZES)
def test_it_solves_with_the_lower_factor(n):
    matrix, right = covariance(n), np.random.default_rng(1).normal(size=(n, 5))

    solved = Factor(matrix).solve(right)

    expected = linalg.solve_triangular(linalg.cholesky(matrix, lower=True), right, lower=True)
    np.testing.assert_allclose(solved, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", SIZES)
def test_it_knows_the_determinant(n):
    matrix = covariance(n)

    sign, expected = np.linalg.slogdet(matrix)

    assert sign == 1.0
    assert Factor(matrix).log_determinant == pytest.approx(expected, rel=1e-10)


def test_the_matrix_stays_what_it_was():
    matrix = covariance(70)
    before = matrix.copy()

    Factor(matrix)

    assert (matrix == before).all()


@pytest.mark.parametrize("place", [3, 60])
def test_a_matrix_that_is_not_positive_definite_is_an_error(place):
    matrix = covariance(64)
    matrix[place, place] = -1.0

    with pytest.raises(np.linalg.LinAlgError):
        Factor(matrix)
