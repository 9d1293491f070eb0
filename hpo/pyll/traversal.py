"""Walks over an expression graph, and copies of it.

All are iterative: how deeply a space may nest is not limited by Python's stack.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from hpo.exceptions import BadSearchSpace

if TYPE_CHECKING:
    from hpo.pyll.graph import Apply

__all__ = ["clone", "clone_merge", "dfs", "toposort"]

_COMPARABLE = (bool, int, float, complex, str, bytes, type(None))


def dfs(expr: Apply) -> list[Apply]:
    """Every node of the graph once, each after its inputs; `expr` comes last."""
    order: list[Apply] = []
    seen = {expr}
    path = [(expr, iter(expr.inputs()))]
    while path:
        node, inputs = path[-1]
        for child in inputs:
            if child not in seen:
                seen.add(child)
                path.append((child, iter(child.inputs())))
                break
        else:
            path.pop()
            order.append(node)
    return order


def toposort(expr: Apply) -> list[Apply]:
    """As `dfs`, for a graph that may have been edited into a loop.

    Raises:
        BadSearchSpace: a node is its own input, directly or through others.
    """
    order = dfs(expr)
    position = {node: index for index, node in enumerate(order)}
    for node in order:
        if any(position[child] >= position[node] for child in node.inputs()):
            raise BadSearchSpace(
                f"the node {node.name!r} is an input of itself; undo the replace_input or "
                "set_kwarg that closed the loop"
            )
    return order


def clone(expr: Apply, memo: dict[Apply, Apply] | None = None) -> Apply:
    """Copy a graph.

    Args:
        memo: {node: what to put in its place}; it is completed with the copies.
            `clone(space, {node: as_apply(1)})` fixes a node's value.
    """
    copies = {} if memo is None else memo
    for node in dfs(expr):
        if node not in copies:
            copies[node] = node.clone_from_inputs([copies[child] for child in node.inputs()])
    return copies[expr]


def clone_merge(
    expr: Apply, memo: dict[Apply, Apply] | None = None, merge_literals: bool = False
) -> Apply:
    """Copy a graph so that equal pure operations on equal inputs are one node.

    Args:
        memo: as for `clone`.
        merge_literals: make equal numbers and texts one node, too.
    """
    copies = {} if memo is None else memo
    first: dict[Hashable, Apply] = {}
    for node in dfs(expr):
        if node in copies:
            continue
        inputs = [copies[child] for child in node.inputs()]
        key = _merge_key(node, inputs, merge_literals)
        if key not in first:
            first[key] = node.clone_from_inputs(inputs)
        copies[node] = first[key]
    return copies[expr]


def _merge_key(node: Apply, inputs: list[Apply], merge_literals: bool) -> Hashable:
    """Equal for nodes that may become one; the node itself when it must stay alone."""
    if not node.pure:
        return node
    if node.name == "literal":
        constant: Any = getattr(node, "obj", None)
        if merge_literals and type(constant) in _COMPARABLE:
            # repr tells 0.0 from -0.0 and finds nan equal to itself.
            return type(constant), repr(constant)
        return node
    keywords = tuple(keyword for keyword, _ in node.named_args)
    return node.name, keywords, tuple(inputs)
