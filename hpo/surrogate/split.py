"""Which trials are good: the split that the two Parzen estimators are fitted to.

    symbol   meaning                                                  shape
    N        number of trials, whatever became of them
    losses   loss of each trial in order of suggestion, NaN if none     (N,)
    n_below  min(ceil(gamma sqrt(N)), cap): how many trials are good    (1)

A trial without a loss, because it failed or is still running, is never good: it
joins the others and so pushes the search away from where it stands.

Source: hyperopt.tpe.ap_split_trials; gamma as in hyperopt, so with the defaults
N = 20, 100, 400 have 2, 3, 5 good trials.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

# However many trials there are, no more than these are good.
MAX_BELOW = 25


def count_below(n_trials: int, gamma: float, cap: int = MAX_BELOW) -> int:
    """How many of `n_trials` trials are good; equation (1)."""
    return min(math.ceil(gamma * math.sqrt(n_trials)), cap)


def split_by_loss(losses: npt.ArrayLike, n_below: int) -> npt.NDArray[np.bool_]:
    """Mark the `n_below` trials with the least losses.

    Args:
        losses: shape (N,), NaN for a trial without a loss; may be infinite.
        n_below: how many to mark; fewer are marked if fewer have a loss.

    Returns:
        True for the good trials, shape (N,). Of equal losses the earlier counts as better.
    """
    values = np.asarray(losses, dtype=np.float64)
    # NaN sorts last, behind an infinite loss.
    best = np.argsort(values, kind="stable")[:n_below]
    is_below = np.zeros(values.size, dtype=np.bool_)
    is_below[best[~np.isnan(values[best])]] = True
    return is_below
