"""The optimisers by name, and the Python that each needs.

    random                      drawn from the space, here
    hpo tpe {"gamma": 0.1}      hpo.tpe.suggest with options; any of hpo's modules
    hpo tpe.hyperopt_suggest    another function of the module
    hyperopt tpe                hyperopt 0.3.0
    optuna tpe                  Optuna 5.0.0's TPESampler, whose defaults are joint kernels and
                                a constant liar for trials in flight
    optuna cmaes                Optuna's CmaEsSampler
    optuna gp                   Optuna's GPSampler; needs torch, which is large: it must be
                                installed by hand (see `scripts.quality.runs.python_of`)
    skopt gp                    scikit-optimize 0.10.2's gp_minimize; no steps, no conditions

A name is a house, an algorithm, and optionally a JSON object of options.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.quality.simulation import Optimiser
from scripts.quality.spaces import Point, Space, draw

RANDOM, HPO, HYPEROPT, OPTUNA, SKOPT = HOUSES = (
    "random",
    "hpo",
    "hyperopt",
    "optuna",
    "skopt",
)

HYPEROPT_TPE = "hyperopt tpe"
OPTUNA_TPE = "optuna tpe"
OPTUNA_GROUP = 'optuna tpe {"group": true}'
OPTUNA_CMAES = "optuna cmaes"
HPO_GP = "hpo gp"
OPTUNA_GP = "optuna gp"
SKOPT_GP = "skopt gp"
GP_PEERS = (SKOPT_GP, OPTUNA_GP)
TPE_PEERS = (HYPEROPT_TPE, OPTUNA_TPE, OPTUNA_GROUP)

# What the peers' environments hold, in pip's notation.
REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    HYPEROPT: ("hyperopt==0.3.0", "pymongo==3.13.0", "setuptools<81"),
    OPTUNA: ("optuna==5.0.0", "cmaes"),
    SKOPT: ("scikit-optimize==0.10.2",),
}


@dataclass(frozen=True)
class Name:
    """The parts of an optimiser's name."""

    house: str
    algorithm: str
    options: Mapping[str, Any]

    @staticmethod
    def parse(text: str) -> Name:
        """Take a name apart.

        Raises:
            ValueError: it is not HOUSE ALGORITHM {OPTIONS}.
        """
        words, brace, rest = text.partition("{")
        house, _, algorithm = words.strip().partition(" ")
        if house not in HOUSES:
            raise ValueError(f"{text!r} begins with none of {', '.join(HOUSES)}")
        if not algorithm and house != RANDOM:
            raise ValueError(f"{text!r} lacks an algorithm, as in '{house} tpe'")
        try:
            options = json.loads(brace + rest) if brace else {}
        except json.JSONDecodeError as error:
            raise ValueError(f"the options of {text!r} are not JSON: {error}") from error
        return Name(house, algorithm.strip(), options)

    def __str__(self) -> str:
        options = f" {json.dumps(self.options, sort_keys=True)}" if self.options else ""
        return f"{self.house} {self.algorithm}".strip() + options


Make = Callable[[Space, int, bool], Optimiser]
"""space, seed, whether the losses are noisy -> an optimiser at the start of a run."""


def maker(name: Name) -> Make:
    """How to make the optimiser; imports its library.

    Raises:
        ImportError: this Python lacks the library.
        ValueError: the library has no such algorithm or option.
    """
    if name.house == RANDOM:
        return RandomSearch
    house = importlib.import_module(f"scripts.quality.in_{name.house}")
    make: Make = house.maker(name.algorithm, dict(name.options))
    return make


class RandomSearch:
    """Points drawn independently from the space: the unit of all regrets."""

    def __init__(self, space: Space, seed: int, is_noisy: bool = False) -> None:
        self._space = space
        self._rng = np.random.default_rng(seed)

    def ask(self) -> Point:
        """A fresh draw."""
        return draw(self._space, self._rng)

    def tell(self, number: int, loss: float) -> None:
        """Random search learns nothing."""

    def recommend(self) -> None:
        """The trial seen to be best."""
