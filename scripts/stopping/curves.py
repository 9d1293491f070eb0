"""Recorded learning curves: the loss of every configuration after each epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["CHOSEN_ON", "HELD_OUT", "N_EPOCHS", "TABLES", "WORST", "load_curves", "path_of"]

# 3 to the power 4: a whole number of rungs for halving by thirds.
N_EPOCHS = 81
# What a learner loses that diverged.
WORST = 3.0

# On the first ones the settings of the rules were chosen; the last was recorded afterwards, and
# judges them.
CHOSEN_ON = ("net_digits", "net_breast_cancer", "linear_breast_cancer")
HELD_OUT = ("net_wine",)
TABLES = (*CHOSEN_ON, *HELD_OUT)

Floats = npt.NDArray[np.float64]


def path_of(table: str) -> Path:
    """Where the curves of a table are."""
    return Path(__file__).parent / "tables" / f"{table}.npz"


def load_curves(table: str) -> Floats:
    """Losses, shape (n_configurations, N_EPOCHS); column i is after i + 1 epochs."""
    with np.load(path_of(table), allow_pickle=False) as file:
        return np.asarray(file["losses"], dtype=np.float64)
