"""Show an expression graph as a numbered tree.

    0 dict
    1  lr =
    2   float
    3     hyperopt_param
    4       Literal{lr}
    5       uniform
    6         Literal{0}
    7         Literal{1}

A node that stands in two places is written out once; after that, its line is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from hpo.pyll.graph import Apply

__all__ = ["print_tree"]


def print_tree(
    node: Apply, ofile: TextIO, line: list[int], indent: int, written: dict[Apply, str]
) -> None:
    """Write a graph, two spaces for each level.

    Args:
        line: holds the number of the next line, and is advanced.
        indent: spaces before the first line's text.
        written: {node: how to refer to it}, and is completed.
    """
    todo: list[tuple[int, str | Apply]] = [(indent, node)]
    while todo:
        depth, item = todo.pop()
        if isinstance(item, str):
            text = item
        elif item in written:
            text = written[item]
        else:
            text = item.summary()
            written[item] = f"{text}  [line:{line[0]}]"
            todo.extend(reversed(list(_below(item, depth))))
        print(line[0], " " * depth + text, file=ofile)
        line[0] += 1


def _below(node: Apply, depth: int) -> Iterator[tuple[int, str | Apply]]:
    for child in node.pos_args:
        yield depth + 2, child
    for keyword, child in node.named_args:
        yield depth + 1, f"{keyword} ="
        yield depth + 2, child
