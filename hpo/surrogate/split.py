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

# Of so few losses it is quickest to sort all; of more than those, the least are first looked
# for among blocks.
_FEW, _MANY = 256, 4096
_BLOCK = 64


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
    is_below = np.zeros(values.size, dtype=np.bool_)
    is_below[least(values, n_below)] = True
    return is_below


def least(losses: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.int64]:
    """Where the `n` least losses stand, the least first; fewer where NaN leaves no more.

    Of equal losses the earlier counts as less.
    """
    if n <= 0:
        return np.empty(0, dtype=np.int64)
    places = None if losses.size <= _MANY else _in_least_blocks(losses, n)
    values = losses if places is None else losses[places]
    if n < values.size > _FEW:
        ascending = values.copy()
        ascending.partition(n - 1)
        # NaN sorts last, behind an infinite loss, and nothing is below it.
        few = (values <= ascending[n - 1]).nonzero()[0]
        if few.size:
            order = few[values[few].argsort(kind="stable")[:n]]
            return np.asarray(order if places is None else places[order])
    order = values.argsort(kind="stable")[: min(n, np.count_nonzero(values == values))]
    return np.asarray(order if places is None else places[order])


def _in_least_blocks(losses: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.int64]:
    """Ascending places among which the `n` least losses are, at a fraction of sorting all."""
    n_blocks = losses.size // _BLOCK
    blocks = losses[: n_blocks * _BLOCK].reshape(n_blocks, _BLOCK)
    # Each of the n least is the least of its block, or shares it with one that is less.
    leasts = np.fmin.reduce(blocks, axis=1)
    chosen = np.arange(n_blocks)
    if n < n_blocks:
        limit = np.partition(leasts, n - 1)[n - 1]
        # Where fewer blocks have any loss, the limit is NaN: then all blocks are looked at.
        if limit == limit:
            (chosen,) = (leasts <= limit).nonzero()
    places = (chosen[:, None] * _BLOCK + np.arange(_BLOCK)).ravel()
    return np.concatenate([places, np.arange(n_blocks * _BLOCK, losses.size)])


def best_and_latest(losses: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """Where `most` trials stand, rising: half of them the best, the others the latest.

    All, where there are no more.

    Args:
        losses: NaN for a trial without one, which is worst; shape (n,).
    """
    n = len(losses)
    if n <= most:
        return np.arange(n)
    is_kept = np.zeros(n, dtype=np.bool_)
    is_kept[least(losses, most // 2)] = True
    latest = np.flatnonzero(~is_kept)[-(most - np.count_nonzero(is_kept)) :]
    is_kept[latest] = True
    return np.flatnonzero(is_kept)
