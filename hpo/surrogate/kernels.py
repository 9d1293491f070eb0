"""Kernels: how alike two losses are, as a function of the distance of their inputs.

    symbol   meaning                                                     shape
    n, m, F  numbers of inputs and of their features                       scalars
    X, Z     inputs                                                        (n, F), (m, F)
    l        lengthscale of each feature                                   (F,)
    s        squared distance, s = sum_f ((x_f - z_f) / l_f)^2              (n, m)
    k(s)     correlation: 1 at s = 0, towards 0 far away                    (n, m)
    k'(s)    its slope dk/ds, finite at s = 0 as well                       (n, m)
    a        shape of the rational quadratic kernel                        scalar

    k(s) = exp(-s / 2)                                       rbf             (1)
    k(s) = (1 + sqrt(3 s)) exp(-sqrt(3 s))                   matern32        (2)
    k(s) = (1 + sqrt(5 s) + 5 s / 3) exp(-sqrt(5 s))         matern52        (3)
    k(s) = (1 + s / 2a)^-a                                   rational_quadratic  (4)

Every gradient follows from k'(s): with respect to an input by (5), to the logarithm
of a lengthscale by (6). A lengthscale for each feature lets the data say which of
them matter (automatic relevance determination).

    dk/dx_f = k'(s) 2 (x_f - z_f) / l_f^2                                    (5)
    dk/dlog l_f = -k'(s) 2 ((x_f - z_f) / l_f)^2                             (6)

Source: Rasmussen and Williams, "Gaussian processes for machine learning", chapter 4:
(4.9), (4.17) and (4.19).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOption, did_you_mean
from hpo.surrogate.products import product

__all__ = [
    "KERNELS",
    "Kernel",
    "Matern32",
    "Matern52",
    "RationalQuadratic",
    "SquaredExponential",
    "kernel_named",
    "matern52",
    "squared_distances",
]

Floats = npt.NDArray[np.float64]


class Kernel(Protocol):
    """A correlation that depends on the squared distance, and perhaps on a shape.

    Attributes:
        name: as it is asked for.
        has_shape: whether `shape` matters; kernels without one ignore it.
    """

    name: str
    has_shape: bool

    def value_and_slope(self, squares: Floats, shape: float = 1.0) -> tuple[Floats, Floats]:
        """k(s) and k'(s), each of the shape of `squares`, which are at least 0."""
        ...

    def slope_by_log_shape(self, squares: Floats, shape: float) -> Floats:
        """dk/dlog a, of the shape of `squares`."""
        ...


class _WithoutShape:
    has_shape = False

    def slope_by_log_shape(self, squares: Floats, shape: float) -> Floats:
        """0: there is no shape."""
        return np.zeros_like(squares)


class SquaredExponential(_WithoutShape):
    """Equation (1): infinitely smooth functions."""

    name = "rbf"

    def value_and_slope(self, squares: Floats, shape: float = 1.0) -> tuple[Floats, Floats]:
        """k(s) and k'(s)."""
        value = np.exp(-0.5 * squares)
        return value, -0.5 * value


class Matern32(_WithoutShape):
    """Equation (2): functions with one derivative."""

    name = "matern32"

    def value_and_slope(self, squares: Floats, shape: float = 1.0) -> tuple[Floats, Floats]:
        """k(s) and k'(s)."""
        root = np.sqrt(3.0 * squares)
        decay = np.exp(-root)
        return (1.0 + root) * decay, -1.5 * decay


class Matern52(_WithoutShape):
    """Equation (3): functions with two derivatives."""

    name = "matern52"

    def value_and_slope(self, squares: Floats, shape: float = 1.0) -> tuple[Floats, Floats]:
        """k(s) and k'(s)."""
        root = np.sqrt(5.0 * squares)
        decay = np.exp(-root)
        linear = (1.0 + root) * decay
        return linear + (5.0 / 3.0) * squares * decay, (-5.0 / 6.0) * linear


class RationalQuadratic:
    """Equation (4): a mixture of squared exponentials of many lengthscales.

    The smaller the shape, the more they differ; as it grows the kernel becomes (1).
    """

    name = "rational_quadratic"
    has_shape = True

    def value_and_slope(self, squares: Floats, shape: float = 1.0) -> tuple[Floats, Floats]:
        """k(s) and k'(s)."""
        base = 1.0 + squares / (2.0 * shape)
        value = base**-shape
        return value, -0.5 * value / base

    def slope_by_log_shape(self, squares: Floats, shape: float) -> Floats:
        """dk/dlog a = a k (s / (2 a base) - log base)."""
        ratio = squares / (2.0 * shape)
        base = 1.0 + ratio
        slope: Floats = shape * base**-shape * (ratio / base - np.log1p(ratio))
        return slope


KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (Matern52(), Matern32(), SquaredExponential(), RationalQuadratic())
}


def kernel_named(name: str) -> Kernel:
    """The kernel of a name.

    Raises:
        InvalidOption: there is none.
    """
    if name not in KERNELS:
        hint = did_you_mean(str(name), KERNELS)
        raise InvalidOption(f"kernel must be one of {', '.join(KERNELS)}, not {name!r}{hint}")
    return KERNELS[name]


def matern52(squares: Floats) -> Floats:
    """Equation (3) alone, of the shape of `squares`."""
    root = np.sqrt(5.0 * squares)
    decay = np.exp(-root)
    root += 1.0
    root += (5.0 / 3.0) * squares
    root *= decay
    return root


def squared_distances(X: Floats, Z: Floats, lengthscales: Floats | float = 1.0) -> Floats:
    """s of every pair, shape (n, m).

    The squares are expanded into a matrix product, around the middle of Z because
    digits are lost far from the origin; what rounding takes below 0 becomes 0.

    Args:
        X, Z: inputs, shapes (n, F) and (m, F).
        lengthscales: shape (F,) or a number; greater than 0.
    """
    middle = Z.mean(axis=0) if len(Z) else 0.0
    left, right = (X - middle) / lengthscales, (Z - middle) / lengthscales
    squares = product(left, right.T)
    squares *= -2.0
    squares += np.einsum("if,if->i", left, left)[:, None]
    squares += np.einsum("if,if->i", right, right)
    np.maximum(squares, 0.0, out=squares)
    return squares
