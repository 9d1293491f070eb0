"""From an expression graph to its hyperparameters."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hpo.exceptions import BadSearchSpace, DuplicateLabel
from hpo.pyll import Apply, dfs
from hpo.space.conditions import ALWAYS, any_of
from hpo.space.hyperparameter import Hyperparameter, prior_of
from hpo.space.leaves import label_leaves
from hpo.space.priors import Continuous, Prior
from hpo.space.structure import (
    Region,
    Regions,
    find_regions,
    label_of,
    labels_below,
    settle_conditions,
)

__all__ = ["CompiledSpace", "compile_space"]


@dataclass(frozen=True, eq=False)
class CompiledSpace:
    """What `compile_space` finds.

    Attributes:
        expr: the graph, in which every distribution has a label.
        regions: {root node: region}; see `hpo.space.structure`.
        hyperparameters: {label: hyperparameter}, parents before children, else in
            the order of the graph.
    """

    expr: Apply
    regions: Regions
    hyperparameters: dict[str, Hyperparameter]


def compile_space(unlabelled: Apply) -> CompiledSpace:
    """Find everything about a space that does not depend on a configuration.

    Raises:
        DuplicateLabel: two different nodes carry one label.
        BadSearchSpace: a distribution makes no sense, or a switch has no branch
            for some value of its selector.
    """
    expr = label_leaves(unlabelled)
    nodes = dfs(expr)
    parameters = _parameters_by_label(nodes)
    priors = _priors_by_label(nodes, parameters)
    regions = find_regions(expr)
    values_of = dict(_finite_values(priors))
    _require_branches(regions, values_of)
    settle_conditions(regions, expr, values_of)

    options_of = _options_by_label(regions)
    regions_of = _regions_by_label(regions)
    found: dict[str, Hyperparameter] = {}
    for label, node in parameters.items():
        distribution, prior = _distribution(node), priors[label]
        conditions = any_of((region.condition for region in regions_of[label]), values_of)
        parents = labels_below(distribution)
        if conditions != ALWAYS:
            parents = parents.union(*(region.parents for region in regions_of[label]))
        found[label] = Hyperparameter(
            label, node, distribution, prior, options_of.get(label), conditions, parents
        )
    return CompiledSpace(expr, regions, {label: found[label] for label in _parents_first(found)})


# --- labels and priors ----------------------------------------------------------------


def _parameters_by_label(nodes: Iterable[Apply]) -> dict[str, Apply]:
    parameters: dict[str, Apply] = {}
    for node in nodes:
        if node.name != "hyperopt_param":
            continue
        label = label_of(node)
        if label is None:
            raise BadSearchSpace(
                "a hyperopt_param has no label, or one that is computed; give it a text"
            )
        if label in parameters:
            raise DuplicateLabel(
                f"two different hyperparameters are labelled {label!r}: a "
                f"{_distribution(parameters[label]).name} and a {_distribution(node).name}. "
                "Rename one; or, if they are meant to be the same, build it once and use that "
                "object in both places"
            )
        parameters[label] = node
    return parameters


def _distribution(parameter: Apply) -> Apply:
    return parameter.inputs()[-1] if not parameter.named_args else parameter.arg["obj"]


def _priors_by_label(
    nodes: Iterable[Apply], parameters: Mapping[str, Apply]
) -> dict[str, Prior | None]:
    users: defaultdict[Apply, list[Apply]] = defaultdict(list)
    for node in nodes:
        for child in node.inputs():
            users[child].append(node)
    priors: dict[str, Prior | None] = {}
    for label, node in parameters.items():
        prior = prior_of(label, _distribution(node))
        if isinstance(prior, Continuous) and _has_whole_steps(prior) and _is_cast(node, users):
            prior = replace(prior, is_integer=True)
        priors[label] = prior
    return priors


def _has_whole_steps(prior: Continuous) -> bool:
    return prior.q is not None and float(prior.q).is_integer()


def _is_cast(node: Apply, users: Mapping[Apply, list[Apply]]) -> bool:
    """Whether all that is ever used of a node's value is `int` of it.

    So it is in hp.uniformint and scope.int(hp.quniform(...)): int of float of the parameter.
    """
    return bool(users[node]) and all(
        user.name == "int" or (user.name == "float" and _is_cast(user, users))
        for user in users[node]
    )


def _finite_values(priors: Mapping[str, Prior | None]) -> Iterator[tuple[str, range]]:
    """All values of the hyperparameters that have finitely many, and whole ones."""
    for label, prior in priors.items():
        if prior is not None and prior.is_integer:
            low, high = prior.bounds
            if math.isfinite(high - low):
                yield label, range(int(low), int(high) + 1, int(prior.q or 1))


# --- branches ---------------------------------------------------------------------------


def _require_branches(regions: Regions, values_of: Mapping[str, range]) -> None:
    """Raise BadSearchSpace if a hyperparameter selects branches that a switch lacks."""
    for region in regions.values():
        for switch in region.switches:
            values = values_of.get(switch.label or "", range(0))
            if values and not 0 <= values[0] <= values[-1] < len(switch.branches):
                raise BadSearchSpace(
                    f"{switch.label!r} has the values {values[0]} to {values[-1]}, but its switch "
                    f"has the branches 0 to {len(switch.branches) - 1}; give it one for each value"
                )


def _options_by_label(regions: Regions) -> dict[str, tuple[Apply, ...]]:
    """What each choice chooses between: the branches of the only switch on its parameter."""
    found: defaultdict[str, set[tuple[Apply, ...]]] = defaultdict(set)
    for region in regions.values():
        for switch in region.switches:
            if switch.label is not None and switch.selector.name == "hyperopt_param":
                found[switch.label].add(switch.branches)
    return {label: branches.pop() for label, branches in found.items() if len(branches) == 1}


def _regions_by_label(regions: Regions) -> dict[str, list[Region]]:
    found: defaultdict[str, list[Region]] = defaultdict(list)
    for region in regions.values():
        for label in region.labels:
            found[label].append(region)
    return found


def _parents_first(found: Mapping[str, Hyperparameter]) -> Iterator[str]:
    """Labels in an order that keeps to the graph's where parents allow it.

    Two labels can be parents of each other, in different branches; then the one
    that comes first in the graph goes first.
    """
    rank = {label: index for index, label in enumerate(found)}
    children: defaultdict[str, list[str]] = defaultdict(list)
    n_waiting_for: dict[str, int] = {}
    for label, parameter in found.items():
        n_waiting_for[label] = len(parameter.parents - {label})
        for parent in parameter.parents - {label}:
            children[parent].append(label)
    ready = [rank[label] for label, count in n_waiting_for.items() if count == 0]
    labels = list(found)
    while n_waiting_for:
        index = heapq.heappop(ready) if ready else min(rank[label] for label in n_waiting_for)
        label = labels[index]
        del n_waiting_for[label]
        yield label
        for child in children[label]:
            if child in n_waiting_for:
                n_waiting_for[child] -= 1
                if n_waiting_for[child] == 0:
                    heapq.heappush(ready, rank[child])
