"""Cholesky factors of small matrices, computed in the calling thread.

    symbol   meaning                                                     shape
    K        positive definite matrix                                      (n, n)
    L        its factor, K = L L'                                         (n, n)
    R        right-hand sides                                              (n, C)

LAPACK hands the factorisation of more than 64 rows to a pool of threads, with the same harm
as `hpo.surrogate.products` tells of. In blocks of half as many rows all stays here: of each
block the factor and its inverse, and products for what stands below it.

Source: Golub and Van Loan, "Matrix computations", algorithm 4.2.2 (block outer product
Cholesky); OpenBLAS, interface/lapack/potrf.c: one thread where n < 64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpo.surrogate.products import product

__all__ = ["Factor"]

Floats = npt.NDArray[np.float64]

_BLOCK = 32


class Factor:
    """L.

    Args:
        matrix: K, well conditioned: its blocks are inverted.

    Attributes:
        log_determinant: log |K|.

    Raises:
        numpy.linalg.LinAlgError: K is not positive definite.
    """

    def __init__(self, matrix: Floats) -> None:
        # Late, because `import hpo` shall not load scipy.
        from scipy.linalg import lapack

        rest, log_root = matrix, 0.0
        # Of each block of columns the inverse of its diagonal block, and what is below that.
        self._blocks: list[tuple[Floats, Floats]] = []
        for start in range(0, len(matrix), _BLOCK):
            diagonal, failed_at = lapack.dpotrf(rest[:_BLOCK, :_BLOCK], lower=1)
            if failed_at:
                raise np.linalg.LinAlgError(
                    f"row {start + failed_at - 1} of a matrix of {len(matrix)} leaves it not "
                    f"positive definite"
                )
            log_root += float(np.log(diagonal.diagonal()).sum())
            inverse, _ = lapack.dtrtri(diagonal, lower=1)
            below = product(rest[_BLOCK:, :_BLOCK], inverse.T)
            rest = rest[_BLOCK:, _BLOCK:] - product(below, below.T)
            self._blocks.append((inverse, below))
        self.log_determinant = 2.0 * log_root

    def solve(self, right: Floats) -> Floats:
        """L^-1 R, shape (n, C)."""
        solved, rest = np.empty_like(right), right
        for number, (inverse, below) in enumerate(self._blocks):
            place = slice(number * _BLOCK, number * _BLOCK + len(inverse))
            solved[place] = product(inverse, rest[: len(inverse)])
            rest = rest[len(inverse) :] - product(below, solved[place])
        return solved
