"""A specification as a unit cube: every hyperparameter is one dimension of it.

    parsed = ParsedSpec({"rate": 10 ** spec.uniform(-3, -1), "depth": spec.choice([2, 4, 8])})
    parsed.size()                     # 2
    parsed.get_names()                # {0: "depth-choice(3)", 1: "rate-uniform(-3.000000, …)"}
    parsed.instantiate([0.4, 0.5])    # {"depth": 4, "rate": 0.01}

A coordinate is a quantile: 0 and 1 are the ends of a uniform value, and the first and last
option of a choice. Keys count in sorted order; what is inside a choice's options comes
before the choice itself. A node that stands in several places is one dimension.

Source: hyperengine.spec.ParsedSpec. There, keys count in the order in which they were
written, and the items of one list have one name.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import BadSearchSpace, InvalidConfiguration
from hpo.pyll import Apply, as_apply
from hpo.space import Categorical, Hyperparameter, Integers, Normal, Prior, Space, Uniform
from hpo.space import is_frozen_distribution as is_distribution
from hpo.space.structure import labels_below
from hpo.spec.functions import pure_call

__all__ = ["ParsedSpec", "get_instance"]

# The smallest quantile, and one minus the largest, at which a normal value is finite.
_LEAST_QUANTILE = 2.0**-53


class ParsedSpec:
    """A specification, and the way from points of the unit cube to its instances.

    Args:
        spec: any nest of dictionaries, lists, tuples, objects with attributes, constants,
            and nodes of `hpo.spec` (or `hpo.hp`).

    Attributes:
        space: the same as a `Space`.

    Raises:
        BadSearchSpace: a distribution depends on other hyperparameters, so that it has no
            dimension of its own, or the specification cannot mean anything.
    """

    def __init__(self, spec: Any) -> None:
        expr = as_apply(_with_objects_as_nodes(spec, set()))
        self.space = Space(expr)
        self._labels = _labels_in_order(self.space)
        self._named = frozenset(labels_below(expr))
        for label in self._labels:
            if self.space.hyperparameters[label].prior is None:
                raise BadSearchSpace(
                    f"the distribution of {label!r} depends on other hyperparameters, or is only "
                    "a sampler; a dimension needs a fixed one: multiply or shift "
                    "spec.uniform(0, 1) instead"
                )

    def size(self) -> int:
        """The number of dimensions."""
        return len(self._labels)

    def get_names(self) -> dict[int, str]:
        """{dimension: its name, or its path and distribution}."""
        return {
            dimension: label if label in self._named else f"{label}-{self._description(label)}"
            for dimension, label in enumerate(self._labels)
        }

    def labels(self) -> list[str]:
        """What trials call each dimension."""
        return list(self._labels)

    def instantiate(self, points: Sequence[float] | npt.NDArray[np.float64]) -> Any:
        """The hyperparameters at a point.

        Args:
            points: the coordinates, shape (size(),), from 0 to 1.

        Raises:
            InvalidConfiguration: there are not as many coordinates, or one is not from 0 to 1.
        """
        point = np.asarray(points, dtype=np.float64)
        if point.shape != (self.size(),) or not ((point >= 0) & (point <= 1)).all():
            raise InvalidConfiguration(
                f"a point has {self.size()} coordinates from 0 to 1, but this one is {points!r}"
            )
        values = {
            label: parameter.as_value(_quantile(parameter.prior, coordinate))
            for label, coordinate in zip(self._labels, point.tolist(), strict=True)
            if (parameter := self.space.hyperparameters[label]).prior is not None
        }
        active = self.space.active_labels(values)
        return self.space.evaluate({label: values[label] for label in active})

    def _description(self, label: str) -> str:
        parameter = self.space.hyperparameters[label]
        return _described(parameter)


def get_instance(spec: Any, seed: int | np.random.Generator | None = None) -> Any:
    """Random hyperparameters of a specification or a `ParsedSpec`."""
    parsed = spec if isinstance(spec, ParsedSpec) else ParsedSpec(spec)
    return parsed.instantiate(np.random.default_rng(seed).random(parsed.size()))


def _quantile(prior: Prior, coordinate: float) -> Any:
    if not isinstance(prior, (Uniform, Integers, Categorical)):
        coordinate = min(max(coordinate, _LEAST_QUANTILE), 1.0 - _LEAST_QUANTILE)
    return np.asarray(prior.ppf(coordinate)).item()


def _described(parameter: Hyperparameter) -> str:
    match parameter.prior:
        case Uniform(low=low, high=high):
            return f"uniform({low:f}, {high:f})"
        case Normal(mu=mu, sigma=sigma):
            return f"normal({mu:f}, {sigma:f})"
        case Integers(low=low, high=high):
            return f"choice({high - low})"
        case _:
            return parameter.kind


# --- the order of dimensions --------------------------------------------------------


def _labels_in_order(space: Space) -> list[str]:
    """Labels as they are met on a walk that looks at a choice after its options."""
    label_of = {parameter.node: label for label, parameter in space.hyperparameters.items()}
    seen: set[Apply] = set()
    return [label_of[node] for node in _walk(space.expr, seen) if node in label_of]


def _walk(node: Apply, seen: set[Apply]) -> Iterable[Apply]:
    if node in seen:
        return
    seen.add(node)
    inputs = node.inputs()
    if node.name == "switch":
        inputs = [*inputs[1:], inputs[0]]
    for child in inputs:
        yield from _walk(child, seen)
    yield node


# --- objects whose attributes vary ----------------------------------------------------


class _Attributes:
    """Makes a copy of an object with other attributes."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __call__(self, attributes: dict[str, Any]) -> Any:
        made = copy.copy(self.original)
        made.__dict__.update(attributes)
        return made


def _with_objects_as_nodes(spec: Any, above: set[int]) -> Any:
    """The specification with a node in place of every object some attributes of which vary."""
    if isinstance(spec, Apply) or is_distribution(spec) or id(spec) in above:
        return spec
    above = above | {id(spec)}
    if type(spec) is dict:
        return {key: _with_objects_as_nodes(value, above) for key, value in spec.items()}
    if type(spec) in (list, tuple):
        return type(spec)(_with_objects_as_nodes(item, above) for item in spec)
    if isinstance(spec, type) or callable(spec) or not hasattr(spec, "__dict__"):
        return spec
    attributes = {
        name: made
        for name, value in vars(spec).items()
        if _varies(made := _with_objects_as_nodes(value, above))
    }
    return pure_call(_Attributes(spec), attributes) if attributes else spec


def _varies(spec: Any) -> bool:
    if isinstance(spec, dict):
        return any(map(_varies, spec.values()))
    if isinstance(spec, (list, tuple)):
        return any(map(_varies, spec))
    return isinstance(spec, Apply) or is_distribution(spec)
