"""Problems from tables: cross-validated losses of scikit-learn's learners on a grid.

A file holds, for each learner, its axes and the losses at their crossings (made by
`make_tables`). Between crossings the loss is interpolated linearly along
every axis in turn, along a logarithmic one in the logarithm; such a function is
least at a crossing, so the least loss is the table's.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.quality.problem import CONDITIONAL, TABLE, Problem
from scripts.quality.spaces import (
    Branch,
    Choice,
    Integer,
    Parameter,
    Point,
    Real,
    Value,
    to_unit,
)

DIRECTORY = Path(__file__).parent / "tables"

LEAST_ENTRY = "the least entry of the table"

# How an axis of a table is described to optimisers.
LOGARITHMIC, LINEAR, WHOLE, OPTIONS = "logarithmic", "linear", "whole", "options"


@dataclass(frozen=True)
class Axis:
    """One hyperparameter of a table, and where along it losses were computed."""

    label: str
    scale: str
    grid: tuple[Value, ...]

    @property
    def parameter(self) -> Parameter:
        """What optimisers see."""
        if self.scale == OPTIONS:
            return Choice(self.label, self.grid)
        low, high = float(self.grid[0]), float(self.grid[-1])
        if self.scale == WHOLE:
            return Integer(self.label, int(low), int(high))
        return Real(self.label, low, high, log=self.scale == LOGARITHMIC)

    def position(self, value: Value) -> float:
        """Where a value lies among the crossings: 1.5 is half-way from the second to the third."""
        parameter = self.parameter
        if isinstance(parameter, Choice):
            return float(parameter.values.index(value))
        places = [to_unit(parameter, float(at)) for at in self.grid]
        return float(
            np.interp(to_unit(parameter, float(value)), places, np.arange(len(self.grid)))
        )


@dataclass(frozen=True)
class Table:
    """The losses of one learner; `losses` has one dimension for each axis."""

    axes: tuple[Axis, ...]
    losses: npt.NDArray[np.float64]

    def loss(self, point: Point) -> float:
        """The interpolated loss of a point."""
        rest = self.losses
        for axis in self.axes:
            position = axis.position(point[axis.label])
            left = min(int(position), len(axis.grid) - 2)
            share = position - left
            rest = (1 - share) * rest[left] + share * rest[left + 1]
        return float(rest)

    @property
    def best(self) -> Point:
        """The crossing with the least loss."""
        at_best = np.unravel_index(int(self.losses.argmin()), self.losses.shape)
        return {axis.label: axis.grid[i] for axis, i in zip(self.axes, at_best, strict=True)}


@functools.cache
def load(file_stem: str) -> dict[str, Table]:
    """The tables of a file by learner."""
    content = json.loads((DIRECTORY / f"{file_stem}.json").read_text(encoding="utf-8"))
    return {name: _table(entry) for name, entry in content["learners"].items()}


def _table(entry: dict[str, Any]) -> Table:
    axes = tuple(Axis(a["label"], a["scale"], tuple(a["grid"])) for a in entry["axes"])
    losses = np.array(entry["losses"]).reshape([len(axis.grid) for axis in axes])
    return Table(axes, losses)


def one_learner(name: str, half: str, file_stem: str) -> Problem:
    """The hyperparameters of the only learner in a file."""
    (table,) = load(file_stem).values()
    space = tuple(axis.parameter for axis in table.axes)
    least = float(table.losses.min())
    return Problem(name, half, TABLE, space, table.loss, table.best, least, LEAST_ENTRY)


def which_learner(name: str, half: str, file_stem: str) -> Problem:
    """The choice between the learners of a file, each with its own hyperparameters."""
    tables = load(file_stem)
    branches = tuple(
        Branch(learner, tuple(axis.parameter for axis in table.axes))
        for learner, table in tables.items()
    )

    def loss(point: Point) -> float:
        return tables[str(point["learner"])].loss(point)

    winner = min(tables, key=lambda learner: float(tables[learner].losses.min()))
    best: Point = {"learner": winner, **tables[winner].best}
    least = float(tables[winner].losses.min())
    space = (Choice("learner", branches),)
    return Problem(name, half, CONDITIONAL, space, loss, best, least, LEAST_ENTRY)
