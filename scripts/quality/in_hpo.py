"""hpo's algorithms behind ask and tell.

An algorithm is called as the driver calls it: suggest(new_ids, domain, trials, seed)
with one seed for the search and a fresh one for each call, and trials that live in memory.
Where losses are noisy, that is declared, as a user would.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hpo import STATUS_OK, Domain, Trials, hp
from hpo.document import Claim, active_values
from hpo.robust import robust_trial
from scripts.quality.dialects import in_hp_words, value_of
from scripts.quality.optimisers import Make
from scripts.quality.spaces import Point, Space, walk


def maker(algorithm: str, options: dict[str, Any]) -> Make:
    """How to make the algorithm MODULE or MODULE.FUNCTION of hpo (default: its `suggest`).

    Raises:
        ValueError: there is none.
    """
    module_name, _, function = algorithm.partition(".")
    try:
        suggest = getattr(importlib.import_module(f"hpo.{module_name}"), function or "suggest")
    except (ImportError, AttributeError) as error:
        raise ValueError(f"hpo has no algorithm {algorithm!r}: {error}") from error
    return functools.partial(HpoSearch, functools.partial(suggest, **options))


class HpoSearch:
    """A search in hpo, its trials finished by hand."""

    def __init__(
        self, suggest: Callable[..., Any], space: Space, seed: int, is_noisy: bool
    ) -> None:
        self._suggest, self._space = suggest, space
        self._domain = Domain(_not_called, in_hp_words(space, hp))
        self._trials = Trials()
        self._rng = np.random.default_rng(seed)
        self._domain.search_seed = self._seed()
        self._domain.noisy = is_noisy
        self._claims: list[Claim] = []

    def ask(self) -> Point:
        """The algorithm's next suggestion, claimed at once."""
        new_ids = self._trials.new_trial_ids(1)
        suggested = self._suggest(new_ids, self._domain, self._trials, self._seed())
        self._trials.insert_trial_docs(suggested)
        trial = self._trials.store.claim("simulated")
        if trial is None:
            raise RuntimeError("the algorithm had no suggestion: it holds the space exhausted")
        self._claims.append(Claim.of(trial))
        self._trials.follow()
        values = active_values(trial)
        return walk(self._space, lambda parameter: value_of(parameter, values[parameter.label]))

    def tell(self, number: int, loss: float) -> None:
        """Write the loss into the trial's document."""
        result = {"loss": loss, "status": STATUS_OK}
        self._trials.store.finish(self._claims[number], result)
        self._trials.follow()

    def recommend(self) -> int | None:
        """What fmin returns: of noisy losses, the robust choice."""
        if not self._domain.noisy:
            return None
        tid = robust_trial(self._trials, self._domain)["tid"]
        return next(number for number, claim in enumerate(self._claims) if claim.tid == tid)

    def _seed(self) -> int:
        return int(self._rng.integers(2**31 - 1))


def _not_called(config: object) -> float:
    raise AssertionError("the simulation evaluates the problem itself")
