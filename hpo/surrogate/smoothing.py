"""Smoothed losses: what a noisy objective would give on average, judged by the neighbours.

    symbol    meaning                                                       shape
    n         number of trials with a loss                                    scalar
    u, codes  the trials: coordinates, and numbers of options                 (D, n), (O, n)
    y, v      their losses, and the variances of these (1 if unknown)         (n,)
    d_ij      distance on the axes where both are active, in units of SIGMA    (n, n)
    m_ij      number of choices in which they differ                          (n, n)

    K_ij = exp(-d_ij^2 / 2) e^m_ij,    e = 0.1                                (1)
    s_i  = sum_j K_ij y_j / v_j  /  sum_j K_ij / v_j                          (2)

A lucky loss among worse ones is pulled up, one among equals stays. The kernels are
wide, so that the trials in which the search settled count as neighbours; a trial
without any keeps its own loss. They all have one width, and no bounds cut them:
else a trial at a border, or a lonely one, would count for more than its neighbours.

Source: the Nadaraya-Watson estimator (Nadaraya, "On estimating regression", 1964),
with the inverse variances as weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

# Deviation of the kernels, as a share of the range.
SIGMA = 0.1
# What a trial with one other option counts for.
OTHER_OPTION = 0.1


def smoothed_losses(
    u: Floats, codes: Codes, losses: Floats, variances: Floats, sigma: float = SIGMA
) -> Floats:
    """Equation (2), shape (n,).

    Args:
        u: NaN where inactive; shape (D, n).
        codes: -1 where inactive; shape (O, n).
        losses: shape (n,), none NaN; an infinite one stays and is nobody's neighbour.
        variances: of the losses, NaN where unknown; shape (n,).
    """
    is_finite = np.isfinite(losses)
    smoothed: Floats = losses.copy()
    if np.count_nonzero(is_finite) < 2:
        return smoothed
    usual = np.nanmedian(variances) if (variances > 0).any() else 1.0
    precisions = usual / np.where(variances > 0, variances, usual)
    kernels = np.exp(_log_kernels(u[:, is_finite], codes[:, is_finite], sigma))
    shares = kernels * precisions[is_finite]
    # Scaled, because the sum of huge losses is infinite.
    scale = max(float(np.abs(losses[is_finite]).max()), float(np.finfo(np.float64).tiny))
    averages = shares @ (losses[is_finite] / scale) / shares.sum(axis=1)
    smoothed[is_finite] = scale * averages
    return smoothed


def _log_kernels(u: Floats, codes: Codes, sigma: float) -> Floats:
    """log of equation (1), shape (n, n)."""
    n = u.shape[1]
    log_kernels = np.zeros((n, n))
    # One axis at a time keeps the memory at n^2.
    for axis in u:
        differences = (axis[:, None] - axis) / sigma
        log_kernels -= 0.5 * np.nan_to_num(differences * differences, posinf=np.inf)
    for options in codes:
        log_kernels += np.log(OTHER_OPTION) * (options[:, None] != options)
    return log_kernels
