"""What varies: distributions without labels, choices, and the user's functions of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from hpo.exceptions import BadSearchSpace, InvalidLabel, InvalidOption
from hpo.pyll import Apply, as_apply, scope
from hpo.space.hyperparameter import prior_of

__all__ = [
    "choice",
    "merge",
    "normal",
    "random_bit",
    "random_bool",
    "random_int",
    "uniform",
    "wrap",
]

Function = Callable[..., Any]


def uniform(
    start: Any = 0.0,
    end: Any = 1.0,
    transform: Function | None = None,
    name: str | None = None,
) -> Apply:
    """A float, uniform between start and end, whichever of them is larger.

    Args:
        start, end: numbers, or nodes; of two nodes the first must be the smaller one.
        transform: a function of the value; the objective gets its result.
        name: the label; default the path.

    Raises:
        BadSearchSpace: start equals end, or one of them is not a finite number.
        InvalidLabel: `name` is not usable text.
        InvalidOption: `transform` is not a function.
    """
    low, high = (end, start) if _are_reversed(start, end) else (start, end)
    value = _hyperparameter(scope.uniform(low, high), name, f"spec.uniform({start!r}, {end!r})")
    return wrap(scope.float(value), transform)


def _are_reversed(start: Any, end: Any) -> bool:
    are_numbers = all(isinstance(bound, (int, float, np.number)) for bound in (start, end))
    return are_numbers and bool(start > end)


def normal(mean: Any = 0.0, stdev: Any = 1.0, name: str | None = None) -> Apply:
    """A float, normal with this mean and standard deviation; both may be nodes.

    Raises:
        BadSearchSpace: stdev <= 0, or an argument is not a finite number.
        InvalidLabel: `name` is not usable text.
    """
    distribution = scope.normal(mean, stdev)
    return scope.float(_hyperparameter(distribution, name, f"spec.normal({mean!r}, {stdev!r})"))


def choice(
    array: Iterable[Any], transform: Function | None = None, name: str | None = None
) -> Apply:
    """One of the items of an array, all equally likely.

    A trial stores the number of the item, from 0; the objective gets the item itself.
    Items may be or hold nodes; what an item holds is active only while it is chosen.

    Args:
        array: a list, tuple, range, one-dimensional array, or other iterable with an order.
        transform: a function of the chosen item; the objective gets its result.
        name: the label; default the path.

    Raises:
        BadSearchSpace: there is no item, or `array` has no order.
        InvalidLabel: `name` is not usable text.
        InvalidOption: `transform` is not a function.
    """
    items = _items(array)
    selector = _hyperparameter(scope.randint(len(items)), name, "spec.choice")
    return wrap(scope.switch(selector, *items), transform)


def random_bit(name: str | None = None) -> Apply:
    """0 or 1.

    Raises:
        InvalidLabel: `name` is not usable text.
    """
    return random_int(2, name)


def random_bool(name: str | None = None) -> Apply:
    """False or True.

    Raises:
        InvalidLabel: `name` is not usable text.
    """
    return choice([False, True], name=name)


def random_int(n: Any, name: str | None = None) -> Apply:
    """An integer from 0 to n - 1, all equally likely.

    Raises:
        BadSearchSpace: n is not a whole number, or less than 1.
        InvalidLabel: `name` is not usable text.
    """
    return scope.int(_hyperparameter(scope.randint(n), name, f"spec.random_int({n!r})"))


def _hyperparameter(distribution: Apply, name: str | None, written: str) -> Apply:
    """The distribution, with a label if it has a name; `written` stands for it in errors."""
    if name is None:
        prior_of(written, distribution)  # raises when an argument makes no sense
        return distribution
    _require_label(name)
    prior_of(name, distribution)
    return scope.hyperopt_param(name, distribution)


def _require_label(name: Any) -> None:
    if not isinstance(name, str):
        raise InvalidLabel(f"a name must be text, not {name!r}; leave it out to use the path")
    if not name or "\0" in name or not _is_unicode(name):
        raise InvalidLabel(f"{name!r} is no usable name; leave it out to use the path")


def _is_unicode(text: str) -> bool:
    """Whether it is without halves of surrogate pairs, which no database can store."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _items(array: Any) -> list[Any]:
    if isinstance(array, np.ndarray) and array.ndim == 1:
        array = array.tolist()  # numpy's scalars become Python's
    is_ordered = isinstance(array, Iterable) and not isinstance(
        array, (str, bytes, Mapping, set, frozenset, Apply)
    )
    if not is_ordered:
        raise BadSearchSpace(
            f"spec.choice was given {array!r}; give a list, in the order that the items' numbers "
            "mean"
        )
    items = list(array)
    if not items:
        raise BadSearchSpace("spec.choice was given no items; give it at least one")
    return items


# --- the user's functions -------------------------------------------------------------


def merge(nodes: Any, function: Any) -> Apply:
    """function(*values): called whenever a configuration is evaluated.

    Args:
        nodes: a node, or a sequence of nodes, constants, and nests that hold nodes.
        function: called with as many arguments. The two may change places.

    Raises:
        InvalidOption: neither of the two is a function.
    """
    if not _is_function(function):
        nodes, function = function, nodes
    if not _is_function(function):
        raise InvalidOption(
            f"spec.merge was given {nodes!r} and {function!r}, neither of which is a function of "
            "values; give one, such as lambda x, y: x + y"
        )
    return scope.call(function, nodes if isinstance(nodes, (list, tuple)) else [nodes])


def _is_function(obj: Any) -> bool:
    # A node can be called, too: that makes another node.
    return callable(obj) and not isinstance(obj, Apply)


def wrap(node: Any, f: Function | None) -> Apply:
    """f(value of the node); the node itself if f is None.

    Raises:
        InvalidOption: f is not a function.
    """
    if f is None:
        return as_apply(node)
    if not _is_function(f):
        raise InvalidOption(f"a transform must be a function of one value, not {f!r}")
    return scope.call(f, [node])
