"""Search spaces in neutral words, for every optimiser to translate into its own.

A space is a sequence of parameters. A `Choice` may have `Branch`es, whose
parameters exist only where the branch is chosen; the same parameter in two
branches is one parameter. A point is {label: value} of the active parameters; a
choice's value is the option itself, or the name of the branch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Value = float | int | str
Point = dict[str, Value]


@dataclass(frozen=True)
class Real:
    """A real number in [low, high].

    Attributes:
        log: uniform in its logarithm.
        step: if given, one of low, low + step, …, high; not together with `log`.
    """

    label: str
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"{self.label}: low {self.low} must be below high {self.high}")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError(f"{self.label}: a logarithmic range is positive and has no step")
        if self.step is not None and not math.isclose(
            (self.high - self.low) % self.step, 0, abs_tol=1e-9
        ):
            raise ValueError(f"{self.label}: {self.step} steps must lead from low to high")


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high], both included."""

    label: str
    low: int
    high: int

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"{self.label}: low {self.low} must be below high {self.high}")


@dataclass(frozen=True)
class Branch:
    """An option that brings parameters of its own."""

    name: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Choice:
    """One of several options without an order."""

    label: str
    options: tuple[Value | Branch, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """What a point says for each option."""
        return tuple(o.name if isinstance(o, Branch) else o for o in self.options)


Number = Real | Integer
Parameter = Real | Integer | Choice
Space = Sequence[Parameter]


def walk(space: Space, decide: Callable[[Parameter], Value]) -> Point:
    """Decide every active parameter, parents before children.

    Args:
        decide: called once for each active parameter; returns its value.
    """
    point: Point = {}

    def visit(parameters: Space) -> None:
        for parameter in parameters:
            if parameter.label not in point:
                point[parameter.label] = decide(parameter)
            if isinstance(parameter, Choice):
                visit(_branch_of(parameter, point[parameter.label]))

    visit(space)
    return point


def _branch_of(choice: Choice, value: Value) -> tuple[Parameter, ...]:
    option = choice.options[choice.values.index(value)]
    return option.parameters if isinstance(option, Branch) else ()


def parameters_of(space: Space) -> dict[str, Parameter]:
    """Every parameter of the tree by its label."""
    found: dict[str, Parameter] = {}

    def visit(parameters: Space) -> None:
        for parameter in parameters:
            if found.setdefault(parameter.label, parameter) != parameter:
                raise ValueError(f"two different parameters are called {parameter.label!r}")
            if isinstance(parameter, Choice):
                for option in parameter.options:
                    if isinstance(option, Branch):
                        visit(option.parameters)

    visit(space)
    return found


def draw(space: Space, rng: np.random.Generator) -> Point:
    """A point drawn at random from the space."""
    return walk(space, lambda parameter: _draw_one(parameter, rng))


def _draw_one(parameter: Parameter, rng: np.random.Generator) -> Value:
    if isinstance(parameter, Choice):
        return parameter.values[int(rng.integers(len(parameter.options)))]
    if isinstance(parameter, Integer):
        return int(rng.integers(parameter.low, parameter.high + 1))
    if parameter.step is not None:
        n_steps = round((parameter.high - parameter.low) / parameter.step)
        return parameter.low + parameter.step * int(rng.integers(n_steps + 1))
    return from_unit(parameter, float(rng.random()))


def to_unit(parameter: Number, value: float) -> float:
    """Where a value lies in its range: 0 at low, 1 at high, evenly in the logarithm if `log`."""
    low, high = _scaled(parameter, parameter.low), _scaled(parameter, parameter.high)
    return (_scaled(parameter, value) - low) / (high - low)


def from_unit(parameter: Number, unit: float) -> float:
    """The value at `unit` in [0, 1]; integers and steps are rounded to the nearest."""
    if isinstance(parameter, Integer):
        return parameter.low + round(unit * (parameter.high - parameter.low))
    if parameter.step is not None:
        n_steps = round((parameter.high - parameter.low) / parameter.step)
        return parameter.low + parameter.step * round(unit * n_steps)
    if parameter.log:
        return float(parameter.low * (parameter.high / parameter.low) ** unit)
    return parameter.low + unit * (parameter.high - parameter.low)


def _scaled(parameter: Number, value: float) -> float:
    return math.log(value) if isinstance(parameter, Real) and parameter.log else float(value)


def is_continuous(parameter: Parameter) -> bool:
    """Whether the parameter takes any value of its range."""
    return isinstance(parameter, Real) and parameter.step is None


def grid(parameter: Parameter) -> tuple[Value, ...]:
    """All values of a discrete parameter.

    Raises:
        ValueError: the parameter is continuous.
    """
    if isinstance(parameter, Choice):
        return parameter.values
    if isinstance(parameter, Integer):
        return tuple(range(parameter.low, parameter.high + 1))
    if parameter.step is None:
        raise ValueError(f"{parameter.label} is continuous and has no list of values")
    n_steps = round((parameter.high - parameter.low) / parameter.step)
    return tuple(parameter.low + parameter.step * i for i in range(n_steps + 1))


def points(space: Space) -> Iterator[Point]:
    """Every point of a discrete space."""

    def extend(todo: tuple[Parameter, ...], point: Point) -> Iterator[Point]:
        if not todo:
            yield point
            return
        parameter, rest = todo[0], todo[1:]
        if parameter.label in point:
            known: Mapping[str, Value] = point
            yield from extend(_opened(parameter, known[parameter.label]) + rest, point)
            return
        for value in grid(parameter):
            yield from extend(_opened(parameter, value) + rest, {**point, parameter.label: value})

    yield from extend(tuple(space), {})


def _opened(parameter: Parameter, value: Value) -> tuple[Parameter, ...]:
    return _branch_of(parameter, value) if isinstance(parameter, Choice) else ()
