"""Configurations in columns: {label: tids} beside {label: values}.

    tid  label "x"  label "y"        idxs = {"x": [0, 1], "y": [1]}
    0    0.5        (inactive)       vals = {"x": [0.5, 0.7], "y": [3]}
    1    0.7        3

A document's misc holds its own row in the same form, in lists of at most one
item: {"tid": 0, "idxs": {"x": [0], "y": []}, "vals": {"x": [0.5], "y": []}}.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from hpo.document import Tid
from hpo.exceptions import InvalidTrial

__all__ = ["SONify", "miscs_update_idxs_vals", "spec_from_misc"]

Misc = MutableMapping[str, Any]


def miscs_update_idxs_vals(
    miscs: Sequence[Misc],
    idxs: Mapping[str, Sequence[Tid]],
    vals: Mapping[str, Sequence[Any]],
    assert_all_vals_used: bool = True,
    idxs_map: Mapping[Tid, Tid] | None = None,
) -> Sequence[Misc]:
    """Write columns into the `idxs` and `vals` of the miscs they belong to, in place.

    Args:
        miscs: one for each trial; what their `idxs` and `vals` held is replaced.
        assert_all_vals_used: refuse tids that none of the miscs has; else skip them.
        idxs_map: {tid in `idxs`: tid of the misc}, where the two differ.

    Returns:
        The same `miscs`.

    Raises:
        InvalidTrial: the columns do not fit together, or a tid has no misc.

    Source: hyperopt.base.miscs_update_idxs_vals.
    """
    if set(idxs) != set(vals):
        raise InvalidTrial(
            f"idxs and vals have different labels: {sorted(set(idxs) ^ set(vals), key=str)}"
        )
    renamed = idxs_map or {}
    misc_of = {misc["tid"]: misc for misc in miscs}
    for misc in miscs:
        misc["idxs"] = {label: [] for label in idxs}
        misc["vals"] = {label: [] for label in idxs}
    for label in idxs:
        if len(idxs[label]) != len(vals[label]):
            raise InvalidTrial(
                f"{label!r} has {len(idxs[label])} tids but {len(vals[label])} values"
            )
        for given_tid, value in zip(idxs[label], vals[label], strict=True):
            tid = renamed.get(given_tid, given_tid)
            if tid in misc_of:
                misc_of[tid]["idxs"][label] = [tid]
                misc_of[tid]["vals"][label] = [value]
            elif assert_all_vals_used:
                raise InvalidTrial(f"{label!r} has a value for trial {tid!r}, which has no misc")
    return miscs


def spec_from_misc(misc: Mapping[str, Any]) -> dict[str, Any]:
    """{label: value} of the labels that are active in a misc; a choice by its index.

    Raises:
        InvalidTrial: a label has several values.

    Source: hyperopt.base.spec_from_misc.
    """
    for label, values in misc["vals"].items():
        if len(values) > 1:
            raise InvalidTrial(
                f"{label!r} has {len(values)} values in one trial; a trial has at most one", misc
            )
    return {label: values[0] for label, values in misc["vals"].items() if len(values)}


def SONify(arg: Any, memo: Any = None) -> Any:
    """Copy `arg` with numpy's numbers and arrays as Python's numbers and lists, for BSON.

    Unlike `hpo.document.plain`, tuples stay tuples and keys may be of any plain type.

    Args:
        memo: taken for compatibility; not needed.

    Raises:
        TypeError: a part of it is nothing that BSON can hold.

    Source: hyperopt.base.SONify.
    """
    if isinstance(arg, np.bool_):
        return bool(arg)
    if isinstance(arg, np.ndarray):
        return SONify(arg.tolist())
    if isinstance(arg, np.generic):
        return SONify(arg.item())
    if isinstance(arg, Mapping):
        return {SONify(key): SONify(value) for key, value in arg.items()}
    if isinstance(arg, (list, tuple)):
        return type(arg)([SONify(item) for item in arg])
    is_plain = isinstance(arg, (str, bytes, bool, int, float, type(None), datetime))
    if is_plain or type(arg).__module__.startswith("bson."):
        return arg
    raise TypeError(
        f"{arg!r} is of type {type(arg).__name__}, which no document can hold; "
        "give numbers, text, bytes, dates, lists and dictionaries"
    )
