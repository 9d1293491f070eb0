"""A conditional space that several tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpo import hp


def rng(seed: int = 0) -> np.random.Generator:
    """A fresh generator."""
    return np.random.default_rng(seed)


def conditional_space() -> dict[str, Any]:
    """A choice of two models, one of which holds another choice."""
    return {
        "model": hp.choice(
            "model",
            [
                {"kind": "svm", "c": hp.loguniform("c", -3, 3)},
                {
                    "kind": "forest",
                    "depth": hp.choice("depth", [None, hp.randint("levels", 1, 9)]),
                },
            ],
        ),
        "seed": hp.randint("seed", 100),
    }
