"""Dictionaries with attributes: what the objective gets for `spec.new(…)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hpo.exceptions import BadSearchSpace
from hpo.pyll import Apply
from hpo.spec.functions import pure_call

__all__ = ["NamedDict", "new"]


class NamedDict(dict[Any, Any]):
    """A dictionary whose items are attributes, too: `params.conv.filters`.

    Dictionaries inside become NamedDicts, tuples and lists become lists. An attribute
    that is not a key is None, so optional parts can be asked for without `get`; a
    method's name (`items`, `copy`, …) remains the method, and its item is `params["items"]`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, _with_names(value))

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As `dict.update`."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """As `dict.setdefault`."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self) -> NamedDict:
        """A shallow copy of the same type."""
        return NamedDict(self)

    def __getattr__(self, name: str) -> Any:
        # Python and notebooks ask any object for such names, and would take None for an answer.
        if name.startswith("_") and name not in self:
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"there is no item {name!r}") from None

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *(key for key in self if isinstance(key, str))]

    def __repr__(self) -> str:
        keys = sorted(self, key=str)
        return "{" + ", ".join(f"{key!r}: {_short(self[key])}" for key in keys) + "}"


def _with_names(value: Any) -> Any:
    if type(value) is dict:
        return NamedDict(value)
    # Only these exact types: a subclass, such as a named tuple, means something by itself.
    return [_with_names(item) for item in value] if type(value) in (list, tuple) else value


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    return repr(value)


def new(values: Mapping[Any, Any] | None = None, /, **named: Any) -> Apply:
    """A part of a space that the objective gets as a `NamedDict`.

    Args:
        values: a dictionary of nodes, constants and nests of them; or
        **named: the same as keywords.

    Raises:
        BadSearchSpace: `values` is not a dictionary.
    """
    if values is not None and not isinstance(values, Mapping):
        raise BadSearchSpace(
            f"spec.new was given {values!r}; give a dictionary, or keywords: spec.new(lr=0.1)"
        )
    return pure_call(NamedDict, {**(values or {}), **named})
