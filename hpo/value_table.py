"""The values of all trials in one array: what a model reads takes one look, whatever the labels.

    symbol   meaning                                                       shape
    L        number of labels that were seen                                scalar
    n        number of trials                                               scalar
    values   a row for each label, NaN where inactive, and room for more     (L, n and more)

A label gets its row when it is first seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["ValueTable"]

Floats = npt.NDArray[np.float64]


class ValueTable:
    """Stored values of hyperparameters by label and trial; NaN where inactive.

    Args:
        capacity: room for so many trials.
    """

    def __init__(self, capacity: int) -> None:
        # In order of appearance.
        self._places: dict[str, int] = {}
        self._values: Floats = np.empty((0, capacity))

    def __len__(self) -> int:
        return len(self._places)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that has been seen, in order of appearance."""
        return tuple(self._places)

    def put(self, trial: int, values: Mapping[str, float], n_trials: int) -> None:
        """Write down, or overwrite, what one trial has.

        Args:
            trial: its place, less than `n_trials`.
            values: {label: number} of its active hyperparameters.
            n_trials: how many there are, this one included.
        """
        if not values.keys() <= self._places.keys():
            self._add([label for label in values if label not in self._places], n_trials)
        self._values[:, trial] = [values.get(label, math.nan) for label in self._places]

    def column(self, label: str, n_trials: int) -> Floats:
        """A hyperparameter's value in each of the first trials, shape (n_trials,)."""
        place = self._places.get(label)
        return np.full(n_trials, np.nan) if place is None else self._values[place, :n_trials]

    def take(self, labels: Sequence[str], trials: npt.NDArray[np.int64]) -> Floats:
        """The values of some hyperparameters in some trials, shape (labels, trials)."""
        places = [self._places.get(label) for label in labels]
        known = [place for place in places if place is not None]
        taken: Floats = self._values[np.array(known, dtype=np.int64)[:, None], trials]
        if len(known) == len(places):
            return taken
        table = np.full((len(labels), len(trials)), np.nan)
        table[[place is not None for place in places]] = taken
        return table

    def reserve(self, capacity: int) -> None:
        """Make room for so many trials."""
        larger = np.empty((len(self), capacity))
        larger[:, : self._values.shape[1]] = self._values
        self._values = larger

    def only(self, trials: npt.NDArray[np.int64] | slice) -> ValueTable:
        """An independent copy of some trials, without spare room."""
        twin = ValueTable(0)
        twin._places, twin._values = dict(self._places), self._values[:, trials].copy()
        return twin

    def _add(self, labels: Sequence[str], n_trials: int) -> None:
        first = len(self)
        larger = np.empty((first + len(labels), self._values.shape[1]))
        # What lies beyond stays untouched, so the system lends no memory for it before it is used.
        larger[:first, :n_trials] = self._values[:, :n_trials]
        larger[first:, :n_trials] = np.nan
        self._values = larger
        self._places.update(zip(labels, range(first, len(larger)), strict=True))
