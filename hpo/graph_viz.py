"""A search space drawn: which hyperparameter hangs on which choice.

    print(dot_hyperparameters(space), file=open("space.dot", "w"))
    $ dot -Tpng space.dot > space.png

A box is a hyperparameter, an ellipse a value of a choice that something hangs
on. Arrows point the way a configuration is drawn: from a choice to its value,
and from there to what is active only then; or straight to a hyperparameter
whose distribution is computed from another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpo.pyll import as_apply
from hpo.space import Alternative, Hyperparameter, Space

__all__ = ["dot_hyperparameters"]


def dot_hyperparameters(expr: Any) -> str:
    """The graph of a search space in the language of Graphviz's `dot`.

    Raises:
        BadSearchSpace: the space cannot mean anything.

    Source: hyperopt.graph_viz.dot_hyperparameters.
    """
    space = Space(as_apply(expr))
    lines = [
        line
        for parameter in space.hyperparameters.values()
        for line in _lines_of(parameter, order=list(space.hyperparameters))
    ]
    return "\n".join(["digraph {", *dict.fromkeys(lines), "}"]) + "\n"


def _lines_of(parameter: Hyperparameter, order: list[str]) -> Iterator[str]:
    yield _node(parameter.label, shape="box")
    for alternative in parameter.conditions:
        yield from _lines_into(parameter.label, alternative, order)
    asked = {label for alternative in parameter.conditions for label, _ in alternative}
    for parent in sorted(parameter.parents - asked, key=order.index):
        yield _edge(parent, parameter.label)


def _lines_into(label: str, alternative: Alternative, order: list[str]) -> Iterator[str]:
    """From the choices that an alternative asks about to the hyperparameter it makes active."""
    pairs = sorted(alternative, key=lambda pair: order.index(pair[0]))
    values = [f"{choice}={value}" for choice, value in pairs]
    together = " & ".join(values)
    for (choice, _), value in zip(pairs, values, strict=True):
        yield _node(value, shape="ellipse")
        yield _edge(choice, value)
        if value != together:
            yield _edge(value, together)
    if pairs:
        yield _node(together, shape="ellipse")
        yield _edge(together, label)


def _node(name: str, shape: str) -> str:
    return f"{_quoted(name)} [ shape={shape}];"


def _edge(source: str, target: str) -> str:
    return f"{_quoted(source)} -> {_quoted(target)};"


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
