"""A space as one expression over many trials at once: hyperopt's vectorised form.

    label  ids where it is active          its values there
    x      idxs["x"] = [7, 8, 9]           vals["x"] = uniform(0, 1, rng=…, size=len(idxs["x"]))
    y      idxs["y"] = [8]                 vals["y"] = normal(0, 1, rng=…, size=len(idxs["y"]))

Algorithms in hyperopt's manner evaluate it with their own ids and generator, or
put values of their own in the place of some of its nodes:

    idxs, vals = rec_eval(columns.idxs_vals, memo={columns.new_ids: [7, 8, 9], columns.rng: rng})
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.exceptions import BadSearchSpace
from hpo.pyll import Apply, Literal, as_apply, scope
from hpo.pyll.stochastic import implicit_stochastic
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.priors import Rng

if TYPE_CHECKING:
    from hpo.space.space import Space

__all__ = ["SpaceColumns"]

Column = tuple[Sequence[Any], Sequence[Any]]


class SpaceColumns:
    """The nodes of a space's vectorised form.

    Attributes:
        new_ids: the node to give the ids to, a list.
        rng: the node to give the generator to.
        idxs: {label: node of the ids under which it is active}.
        vals: {label: node of its values there}. Such a node is the label's
            distribution with the arguments `rng` and `size`; or "draw_each", if its
            arguments depend on other hyperparameters or it is the user's own.
        idxs_vals: the node of the pair ({label: ids}, {label: values}).
        configurations: the node of a list of what the objective gets, one for each id.

    Raises:
        BadSearchSpace: two hyperparameters depend on each other, in different
            branches, so that neither column can be computed first.

    Source: hyperopt.vectorize.VectorizeHelper, for the nodes' meaning.
    """

    def __init__(self, space: Space, new_ids: Apply | None = None) -> None:
        self.new_ids = Literal("new_ids") if new_ids is None else new_ids
        self.rng = Literal("rng")
        self._space = Literal(space)
        self.idxs: dict[str, Apply] = {}
        self.vals: dict[str, Apply] = {}
        for label, parameter in space.hyperparameters.items():
            self.idxs[label] = self._idxs_of(parameter)
            self.vals[label] = self._vals_of(parameter)
        self.idxs_vals = as_apply((self.idxs, self.vals))
        self.configurations = scope.evaluate_each(
            self.new_ids, self._space, self._columns(self.vals)
        )

    def _idxs_of(self, parameter: Hyperparameter) -> Apply:
        if parameter.is_always_active:
            return self.new_ids
        return scope.ids_where_active(
            self.new_ids, self._space, parameter.label, self._columns_of_parents(parameter)
        )

    def _vals_of(self, parameter: Hyperparameter) -> Apply:
        idxs = self.idxs[parameter.label]
        if parameter.prior is None:
            parents = self._columns_of_parents(parameter)
            return scope.draw_each(idxs, self._space, parameter.label, parents, rng=self.rng)
        distribution = parameter.distribution
        drawn = dict(distribution.named_args)
        drawn.update(rng=self.rng, size=scope.len(idxs))
        return Apply(distribution.name, distribution.pos_args, sorted(drawn.items()))

    def _columns_of_parents(self, parameter: Hyperparameter) -> Apply:
        later = sorted(parameter.parents - self.vals.keys())
        if later:
            raise BadSearchSpace(
                f"{parameter.label!r} and {later[0]!r} depend on each other in different "
                "branches, so the space has no vectorised form; use an algorithm that does not "
                "ask for it, such as hpo.rand or hpo.tpe"
            )
        return self._columns(parameter.parents)

    def _columns(self, labels: Iterable[str]) -> Apply:
        return as_apply({label: (self.idxs[label], self.vals[label]) for label in labels})


@scope.define
def ids_where_active(
    new_ids: Sequence[Any], space: Space, label: str, parents: dict[str, Column]
) -> list[Any]:
    """The ids under which a label is active, given the columns of what decides it."""
    rows = _rows(parents)
    return [tid for tid in new_ids if label in space.active_labels(rows.get(tid, {}))]


@implicit_stochastic
@scope.define
def draw_each(
    idxs: Sequence[Any], space: Space, label: str, parents: dict[str, Column], rng: Rng
) -> list[Any]:
    """A label's value for each id, drawn from the distribution that its parents' values give."""
    rows = _rows(parents)
    return [space.draw(label, rows.get(tid, {}), rng) for tid in idxs]


@scope.define
def evaluate_each(new_ids: Sequence[Any], space: Space, columns: dict[str, Column]) -> list[Any]:
    """The configuration of each id, as the objective gets it."""
    rows = _rows(columns)
    return [space.evaluate(rows.get(tid, {})) for tid in new_ids]


def _rows(columns: dict[str, Column]) -> dict[Any, dict[str, Any]]:
    """{id: {label: value}} of columns {label: (ids, values)}."""
    rows: dict[Any, dict[str, Any]] = {}
    for label, (idxs, vals) in columns.items():
        for tid, value in zip(idxs, vals, strict=True):
            plain = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
            rows.setdefault(tid, {})[label] = plain
    return rows
