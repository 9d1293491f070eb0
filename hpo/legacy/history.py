"""Small routines over the trials of a search: who is probably best, what is newest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["coarse_utcnow", "fast_isin", "get_most_recent_inds", "pmin_sampled"]


def pmin_sampled(
    mean: ArrayLike,
    var: ArrayLike,
    n_samples: int = 1000,
    rng: np.random.Generator | None = None,
) -> NDArray[np.float64]:
    """How often each of several normal variables is the least one, by simulation.

    Args:
        mean, var: of each variable, shape (n,).
        rng: default a fixed seed, so that the answer can be had again.

    Returns:
        Shape (n,), adds up to 1.

    Source: hyperopt.utils.pmin_sampled.
    """
    rng = np.random.default_rng(232342) if rng is None else rng
    means = np.asarray(mean, dtype=np.float64)
    draws = rng.normal(means, np.sqrt(var), size=(n_samples, len(means)))
    return np.bincount(draws.argmin(axis=1), minlength=len(means)) / n_samples


def fast_isin(X: ArrayLike, Y: ArrayLike) -> NDArray[np.bool_]:
    """Whether each item of X is one of Y's, in the shape of X.

    Source: hyperopt.utils.fast_isin.
    """
    return np.isin(X, Y)


def get_most_recent_inds(obj: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
    """Positions of the documents that have the greatest version of their `_id`.

    Args:
        obj: documents with `_id` (of one type) and `version`, in any order.

    Returns:
        One position for each `_id`, in the order of the ids.

    Source: hyperopt.utils.get_most_recent_inds.
    """
    newest: dict[Any, int] = {}
    for position, document in enumerate(obj):
        known = newest.setdefault(document["_id"], position)
        if document["version"] >= obj[known]["version"]:
            newest[document["_id"]] = position
    return np.array([newest[key] for key in sorted(newest)], dtype=np.int64)


def coarse_utcnow() -> datetime:
    """Now in UTC, without a time zone, in whole milliseconds: all that MongoDB keeps.

    It is this machine's clock. The times in documents are the server's: see
    `MongoStore.now`.

    Source: hyperopt.utils.coarse_utcnow.
    """
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
