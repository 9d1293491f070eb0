"""Products in strips are the same products, and each strip is small."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.surrogate.products import product, put_product


@pytest.mark.parametrize(
    "shape",
    [(0, 3, 2), (3, 0, 2), (5, 4, 0), (7, 5, 3), (300, 80, 200), (2, 1000, 400), (400, 1000, 2)],
)
def test_a_product_is_the_sum_over_rows_and_columns(shape):
    n_rows, n_inner, n_columns = shape
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(n_rows, n_inner)), rng.normal(size=(n_inner, n_columns))
    out = np.full((n_rows, n_columns), np.nan)

    put_product(left, right, out)

    np.testing.assert_allclose(out, np.einsum("kf,fc->kc", left, right), atol=1e-10)
    assert (product(left, right) == out).all()


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "largest"),
    [(258, 24, 65536 * 4), (24, 258, 65536 * 4), (258, 192, 258 * 300 * 192)],
    ids=["tall", "wide", "large"],
)
def test_a_small_product_is_cut_so_that_no_strip_takes_a_second_thread(
    monkeypatch, n_rows, n_columns, largest
):
    sizes, matmul = [], np.matmul

    def counted(left, right, out):
        sizes.append(left.size * right.shape[1])
        return matmul(left, right, out=out)

    monkeypatch.setattr(np, "matmul", counted)
    put_product(np.ones((n_rows, 300)), np.ones((300, n_columns)), np.empty((n_rows, n_columns)))

    assert max(sizes) <= largest
    assert sum(sizes) == n_rows * 300 * n_columns
