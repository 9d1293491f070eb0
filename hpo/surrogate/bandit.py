"""Which branch to look into: Thompson sampling on how often each gives good trials.

    symbol    meaning                                                shape
    V         number of branches                                       scalar
    n_j       trials in branch j, whatever became of them               (V,)
    g_j       the good ones among them: the best few of all branches    (V,)

    r_j ~ Beta(1 + g_j, 1 + n_j - g_j);  the branch with the largest r_j   (1)

"Good" is strict here, the best 3 %: then a branch that lost is still visited
about as often as 1 / n_j says, so that one whose own hyperparameters need some
tuning before they pay off gets the trials for it.

Source: Thompson, "On the likelihood that one unknown probability exceeds another",
Biometrika 25 (1933).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hpo.surrogate.split import split_by_loss

# The share of all trials that counts as good when branches are compared.
GOOD_FRACTION = 0.03


def choose_branch(
    rng: np.random.Generator,
    branches: npt.NDArray[np.float64],
    losses: npt.NDArray[np.float64],
    n_branches: int,
) -> int:
    """Equation (1).

    Args:
        branches: branch of each trial, shape (n,); NaN where the choice was inactive.
        losses: shape (n,), NaN for a trial without a loss.
        n_branches: V.
    """
    is_in = (branches >= 0) & (branches < n_branches)
    codes, own_losses = branches[is_in].astype(np.int64), losses[is_in]
    n_good = max(1, math.ceil(GOOD_FRACTION * np.count_nonzero(~np.isnan(own_losses))))
    is_good = split_by_loss(own_losses, n_good)
    n_trials = np.bincount(codes, minlength=n_branches)
    n_good_trials = np.bincount(codes[is_good], minlength=n_branches)
    return int(np.argmax(rng.beta(1.0 + n_good_trials, 1.0 + n_trials - n_good_trials)))
