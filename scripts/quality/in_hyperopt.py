"""hyperopt's TPE behind ask and tell; called as hyperopt's fmin calls it."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, JOB_STATE_RUNNING, STATUS_OK, Trials, hp
from hyperopt.base import Domain

from scripts.quality.dialects import in_hp_words, value_of
from scripts.quality.optimisers import Make
from scripts.quality.spaces import Point, Space, walk


def maker(algorithm: str, options: dict[str, Any]) -> Make:
    """How to make the algorithm of the module hyperopt.ALGORITHM.

    Raises:
        ValueError: there is none.
    """
    try:
        suggest = importlib.import_module(f"hyperopt.{algorithm}").suggest
    except (ImportError, AttributeError) as error:
        raise ValueError(f"hyperopt has no algorithm {algorithm!r}: {error}") from error
    if algorithm == "tpe":
        options = {"verbose": False, **options}
    return functools.partial(HyperoptSearch, functools.partial(suggest, **options))


class HyperoptSearch:
    """A search in hyperopt, its trials finished by hand."""

    def __init__(
        self, suggest: Callable[..., Any], space: Space, seed: int, is_noisy: bool
    ) -> None:
        self._suggest, self._space = suggest, space
        self._domain = Domain(lambda config: 0.0, in_hp_words(space, hp))
        self._trials = Trials()
        self._rng = np.random.default_rng(seed)

    def ask(self) -> Point:
        """hyperopt's next suggestion, marked as running."""
        new_ids = self._trials.new_trial_ids(1)
        self._trials.refresh()
        seed = int(self._rng.integers(2**31 - 1))
        self._trials.insert_trial_docs(self._suggest(new_ids, self._domain, self._trials, seed))
        self._trials.refresh()
        trial = self._trials.trials[-1]
        trial["state"] = JOB_STATE_RUNNING
        stored = trial["misc"]["vals"]
        return walk(self._space, lambda p: value_of(p, stored[p.label][0]))

    def tell(self, number: int, loss: float) -> None:
        """Write the loss into the trial's document."""
        trial = self._trials.trials[number]
        trial["state"] = JOB_STATE_DONE
        trial["result"] = {"loss": loss, "status": STATUS_OK}
        self._trials.refresh()

    def recommend(self) -> None:
        """The trial seen to be best: there is no other rule."""
