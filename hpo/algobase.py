"""What algorithms share: a generator per suggestion, the walk from the root, checked options.

A suggestion draws its random numbers from a counter-based generator keyed by
(seed, tid), so it does not depend on which other trials were asked for in the
same call. It chooses hyperparameters root first: a choice before what lies in
its branches.
"""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from hpo.document import Tid
from hpo.exceptions import InvalidOption, InvalidOptionValue, did_you_mean
from hpo.pyll import Evaluation, GarbageCollected
from hpo.space import Hyperparameter, Prior, Space


def suggestion_rng(seed: Any, tid: Tid, purpose: str = "") -> np.random.Generator:
    """The generator of one suggestion.

    Args:
        seed: an integer, or None for numbers that nobody can repeat.
        tid: the trial that the suggestion is for; any hashable.
        purpose: a second decision about the same trial names its own purpose,
            so that the two do not see the same numbers.

    Raises:
        InvalidOption: the seed is neither an integer nor None.
    """
    if seed is not None and not isinstance(seed, numbers.Integral):
        raise InvalidOption(
            f"seed must be an integer or None, not {seed!r}; draw one from a generator with "
            "int(rng.integers(2**31 - 1))"
        )
    entropy = None if seed is None else _as_word(seed)
    spawn_key = (_as_word(tid), _as_word(purpose)) if purpose else (_as_word(tid),)
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence(entropy, spawn_key=spawn_key))
    )


def _as_word(value: Any) -> int:
    if isinstance(value, numbers.Integral) and int(value) >= 0:
        return int(value)
    # Not `hash`: it differs from one process to the next for text.
    digest = hashlib.blake2b(repr(value).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def choose_root_first(
    space: Space, rng: np.random.Generator, choose: Callable[[str, Prior], Any]
) -> dict[str, Any]:
    """Choose a value for every hyperparameter that is active under the values chosen before it.

    Args:
        rng: draws those whose distribution depends on other hyperparameters, or
            is the user's own: of these only a sampler is known.
        choose: gives a value for (label, prior).

    Returns:
        {label: value} of the active hyperparameters; a choice by index.
    """
    values: dict[str, Any] = {}
    while lacking := [label for label in space.active_labels(values) if label not in values]:
        for label in lacking:
            hyperparameter = space.hyperparameters[label]
            if hyperparameter.prior is None:
                values[label] = _draw_given(space, hyperparameter, values, rng)
            else:
                values[label] = hyperparameter.as_value(choose(label, hyperparameter.prior))
    return values


def _draw_given(
    space: Space,
    hyperparameter: Hyperparameter,
    values: Mapping[str, Any],
    rng: np.random.Generator,
) -> Any:
    known = {
        other.node: values.get(label, GarbageCollected)
        for label, other in space.hyperparameters.items()
    }
    return hyperparameter.draw(rng, Evaluation(known))


def reject_unknown_options(
    algorithm: str, unknown: Mapping[str, Any], known: Iterable[str]
) -> None:
    """Raise InvalidOption, with the nearest known name, if `unknown` has any option."""
    names = list(known)
    for option in unknown:
        hint = did_you_mean(option, names)
        listed = f"options: {', '.join(names)}" if names else "it takes none"
        raise InvalidOption(f"{algorithm} has no option {option!r}{hint} ({listed})")


def as_integer(name: str, value: Any, *, at_least: int | None = None) -> int:
    """`value` as an int, or an error that names the option.

    Raises:
        InvalidOption: it is not a whole number.
        InvalidOptionValue: it is below `at_least`.
    """
    is_whole = isinstance(value, numbers.Real) and float(value).is_integer()
    if not is_whole or isinstance(value, bool):
        raise InvalidOption(f"{name} must be a whole number, not {value!r}")
    if at_least is not None and value < at_least:
        raise InvalidOptionValue(f"{name} must be at least {at_least}, not {value!r}")
    return int(value)


def as_real(
    name: str, value: Any, *, above: float = -math.inf, at_least: float = -math.inf
) -> float:
    """`value` as a finite float, or an error that names the option.

    Raises:
        InvalidOption: it is not a real number.
        InvalidOptionValue: it is not finite, not above `above` or below `at_least`.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise InvalidOption(f"{name} must be a number, not {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise InvalidOptionValue(f"{name} must be finite, not {value!r}")
    if number <= above:
        raise InvalidOptionValue(f"{name} must be greater than {above:g}, not {value!r}")
    if number < at_least:
        raise InvalidOptionValue(f"{name} must be at least {at_least:g}, not {value!r}")
    return number
