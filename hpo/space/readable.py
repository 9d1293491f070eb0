"""Values and expressions as people and databases read them.

plain_value     a Python object as None, numbers, text, lists and dictionaries
short_name      what to call an object that has no such form
expression_text an expression on one line, the same in every process
"""

from __future__ import annotations

import datetime
import enum
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.pyll import Apply, Literal
from hpo.space.structure import label_of

__all__ = ["TooLarge", "expression_text", "plain_value", "short_name"]

MAX_DEPTH = 8
MAX_LEAVES = 200
MAX_TEXT_LENGTH = 1000
MAX_EXPRESSION_DEPTH = 6
MAX_EXPRESSION_LENGTH = 300

_PLAIN_TYPES = (bool, int, float, str, bytes, datetime.datetime, type(None))
_INT64_BOUND = 2**63


class TooLarge(Exception):
    """The value would fill the document that shows it."""


def plain_value(value: Any) -> Any:
    """`value` made of None, bool, int, float, str, bytes, datetime, list and dict.

    Tuples and small arrays become lists, numpy's scalars Python's, and keys text;
    any other object inside becomes its short name.

    Raises:
        TooLarge: it nests deeper than 8 levels, has more than 200 parts, or has text of
            more than 1,000 letters.
    """
    return _Budget().plain(value)


class _Budget:
    """Converts one value, counting its leaves and containers."""

    def __init__(self) -> None:
        self._left = MAX_LEAVES

    def plain(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise TooLarge
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
            value = value.item()
        if isinstance(value, np.ndarray):
            if value.size > self._left:
                raise TooLarge
            value = value.tolist()
        if isinstance(value, Mapping):
            return {str(key): self.plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(item, depth + 1) for item in value]
        return self._leaf(value)

    @staticmethod
    def _leaf(value: Any) -> Any:
        if isinstance(value, (str, bytes)) and len(value) > MAX_TEXT_LENGTH:
            raise TooLarge
        if type(value) not in _PLAIN_TYPES:
            return short_name(value)
        if isinstance(value, int) and not -_INT64_BOUND <= value < _INT64_BOUND:
            return str(value)  # databases hold 64 bits
        return value


def short_name(obj: Any) -> str:
    """A function's or class's qualified name; any other object's type."""
    if isinstance(obj, functools.partial):
        return f"partial({short_name(obj.func)})"
    if isinstance(obj, enum.Enum):
        return str(obj)
    return str(getattr(obj, "__qualname__", None) or type(obj).__qualname__)


def expression_text(node: Apply) -> str:
    """An expression on one line, without anything that differs between processes.

    Hyperparameters appear by their labels; what nests too deeply, or is too long, as "…".
    """
    text = _text(node, MAX_EXPRESSION_DEPTH)
    return text if len(text) <= MAX_EXPRESSION_LENGTH else text[:MAX_EXPRESSION_LENGTH] + "…"


def _text(node: Apply, depth: int) -> str:
    if isinstance(node, Literal):
        return _literal_text(node.obj)
    label = label_of(node)
    if label is not None:
        return label
    if depth == 0:
        return "…"
    positional = [_text(child, depth - 1) for child in node.pos_args]
    named = [(keyword, _text(child, depth - 1)) for keyword, child in node.named_args]
    if node.name == "pos_args":
        return f"[{', '.join(positional)}]"
    if node.name == "dict" and not positional:
        return "{" + ", ".join(f"{keyword}: {text}" for keyword, text in named) + "}"
    return f"{node.name}({', '.join(positional + [f'{k}={text}' for k, text in named])})"


def _literal_text(obj: Any) -> str:
    plain = obj.item() if isinstance(obj, np.generic) else obj
    if isinstance(plain, np.ndarray):
        return f"array{plain.shape}"
    return repr(plain) if type(plain) in _PLAIN_TYPES else short_name(plain)
