"""The branches of a space, and which hyperparameters each of them holds.

A region is the part of the graph that is evaluated together: everything below
the space's root, or below one branch of a switch, down to the branches of
further switches. A configuration starts in the root's region and enters, for
each switch there, one more. A node that several branches share belongs to the
regions of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hpo.exceptions import MissingValue
from hpo.pyll import Apply, Evaluation, GarbageCollected, Literal, dfs, scope
from hpo.pyll.evaluate import as_branch
from hpo.space.conditions import ALWAYS, NEVER, Alternative, Condition, all_of, any_of

__all__ = [
    "Region",
    "Regions",
    "Switch",
    "active_labels",
    "activity",
    "find_regions",
    "harmless_nodes",
    "label_of",
    "labels_below",
    "parents_first",
    "settle_conditions",
]

_INDEX_KINDS = ("randint", "categorical", "randint_via_categorical")
# A selector that is computed from hyperparameters is evaluated this often at most.
MAX_COMBINATIONS = 512


@dataclass(frozen=True, eq=False)
class Switch:
    """One switch of the graph.

    Attributes:
        selector: the node that gives the number of the branch.
        branches: the root node of each branch.
        label: the hyperparameter whose value is that number, or None if it is computed.
    """

    selector: Apply
    branches: tuple[Apply, ...]
    label: str | None


@dataclass(eq=False)
class Region:
    """What is evaluated together.

    Attributes:
        labels: its hyperparameters, in the order of the graph.
        switches: its switches, whose branches are regions of their own.
        condition: when it is active.
        parents: the hyperparameters that decide whether it is.
    """

    labels: tuple[str, ...]
    switches: tuple[Switch, ...]
    condition: Condition = ALWAYS
    parents: frozenset[str] = field(default_factory=frozenset)


Regions = dict[Apply, Region]


def label_of(node: Apply) -> str | None:
    """The label of a node "hyperopt_param"; None for any other node."""
    if node.name != "hyperopt_param":
        return None
    label = node.pos_args[0] if node.pos_args else dict(node.named_args).get("label")
    return str(label.obj) if isinstance(label, Literal) else None


# --- finding the regions ----------------------------------------------------------------


def find_regions(expr: Apply) -> Regions:
    """{root node: its region}, the region of `expr` first.

    Branches that are constants have no region.
    """
    regions: Regions = {}
    todo = [expr]
    while todo:
        root = todo.pop()
        if root in regions:
            continue
        regions[root] = _region_below(root)
        for switch in regions[root].switches:
            todo.extend(branch for branch in switch.branches if not isinstance(branch, Literal))
    return regions


def _region_below(root: Apply) -> Region:
    labels: dict[str, None] = {}
    switches: list[Switch] = []
    seen = {root}
    todo = [root]
    while todo:
        node = todo.pop()
        label = label_of(node)
        if label is not None:
            labels[label] = None
        inputs = node.inputs()
        if node.name == "switch":
            selector, *branches = inputs
            switches.append(Switch(selector, tuple(branches), _label_selecting(selector)))
            inputs = [selector]
        fresh = [child for child in inputs if child not in seen and not isinstance(child, Literal)]
        seen.update(fresh)
        todo.extend(reversed(fresh))
    return Region(tuple(labels), tuple(switches))


def _label_selecting(selector: Apply) -> str | None:
    # hp.randint is the "int" of its hyperparameter.
    node = selector.pos_args[0] if selector.name == "int" else selector
    is_index = node.name == "hyperopt_param" and node.inputs()[-1].name in _INDEX_KINDS
    return label_of(node) if is_index else None


def active_labels(
    regions: Regions, root: Apply, branch_of: Callable[[Switch], int | None]
) -> set[str]:
    """The labels of the regions that a configuration enters.

    Args:
        branch_of: the number of the branch that a switch takes, or None if that
            is not known; then none of its branches is entered.
    """
    active: set[str] = set()
    entered: set[Apply] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if node in entered or node not in regions:
            continue
        entered.add(node)
        active.update(regions[node].labels)
        for switch in regions[node].switches:
            branch = branch_of(switch)
            if branch is not None:
                todo.append(switch.branches[branch])
    return active


def activity(
    regions: Regions,
    order: Sequence[Apply],
    branch_of: Callable[[Switch], npt.NDArray[np.int64]],
    n: int,
) -> dict[str, npt.NDArray[np.bool_]]:
    """In which of `n` configurations each label is active: `active_labels`, all at once.

    Args:
        order: the regions' roots, each before those of its switches' branches.
        branch_of: the number of the branch that a switch takes in each
            configuration, shape (n,); negative where it is not known.

    Returns:
        {label: mask of shape (n,)}.
    """
    entered = {root: np.zeros(n, dtype=np.bool_) for root in order}
    entered[order[0]][:] = True
    active: dict[str, npt.NDArray[np.bool_]] = {}
    for root in order:
        region, here = regions[root], entered[root]
        for label in region.labels:
            active[label] = active[label] | here if label in active else here
        for switch in region.switches:
            inside = [(i, node) for i, node in enumerate(switch.branches) if node in regions]
            taken = branch_of(switch) if inside else None
            for index, node in inside:
                entered[node] |= here & (taken == index)
    return active


def parents_first(regions: Regions, expr: Apply) -> list[Apply]:
    """The regions' roots, each before those of its switches' branches."""
    # A branch lies below its switch, so its root comes earlier in a depth-first order.
    return [node for node in reversed(dfs(expr)) if node in regions]


# --- when each region is active -----------------------------------------------------------


def settle_conditions(regions: Regions, expr: Apply, values_of: Mapping[str, range]) -> None:
    """Give every region its condition and its parents.

    Args:
        regions: as found in `expr`.
        values_of: {label: all of its values}, for labels with finitely many.

    Where the branch of a switch depends on other labels, or on too many, the
    condition of the switch itself is taken for the branch's: necessary, not sufficient.
    """
    entrances: dict[Apply, list[Condition]] = {root: [] for root in regions}
    entrances[expr] = [ALWAYS]
    for root in parents_first(regions, expr):
        region = regions[root]
        region.condition = any_of(entrances[root], values_of)
        for switch in region.switches:
            selecting = _selecting_conditions(switch, values_of)
            deciding = region.parents | labels_below(switch.selector)
            for branch, selected in zip(switch.branches, selecting, strict=True):
                if branch in regions:
                    entrances[branch].append(all_of(region.condition, selected))
                    regions[branch].parents |= deciding


def labels_below(node: Apply) -> frozenset[str]:
    """The labels of all hyperparameters that a node's value can depend on."""
    return frozenset(label for label in map(label_of, dfs(node)) if label is not None)


