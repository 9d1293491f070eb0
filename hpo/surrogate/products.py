"""Matrix products in the calling thread.

    symbol   meaning     shape
    left     a matrix    (K, F)
    right    another     (F, C)

BLAS spreads a larger product over a pool of threads, one for each core. For products that
take some microseconds that gains little, and costs much where the other cores evaluate
trials: the call returns when the last of its threads has been given a core, and idle threads
keep theirs busy for a while, in case there is more to do. So such products are computed in
strips, each of which is small enough to stay here. Those that take longer, of large batches,
are left to BLAS: in strips they take twice as long.

Source: OpenBLAS, interface/gemm.c: one thread where K F C <= 65536 * 4. Other libraries
share small products out less readily.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["product", "put_product"]

Floats = npt.NDArray[np.float64]

# K F C of a strip, and of what is computed in strips.
_MOST_IN_ONE_THREAD = 65536 * 4
_MOST_IN_STRIPS = 16 * _MOST_IN_ONE_THREAD


def product(left: Floats, right: Floats) -> Floats:
    """left @ right, shape (K, C)."""
    out = np.empty((len(left), right.shape[1]))
    put_product(left, right, out)
    return out


def put_product(left: Floats, right: Floats, out: Floats) -> None:
    """left @ right, into `out` of shape (K, C)."""
    n_products = left.size * right.shape[1]
    if n_products <= _MOST_IN_ONE_THREAD or n_products > _MOST_IN_STRIPS:
        np.matmul(left, right, out=out)
    # Across the longer side, because BLAS is slow where there are few rows or columns.
    elif len(left) >= right.shape[1]:
        for strip in _strips(len(left), right.size):
            np.matmul(left[strip], right, out=out[strip])
    else:
        for strip in _strips(right.shape[1], left.size):
            np.matmul(left, right[:, strip], out=out[:, strip])


def _strips(length: int, n_products: int) -> Iterator[slice]:
    """Parts of a side, of about the same length.

    Args:
        n_products: how many numbers are multiplied for one row or column.
    """
    longest = max(1, _MOST_IN_ONE_THREAD // n_products)
    height = math.ceil(length / math.ceil(length / longest))
    for start in range(0, length, height):
        yield slice(start, start + height)
