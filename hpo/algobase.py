"""What algorithms share: a generator per suggestion, the walk from the root, checked options.

A suggestion draws its random numbers from a counter-based generator keyed by
(seed, tid), so it does not depend on which other trials were asked for in the
same call. It chooses hyperparameters root first: a choice before what lies in
its branches.

An algorithm is any function suggest(new_ids, domain, trials, seed) that returns NEW
documents. Whoever only has an idea about one hyperparameter at a time writes a
subclass of `SuggestAlgo`, as in hyperopt:

    class NearZero(SuggestAlgo):
        def on_node_hyperparameter(self, memo, node, label):
            return [0.1 * value for value in self.on_node_prior(memo, node)]

    def suggest(new_ids, domain, trials, seed):
        return [document for tid in new_ids for document in NearZero(domain, trials, seed)(tid)]
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.document import Document, Tid
from hpo.exceptions import InvalidOption, InvalidOptionValue, did_you_mean
from hpo.observations import Observations
from hpo.pyll import Apply, Evaluation, GarbageCollected
from hpo.pyll.evaluator import ExprEvaluator
from hpo.seeds import Seed, as_seed, suggestion_rng
from hpo.space import Hyperparameter, Prior, Space

__all__ = [
    "ExprEvaluator",
    "Seed",
    "SuggestAlgo",
    "as_integer",
    "as_real",
    "as_seed",
    "choose_root_first",
    "known_rows",
    "reject_unknown_options",
    "suggestion_rng",
]


def known_rows(observations: Observations) -> npt.NDArray[np.int64]:
    """Rows of the trials to learn from, in order of suggestion; shape (N,).

    Several results that were injected from one trial count as one: the best.
    """
    rows = observations.history
    if not observations.has_sources:
        return rows
    best_row: dict[Tid, int] = {}
    losses = np.where(np.isnan(observations.losses), np.inf, observations.losses)
    for row in rows.tolist():
        source = observations.source_tids[row]
        if losses[row] <= losses[best_row.setdefault(source, row)]:
            best_row[source] = row
    return np.fromiter(best_row.values(), dtype=np.int64, count=len(best_row))


def choose_root_first(
    space: Space, rng: np.random.Generator, choose: Callable[[str, Prior], Any]
) -> dict[str, Any]:
    """Choose a value for every hyperparameter that is active under the values chosen before it.

    Args:
        rng: draws those whose distribution depends on other hyperparameters, or
            is the user's own: of these only a sampler is known.
        choose: gives a value for (label, prior).

    Returns:
        {label: value} of the active hyperparameters; a choice by index.
    """
    values: dict[str, Any] = {}
    while lacking := [label for label in space.active_labels(values) if label not in values]:
        for label in lacking:
            hyperparameter = space.hyperparameters[label]
            if hyperparameter.prior is None:
                values[label] = _draw_given(space, hyperparameter, values, rng)
            else:
                values[label] = hyperparameter.as_value(choose(label, hyperparameter.prior))
    return values


def _draw_given(
    space: Space,
    hyperparameter: Hyperparameter,
    values: Mapping[str, Any],
    rng: np.random.Generator,
) -> Any:
    known = {
        other.node: values.get(label, GarbageCollected)
        for label, other in space.hyperparameters.items()
    }
    return hyperparameter.draw(rng, Evaluation(known))


class SuggestAlgo(ExprEvaluator):
    """An algorithm that decides hyperparameter by hyperparameter; to be subclassed.

    A subclass has a method `on_node_hyperparameter(memo, node, label)`. It is called
    for each label, parents before children, with the label's node in
    `domain.space.columns.vals`: `node.name` is the distribution, `memo[node.arg["low"]]`
    one of its arguments, and `memo[node.arg["size"]]` the number of values to return,
    0 where the label is not active. `self.rng` gives the random numbers.

    An instance, called with a tid, returns a list with its one NEW document.

    Attributes:
        domain: the `Domain` that is searched.
        trials: the `Trials` so far.
        rng: the generator of the present suggestion.
        label_by_node: {node: label} of the nodes that it decides.

    Source: hyperopt.algobase.SuggestAlgo.
    """

    def __init__(self, domain: Any, trials: Any, seed: Seed) -> None:
        self._columns = domain.space.columns
        super().__init__(self._columns.idxs_vals)
        self.domain = domain
        self.trials = trials
        self.label_by_node = {node: label for label, node in self._columns.vals.items()}
        self._seed = seed
        self.rng = suggestion_rng(seed, "start")

    def __call__(self, new_id: Tid) -> list[Document]:
        """Propose one trial.

        Raises:
            InvalidConfiguration: a value that was decided is none of its hyperparameter.
        """
        idxs, vals = self._decide([new_id], new_id)
        values = {label: _single(vals[label]) for label, tids in idxs.items() if len(tids)}
        checked = {
            label: self.domain.space.hyperparameters[label].as_value(value)
            for label, value in values.items()
        }
        documents: list[Document] = self.domain.new_trials(self.trials, [new_id], [checked])
        return documents

    def batch(self, new_ids: Iterable[Tid]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Decide for many tids at once.

        Returns:
            ({label: tids under which it is active}, {label: its values there}).
        """
        tids = list(new_ids)
        return self._decide(tids, tuple(tids))

    def _decide(self, new_ids: list[Tid], key: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self.rng = suggestion_rng(self._seed, key)
        given = {self._columns.new_ids: new_ids, self._columns.rng: self.rng}
        idxs, vals = self.eval_nodes(given)[self.expr]
        return idxs, vals

    def on_node(self, memo: dict[Apply, Any], node: Apply) -> Any:
        """A hyperparameter's values, from `on_node_hyperparameter`; else the node's value."""
        label = self.label_by_node.get(node)
        if label is None:
            return super().on_node(memo, node)
        return self.on_node_hyperparameter(memo, node, label)

    def on_node_hyperparameter(self, memo: dict[Apply, Any], node: Apply, label: str) -> Any:
        """The values of one hyperparameter, as many as `memo[node.arg["size"]]` says.

        Raises:
            NotImplementedError: always; a subclass overrides it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define on_node_hyperparameter(self, memo, node, label)"
        )

    def on_node_prior(self, memo: dict[Apply, Any], node: Apply) -> Any:
        """Draw a hyperparameter's values from its prior."""
        return ExprEvaluator.on_node(self, memo, node)


def _single(values: Any) -> Any:
    """The only one of a column's values; a subclass may have left the column out."""
    return values if np.ndim(values) == 0 else values[0]


def reject_unknown_options(
    algorithm: str, unknown: Mapping[str, Any], known: Iterable[str]
) -> None:
    """Raise InvalidOption, with the nearest known name, if `unknown` has any option."""
    names = list(known)
    for option in unknown:
        hint = did_you_mean(option, names)
        listed = f"options: {', '.join(names)}" if names else "it takes none"
        raise InvalidOption(f"{algorithm} has no option {option!r}{hint} ({listed})")


def as_integer(name: str, value: Any, *, at_least: int | None = None) -> int:
    """`value` as an int, or an error that names the option.

    Raises:
        InvalidOption: it is not a whole number.
        InvalidOptionValue: it is below `at_least`.
    """
    is_whole = type(value) is int or (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and float(value).is_integer()
    )
    if not is_whole:
        raise InvalidOption(f"{name} must be a whole number, not {value!r}")
    if at_least is not None and value < at_least:
        raise InvalidOptionValue(f"{name} must be at least {at_least}, not {value!r}")
    return int(value)


def as_real(
    name: str, value: Any, *, above: float = -math.inf, at_least: float = -math.inf
) -> float:
    """`value` as a finite float, or an error that names the option.

    Raises:
        InvalidOption: it is not a real number.
        InvalidOptionValue: it is not finite, not above `above` or below `at_least`.
    """
    if type(value) is not float and (
        not isinstance(value, numbers.Real) or isinstance(value, bool)
    ):
        raise InvalidOption(f"{name} must be a number, not {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise InvalidOptionValue(f"{name} must be finite, not {value!r}")
    if number <= above:
        raise InvalidOptionValue(f"{name} must be greater than {above:g}, not {value!r}")
    if number < at_least:
        raise InvalidOptionValue(f"{name} must be at least {at_least:g}, not {value!r}")
    return number
