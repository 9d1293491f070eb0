"""The objective as bytes: how a Domain travels from the driver to the workers.

A payload is one line of JSON (who wrote it, with which Python), a newline, and
the cloudpickled Domain. It is stored once per experiment under the SHA-256 of
all its bytes, so the same objective is never stored twice and a new one never
overwrites what running workers use.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hpo.domain import Domain
from hpo.exceptions import UnloadableObjective, UnpicklableObjective

_FORMAT = 1


@dataclass(frozen=True)
class Packed:
    """A Domain as bytes, with the content hash under which it is stored."""

    sha256: str
    payload: bytes


def pack(domain: Domain) -> Packed:
    """Turn a Domain into bytes that another process can rebuild.

    Raises:
        UnpicklableObjective: the text names the variable that cannot be pickled, and why.
    """
    try:
        pickled = _pickled(domain)
    except Exception as error:  # pickling runs user-defined __reduce__: it can raise anything
        raise UnpicklableObjective(_explain_unpicklable(domain, error)) from error
    header = json.dumps(
        {"format": _FORMAT, "name": domain.name, "python": platform.python_version()}
    )
    payload = header.encode() + b"\n" + pickled
    return Packed(hashlib.sha256(payload).hexdigest(), payload)


def _pickled(thing: Any) -> bytes:
    import cloudpickle

    # In a process started by multiprocessing the user's script goes by another
    # name than __main__. cloudpickle would refer to it by that name, and no
    # worker could import it.
    script = sys.modules.get("__mp_main__")
    if script is None:
        return bytes(cloudpickle.dumps(thing))
    cloudpickle.register_pickle_by_value(script)
    try:
        return bytes(cloudpickle.dumps(thing))
    finally:
        cloudpickle.unregister_pickle_by_value(script)


def unpack(payload: bytes) -> Domain:
    """Rebuild the Domain from its bytes.

    Raises:
        UnloadableObjective: the text says what is missing here and what to do about it.
    """
    header, pickled = _split(payload)
    import cloudpickle

    try:
        domain = cloudpickle.loads(pickled)
    except Exception as error:  # unpickling imports and runs user code: it can raise anything
        raise UnloadableObjective(_explain_unloadable(header, error)) from error
    if not isinstance(domain, Domain):
        raise UnloadableObjective(
            f"the stored objective is a {type(domain).__name__}, not a Domain; "
            "was it written by another program?"
        )
    return domain


def _split(payload: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, pickled = payload.partition(b"\n")
    try:
        header = json.loads(line)
    except ValueError as error:
        raise UnloadableObjective(
            "the stored objective has no readable header; was it written by another program?"
        ) from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise UnloadableObjective(
            f"the stored objective has the unknown format {header!r}; "
            "install the same version of hpo on driver and workers"
        )
    return header, pickled


def _explain_unloadable(header: dict[str, Any], error: Exception) -> str:
    name = header.get("name")
    cause = f"{type(error).__name__}: {error}"
    theirs, ours = str(header.get("python")), platform.python_version()
    if isinstance(error, ModuleNotFoundError):
        return (
            f"objective {name!r} needs the module {error.name!r}, which this worker cannot import "
            f"({cause}). Install it here ({sys.executable} -m pip install …), or start the worker "
            "where the module lies (its directory on PYTHONPATH)."
        )
    if theirs.rpartition(".")[0] != ours.rpartition(".")[0]:
        return (
            f"objective {name!r} was pickled by Python {theirs}, but this worker runs {ours} "
            f"({cause}). Start the worker with Python {theirs.rpartition('.')[0]}."
        )
    return (
        f"objective {name!r} cannot be rebuilt on this worker ({cause}). Install the same "
        "versions of the packages it uses on driver and worker."
    )


def _explain_unpicklable(domain: Domain, error: Exception) -> str:
    culprit = _find_culprit(domain)
    where = f"{culprit[0]} ({type(culprit[1]).__name__})" if culprit else "something it refers to"
    return (
        f"objective {domain.name!r} cannot be sent to workers: {where} cannot be pickled "
        f"({type(error).__name__}: {error}). Create it inside the objective instead of outside. "
        "No trial was written."
    )


def _find_culprit(domain: Domain) -> tuple[str, Any] | None:
    """The innermost named thing that makes pickling fail, or None."""
    named: tuple[str, Any] | None = None
    candidates = [("the search space", domain.expr), ("the function", domain.fn)]
    seen: set[int] = set()
    while candidates:
        for name, thing in candidates:
            if id(thing) not in seen and not _can_pickle(thing):
                seen.add(id(thing))
                named = (name, thing)
                candidates = list(_named_parts(name, thing))
                break
        else:
            break
    return named


def _can_pickle(thing: Any) -> bool:
    try:
        _pickled(thing)
    except Exception:  # any failure is the answer
        return False
    return True


def _named_parts(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """What pickling `thing` would also pickle, with names a user can recognise."""
    if isinstance(thing, functools.partial):
        yield f"the function {_name_of(thing.func)!r}", thing.func
        for index, argument in enumerate(thing.args):
            yield f"argument {index} of {name}", argument
        for key, argument in (thing.keywords or {}).items():
            yield f"argument {key!r} of {name}", argument
    elif inspect.ismethod(thing):
        yield f"the object that method {thing.__name__!r} belongs to", thing.__self__
    elif inspect.isfunction(thing):
        for variable, value in inspect.getclosurevars(thing).nonlocals.items():
            yield f"the variable {variable!r} of {_name_of(thing)}", value
        for variable, value in inspect.getclosurevars(thing).globals.items():
            yield f"the global variable {variable!r}", value
        for value in thing.__defaults__ or ():
            yield f"a default argument of {_name_of(thing)}", value
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield f"{name}[{key!r}]", value
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for index, value in enumerate(thing):
            yield f"{name}[{index}]", value
    elif hasattr(thing, "__dict__"):
        for attribute, value in vars(thing).items():
            yield f"attribute {attribute!r} of {name}", value


def _name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)
