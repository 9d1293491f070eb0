"""Stopping rules as plain data, for objectives that are stored by name and hold no code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hpo.exceptions import InvalidOption, did_you_mean
from hpo.stopping.asha import ASHA
from hpo.stopping.base import Rule
from hpo.stopping.curve import CurveRule
from hpo.stopping.hyperband import Hyperband
from hpo.stopping.median import MedianRule

_RULES = {rule.__name__: rule for rule in (ASHA, Hyperband, MedianRule, CurveRule)}


def as_data(stopper: Any) -> dict[str, Any]:
    """{"rule": its name, and its options}.

    Raises:
        InvalidOption: it is not one of this package's rules.
    """
    if type(stopper) not in _RULES.values():
        raise InvalidOption(
            f"a stopper of type {type(stopper).__name__} cannot be stored as data; use one of "
            f"{', '.join(_RULES)}, or give fmin the objective itself instead of its name"
        )
    return {"rule": type(stopper).__name__, **dataclasses.asdict(stopper)}


def from_data(data: Mapping[str, Any]) -> Rule:
    """The rule that `as_data` described. Raises InvalidOption."""
    options = dict(data)
    name = str(options.pop("rule", None))
    rule = _RULES.get(name)
    if rule is None:
        raise InvalidOption(f"unknown stopping rule {name!r}{did_you_mean(name, _RULES)}")
    made: Rule = rule(**options)
    return made
