"""Weights of trials: the good ones by what they improve, the others by how bad they are.

    symbol   meaning                                                       shape
    below    losses of the good trials                                       (n,)
    y*       the least loss among the others                                  scalar
    losses   of the others that ended, NaN for one that failed               (m,)
    r        their ranks: 0 for the least loss, 1 for the greatest           (m,)

    w_i proportional to max(1e-12, y* - y_i), mean 1                (1)
    w_i = 1 + 1.8 min(1, 50 / m) (r_i - 0.5), mean 1                (2)
    w   = 0.25 for a trial that still runs                          (3)

A trial that only just counts as good then adds next to nothing to the good ones, one that
missed by little next to nothing to the others, and the estimators change smoothly while
trials come and go. By and by (2) becomes even: many trials lie so densely around the good
ones that the search would not leave them if these weighed little. Trials that run keep
others away from where they stand, but nobody knows that it is bad there.

Source: Watanabe, arXiv 2304.11127, section 3.2 ("EI" weights) for (1). There, the others
weigh the same; (2) and (3) are ours, because they find better losses sooner.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LEAST_IMPROVEMENT = 1e-12
RUNNING_WEIGHT = 0.25

# By how much the best and the worst of the others differ in weight, and among how many of
# them that begins to fade.
_SPREAD = 1.8
_MOST_GRADED = 50


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


def badness_weights(losses: Floats) -> Floats:
    """Equation (2).

    Args:
        losses: shape (m,). Equal losses share a rank, and so do all NaN, behind any loss.

    Returns:
        Shape (m,), mean 1.
    """
    n = len(losses)
    if n < 2:
        return np.ones(n)
    ascending = losses.copy()
    ascending.sort()
    # The first place and the one behind the last: one more than twice the mean rank from 0.
    doubled = ascending.searchsorted(losses) + ascending.searchsorted(losses, side="right")
    slope = 0.5 * _SPREAD * min(1.0, _MOST_GRADED / n) / (n - 1)
    return np.asarray(1.0 + slope * (doubled - n))
