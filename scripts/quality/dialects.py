"""A neutral space in the words of its users: of hpo and hyperopt, which agree, and of Optuna."""

from __future__ import annotations

import math
from typing import Any

from scripts.quality.spaces import Branch, Choice, Integer, Parameter, Space, Value


def in_hp_words(space: Space, hp: Any) -> dict[str, Any]:
    """The space as a user of hpo or hyperopt would write it.

    Args:
        hp: the module of distributions, of the one or the other.
    """
    nodes: dict[str, Any] = {}

    def node(parameter: Parameter) -> Any:
        # A parameter of several branches is one node, used several times.
        if parameter.label not in nodes:
            nodes[parameter.label] = build(parameter)
        return nodes[parameter.label]

    def build(parameter: Parameter) -> Any:
        label = parameter.label
        if isinstance(parameter, Choice):
            return hp.choice(label, [option(o) for o in parameter.options])
        low, high = parameter.low, parameter.high
        if isinstance(parameter, Integer):
            return hp.uniformint(label, low, high)
        if parameter.step is not None:
            return hp.quniform(label, low, high, parameter.step)
        if parameter.log:
            return hp.loguniform(label, math.log(low), math.log(high))
        return hp.uniform(label, low, high)

    def option(value: Any) -> Any:
        if isinstance(value, Branch):
            return {"branch": value.name, **{p.label: node(p) for p in value.parameters}}
        return value

    return {parameter.label: node(parameter) for parameter in space}


def value_of(parameter: Parameter, stored: Any) -> Value:
    """What a point says for a stored value: a choice is stored by its index."""
    if isinstance(parameter, Choice):
        return parameter.values[int(stored)]
    return int(stored) if isinstance(parameter, Integer) else float(stored)


def suggest_in_optuna(trial: Any, parameter: Parameter) -> Value:
    """Ask a trial of Optuna for one parameter, as a user would write it.

    Args:
        trial: an optuna.Trial, or whatever has its suggest_… methods.
    """
    label = parameter.label
    value: Value
    if isinstance(parameter, Choice):
        value = trial.suggest_categorical(label, parameter.values)
    elif isinstance(parameter, Integer):
        value = trial.suggest_int(label, parameter.low, parameter.high)
    else:
        value = trial.suggest_float(
            label, parameter.low, parameter.high, step=parameter.step, log=parameter.log
        )
    return value
