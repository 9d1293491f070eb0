"""Priors by hyperopt's names and arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpo.space.discrete import Categorical, Integers
from hpo.space.priors import Normal, Prior, Uniform

__all__ = ["KINDS", "prior_of_kind"]


def _randint(low: int, high: int | None = None) -> Integers:
    return Integers(0, low) if high is None else Integers(low, high)


def _categorical(p: Any) -> Categorical:
    row = np.asarray(p, dtype=object)
    # hyperopt passes a single row of probabilities in a list, too.
    return Categorical(tuple(row[0] if row.ndim == 2 and len(row) == 1 else row))


KINDS: Mapping[str, Callable[..., Prior]] = {
    "uniform": lambda low, high: Uniform(low, high),
    "quniform": lambda low, high, q: Uniform(low, high, q=q),
    "loguniform": lambda low, high: Uniform(low, high, is_log=True),
    "qloguniform": lambda low, high, q: Uniform(low, high, q=q, is_log=True),
    "normal": lambda mu, sigma: Normal(mu, sigma),
    "qnormal": lambda mu, sigma, q: Normal(mu, sigma, q=q),
    "lognormal": lambda mu, sigma: Normal(mu, sigma, is_log=True),
    "qlognormal": lambda mu, sigma, q: Normal(mu, sigma, q=q, is_log=True),
    "randint": _randint,
    "categorical": _categorical,
    "randint_via_categorical": _categorical,
}


def prior_of_kind(kind: str, arguments: Mapping[str, Any]) -> Prior:
    """The prior for a distribution of hyperopt's.

    Args:
        kind: a key of `KINDS`.
        arguments: by hyperopt's names: low and high, mu and sigma, q, p.

    Raises:
        BadSearchSpace: an argument makes no sense.
    """
    return KINDS[kind](**arguments)
