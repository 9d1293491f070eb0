"""Objects that stand in for literals of a space while it is evaluated."""

from __future__ import annotations

from typing import Any

from hpo.pyll import Apply, Literal, dfs

__all__ = ["use_obj_for_literal_in_memo"]


def use_obj_for_literal_in_memo(
    expr: Apply, obj: Any, lit: Any, memo: dict[Apply, Any]
) -> dict[Apply, Any]:
    """Let every literal of `expr` that equals `lit` have the value `obj`, in place.

    A space can so name something that exists only when it is evaluated: an
    objective finds its live `Ctrl` where the class `Ctrl` was written.

    Returns:
        The same `memo`, for `pyll.rec_eval`.

    Source: hyperopt.utils.use_obj_for_literal_in_memo.
    """
    for node in dfs(expr):
        if isinstance(node, Literal) and _are_equal(node.obj, lit):
            memo[node] = obj
    return memo


def _are_equal(first: Any, second: Any) -> bool:
    if first is second:
        return True
    try:
        return bool(first == second)
    except ValueError:  # an array equals nothing as a whole
        return False
