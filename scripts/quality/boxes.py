"""Problems over boxes: analytic functions seen through a shifted, turned or rescaled window.

In each box the best place lies at random in the middle 70 % of every range. A
rotation turns the function about its best place, so that the axes of the box mean
nothing to it.

    symbol      meaning                                                shape
    u           a point of the box, 0 … 1 along every axis                (d,)
    u*          the best place, from a generator seeded by the name       (d,)
    x*          the function's minimiser                                  (d,)
    s           widths of the function's usual range                      (d,)
    Q           a random rotation, or the identity                        (d, d)

    loss(u) = f(x* + Q (s (u - u*)))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from scripts.quality.functions import FUNCTIONS
from scripts.quality.problem import CONTINUOUS, MIXED, NOISY, Problem, rng_of
from scripts.quality.spaces import Integer, Number, Point, Real, from_unit, to_unit

Floats = npt.NDArray[np.float64]
CLOSED_FORM = "closed form at the function's minimiser"


def box(
    name: str,
    half: str,
    function: str,
    n_dims: int,
    *,
    rotated: bool = False,
    noise_sd: float = 0.0,
) -> Problem:
    """A function of `n_dims` real numbers, with the ranges that it usually has."""
    low, high = _ranges(function, n_dims)
    axes = [
        Real(f"x{i}", float(a), float(b)) for i, (a, b) in enumerate(zip(low, high, strict=True))
    ]
    return _windowed(
        name, half, NOISY if noise_sd else CONTINUOUS, function, axes, rotated, noise_sd
    )


def mixed_box(name: str, half: str, function: str, axes: Sequence[Number]) -> Problem:
    """A function of numbers of several kinds; the best place lies on the axes' grids."""
    return _windowed(name, half, MIXED, function, axes, rotated=False, noise_sd=0.0)


def _windowed(
    name: str,
    half: str,
    kind: str,
    function: str,
    axes: Sequence[Number],
    rotated: bool,
    noise_sd: float,
) -> Problem:
    best_u, loss_of_u = window(name, function, axes, rotated)

    def loss(point: Point) -> float:
        return loss_of_u(np.array([to_unit(axis, float(point[axis.label])) for axis in axes]))

    least = FUNCTIONS[function].minimum(len(axes))
    best = best_point(axes, best_u)
    return Problem(name, half, kind, tuple(axes), loss, best, least, CLOSED_FORM, noise_sd)


def window(
    name: str, function: str, axes: Sequence[Number], rotated: bool = False
) -> tuple[Floats, Callable[[Floats], float]]:
    """The best place u*, and the loss of u, as the module says."""
    rng = rng_of(name)
    n_dims = len(axes)
    best_u = np.array([_on_grid(axis, float(rng.uniform(0.15, 0.85))) for axis in axes])
    turn = _rotation(rng, n_dims) if rotated else np.eye(n_dims)
    low, high = _ranges(function, n_dims)
    described = FUNCTIONS[function]
    x_best = described.minimiser(n_dims)
    return best_u, lambda u: described.of(x_best + turn @ ((high - low) * (u - best_u)))


def best_point(axes: Sequence[Number], best_u: Floats) -> Point:
    """The point of a box at u*."""
    return {axis.label: from_unit(axis, float(u)) for axis, u in zip(axes, best_u, strict=True)}


def _on_grid(axis: Number, unit: float) -> float:
    return to_unit(axis, from_unit(axis, float(unit)))


def _ranges(function: str, n_dims: int) -> tuple[Floats, Floats]:
    described = FUNCTIONS[function]
    low = np.broadcast_to(np.asarray(described.low, dtype=float), (n_dims,))
    return low, np.broadcast_to(np.asarray(described.high, dtype=float), (n_dims,))


def _rotation(rng: np.random.Generator, n_dims: int) -> Floats:
    """A rotation drawn evenly from all: the Q of a normal matrix, its signs made unique."""
    q, r = np.linalg.qr(rng.normal(size=(n_dims, n_dims)))
    return np.asarray(q * np.sign(np.diag(r)), dtype=np.float64)


def mixed_axes(n_repeats: int) -> list[Number]:
    """Axes of many kinds: learning rates, counts, steps, plain numbers; `4 n_repeats` of them."""
    axes: list[Number] = []
    for i in range(n_repeats):
        axes += [
            Real(f"rate{i}", 1e-5, 1.0, log=True),
            Integer(f"count{i}", 1, 32),
            Real(f"step{i}", -5.0, 5.0, step=0.5),
            Real(f"plain{i}", -5.0, 5.0),
        ]
    return axes