def _selecting_conditions(switch: Switch, values_of: Mapping[str, range]) -> list[Condition]:
    """For each branch of a switch, when the selector selects it."""
    n_branches = len(switch.branches)
    if switch.label is not None:
        values = values_of.get(switch.label, range(n_branches))
        return [
            (_alternative({switch.label: branch}, values_of),) if branch in values else NEVER
            for branch in range(n_branches)
        ]
    outcomes = _outcomes(switch.selector, n_branches, values_of)
    if outcomes is None:
        return [ALWAYS] * n_branches
    return [
        any_of([(alternative,) for alternative, chosen in outcomes if chosen == branch], values_of)
        for branch in range(n_branches)
    ]


def _outcomes(
    selector: Apply, n_branches: int, values_of: Mapping[str, range]
) -> list[tuple[Alternative, int]] | None:
    """Which values of hyperparameters make a selector choose which branch.

    The selector is evaluated with nothing known; whenever it misses a
    hyperparameter, it is evaluated again with each of that one's values.

    Returns:
        Pairs (values, branch) that exclude each other, or None if there are too
        many, or the selector runs code that is not hpo's own.
    """
    nodes = {label_of(node): node for node in dfs(selector)}
    if selector not in harmless_nodes(selector):
        return None
    outcomes: list[tuple[Alternative, int]] = []
    todo: list[dict[str, int]] = [{}]
    n_tried = 0
    while todo:
        n_tried += 1
        if n_tried + len(todo) > MAX_COMBINATIONS:
            return None
        known = todo.pop()
        memo = {
            node: known.get(label, GarbageCollected)
            for label, node in nodes.items()
            if label is not None
        }
        try:
            branch = as_branch(Evaluation(memo).value(selector), n_branches)
        except MissingValue as missing:
            values = values_of.get(missing.label or "")
            if values is None or len(values) > MAX_COMBINATIONS:
                return None
            todo.extend({**known, str(missing.label): value} for value in values)
        except Exception:  # whatever it is, these values lead into no branch
            continue
        else:
            outcomes.append((_alternative(known, values_of), branch))
    return outcomes


def _alternative(known: Mapping[str, int], values_of: Mapping[str, range]) -> Alternative:
    # A hyperparameter with one value decides nothing.
    single = {label for label in known if len(values_of.get(label, ())) == 1}
    return frozenset((label, value) for label, value in known.items() if label not in single)


def harmless_nodes(expr: Apply) -> frozenset[Apply]:
    """The nodes that can be evaluated without running any code but hpo's own, inputs included.

    Hyperparameters are among them: their values are given, not drawn.
    """
    harmless: set[Apply] = set()
    for node in dfs(expr):
        is_own = isinstance(node, Literal) or (node.pure and scope.is_builtin(node.name))
        if node.name == "hyperopt_param" or (
            is_own and all(child in harmless for child in node.inputs())
        ):
            harmless.add(node)
    return frozenset(harmless)
