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
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hpo.surrogate.split import least

# The share of all trials that counts as good when branches are compared.
GOOD_FRACTION = 0.03


class Tally(NamedTuple):
    """What (1) needs of the trials: n_j and g_j, shape (V,) each."""

    n_trials: npt.NDArray[np.int64]
    n_good_trials: npt.NDArray[np.int64]


def choose_branch(rng: np.random.Generator, tally: Tally) -> int:
    """Equation (1)."""
    n_trials, n_good = tally
    return int(rng.beta(1.0 + n_good, 1.0 + n_trials - n_good).argmax())


def tally_branches(
    branches: npt.NDArray[np.float64], losses: npt.NDArray[np.float64], n_branches: int
) -> Tally:
    """Count the trials of each branch, and the good ones.

    Args:
        branches: branch of each trial, shape (n,); NaN where the choice was inactive.
        losses: shape (n,), NaN for a trial without a loss.
        n_branches: V.
    """
    is_in = (branches >= 0) & (branches < n_branches)
    codes, own_losses = branches[is_in].astype(np.int64), losses[is_in]
    n_good = max(1, math.ceil(GOOD_FRACTION * np.count_nonzero(~np.isnan(own_losses))))
    good = codes[least(own_losses, n_good)]
    return Tally(np.bincount(codes, minlength=n_branches), np.bincount(good, minlength=n_branches))
