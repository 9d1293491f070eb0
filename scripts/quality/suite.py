"""All problems, in two halves with the same mix of kinds.

Tune on the development half; look at the held-out half to see whether it was
more than tuning.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from scripts.quality.boxes import box, mixed_axes, mixed_box
from scripts.quality.grids import integer_grid, interacting_choices
from scripts.quality.problem import DEVELOPMENT, HELD_OUT, Problem
from scripts.quality.tables import one_learner, which_learner
from scripts.quality.trees import (
    five_models,
    follow_the_other,
    layers,
    shared_rate,
    which_model,
)

# Noise is about a fifth of the standard deviation of the function over its box.
_BUILD: dict[str, Callable[[str], Problem]] = {
    # continuous
    "heart2": lambda n: box(n, DEVELOPMENT, "heart", 2),
    "hartmann6": lambda n: box(n, DEVELOPMENT, "hartmann6", 6),
    "levy5": lambda n: box(n, DEVELOPMENT, "levy", 5),
    "rosenbrock4-turned": lambda n: box(n, DEVELOPMENT, "rosenbrock", 4, rotated=True),
    "ackley10": lambda n: box(n, DEVELOPMENT, "ackley", 10),
    "branin2": lambda n: box(n, HELD_OUT, "branin", 2),
    "styblinski6": lambda n: box(n, HELD_OUT, "styblinski_tang", 6),
    "rastrigin4": lambda n: box(n, HELD_OUT, "rastrigin", 4),
    "ellipsoid6-turned": lambda n: box(n, HELD_OUT, "ellipsoid", 6, rotated=True),
    "sphere20": lambda n: box(n, HELD_OUT, "sphere", 20),
    # mixed
    "levy8-mixed": lambda n: mixed_box(n, DEVELOPMENT, "levy", mixed_axes(2)),
    "griewank8-mixed": lambda n: mixed_box(n, HELD_OUT, "griewank", mixed_axes(2)),
    # conditional
    "three-models": lambda n: which_model(n, DEVELOPMENT),
    "shared-rate": lambda n: shared_rate(n, DEVELOPMENT),
    "follow-the-other": lambda n: follow_the_other(n, DEVELOPMENT),
    "learners-cancer": lambda n: which_learner(n, DEVELOPMENT, "learners_breast_cancer"),
    "five-models": lambda n: five_models(n, HELD_OUT),
    "layers": lambda n: layers(n, HELD_OUT),
    "three-models-again": lambda n: which_model(n, HELD_OUT),
    "learners-diabetes": lambda n: which_learner(n, HELD_OUT, "learners_diabetes"),
    # discrete
    "choices-6000": lambda n: interacting_choices(n, DEVELOPMENT, (10, 10, 10, 6)),
    "grid-69300": lambda n: integer_grid(n, DEVELOPMENT, "griewank", [(0, 99), (0, 20), (0, 32)]),
    "choices-16384": lambda n: interacting_choices(n, HELD_OUT, (4,) * 7),
    "grid-194481": lambda n: integer_grid(n, HELD_OUT, "ackley", [(-10, 10)] * 4),
    # noisy
    "hartmann3-noisy": lambda n: box(n, DEVELOPMENT, "hartmann3", 3, noise_sd=0.2),
    "shared-rate-noisy": lambda n: shared_rate(n, DEVELOPMENT, noise_sd=0.2),
    "camel2-noisy": lambda n: box(n, HELD_OUT, "six_hump_camel", 2, noise_sd=0.3),
    "three-models-noisy": lambda n: which_model(n, HELD_OUT, deceptive=False, noise_sd=0.1),
    # tables
    "svm-digits": lambda n: one_learner(n, DEVELOPMENT, "svm_digits"),
    "forest-digits": lambda n: one_learner(n, DEVELOPMENT, "forest_digits"),
    "boosting-diabetes": lambda n: one_learner(n, HELD_OUT, "boosting_diabetes"),
    "net-wine": lambda n: one_learner(n, HELD_OUT, "net_wine"),
}

NAMES = tuple(_BUILD)


@functools.cache
def problem(name: str) -> Problem:
    """Build a problem.

    Raises:
        KeyError: there is none of this name; the message lists all.
    """
    if name not in _BUILD:
        raise KeyError(f"no problem is called {name!r}; there are {', '.join(NAMES)}")
    return _BUILD[name](name)


def names_in(half: str | None) -> tuple[str, ...]:
    """The names of one half's problems, or of all."""
    return tuple(name for name in NAMES if half is None or problem(name).half == half)
