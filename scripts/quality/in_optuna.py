"""Optuna's samplers behind ask and tell."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import optuna

from scripts.quality.dialects import suggest_in_optuna
from scripts.quality.optimisers import Make
from scripts.quality.spaces import Point, Space, walk

_SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "gp": optuna.samplers.GPSampler,
    "random": optuna.samplers.RandomSampler,
}


def maker(algorithm: str, options: dict[str, Any]) -> Make:
    """How to make one of Optuna's samplers.

    Raises:
        ValueError: there is none of this name.
    """
    if algorithm not in _SAMPLERS:
        raise ValueError(f"of Optuna there are {', '.join(_SAMPLERS)}, not {algorithm!r}")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # `group` is called experimental, and CMA-ES says where it falls back on random draws.
    warnings.simplefilter("ignore")
    return functools.partial(OptunaSearch, functools.partial(_SAMPLERS[algorithm], **options))


class OptunaSearch:
    """A study of Optuna."""

    def __init__(
        self, make_sampler: Callable[..., Any], space: Space, seed: int, is_noisy: bool
    ) -> None:
        self._space = space
        self._study = optuna.create_study(sampler=make_sampler(seed=seed))
        self._trials: list[Any] = []

    def ask(self) -> Point:
        """The study's next trial, every active parameter suggested in the space's order."""
        trial = self._study.ask()
        self._trials.append(trial)
        return walk(self._space, functools.partial(suggest_in_optuna, trial))

    def tell(self, number: int, loss: float) -> None:
        """Finish the trial."""
        self._study.tell(self._trials[number], loss)

    def recommend(self) -> None:
        """The trial seen to be best: there is no other rule."""
