"""A mongosh for tests: runs `db.trials.find({state: "done"}).sort({loss: 1})` through pymongo.

It understands what documentation needs: a chain of calls on one collection,
whose arguments are literals with unquoted keys, as in JavaScript. Anything
else is a ValueError with the rest of the text.
"""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
      | (?P<word>[A-Za-z_$][\w$]*)
      | (?P<mark>[{}\[\](),:.])
    )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False, "null": None}
_METHODS = {"countDocuments": "count_documents", "findOne": "find_one"}


def run_query(database: Any, statement: str) -> Any:
    """Run one statement; a cursor comes back as a list."""
    tokens = _Tokens(statement)
    tokens.expect("db")
    tokens.expect(".")
    answer = database[tokens.take("word")]
    while tokens.peek() == ".":
        tokens.expect(".")
        method = tokens.take("word")
        arguments = _arguments(tokens)
        answer = _call(answer, method, arguments)
    tokens.expect_end()
    is_cursor = hasattr(answer, "next")
    return list(answer) if is_cursor else answer


def _call(receiver: Any, method: str, arguments: list[Any]) -> Any:
    if method == "sort":
        arguments = [list(arguments[0].items())]
    return getattr(receiver, _METHODS.get(method, method))(*arguments)


def _arguments(tokens: _Tokens) -> list[Any]:
    tokens.expect("(")
    return _until(tokens, ")", lambda: _value(tokens))


def _value(tokens: _Tokens) -> Any:
    kind, text = tokens.next()
    if text == "{":
        return dict(_until(tokens, "}", lambda: _pair(tokens)))
    if text == "[":
        return _until(tokens, "]", lambda: _value(tokens))
    if kind == "string":
        return json.loads(f'"{text[1:-1]}"')
    if kind == "number":
        return json.loads(text)
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    raise ValueError(f"not a literal: {text!r} before {tokens.rest!r}")


def _pair(tokens: _Tokens) -> tuple[str, Any]:
    kind, text = tokens.next()
    key = text[1:-1] if kind == "string" else text
    tokens.expect(":")
    return key, _value(tokens)


def _until(tokens: _Tokens, end: str, item: Any) -> list[Any]:
    """Items separated by commas, up to the closing mark."""
    items = []
    while tokens.peek() != end:
        items.append(item())
        if tokens.peek() != end:
            tokens.expect(",")
    tokens.expect(end)
    return items


class _Tokens:
    """The tokens of a statement, read from the left."""

    def __init__(self, text: str) -> None:
        self.rest = text.strip()

    def next(self) -> tuple[str, str]:
        found = _TOKEN.match(self.rest)
        if found is None or found.lastgroup is None:
            raise ValueError(f"cannot read {self.rest!r}")
        self.rest = self.rest[found.end() :].lstrip()
        return found.lastgroup, found[found.lastgroup]

    def peek(self) -> str:
        found = _TOKEN.match(self.rest)
        return "" if found is None or found.lastgroup is None else found[found.lastgroup]

    def take(self, kind: str) -> str:
        found, text = self.next()
        if found != kind:
            raise ValueError(f"expected a {kind}, found {text!r} before {self.rest!r}")
        return text

    def expect(self, text: str) -> None:
        _, found = self.next()
        if found != text:
            raise ValueError(f"expected {text!r}, found {found!r} before {self.rest!r}")

    def expect_end(self) -> None:
        if self.rest.strip("; "):
            raise ValueError(f"more than one statement: {self.rest!r}")
