"""Points that the user already knows, as configurations of a space.

A point names some hyperparameters and their values: a choice by the index of
its option, as `fmin` returns it, or by the option itself. Labels it leaves out
are drawn from their priors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.exceptions import InvalidTrial, did_you_mean
from hpo.pyll import Apply, Literal
from hpo.space import Hyperparameter, Space


def complete_point(
    space: Space, point: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """The active values of a configuration that agrees with `point`.

    Args:
        point: {label: value}; a choice by index or by option. Where an option is
            itself a whole number that could be an index, the number is an index.
        rng: draws the labels that the point leaves out.

    Returns:
        {label: value} of the active hyperparameters, a choice by index. Values
        of labels that the point's own choices make inactive are left out.

    Raises:
        InvalidTrial: a label is unknown, or a value impossible.
    """
    _check_labels(space, point)
    given = {
        label: _stored_value(space.hyperparameters[label], value) for label, value in point.items()
    }
    values: dict[str, Any] = {}
    while lacking := [label for label in space.active_labels(values) if label not in values]:
        for label in lacking:
            values[label] = given[label] if label in given else space.draw(label, values, rng)
    return values


def _check_labels(space: Space, point: Any) -> None:
    if not isinstance(point, Mapping):
        raise InvalidTrial(
            f"a point must be a dictionary of labels and values, not {point!r}", point
        )
    for label in point:
        if label not in space.hyperparameters:
            known = sorted(space.hyperparameters)
            raise InvalidTrial(
                f"points_to_evaluate has the unknown label {label!r}"
                f"{did_you_mean(str(label), known)}; the space has {known}",
                point,
            )


def _stored_value(parameter: Hyperparameter, value: Any) -> Any:
    """The value as documents hold it. Raises InvalidTrial when it is none of this label's."""
    if parameter.options is not None:
        return _option_index(parameter.label, parameter.options, value)
    prior = parameter.prior
    if prior is not None and not prior.contains(value):
        raise InvalidTrial(
            f"points_to_evaluate has {parameter.label!r} = {value!r}, "
            f"which {prior} cannot give; correct the value or leave the label out",
            value,
        )
    return parameter.as_value(value)


def _option_index(label: str, options: tuple[Apply, ...], value: Any) -> int:
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_whole and 0 <= value < len(options):
        return int(value)
    for index, option in enumerate(options):
        if isinstance(option, Literal) and _is_same(option.obj, value):
            return index
    shown = [option.obj if isinstance(option, Literal) else "…" for option in options]
    raise InvalidTrial(
        f"points_to_evaluate has {label!r} = {value!r}, which is neither one of its options "
        f"{shown} nor an index from 0 to {len(options) - 1}",
        value,
    )


def _is_same(option: Any, value: Any) -> bool:
    """Equal, and of the same kind: True is not 1."""
    if isinstance(option, bool) is not isinstance(value, bool):
        return False
    return option is value or (type(option) is type(value) and bool(np.all(option == value)))
