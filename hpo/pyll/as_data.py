"""Expressions as plain data: a graph that travels as JSON instead of as a pickle.

    {"x": 1 - hp.uniform("x", 0, 1)}  <->  [["literal", "x"], ["literal", 0], …,
                                            ["dict", [], {"x": 6}, 1, true]]

A node stands after its inputs, which it names by their places; the last one is
the whole expression. Data holds no code: an operation is named, and can only
be one that every process knows that imports hpo.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpo.exceptions import BadSearchSpace
from hpo.pyll.graph import Apply, Literal
from hpo.pyll.symbols import scope
from hpo.pyll.traversal import toposort

__all__ = ["graph_as_data", "graph_from_data"]

_LITERAL = "literal"


def graph_as_data(expr: Apply) -> list[list[Any]]:
    """The graph as lists, dictionaries with text as keys, text, numbers and None.

    Raises:
        BadSearchSpace: it holds a constant or an operation that is not plain data.
    """
    order = toposort(expr)
    place = {node: index for index, node in enumerate(order)}
    return [_node_as_data(node, place) for node in order]


def graph_from_data(data: list[list[Any]]) -> Apply:
    """The graph that `graph_as_data` made.

    Raises:
        BadSearchSpace: it is not such data.
    """
    nodes: list[Apply] = []
    try:
        for row in data:
            nodes.append(_node_from_data(row, nodes))
        return nodes[-1]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise BadSearchSpace(
            f"this is no search space as data ({type(error).__name__}: {error}); install the "
            "same version of hpo on driver and workers"
        ) from error


def _node_as_data(node: Apply, place: dict[Apply, int]) -> list[Any]:
    if isinstance(node, Literal):
        return [_LITERAL, _plain_constant(node.obj)]
    if not scope.is_builtin(node.name):
        raise BadSearchSpace(
            f"the operation {node.name!r} is not one of hpo's own, so it cannot travel as data"
        )
    return [
        node.name,
        [place[argument] for argument in node.pos_args],
        {keyword: place[argument] for keyword, argument in node.named_args},
        node.o_len,
        node.pure,
    ]


def _node_from_data(row: list[Any], earlier: list[Apply]) -> Apply:
    if row[0] == _LITERAL:
        _, constant = row
        return Literal(constant)
    name, pos_args, named_args, o_len, pure = row
    if not scope.is_builtin(name):
        raise ValueError(f"unknown operation {name!r}")
    return Apply(
        name,
        [earlier[index] for index in pos_args],
        [(keyword, earlier[index]) for keyword, index in named_args.items()],
        o_len,
        pure,
    )


def _plain_constant(constant: Any) -> Any:
    if isinstance(constant, np.generic):
        # As a hyperparameter's value in a stored trial: numpy's numbers become Python's.
        constant = constant.item()
    if constant is None or type(constant) in (bool, int, float, str):
        return constant
    raise BadSearchSpace(
        f"the constant {constant!r} ({type(constant).__name__}) is neither a number nor text, "
        "so it cannot travel as data"
    )
