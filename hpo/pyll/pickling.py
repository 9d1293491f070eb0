"""Pickle graphs that are deeper than Python's stack.

A pickler walks from a node to its inputs by recursion, and a space of a hundred
nested choices is too deep for that. So the first node that a pickler meets brings
the whole graph along as a flat list, inputs first: each node in the list then
finds its inputs pickled already.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hpo.pyll.traversal import dfs

if TYPE_CHECKING:
    from hpo.pyll.graph import Apply

__all__ = ["InputsFirst", "inputs_first", "new_node"]

# Keeps the nodes of a list from bringing lists of their own. Were it ever wrong, a
# pickle would be longer, or its writing deeper, but its meaning the same.
_flattening = threading.local()


class InputsFirst:
    """Pickles as the list of some nodes, which must stand after their inputs."""

    def __init__(self, nodes: list[Apply]) -> None:
        self.nodes = nodes

    def __reduce__(self) -> tuple[Any, ...]:
        # Picklers take items from an iterator one by one, and pickle each at once.
        return list, (), None, self._one_by_one()

    def _one_by_one(self) -> Iterator[Apply]:
        _flattening.active = True
        try:
            yield from self.nodes
        finally:
            _flattening.active = False


def inputs_first(node: Apply) -> InputsFirst | None:
    """What to pickle before `node`; None if that is being done."""
    if getattr(_flattening, "active", False):
        return None
    below = dfs(node)[:-1]
    return InputsFirst(below) if below else None


def new_node(node_type: type[Apply], _inputs: object) -> Apply:
    """An empty node, whose state the pickle sets next; its inputs exist by now."""
    return object.__new__(node_type)
