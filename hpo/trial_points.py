"""The trials of an experiment in unit coordinates, each computed once.

A trial's values never change, so its coordinates are kept. A row of the observations
that was taken back and used for another trial is known by the hash of its values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.observations import Observations
from hpo.space import Space
from hpo.surrogate.axes import Points

__all__ = ["TrialPoints"]


class TrialPoints:
    """Trials as `hpo.surrogate.joint` sees them, computed when they are first asked for."""

    def __init__(self, space: Space) -> None:
        self._coordinates = coordinates = space.coordinates
        self._discrete = slice(coordinates.n_continuous, None)
        n_numeric = len(coordinates.numeric)
        # Of each row of the observations the word of the trial that stands in the others'
        # column; 0, which is nobody's, where there is none.
        self._words = np.zeros(0, dtype=np.uint64)
        self._u = np.empty((n_numeric, 0))
        self._codes = np.empty((len(coordinates.options), 0), dtype=np.int64)
        self._numbers = np.empty((n_numeric - coordinates.n_continuous, 0), dtype=np.int64)

    def at(self, observations: Observations, rows: npt.NDArray[np.int64]) -> Points:
        """Some trials, which must be of the history; as many points as rows."""
        if len(observations) > len(self._words):
            self._reserve(len(observations) + len(observations) // 8)
        words = observations.configurations[rows]
        self._compute(observations, rows[self._words[rows] != words])
        return Points(
            self._u.take(rows, axis=1),
            self._codes.take(rows, axis=1),
            self._numbers.take(rows, axis=1),
        )

    def _compute(self, observations: Observations, rows: npt.NDArray[np.int64]) -> None:
        if not rows.size:
            return
        coordinates = self._coordinates
        x = observations.table(coordinates.numeric, rows)
        self._u[:, rows] = coordinates.to_unit(x)
        self._numbers[:, rows] = coordinates.numbers(x[self._discrete])
        self._codes[:, rows] = coordinates.to_codes(observations.table(coordinates.options, rows))
        self._words[rows] = observations.configurations[rows]

    def _reserve(self, capacity: int) -> None:
        self._words, self._u, self._codes, self._numbers = (
            _widened(each, capacity) for each in (self._words, self._u, self._codes, self._numbers)
        )


def _widened(array: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    # The system lends no memory for zeros that nobody looks at.
    wide = np.zeros((*array.shape[:-1], capacity), dtype=array.dtype)
    wide[..., : array.shape[-1]] = array
    return wide
