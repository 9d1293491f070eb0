"""The trials of an experiment in unit coordinates, each computed once.

A trial's values never change, so its coordinates are kept. A row of the observations
that was taken back and used for another trial is known by the hash of its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.observations import Observations
from hpo.space import Space
from hpo.surrogate.axes import Points

__all__ = ["TrialPoints"]

# The last column, in which nothing is active.
_BLANK = np.array([-1])


class TrialPoints:
    """Trials as `hpo.surrogate.joint` sees them, computed when they are first asked for.

    Args:
        n_continuous: how many axes count as continuous: of the others there are `numbers`.
    """

    def __init__(self, space: Space, n_continuous: int) -> None:
        self._coordinates = coordinates = space.coordinates
        self._discrete = slice(n_continuous, len(coordinates.numeric))
        n_numeric = len(coordinates.numeric)
        # Of each row of the observations the word of the trial that stands in the others'
        # column; 0, which is nobody's, where there is none. The last column is blank.
        self._words = np.zeros(1, dtype=np.uint64)
        self._u = np.full((n_numeric, 1), np.nan)
        self._codes = np.full((len(coordinates.options), 1), -1)
        self._numbers = np.full((n_numeric - n_continuous, 1), -1)
        self._is_complete = True

    def at(self, observations: Observations, rows: npt.NDArray[np.int64]) -> Points:
        """Some trials, which must be of the history; as many points as rows."""
        self._learn(observations, rows)
        return self._taken(rows)

    def with_blanks(
        self, observations: Observations, sets: Sequence[npt.NDArray[np.int64]]
    ) -> Points:
        """Several sets of trials, and after each a point in which nothing is active."""
        self._learn(observations, np.concatenate(sets))
        return self._taken(np.concatenate([each for rows in sets for each in (rows, _BLANK)]))

    def _taken(self, columns: npt.NDArray[np.int64]) -> Points:
        return Points(
            self._u.take(columns, axis=1),
            self._codes.take(columns, axis=1),
            self._numbers.take(columns, axis=1),
            is_complete=self._is_complete,
        )

    def _learn(self, observations: Observations, rows: npt.NDArray[np.int64]) -> None:
        """Compute those of the rows that are new or were used for another trial since."""
        if len(observations) >= len(self._words):
            self._reserve(len(observations) + len(observations) // 8)
        is_new = self._words[rows] != observations.configurations[rows]
        if is_new.any():
            self._compute(observations, rows[is_new])

    def _compute(self, observations: Observations, rows: npt.NDArray[np.int64]) -> None:
        coordinates = self._coordinates
        n_numeric = len(coordinates.numeric)
        columns = observations.table((*coordinates.numeric, *coordinates.options), rows)
        x = columns[:n_numeric]
        u = coordinates.to_unit(x)
        codes = coordinates.to_codes(columns[n_numeric:])
        if self._is_complete:
            self._is_complete = bool((u == u).all() and (codes >= 0).all())
        self._u[:, rows] = u
        self._numbers[:, rows] = coordinates.numbers(x[self._discrete])
        self._codes[:, rows] = codes
        self._words[rows] = observations.configurations[rows]

    def _reserve(self, capacity: int) -> None:
        self._words, self._u, self._codes, self._numbers = (
            _widened(each, capacity) for each in (self._words, self._u, self._codes, self._numbers)
        )


def _widened(array: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    # The system lends no memory for zeros that nobody looks at.
    wide = np.zeros((*array.shape[:-1], capacity + 1), dtype=array.dtype)
    wide[..., : array.shape[-1] - 1] = array[..., :-1]
    wide[..., -1] = array[..., -1]
    return wide
