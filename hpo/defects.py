"""Defects: what keeps a document in the collection of trials from being a trial.

Anybody who can write to the database can put anything there, from a typing
error in mongosh to what is meant to do harm. Such a document must stop neither
the driver nor a worker: it is set aside, and named. What is looked at here is
what the program relies on; the rest of a document is its author's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from numbers import Integral
from os import PathLike
from typing import Any

from hpo.document import JOB_STATE_DONE, JOB_STATES
from hpo.exceptions import InvalidTrial

# Of tids, numbers and lost attempts: they grow by one, and must not pass 64 bits.
MAX_COUNT = 2**53
# A space of a thousand labels is large.
MAX_LABELS = 20_000
MAX_SHOWN_CHARS = 60

_HASH = re.compile("[0-9a-zA-Z_.:-]{1,128}")


def check_insertable(trial: Mapping[str, Any], *, any_tid: bool = False) -> None:
    """Raise InvalidTrial unless a document that is about to be stored is a trial.

    Args:
        any_tid: whatever can be a key of a dictionary is good enough as a tid.
    """
    for name in ("tid", "exp_key", "state"):
        if name not in trial:
            raise InvalidTrial(f"trial lacks {name!r}; build it with new_trial", trial)
    why = defect(trial, any_tid=any_tid)
    if why is not None:
        raise InvalidTrial(f"trial {_shown(trial['tid'])} is no trial: {why}", trial)


def defect(
    trial: Mapping[str, Any],
    fields: Collection[str] | None = None,
    *,
    any_tid: bool = False,
) -> str | None:
    """Why a document cannot be used as a trial, in words; None if it can.

    Args:
        fields: what was fetched of it (dotted names); None: all of it.
        any_tid: ids need be neither numbers nor text.
    """
    for name, value in trial.items():
        check = _CHECKS.get(name)
        if check is None or check(value) or (any_tid and check is _is_tid):
            continue
        return f"{name} is {_shown(value)} instead of {_RULES[name][1]}"
    for name in ("tid", "state"):
        if name not in trial:
            return f"it has no {name}"
    if trial["state"] == JOB_STATE_DONE and "result" not in trial and _is_asked("result", fields):
        return "it is done and has no result"
    misc = trial.get("misc")
    if misc is None:
        return "it has no misc" if _is_asked("misc", fields) else None
    return _defect_of_misc(trial, misc, fields, any_tid)


def _defect_of_misc(
    trial: Mapping[str, Any],
    misc: Mapping[str, Any],
    fields: Collection[str] | None,
    any_tid: bool,
) -> str | None:
    if "vals" in misc:
        if (found := _defect_of_values(misc["vals"])) is not None:
            return found
    elif fields is None or "misc" in fields or "misc.vals" in fields:
        return "it has no misc.vals"
    if "tid" in misc and misc["tid"] != trial["tid"]:
        return f"tid is {_shown(trial['tid'])} but misc.tid is {_shown(misc['tid'])}"
    source = misc.get("from_tid")
    if not (source is None or any_tid or _is_tid(source)):
        return f"misc.from_tid is {_shown(source)} instead of a number or text"
    workdir = misc.get("workdir")
    if not (
        workdir is None or (isinstance(workdir, (str, PathLike)) and "\0" not in str(workdir))
    ):
        return f"misc.workdir is {_shown(workdir)} instead of a path"
    return None


def _defect_of_values(vals: Any) -> str | None:
    if not _is_document(vals):
        return f"misc.vals is {_shown(vals)} instead of {{label: [value]}}"
    if len(vals) > MAX_LABELS:
        return f"misc.vals has {len(vals)} labels, more than {MAX_LABELS}"
    for values in vals.values():
        if type(values) is list and len(values) <= 1:
            continue  # nearly always
        if not (_is_row(values) and len(values) <= 1):
            [label, *_] = [label for label, given in vals.items() if given is values]
            return f"misc.vals[{_shown(label)}] is {_shown(values)} instead of [] or [value]"
    return None


def _is_row(values: Any) -> bool:
    # Databases know lists alone; who inserts may bring tuples and arrays.
    return isinstance(values, (list, tuple)) or getattr(values, "ndim", None) == 1


def _is_asked(name: str, fields: Collection[str] | None) -> bool:
    return fields is None or any(field.partition(".")[0] == name for field in fields)


def _is_tid(value: Any) -> bool:
    if type(value) is int:  # nearly always
        return -MAX_COUNT < value < MAX_COUNT
    if isinstance(value, Integral):
        return not isinstance(value, bool) and abs(int(value)) < MAX_COUNT
    return isinstance(value, str) or type(value).__name__ == "ObjectId"


def is_count(value: Any) -> bool:
    """Whether a value counts something: a whole number from 0, with room for more."""
    if type(value) is int:  # nearly always
        return 0 <= value < MAX_COUNT
    if isinstance(value, Integral) and not isinstance(value, bool):
        return 0 <= int(value) < MAX_COUNT
    return isinstance(value, float) and 0 <= value < MAX_COUNT and value == int(value)


def _is_state(value: Any) -> bool:
    return is_count(value) and value in JOB_STATES


def _is_hash(value: Any) -> bool:
    return value is None or (isinstance(value, str) and _HASH.fullmatch(value) is not None)


def _is_document(value: Any) -> bool:
    return isinstance(value, (dict, Mapping))


def _is_name(value: Any) -> bool:
    return value is None or (isinstance(value, str) and "\0" not in value)


def _is_result(value: Any) -> bool:
    if not _is_document(value):
        return False
    loss = value.get("loss")
    # Text or None is no loss, and harms nobody; what holds other values does.
    return not isinstance(loss, (list, dict)) and isinstance(value.get("status", ""), str)


def _is_report(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and is_count(value.get("step"))
        and isinstance(value.get("loss"), (int, float))
    )


def _are_reports(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_report, value))


def _is_time(value: Any) -> bool:
    return value is None or isinstance(value, datetime)


def _is_error(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2)


# What a field must be, and how a person calls that.
_Rule = tuple[Callable[[Any], bool], str]

_COUNT = "a whole number"
_RULES: dict[str, _Rule] = {
    "tid": (_is_tid, "a number or text"),
    "state": (_is_state, f"one of {JOB_STATES}"),
    "exp_key": (_is_name, "text or null"),
    "number": (is_count, _COUNT),
    "lost_attempts": (lambda value: value is None or is_count(value), _COUNT),
    "max_attempts": (lambda value: value is None or is_count(value), _COUNT),
    "misc": (_is_document, "a document"),
    "params": (_is_document, "a document"),
    "result": (_is_result, "a document with a status and at most one loss"),
    "objective": (_is_hash, "a hash"),
    "reports": (_are_reports, "a list of {step, loss}"),
    "last_report": (_is_report, "{step, loss}"),
    "continues": (_is_tid, "a number or text"),
    "line": (is_count, _COUNT),
    "settled_step": (is_count, _COUNT),
    "book_time": (_is_time, "a date"),
    "refresh_time": (_is_time, "a date"),
    "finish_time": (_is_time, "a date"),
    "error": (_is_error, "[type, text]"),
}


_CHECKS = {name: check for name, (check, _) in _RULES.items()}


def _shown(value: Any) -> str:
    """A value for a message, however large it is."""
    if isinstance(value, (str, bytes)):
        text = repr(value[:MAX_SHOWN_CHARS])
    elif isinstance(value, (Mapping, list)):
        text = f"a {'document' if isinstance(value, Mapping) else 'list'} of {len(value)}"
    else:
        text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"
