"""Discrete problems: choices without order, and grids of whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from scripts.quality.boxes import CLOSED_FORM, best_point, window
from scripts.quality.functions import FUNCTIONS
from scripts.quality.problem import DISCRETE, Problem, rng_of
from scripts.quality.spaces import Choice, Integer, Point, to_unit


def interacting_choices(name: str, half: str, sizes: Sequence[int]) -> Problem:
    """Choices with an effect of every option, and a weaker one of every pair of options."""
    rng = rng_of(name)
    space = tuple(
        Choice(f"c{i}", tuple(f"option {j}" for j in range(size))) for i, size in enumerate(sizes)
    )
    # One array over all combinations; every effect is spread over the axes it does not know.
    losses = np.zeros(tuple(sizes))
    for i, size in enumerate(sizes):
        losses += _spread(rng.normal(size=size), (i,), len(sizes))
    for i, j in combinations(range(len(sizes)), 2):
        losses += 0.4 * _spread(rng.normal(size=(sizes[i], sizes[j])), (i, j), len(sizes))

    def loss(point: Point) -> float:
        return float(losses[tuple(c.values.index(point[c.label]) for c in space)])

    at_best = np.unravel_index(int(losses.argmin()), losses.shape)
    best: Point = {c.label: c.values[i] for c, i in zip(space, at_best, strict=True)}
    how = f"all {losses.size:,} combinations"
    return Problem(name, half, DISCRETE, space, loss, best, float(losses.min()), how)


def _spread(effect: np.ndarray, axes: tuple[int, ...], n_axes: int) -> np.ndarray:
    shape = [1] * n_axes
    for axis, size in zip(axes, effect.shape, strict=True):
        shape[axis] = size
    return effect.reshape(shape)


def integer_grid(
    name: str, half: str, function: str, ranges: Sequence[tuple[int, int]]
) -> Problem:
    """An analytic function on whole numbers; its best place is one of the points."""
    axes = [Integer(f"n{i}", low, high) for i, (low, high) in enumerate(ranges)]
    best_u, loss_of_u = window(name, function, axes)

    def loss(point: Point) -> float:
        return loss_of_u(np.array([to_unit(a, float(point[a.label])) for a in axes]))

    least = FUNCTIONS[function].minimum(len(axes))
    best = best_point(axes, best_u)
    return Problem(name, half, DISCRETE, tuple(axes), loss, best, least, CLOSED_FORM)
