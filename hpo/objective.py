"""The objective as bytes: how a Domain travels from the driver to the workers.

    hpo-signed 1 <key id> <HMAC>⏎          the seal (`hpo.signing`), over all that follows
    {"what": "objective", …}⏎              the header: whose it is, of what kind, made when
    the Domain                             "pickle": cloudpickled; "names": JSON, no code

It is stored once per experiment, under a hash of the key's id, the header (but
for the time) and the Domain: the same objective is never stored twice, a new
one never overwrites what running workers use, and none can take the place of
another. A worker unpickles only what `verify` has accepted.
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
from datetime import datetime, timezone
from typing import Any

from hpo import stopping
from hpo.by_name import NamedFunction, import_by_name
from hpo.domain import Domain
from hpo.exceptions import (
    BadSearchSpace,
    BadSignature,
    InvalidOption,
    UnloadableObjective,
    UnpicklableObjective,
    UntrustedObjective,
)
from hpo.pyll.as_data import graph_as_data, graph_from_data
from hpo.signing import KeyRing
from hpo.store.base import Store

PURPOSE = "objective"
NO_PICKLE_VARIABLE = "HPO_NO_PICKLE"

_FORMAT = 2
_PICKLE, _NAMES = "pickle", "names"


@dataclass(frozen=True)
class Packed:
    """A Domain as signed bytes, with the hash under which it is stored."""

    sha256: str
    payload: bytes


@dataclass(frozen=True)
class Verified:
    """What a trusted payload holds; only `verify` makes one.

    Attributes:
        header: {"exp_key", "kind", "name", "python", …}.
        body: the Domain, as the header's "kind" says.
    """

    header: dict[str, Any]
    body: bytes


# --- in the driver --------------------------------------------------------------------


def pack(
    domain: Domain, exp_key: str | None, keys: KeyRing, *, now: datetime | None = None
) -> Packed:
    """Turn a Domain into signed bytes that another process can rebuild.

    Args:
        exp_key: the only experiment that they are good for.
        keys: the first one signs.
        now: when it is made; default the present time.

    Raises:
        UnpicklableObjective: the text names the variable that cannot travel, and why.
    """
    kind, body = _body_of(domain)
    header = {
        "what": PURPOSE,
        "format": _FORMAT,
        "kind": kind,
        "exp_key": exp_key,
        "name": domain.name,
        "python": platform.python_version(),
        "created": (now or datetime.now(timezone.utc)).isoformat(timespec="seconds"),
    }
    payload = keys.seal(json.dumps(header).encode() + b"\n" + body, PURPOSE)
    return Packed(_identity(keys.ids[0], header, body), payload)


def publish(store: Store, exp_key: str | None, packed: Packed, keys: KeyRing) -> None:
    """Store an objective, unless it is there and workers will accept it."""
    try:
        verify(store.get_objective(packed.sha256), packed.sha256, exp_key, keys)
    except (KeyError, UnloadableObjective):
        store.put_objective(exp_key, packed.sha256, packed.payload)


def _identity(key_id: str, header: dict[str, Any], body: bytes) -> str:
    lasting = {key: value for key, value in header.items() if key != "created"}
    identity = hashlib.sha256(json.dumps([key_id, lasting], sort_keys=True).encode() + b"\n")
    identity.update(body)
    return identity.hexdigest()


def _body_of(domain: Domain) -> tuple[str, bytes]:
    if isinstance(domain.fn, NamedFunction):
        return _NAMES, json.dumps(_as_names(domain, domain.fn)).encode()
    try:
        return _PICKLE, _pickled(domain)
    except Exception as error:  # pickling runs user-defined __reduce__: it can raise anything
        raise UnpicklableObjective(_explain_unpicklable(domain, error)) from error


def _as_names(domain: Domain, fn: NamedFunction) -> dict[str, Any]:
    try:
        space = {"name": fn.space} if fn.space else {"graph": graph_as_data(domain.expr)}
    except BadSearchSpace as error:
        module = fn.reference.partition(":")[0]
        raise UnpicklableObjective(
            f"the space of {fn.reference!r} cannot be sent to workers: {error}. Give the space "
            f"by name as well (space='{module}:SPACE'), or the function itself instead of its "
            "name. No trial was written."
        ) from error
    return {
        "function": fn.reference,
        "by_keyword": fn.by_keyword,
        "space": space,
        "space_digest": domain.space.digest,
        "workdir": domain.workdir,
        "pass_expr_memo_ctrl": domain.pass_expr_memo_ctrl,
        "name": domain.name,
        "loss_target": domain.loss_target,
        "stopper": _stopper_as_data(domain),
    }


def _stopper_as_data(domain: Domain) -> dict[str, Any] | None:
    if domain.stopper is None:
        return None
    try:
        return stopping.as_data(domain.stopper)
    except InvalidOption as error:
        raise UnpicklableObjective(f"{error}. No trial was written.") from error


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


# --- in the worker ----------------------------------------------------------------------


def verify(
    payload: bytes,
    sha256: str,
    exp_key: str | None,
    keys: KeyRing,
    *,
    may_unpickle: bool = True,
) -> Verified:
    """Return what a stored objective holds, if it is the one that `sha256` names.

    Nothing behind the seal is looked at before the seal holds.

    Args:
        exp_key: the experiment of the trial that is to be evaluated.
        keys: those that are accepted.
        may_unpickle: accept objectives that are pickled.

    Raises:
        UntrustedObjective: it is not for this experiment, or nobody with a key made it so.
        UnloadableObjective: a newer hpo made it.
    """
    try:
        content = keys.open(payload, PURPOSE)
    except BadSignature as error:
        raise UntrustedObjective(exp_key, _explain_refusal(error)) from error
    line, _, body = content.partition(b"\n")
    header = json.loads(line)
    if header["format"] != _FORMAT:
        raise UnloadableObjective(
            f"the stored objective has the unknown format {header['format']!r}; "
            "install the same version of hpo on driver and workers"
        )
    signed_by = payload.split(b" ", 3)[2].decode()
    if header["exp_key"] != exp_key:
        raise UntrustedObjective(
            exp_key,
            f"it was signed for experiment {header['exp_key']!r}. Run the driver of {exp_key!r}: "
            "it signs an objective of its own",
            is_misplaced=True,
        )
    if _identity(signed_by, header, body) != sha256:
        raise UntrustedObjective(
            exp_key,
            f"under the name {sha256[:12]}… stands another objective, {header['name']!r} of "
            f"{header['created']}. Start the driver again: it puts its own there",
        )
    if header["kind"] != _NAMES and not may_unpickle:
        raise UntrustedObjective(
            exp_key,
            f"it is pickled, and this worker was started with --no-pickle (or "
            f"${NO_PICKLE_VARIABLE}). Give fmin the objective's name, 'package.module:function'",
        )
    return Verified(header, body)


def unpack(objective: Verified) -> Domain:
    """Rebuild the Domain: this runs the code of whoever signed it.

    Raises:
        UnloadableObjective: the text says what is missing here and what to do about it.
    """
    rebuild = _from_names if objective.header["kind"] == _NAMES else _unpickled
    try:
        domain = rebuild(objective.body)
    except UnloadableObjective:
        raise
    except Exception as error:  # unpickling imports and runs user code: it can raise anything
        raise UnloadableObjective(_explain_unloadable(objective.header, error)) from error
    if not isinstance(domain, Domain):
        raise UnloadableObjective(
            f"the stored objective is a {type(domain).__name__}, not a Domain; "
            "was it written by another program?"
        )
    return domain


def _unpickled(body: bytes) -> Any:
    import cloudpickle

    return cloudpickle.loads(body)


def _from_names(body: bytes) -> Domain:
    named = json.loads(body)
    space = named["space"]
    fn = NamedFunction(named["function"], by_keyword=named["by_keyword"])
    _ = fn.func  # here, where a missing module is the worker's fault and not the trial's
    domain = Domain(
        fn,
        import_by_name(space["name"]) if "name" in space else graph_from_data(space["graph"]),
        workdir=named["workdir"],
        pass_expr_memo_ctrl=named["pass_expr_memo_ctrl"],
        name=named["name"],
        loss_target=named["loss_target"],
    )
    if named.get("stopper") is not None:
        domain.stopper = stopping.from_data(named["stopper"])
    if domain.space.digest != named["space_digest"]:
        raise UnloadableObjective(
            f"the search space {space.get('name', 'of the objective')!r} is another one here than "
            "in the driver; bring the module to the same version on driver and worker, and "
            "start the worker again"
        )
    return domain


def _explain_refusal(error: BadSignature) -> str:
    if error.is_foreign:
        return (
            f"{error}. Give this worker the driver's key (the file ~/.config/hpo/key with mode "
            "0600, or $HPO_KEY) and start it again; `hpo key` shows the id of a machine's key"
        )
    return (
        f"{error}. Start the driver again: it stores its objective anew. If it happens again, "
        "somebody else writes to the database"
    )


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
