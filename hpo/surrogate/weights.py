"""Weights of the good trials: by how much each improves on the others.

    symbol   meaning                                              shape
    below    losses of the good trials                              (n,)
    y*       the least loss among the others                         scalar

    w_i proportional to max(1e-12, y* - y_i), mean 1                (1)

A trial that only just counts as good then adds next to nothing, and the
estimators change smoothly while trials come and go.

Source: Watanabe, arXiv 2304.11127, section 3.2 ("EI" weights).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LEAST_IMPROVEMENT = 1e-12


def improvement_weights(below: npt.ArrayLike, threshold: float) -> Floats:
    """Equation (1).

    Args:
        below: losses of the good trials, shape (n,); none NaN.
        threshold: y*; NaN or infinite where there is none.

    Returns:
        Shape (n,), mean 1. Equal weights where an improvement is infinite or unknown.
    """
    # A few numbers: Python is faster with them than numpy.
    losses = np.asarray(below, dtype=np.float64).tolist()
    if not (losses and math.isfinite(threshold) and all(map(math.isfinite, losses))):
        return np.ones(len(losses))
    # Halved, because the difference of huge losses is infinite.
    improvements = [max(0.5 * threshold - 0.5 * loss, _LEAST_IMPROVEMENT) for loss in losses]
    largest = max(improvements)
    shares = [improvement / largest for improvement in improvements]
    mean = math.fsum(shares) / len(shares)
    return np.array([share / mean for share in shares])
