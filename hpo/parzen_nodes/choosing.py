"""Which trials are good, and which candidate is best, as operations.

Source: hyperopt.tpe, but for this: a trial whose loss is NaN is never good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOptionValue
from hpo.parzen_nodes.bandwidth import DEFAULT_LF
from hpo.pyll import Apply, scope
from hpo.surrogate.split import count_below, split_by_loss

__all__ = ["ap_filter_trials", "ap_split_trials", "broadcast_best"]


@scope.define_info(o_len=2)
def ap_split_trials(
    o_idxs: Sequence[Any],
    o_vals: npt.ArrayLike,
    l_idxs: Sequence[Any],
    l_vals: npt.ArrayLike,
    gamma: float,
    gamma_cap: int = DEFAULT_LF,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Split a hyperparameter's values into those of good trials and of the others.

    Of N trials min(ceil(gamma sqrt(N)), gamma_cap) are good.

    Args:
        o_idxs, o_vals: tids that have the hyperparameter, and its values there.
        l_idxs, l_vals: tids of all N trials, and their losses.

    Returns:
        (below, above): the values in good trials and in the others, in the order
        of `o_vals`. Values of trials that are not in `l_idxs` are in neither.
    """
    losses = np.asarray(l_vals, dtype=np.float64)
    is_good = split_by_loss(losses, count_below(losses.size, gamma, gamma_cap))
    good_by_tid = dict(zip(np.asarray(l_idxs).tolist(), is_good.tolist(), strict=True))
    observed = np.asarray(o_vals)
    verdicts = [good_by_tid.get(tid) for tid in np.asarray(o_idxs).tolist()]
    in_good = np.array([verdict is True for verdict in verdicts], dtype=np.bool_)
    in_others = np.array([verdict is False for verdict in verdicts], dtype=np.bool_)
    return observed[in_good], observed[in_others]


# What hyperopt called it before it split by the square root of N.
ap_filter_trials = ap_split_trials


@scope.define_macro("ap_filter_trials")
def _ap_filter_trials_node(*args: Any, **kwargs: Any) -> Apply:
    return scope.ap_split_trials(*args, **kwargs)


@scope.define
def broadcast_best(
    samples: Sequence[Any], below_llik: npt.ArrayLike, above_llik: npt.ArrayLike
) -> list[Any]:
    """The candidate that is most likely good, as often as there are candidates.

    Args:
        samples: candidates, shape (n,).
        below_llik, above_llik: their log densities among good trials and the others, (n,).

    Raises:
        ValueError: the lengths differ.
    """
    score = np.asarray(below_llik, dtype=np.float64) - np.asarray(above_llik, dtype=np.float64)
    if len(samples) != score.size:
        raise InvalidOptionValue(f"{len(samples)} samples have {score.size} log likelihoods")
    return [samples[int(np.argmax(score))]] * len(samples) if len(samples) else []
