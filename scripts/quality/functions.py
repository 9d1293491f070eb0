"""Analytic functions of a vector, with the place and the value of their least.

All are defined, and nowhere smaller, on the whole of R^d, so that a problem may
look at them through a shifted or turned window.

Source: closed forms as commonly written, e.g. Surjanovic and Bingham, "Virtual
Library of Simulation Experiments". The tests search each for a smaller value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Function:
    """A function of (d,) arrays.

    Attributes:
        low, high: the usual range of every coordinate (or of each).
        minimiser: d -> one place of the least value, shape (d,).
        minimum: d -> the least value.
    """

    of: Callable[[Floats], float]
    low: float | tuple[float, ...]
    high: float | tuple[float, ...]
    minimiser: Callable[[int], Floats]
    minimum: Callable[[int], float] = lambda n_dims: 0.0


def sphere(x: Floats) -> float:
    """Sum of squares."""
    return float(x @ x)


def ellipsoid(x: Floats) -> float:
    """A sphere whose axes' weights run from 1 to 1,000."""
    return float(np.geomspace(1, 1000, len(x)) @ x**2)


def rosenbrock(x: Floats) -> float:
    """A bent valley with a flat floor."""
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def ackley(x: Floats) -> float:
    """A funnel in a nearly flat, rippled plain."""
    funnel = -20 * math.exp(-0.2 * math.sqrt(float(np.mean(x**2))))
    return funnel - math.exp(float(np.mean(np.cos(2 * np.pi * x)))) + 20 + math.e


def levy(x: Floats) -> float:
    """A bowl with waves along every axis."""
    w = 1 + (x - 1) / 4
    middle = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)
    end = (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return float(np.sin(np.pi * w[0]) ** 2 + middle.sum() + end)


def rastrigin(x: Floats) -> float:
    """A bowl with a deep dent at every whole number."""
    return float(np.sum(x**2 - 10 * np.cos(2 * np.pi * x) + 10))


def griewank(x: Floats) -> float:
    """A wide bowl with fine ripples."""
    ripples = np.prod(np.cos(x / np.sqrt(np.arange(1, len(x) + 1))))
    return float(x @ x / 4000 - ripples + 1)


def styblinski_tang(x: Floats) -> float:
    """Two valleys along every axis, one a little deeper."""
    return float(np.sum(x**4 - 16 * x**2 + 5 * x) / 2)


def branin(x: Floats) -> float:
    """Valleys of equal depth."""
    b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
    valley = (x[1] - b * x[0] ** 2 + c * x[0] - 6) ** 2
    return float(valley + 10 * (1 - t) * math.cos(x[0]) + 10)


def six_hump_camel(x: Floats) -> float:
    """Six hollows, two of them deepest."""
    u, v = x
    return float((4 - 2.1 * u**2 + u**4 / 3) * u**2 + u * v + (4 * v**2 - 4) * v**2)


_HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_HARTMANN3_SCALES = np.array([[3.0, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
_HARTMANN3_CENTRES = 1e-4 * np.array(
    [[3689.0, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
)
_HARTMANN6_SCALES = np.array(
    [
        [10.0, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_HARTMANN6_CENTRES = 1e-4 * np.array(
    [
        [1312.0, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann3(x: Floats) -> float:
    """Four hollows in three dimensions."""
    return _hartmann(x, _HARTMANN3_SCALES, _HARTMANN3_CENTRES)


def hartmann6(x: Floats) -> float:
    """Four hollows in six dimensions."""
    return _hartmann(x, _HARTMANN6_SCALES, _HARTMANN6_CENTRES)


def _hartmann(x: Floats, scales: Floats, centres: Floats) -> float:
    return -float(_HARTMANN_WEIGHTS @ np.exp(-np.sum(scales * (x - centres) ** 2, axis=1)))


def heart(x: Floats) -> float:
    """Zero on a heart's outline, negative inside."""
    u, v = x
    return float((u**2 + v**2 - 1) ** 3 - u**2 * v**3)


def _at(*place: float) -> Callable[[int], Floats]:
    return lambda n_dims: np.array(place)


def _everywhere(value: float) -> Callable[[int], Floats]:
    return lambda n_dims: np.full(n_dims, value)


def _is(value: float) -> Callable[[int], float]:
    return lambda n_dims: value


# The double root of d/dx (x^4 - 16 x^2 + 5 x) = 4 x^3 - 32 x + 5 that lies lowest.
_STYBLINSKI = float(np.min(np.roots([4.0, 0.0, -32.0, 5.0]).real))

FUNCTIONS = {
    "sphere": Function(sphere, -5, 5, _everywhere(0)),
    "ellipsoid": Function(ellipsoid, -5, 5, _everywhere(0)),
    "rosenbrock": Function(rosenbrock, -2, 2, _everywhere(1)),
    "ackley": Function(ackley, -20, 20, _everywhere(0)),
    "levy": Function(levy, -10, 10, _everywhere(1)),
    "rastrigin": Function(rastrigin, -5, 5, _everywhere(0)),
    "griewank": Function(griewank, -100, 100, _everywhere(0)),
    "styblinski_tang": Function(
        styblinski_tang, -5, 5, _everywhere(_STYBLINSKI),
        lambda n_dims: styblinski_tang(np.full(n_dims, _STYBLINSKI)),
    ),
    "branin": Function(
        branin, (-5, 0), (10, 15), _at(math.pi, 2.275), _is(10 / (8 * math.pi))
    ),
    # Here and below, the usual few digits were refined by a simplex search.
    "six_hump_camel": Function(
        six_hump_camel, (-2, -1), (2, 1),
        _at(0.08984201368301331, -0.7126564032704135), _is(-1.031628453489877),
    ),
    "hartmann3": Function(
        hartmann3, 0, 1,
        _at(0.11458887379, 0.55564889542, 0.85254698508), _is(-3.862779787332663),
    ),
    "hartmann6": Function(
        hartmann6, 0, 1,
        _at(
            0.20168951288, 0.15001068794, 0.47687397296,
            0.27533243129, 0.31165161776, 0.65730053532,
        ),
        _is(-3.322368011415515),
    ),
    "heart": Function(heart, -1.5, 1.5, _everywhere(0), _is(-1.0)),
}  # fmt: skip
