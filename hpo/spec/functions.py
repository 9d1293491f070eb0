"""Functions of numbers, some of which vary.

They give a node if an argument varies, else a plain number: `spec.sqrt(2)` is 1.414…,
`spec.sqrt(spec.uniform())` the square root of whatever is drawn. All but `min`, `max` and
`pow` are those of the `math` module, so what they cannot compute is a ValueError in the
trial.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from hpo.pyll import Apply, scope
from hpo.space.frozen import is_frozen_distribution

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "frexp",
    "ldexp",
    "log",
    "log1p",
    "log10",
    "max",
    "min",
    "pow",
    "pure_call",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]

Function = Callable[..., Any]


def min(*values: Any) -> Any:
    """The smallest of several values, given one by one or as one list."""
    return _extreme(scope.min, builtins.min, values)


def max(*values: Any) -> Any:
    """The largest of several values, given one by one or as one list."""
    return _extreme(scope.max, builtins.max, values)


def _extreme(make_node: Function, function: Function, values: Sequence[Any]) -> Any:
    if len(values) == 1:
        values = values[0] if isinstance(values[0], (list, tuple)) else values
    if len(values) == 1:
        return values[0]
    return make_node(*values) if any(map(_varies, values)) else function(*values)


def pow(base: Any, exponent: Any) -> Any:
    """base ** exponent."""
    if _varies(base) or _varies(exponent):
        return scope.pow(base, exponent)
    return operator.pow(base, exponent)


def exp(x: Any) -> Any:
    """e to the power x."""
    return _computed(math.exp, x)


def expm1(x: Any) -> Any:
    """exp(x) - 1, exact for small x."""
    return _computed(math.expm1, x)


def frexp(x: Any) -> Any:
    """The pair (m, e) with x == m * 2 ** e and 0.5 <= abs(m) < 1."""
    return _computed(math.frexp, x)


def ldexp(x: Any, i: Any) -> Any:
    """x * 2 ** i."""
    return _computed(math.ldexp, x, i)


def sqrt(x: Any) -> Any:
    """Square root."""
    return _computed(math.sqrt, x)


def log(x: Any, base: Any = None) -> Any:
    """Logarithm; natural without a base."""
    return _computed(math.log, x) if base is None else _computed(math.log, x, base)


def log1p(x: Any) -> Any:
    """log(1 + x), exact for small x."""
    return _computed(math.log1p, x)


def log10(x: Any) -> Any:
    """Logarithm to base 10."""
    return _computed(math.log10, x)


def sin(x: Any) -> Any:
    """Sine of an angle in radians."""
    return _computed(math.sin, x)


def cos(x: Any) -> Any:
    """Cosine of an angle in radians."""
    return _computed(math.cos, x)


def tan(x: Any) -> Any:
    """Tangent of an angle in radians."""
    return _computed(math.tan, x)


def asin(x: Any) -> Any:
    """Angle, in radians, whose sine is x."""
    return _computed(math.asin, x)


def acos(x: Any) -> Any:
    """Angle, in radians, whose cosine is x."""
    return _computed(math.acos, x)


def atan(x: Any) -> Any:
    """Angle, in radians, whose tangent is x."""
    return _computed(math.atan, x)


def atan2(y: Any, x: Any) -> Any:
    """Angle, in radians, of the point (x, y)."""
    return _computed(math.atan2, y, x)


def sinh(x: Any) -> Any:
    """Hyperbolic sine."""
    return _computed(math.sinh, x)


def cosh(x: Any) -> Any:
    """Hyperbolic cosine."""
    return _computed(math.cosh, x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return _computed(math.tanh, x)


def asinh(x: Any) -> Any:
    """Inverse of `sinh`."""
    return _computed(math.asinh, x)


def acosh(x: Any) -> Any:
    """Inverse of `cosh`."""
    return _computed(math.acosh, x)


def atanh(x: Any) -> Any:
    """Inverse of `tanh`."""
    return _computed(math.atanh, x)


def _computed(function: Function, *values: Any) -> Any:
    if not any(map(_varies, values)):
        return function(*values)
    return pure_call(function, *values)


def _varies(value: Any) -> bool:
    return isinstance(value, Apply) or is_frozen_distribution(value)


def pure_call(function: Function, *values: Any) -> Apply:
    """A node for function(*values), of a function that changes nothing.

    Unlike `scope.call`, of which nobody knows what it calls, it is evaluated also when
    people look at a trial.
    """
    return scope.call_method_pure(function, "__call__", *values)
