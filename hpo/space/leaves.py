"""Distributions without a label get one: their path in the structure.

    {"optimizer": {"lr": scipy.stats.loguniform(1e-5, 1)}}    "optimizer.lr"

A distribution is a frozen one of scipy's, or a node of `scope` such as
`scope.uniform(0, 1)` that is not inside `hyperopt_param`. A path is made of
dictionary keys and of positions in lists, tuples and choices; the choice itself
has the path of the place where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from hpo.pyll import Apply, Literal, dfs, scope
from hpo.pyll.stochastic import implicit_stochastic_symbols
from hpo.space.frozen import is_frozen_distribution

__all__ = ["label_leaves"]

# What a space that is nothing but one distribution calls it.
_ROOT_LABEL = "x"

Path = tuple[str, ...]


def label_leaves(expr: Apply) -> Apply:
    """The space with a label on each distribution; the very same graph if all have one.

    Nodes that hold no unlabelled distribution are kept, not copied.
    """
    nodes = dfs(expr)
    labelled = {
        child for node in nodes if node.name == "hyperopt_param" for child in node.inputs()
    }
    leaves = {node for node in nodes if node not in labelled and _is_distribution(node)}
    if not leaves:
        return expr
    paths = _paths(expr, leaves)
    rebuilt: dict[Apply, Apply] = {}
    for node in nodes:
        inputs = [rebuilt[child] for child in node.inputs()]
        unchanged = all(new is old for new, old in zip(inputs, node.inputs(), strict=True))
        rebuilt[node] = node if unchanged else node.clone_from_inputs(inputs)
        if node in leaves:
            rebuilt[node] = _parameter(".".join(paths[node]) or _ROOT_LABEL, rebuilt[node])
    return rebuilt[expr]


def _is_distribution(node: Apply) -> bool:
    if isinstance(node, Literal):
        return is_frozen_distribution(node.obj)
    # Whoever gave it a generator wants random numbers, not a hyperparameter.
    has_rng = any(keyword == "rng" for keyword, _ in node.named_args)
    return node.name in implicit_stochastic_symbols and not has_rng


def _parameter(label: str, leaf: Apply) -> Apply:
    distribution = scope.frozen_distribution(leaf) if isinstance(leaf, Literal) else leaf
    return scope.hyperopt_param(label, distribution)


def _paths(expr: Apply, leaves: set[Apply]) -> dict[Apply, Path]:
    """The first path to each node that is or holds a leaf."""
    holders = _holders(expr, leaves)
    paths: dict[Apply, Path] = {}
    todo: list[tuple[Apply, Path]] = [(expr, ())]
    while todo:
        node, path = todo.pop()
        if node in holders and node not in paths:
            paths[node] = path
            todo.extend(reversed([(child, path + step) for child, step in _steps(node, holders)]))
    return paths


def _holders(expr: Apply, leaves: set[Apply]) -> set[Apply]:
    holders = set(leaves)
    for node in dfs(expr):
        if any(child in holders for child in node.inputs()):
            holders.add(node)
    return holders


def _steps(node: Apply, holders: set[Apply]) -> Iterator[tuple[Apply, Path]]:
    """Each input with what it adds to the path of `node`."""
    if node.name == "switch":
        yield node.pos_args[0], ()
        yield from ((option, (str(i),)) for i, option in enumerate(node.pos_args[1:]))
    elif node.name == "pos_args":
        yield from ((item, (str(i),)) for i, item in enumerate(node.pos_args))
    elif node.name == "dict" and node.pos_args:
        # Keys that are not text travel as a list of pairs.
        for pair in node.pos_args[0].pos_args:
            key, value = pair.pos_args
            yield value, (str(getattr(key, "obj", key.name)),)
    elif node.name == "dict":
        yield from ((value, (key,)) for key, value in node.named_args)
    else:
        yield from _operation_steps(node, holders)


def _operation_steps(node: Apply, holders: set[Apply]) -> Iterator[tuple[Apply, Path]]:
    """A leaf alone in an operation takes its path, as in `10 ** leaf`; several are numbered."""
    names = [str(i) for i in range(len(node.pos_args))] + [name for name, _ in node.named_args]
    is_alone = sum(child in holders for child in node.inputs()) == 1
    for child, name in zip(node.inputs(), names, strict=True):
        yield child, () if is_alone else (name,)
