"""A dotted name as the object it names: "os.path.join" is the function.

Modules are imported as far as the name goes; the rest are attributes.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo.exceptions import PyllImportError

__all__ = ["get_obj", "import_tokens", "json_call", "json_lookup", "load_tokens"]


def import_tokens(tokens: Sequence[str]) -> tuple[Any, list[str]]:
    """Import as much of a name as is modules.

    Args:
        tokens: the name's words, as in ["os", "path", "join"].

    Returns:
        The innermost module, or None if there is none; and the words left over.

    Source: hyperopt.utils.import_tokens.
    """
    module = None
    for n_words in range(1, len(tokens) + 1):
        name = ".".join(tokens[:n_words])
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # A module that exists but lacks one of its own imports is no attribute.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            return module, list(tokens[n_words - 1 :])
    return module, []


def load_tokens(tokens: Sequence[str]) -> Any:
    """The object that a name's words lead to.

    Raises:
        PyllImportError: there is no such module, or it has no such attribute.

    Source: hyperopt.utils.load_tokens.
    """
    symbol, rest = import_tokens(tokens)
    if symbol is None:
        raise PyllImportError(
            f"no module {tokens[0]!r} to load {'.'.join(tokens)!r} from; install it, or put its "
            "directory on PYTHONPATH"
        )
    for word in rest:
        try:
            symbol = getattr(symbol, word)
        except AttributeError as error:
            raise PyllImportError(f"cannot load {'.'.join(tokens)!r}: {error}") from error
    return symbol


def json_lookup(json: str) -> Any:
    """The object with a dotted name.

    Raises:
        PyllImportError: there is none.
    """
    return load_tokens(json.split("."))


def json_call(json: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
    """Call the object with a dotted name.

    Raises:
        PyllImportError: there is none.
        TypeError: `json` is not text.

    Source: hyperopt.utils.json_call.
    """
    if not isinstance(json, str):
        raise TypeError(f"{json!r} must be a dotted name such as 'package.module.function'")
    return json_lookup(json)(*args, **(kwargs or {}))


def get_obj(
    f: str,
    argfile: str | Path | None = None,
    argstr: bytes | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Call the object with a dotted name, with arguments of which some may be pickled.

    Args:
        argfile, argstr: a file, or bytes, that hold a pickled {"args": …, "kwargs": …};
            what it holds comes after `args` and over `kwargs`. A pickle runs code:
            give only one that you trust.

    Source: hyperopt.utils.get_obj.
    """
    pickled = Path(argfile).read_bytes() if argfile is not None else argstr
    stored = {} if pickled is None else pickle.loads(pickled)
    return json_call(
        f,
        args=(*args, *stored.get("args", ())),
        kwargs={**(kwargs or {}), **stored.get("kwargs", {})},
    )
