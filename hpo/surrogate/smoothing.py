"""Smoothed losses: what a noisy objective would give on average, judged by the neighbours.

    symbol    meaning                                                   shape
    n         number of trials with a loss                                scalar
    y, v      their losses, and the variances of these (1 if unknown)     (n,)
    f_j(x)    kernel of trial j; see `hpo.surrogate.joint`                (n, n)

    s_i = sum_j f_j(x_i) y_j / v_j  /  sum_j f_j(x_i) / v_j               (1)

A lucky loss among worse ones is pulled up, one among equals stays. The kernels are
wide, so that the trials in which the search settled count as neighbours; a trial
without any keeps its own loss.

Source: the Nadaraya-Watson estimator (Nadaraya, "On estimating regression", 1964),
with the inverse variances as weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpo.surrogate.joint import Axes, JointParzen, Points

Floats = npt.NDArray[np.float64]

# Least deviation of the kernels, as a share of the range.
SIGMA = 0.1


def smoothed_losses(
    axes: Axes, points: Points, losses: Floats, variances: Floats, sigma: float = SIGMA
) -> Floats:
    """Equation (1), shape (n,).

    Args:
        points: the trials.
        losses: shape (n,), none NaN; an infinite one stays and is nobody's neighbour.
        variances: of the losses, NaN where unknown; shape (n,).
    """
    is_finite = np.isfinite(losses)
    smoothed: Floats = losses.copy()
    if np.count_nonzero(is_finite) < 2:
        return smoothed
    usual = np.nanmedian(variances) if (variances > 0).any() else 1.0
    precisions = usual / np.where(variances > 0, variances, usual)
    n = len(losses)
    kernels = JointParzen(axes, points.u, points.codes, np.ones(n), least_sigma=sigma)
    log_f = kernels.log_kernels(points)[:, :n][:, is_finite]
    shares = np.exp(log_f - log_f.max(axis=1, keepdims=True)) * precisions[is_finite]
    # Scaled, because the sum of huge losses is infinite.
    scale = max(float(np.abs(losses[is_finite]).max()), float(np.finfo(np.float64).tiny))
    averages = shares @ (losses[is_finite] / scale) / shares.sum(axis=1)
    smoothed[is_finite] = scale * averages[is_finite]
    return smoothed
