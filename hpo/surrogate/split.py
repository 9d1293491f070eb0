"""Which trials are good: the split that the two Parzen estimators are fitted to.

    symbol   meaning                                                  shape
    N        number of trials, whatever became of them                  scalar
    n        number of trials with a loss                              scalar
    losses   loss of each trial in order of suggestion, NaN if none     (N,)

    n_below = min(ceil(gamma sqrt(N)), 25)                              (1)
    n_below = min(ceil(beta n), 25)                                     (2)

A trial without a loss, because it failed or is still running, is never good: it
joins the others and so pushes the search away from where it stands.

Source: hyperopt.tpe.ap_split_trials for (1), so with hyperopt's gamma of 0.25
N = 20, 100, 400 have 2, 3, 5 good trials; optuna and Watanabe, arXiv 2304.11127,
section 3.1, for (2).
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


def fraction_below(n_losses: int, beta: float, cap: int = MAX_BELOW) -> int:
    """How many of `n_losses` trials with a loss are good; equation (2)."""
    return min(math.ceil(beta * n_losses), cap)


def split_by_loss(losses: npt.ArrayLike, n_below: int) -> npt.NDArray[np.bool_]:
    """Mark the `n_below` trials with the least losses.

    Args:
        losses: shape (N,), NaN for a trial without a loss; may be infinite.
        n_below: how many to mark; fewer are marked if fewer have a loss.

    Returns:
        True for the good trials, shape (N,). Of equal losses the earlier counts as better.
    """
    values = np.asarray(losses, dtype=np.float64)
    n_marked = min(n_below, int(np.count_nonzero(~np.isnan(values))))
    if n_marked == 0:
        return np.zeros(values.size, dtype=np.bool_)
    # NaN sorts last, behind an infinite loss.
    worst = np.partition(values, n_marked - 1)[n_marked - 1]
    is_below: npt.NDArray[np.bool_] = values < worst
    n_ties = n_marked - np.count_nonzero(is_below)
    is_below[np.flatnonzero(values == worst)[:n_ties]] = True
    return is_below
