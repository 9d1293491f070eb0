"""Checks of what stopping rules are made with."""

from __future__ import annotations

import math
import numbers
from typing import Any

from hpo.exceptions import InvalidOption, InvalidOptionValue


def as_count(name: str, value: Any, *, at_least: int = 1) -> int:
    """A whole number. Raises InvalidOption, InvalidOptionValue."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidOption(f"{name} must be a whole number, not {value!r}")
    if value < at_least:
        raise InvalidOptionValue(f"{name} must be at least {at_least}, not {value}")
    return int(value)


def as_real(name: str, value: Any, *, above: float = -math.inf) -> float:
    """A finite number above a bound. Raises InvalidOption, InvalidOptionValue."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidOption(f"{name} must be a number, not {value!r}")
    number = float(value)
    if not math.isfinite(number) or number <= above:
        least = "finite" if above == -math.inf else f"finite and above {above:g}"
        raise InvalidOptionValue(f"{name} must be {least}, not {value!r}")
    return number
