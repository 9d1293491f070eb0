"""What a Gaussian process sees of a configuration: features whose distance means something.

    symbol   meaning                                                     shape
    D, O     number of numeric hyperparameters, of choices                 scalars
    m, F     number of configurations, of features                         scalars
    u        unit coordinates (hpo.space.coordinates)                      (D, m)
    t        search coordinates: bounded ones t = u; normal ones
             t = (2 + u) / 4, so that two deviations are [0, 1]            (D, m)
    codes    numbers of the choices' options                               (O, m)

    hyperparameter          features                   squared distance
    number                  t                          (t - t')^2
    number, not always      cos t, sin t               2 - 2 cos(t - t'), about (t - t')^2
      active                0, 0 where inactive        1 from any value, 0 from each other
    choice                  1/sqrt 2 at its option     1 between any two options
      with over 64 options  a direction of its own     about 1, in 64 dimensions
    choice, not always      the same, or all 0         1/2 from any option
      active                where inactive

Each hyperparameter has one lengthscale for all its features. A hyperparameter that is
inactive has no value, so every value must be equally far from that: bending its range
to an arc of one radian around the place of "inactive" gives that, and distances between
values stay what they are within 5 %. All features are numbers, so any kernel of their
distance is positive definite.

A discrete value is rounded before it becomes a feature: the process is asked about the
values that would run, not about places between them.

Source: Hutter and Osborne, "A kernel for hierarchical parameter spaces", 2013, for the
arc; Garrido-Merchán and Hernández-Lobato, "Dealing with categorical and integer-valued
variables in Bayesian optimization with Gaussian processes", 2020, for the rounding.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.observations import Observations
from hpo.space import Normal, Space

__all__ = ["Branch", "Inputs", "Points", "inputs_of"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

# The choices that were decided beforehand: {label: option}.
Branch = Mapping[str, int]

# A choice of more options than these does not get an axis for each.
_MAX_AXES = 64
# Normal kinds are searched up to four deviations from their mean. What a trial has beyond
# twenty-two counts as that: squares of larger numbers would lose the digits of the others.
_NORMAL_BOUNDS = (-0.5, 1.5)
_FARTHEST = (-5.0, 6.0)


@dataclass(frozen=True, eq=False)
class Points:
    """Configurations as coordinates, also of what is inactive in them.

    Attributes:
        t: shape (D, m).
        codes: shape (O, m).
    """

    t: Floats
    codes: Codes

    def __len__(self) -> int:
        return int(self.t.shape[1])

    def at(self, places: Any) -> Points:
        """Some of them, as an index or a mask selects."""
        return Points(self.t[:, places], self.codes[:, places])

    @staticmethod
    def joined(*parts: Points) -> Points:
        """All of several, in their order."""
        return Points(
            np.concatenate([part.t for part in parts], axis=1),
            np.concatenate([part.codes for part in parts], axis=1),
        )


class Inputs:
    """The features of one space's configurations.

    Attributes:
        n_features: F.
        n_dims: D + O.
        groups: number of the hyperparameter that each feature belongs to, shape (F,).
        low, high: bounds of t in a search, shape (D,).
        is_continuous: which numeric hyperparameters are, shape (D,).
        n_options: number of each choice's options, shape (O,).
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._coordinates = coordinates = space.coordinates
        self.numeric, self.options = coordinates.numeric, coordinates.options
        parameters = space.hyperparameters
        is_normal = np.array(
            [[isinstance(parameters[label].prior, Normal)] for label in self.numeric], dtype=bool
        ).reshape(-1, 1)
        self._middle, self._width = np.where(is_normal, 0.5, 0.0), np.where(is_normal, 0.25, 1.0)
        self.low = np.where(is_normal, _NORMAL_BOUNDS[0], 0.0)[:, 0]
        self.high = np.where(is_normal, _NORMAL_BOUNDS[1], 1.0)[:, 0]
        self.is_continuous = np.arange(len(self.numeric)) < coordinates.n_continuous
        self.n_dims = len(self.numeric) + len(self.options)
        self.n_options = np.array([len(p) for p in coordinates.option_priors], dtype=np.int64)
        self._may_sleep = np.array(
            [not parameters[label].is_always_active for label in self.numeric], dtype=bool
        )
        self._directions = [directions(int(n)) for n in self.n_options]
        self.groups = self._groups()
        self.n_features = len(self.groups)

    def _groups(self) -> npt.NDArray[np.int64]:
        widths = np.where(self._may_sleep, 2, 1).tolist()
        widths += [table.shape[1] for table in self._directions]
        return np.repeat(np.arange(len(widths)), widths)

    # --- between values and coordinates ---

    def of_trials(self, observations: Observations, rows: Rows) -> Floats:
        """Features of the trials in `rows`, shape (len(rows), F)."""
        x = observations.table(self.numeric, rows)
        codes = self._coordinates.to_codes(observations.table(self.options, rows))
        return self._features(self._to_t(x), codes)

    def at_quantiles(self, quantiles: Floats) -> Points:
        """Points whose coordinates are the priors' quantiles.

        Args:
            quantiles: shape (m, D + O), numeric hyperparameters first; in (0, 1).
        """
        parameters = self.space.hyperparameters
        labels = (*self.numeric, *self.options)
        values = np.empty(quantiles.T.shape)
        for row, label in enumerate(labels):
            prior = parameters[label].prior
            if prior is not None:
                values[row] = prior.ppf(quantiles[:, row])
        n_numeric = len(self.numeric)
        return self.bounded(
            Points(self._to_t(values[:n_numeric]), values[n_numeric:].astype(np.int64))
        )

    def of_values(self, values: Mapping[str, Any], otherwise: Points) -> Points:
        """The point of one configuration.

        Args:
            values: {label: value} of its active hyperparameters.
            otherwise: one point; gives the coordinates of what is inactive.
        """
        x = np.array([values.get(name, np.nan) for name in self.numeric], dtype=np.float64)
        chosen = np.array([values.get(name, np.nan) for name in self.options], dtype=np.float64)
        t, codes = self._to_t(x[:, None]), self._coordinates.to_codes(chosen[:, None])
        return Points(
            np.where(np.isnan(t), otherwise.t, t), np.where(codes < 0, otherwise.codes, codes)
        )

    def bounded(self, points: Points) -> Points:
        """The nearest points that are inside the bounds, discrete values rounded."""
        t = np.clip(points.t, self.low[:, None], self.high[:, None])
        if not self.is_continuous.all():
            rounded = self._to_t(self._values(t))
            t = np.where(self.is_continuous[:, None], t, rounded)
        return Points(t, points.codes)

    def within(self, points: Points, decided: Branch) -> Points:
        """The same points in one branch of the space."""
        codes = points.codes.copy()
        for label, code in decided.items():
            codes[self.options.index(label)] = code
        return Points(points.t, codes)

    def is_within(self, features: Floats, decided: Branch) -> npt.NDArray[np.bool_]:
        """Which features, shape (m, F), are those of a branch; shape (m,)."""
        is_inside = np.ones(len(features), dtype=np.bool_)
        for label, code in decided.items():
            row = self.options.index(label)
            own = features[:, self.groups == len(self.numeric) + row]
            is_inside &= np.abs(own - self._directions[row][code]).max(axis=1) < 1e-9
        return is_inside

    def chooser(self, point: Points) -> Callable[[str, Any], Any]:
        """What `choose_root_first` asks: (label, prior) -> the value at one point."""
        x = dict(zip(self.numeric, self._values(point.t)[:, 0].tolist(), strict=True))
        codes = dict(zip(self.options, point.codes[:, 0].tolist(), strict=True))
        return lambda label, prior: codes[label] if label in codes else x[label]

    def _to_t(self, x: Floats) -> Floats:
        t = self._middle + self._width * self._coordinates.to_unit(x)
        return np.asarray(np.clip(t, *_FARTHEST))

    def _values(self, t: Floats) -> Floats:
        return self._coordinates.from_unit((t - self._middle) / self._width)

    @property
    def half_cell(self) -> Floats:
        """Half the distance of neighbouring values in t, 0 where there is none; shape (D,)."""
        half: Floats = (self._width * self._coordinates.half_cell)[:, 0]
        return half

    # --- features ---

    def active(self, points: Points) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which coordinates count: of t, shape (D, m), and of codes, shape (O, m)."""
        m = len(points)
        if self.space.is_flat:
            return np.ones(points.t.shape, bool), np.ones(points.codes.shape, bool)
        values: dict[str, Any] = dict(zip(self.numeric, self._values(points.t), strict=True))
        values |= dict(zip(self.options, points.codes, strict=True))
        masks = self.space.active_masks(values, m)
        return (
            np.array([masks[name] for name in self.numeric], bool).reshape(-1, m),
            np.array([masks[name] for name in self.options], bool).reshape(-1, m),
        )

    def features(self, points: Points) -> Floats:
        """Shape (m, F)."""
        t_active, codes_active = self.active(points)
        return self._features(
            np.where(t_active, points.t, np.nan), np.where(codes_active, points.codes, -1)
        )

    def _features(self, t: Floats, codes: Codes) -> Floats:
        """Shape (m, F); t is NaN and codes are -1 where inactive."""
        columns: list[Floats] = []
        for row, may_sleep in zip(t, self._may_sleep, strict=True):
            if may_sleep:
                arc = np.array([np.cos(row), np.sin(row)])
                columns.append(np.nan_to_num(arc).T)
            else:
                # NaN where a trial lacks what every configuration has now.
                columns.append(np.nan_to_num(row, nan=0.5)[:, None])
        for row, table in zip(codes, self._directions, strict=True):
            columns.append(np.where(row[:, None] < 0, 0.0, table[row]))
        if not columns:
            return np.zeros((t.shape[1], 0))
        return np.ascontiguousarray(np.concatenate(columns, axis=1))

    def slopes_by_t(self, slopes: Floats, t: Floats) -> Floats:
        """From derivatives by the features of one point to those by its coordinates, (D,).

        Args:
            slopes: shape (F,).
            t: the point, shape (D,).
        """
        first = np.concatenate([[0], np.cumsum(np.where(self._may_sleep, 2, 1))[:-1]])
        first = first[: len(t)].astype(np.int64)
        plain = slopes[first]
        second = slopes[np.where(self._may_sleep, first + 1, first)]
        along_arc = np.cos(t) * second - np.sin(t) * plain
        return np.asarray(np.where(self._may_sleep, along_arc, plain))


def directions(n_options: int) -> Floats:
    """A point for each option, all about 1 apart; shape (n_options, at most 64)."""
    if n_options <= _MAX_AXES:
        return np.eye(n_options) / math.sqrt(2.0)
    # Random directions of a high dimension are nearly orthogonal.
    drawn = np.random.default_rng(n_options).standard_normal((n_options, _MAX_AXES))
    scaled: Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True) / math.sqrt(2.0)
    return scaled


@functools.lru_cache(maxsize=16)
def inputs_of(space: Space) -> Inputs:
    """The inputs of a space; kept, because a search asks for them every time."""
    return Inputs(space)
