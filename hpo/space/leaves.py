"""Distributions without a label get one: their path in the structure.

    {"optimizer": {"lr": scipy.stats.loguniform(1e-5, 1)}}    "optimizer-lr"

A distribution is a frozen one of scipy's, or a node of `scope` such as
`scope.uniform(0, 1)` that is not inside `hyperopt_param`. A path is made of
dictionary keys and of positions in lists, tuples and choices; the choice itself
has the path of the place where it stands. A label that is taken gets a number: "lr-2".

Dots and dollar signs never get into such a label, so that `{"params.optimizer-lr": …}` is
a query that MongoDB understands.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from hpo.pyll import Apply, Literal, dfs, scope
from hpo.pyll.stochastic import implicit_stochastic_symbols
from hpo.space.frozen import is_frozen_distribution
from hpo.space.readable import expression_text
from hpo.space.structure import labels_below

__all__ = ["label_leaves"]

# What a space that is nothing but one distribution calls it.
_ROOT_LABEL = "x"
# What stands around a distribution that has a label, or around scipy's own object.
_WRAPPERS = ("hyperopt_param", "frozen_distribution")

# Not a dot: in a query of MongoDB, "params.optimizer.lr" means the field "lr" of a document
# "optimizer", and would find nothing. Nor what Python's names are made of: that would make
# one label of {"a": {"b_c": …}} and {"a_b": {"c": …}}.
_SEPARATOR = "-"
# For the same reason a key's own dots and dollar signs are replaced.
_REPLACEMENTS = str.maketrans({".": _SEPARATOR, "$": "_", "\0": "_"})
# How the arguments of a call are packed.
_PACKED = ("pos_args", "dict", "literal")

Path = tuple[str, ...]


def label_leaves(expr: Apply) -> Apply:
    """The space with a label on each distribution; the very same graph if all have one.

    Nodes that hold no unlabelled distribution are kept, not copied.
    """
    nodes = dfs(expr)
    labelled = {child for node in nodes if node.name in _WRAPPERS for child in node.inputs()}
    leaves = {node for node in nodes if node not in labelled and _is_distribution(node)}
    if not leaves:
        return expr
    labels = _labels(_paths(expr, leaves), leaves, taken=labels_below(expr))
    rebuilt: dict[Apply, Apply] = {}
    for node in nodes:
        inputs = [rebuilt[child] for child in node.inputs()]
        unchanged = all(new is old for new, old in zip(inputs, node.inputs(), strict=True))
        rebuilt[node] = node if unchanged else node.clone_from_inputs(inputs)
        if node in leaves:
            rebuilt[node] = _parameter(labels[node], rebuilt[node])
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


def _labels(
    paths: Mapping[Apply, Path], leaves: set[Apply], taken: Iterable[str]
) -> dict[Apply, str]:
    """A label for each leaf, none of them twice, and none of `taken`."""
    wanted = {leaf: _text(path) for leaf, path in paths.items() if leaf in leaves}
    used = set(taken)
    # The numbered ones must not take the path of another leaf.
    reserved = used.union(wanted.values())
    labels: dict[Apply, str] = {}
    for leaf, label in wanted.items():
        labels[leaf] = _numbered(label, reserved) if label in used else label
        used.add(labels[leaf])
        reserved.add(labels[leaf])
    return labels


def _numbered(label: str, reserved: set[str]) -> str:
    numbered = (f"{label}{_SEPARATOR}{number}" for number in itertools.count(2))
    return next(candidate for candidate in numbered if candidate not in reserved)


def _text(path: Path) -> str:
    text = _SEPARATOR.join(path).translate(_REPLACEMENTS) or _ROOT_LABEL
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
    elif node.name == "dict" and not node.pos_args:
        yield from ((value, (key,)) for key, value in node.named_args)
    elif node.name == "dict" and _holds_pairs(node.pos_args[0]):
        # Keys that are not text travel as a list of pairs.
        for key, value in (pair.pos_args for pair in node.pos_args[0].pos_args):
            text = str(key.obj) if isinstance(key, Literal) else expression_text(key)
            yield from ((key, (text, "key")), (value, (text,)))
    elif _is_distribution(node):
        arguments = node.arg.items()
        yield from ((child, (name,)) for name, child in arguments if isinstance(child, Apply))
    else:
        yield from _operation_steps(node, holders)


def _holds_pairs(node: Apply) -> bool:
    return all(item.name == "pos_args" and len(item.pos_args) == 2 for item in node.pos_args)


def _operation_steps(node: Apply, holders: set[Apply]) -> Iterator[tuple[Apply, Path]]:
    """A leaf alone in an operation takes its path, as in `10 ** leaf`; several are numbered."""
    positional, named = _arguments(node)
    positional = [child for child in positional if child in holders]
    named = [(name, child) for name, child in named if child in holders]
    if len(positional) + len(named) == 1:
        yield from ((child, ()) for child in [*positional, *(child for _, child in named)])
        return
    yield from ((child, (str(i),)) for i, child in enumerate(positional))
    yield from ((child, (name,)) for name, child in named)


def _arguments(node: Apply) -> tuple[list[Apply], list[tuple[str, Apply]]]:
    """What an operation is applied to: positional arguments, and pairs (keyword, argument)."""
    if node.name == "call" and all(child.name in _PACKED for child in node.pos_args[1:]):
        # The arguments of a call travel as one list and one dictionary.
        function, *packed = node.pos_args
        positional = [function, *(child for pack in packed for child in pack.pos_args)]
        return positional, [(name, child) for pack in packed for name, child in pack.named_args]
    return node.pos_args, [(name, child) for name, child in node.named_args]
