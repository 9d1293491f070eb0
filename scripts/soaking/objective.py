"""What the workers of a soak compute: cheap, deterministic, and known to the auditor."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from typing import Any

from hpo import Ctrl, hp
from scripts.soaking.sidelog import Evaluation, write

EXP_KEY = "soak"
MEAN_SECS_VARIABLE = "SOAK_MEAN_SECS"

SPACE = {
    "x": hp.uniform("x", -5, 5),
    "shape": hp.choice("shape", ["bowl", "ripple"]),
    # A trial takes so many times the mean.
    "effort": hp.uniform("effort", 0, 2),
    "ctrl": Ctrl,
}

# Beyond this the objective raises, as objectives do.
HOLE_BEGINS_AT = 4.9


class NoValue(ValueError):
    """The objective has no value there."""


def loss_of(params: Mapping[str, Any]) -> float:
    """The loss of a configuration. Raises NoValue where there is none."""
    x = float(params["x"])
    if x > HOLE_BEGINS_AT:
        raise NoValue(f"there is a hole at x = {x!r}")
    return x**2 if params["shape"] == "bowl" else math.sin(3 * x) + abs(x)


def evaluate(configuration: Mapping[str, Any]) -> float:
    """Take a while, note the evaluation in the side log, and return the loss."""
    time.sleep(float(os.environ[MEAN_SECS_VARIABLE]) * configuration["effort"])
    trial = configuration["ctrl"].current_trial
    x, shape = configuration["x"], configuration["shape"]
    loss: float | None = None
    try:
        loss = loss_of(configuration)
        return loss
    finally:
        write(Evaluation(trial["tid"], trial["attempt"], x, shape, loss))
