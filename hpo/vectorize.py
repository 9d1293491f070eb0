"""hyperopt's import path `vectorize`: a space as one expression over many trials.

`hpo.space.columns` holds the same in a simpler form.
"""

from __future__ import annotations

from typing import Any, TypeVar

from hpo.pyll import Apply, as_apply
from hpo.space import Space
from hpo.space.columns import SpaceColumns

__all__ = ["VectorizeHelper", "replace_repeat_stochastic", "vectorize_stochastic"]

T = TypeVar("T")


class VectorizeHelper:
    """The nodes of a space's columns.

    Args:
        expr: the space.
        expr_idxs: the node that will be given the ids.

    Attributes:
        params: {label: node of its distribution in the space}.
        v_expr: the node of a list: the space's value for each id.

    Raises:
        BadSearchSpace: the space cannot mean anything, or has no columns.

    Source: hyperopt.vectorize.VectorizeHelper, whose other attributes are about how
    it builds its graph, which is not how hpo builds its own.
    """

    def __init__(self, expr: Any, expr_idxs: Any, build: bool = True) -> None:
        space = Space(expr)
        self.expr, self.expr_idxs = space.expr, as_apply(expr_idxs)
        self.params = {
            label: parameter.distribution for label, parameter in space.hyperparameters.items()
        }
        self._columns = SpaceColumns(space, self.expr_idxs)
        self.v_expr = self._columns.configurations

    def idxs_by_label(self) -> dict[str, Apply]:
        """{label: node of the ids under which it is active}."""
        return dict(self._columns.idxs)

    def vals_by_label(self) -> dict[str, Apply]:
        """{label: node of its values there}."""
        return dict(self._columns.vals)


def replace_repeat_stochastic(expr: T) -> T:
    """Return `expr`: its draws are vectorised from the start."""
    return expr


def vectorize_stochastic(orig: T) -> T:
    """Return `orig`: its draws are vectorised from the start."""
    return orig
