"""One hyperparameter of a compiled space: all that is known about it before sampling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hpo.exceptions import BadSearchSpace, InvalidConfiguration
from hpo.pyll import Apply, Evaluation, Literal, MissingArgument, dfs, scope
from hpo.pyll.stochastic import implicit_stochastic_symbols
from hpo.space.conditions import Condition
from hpo.space.frozen import prior_of_frozen
from hpo.space.kinds import KINDS, prior_of_kind
from hpo.space.priors import Prior, Rng

__all__ = ["Hyperparameter", "prior_of"]

_NOT_ARGUMENTS = ("rng", "size")


@dataclass(frozen=True, eq=False)
class Hyperparameter:
    """One labelled thing that varies.

    Attributes:
        label: its name, unique in the space.
        node: the graph's node "hyperopt_param". A memo that gives it a value
            gives the hyperparameter that value.
        distribution: the node of the distribution inside `node`.
        prior: the distribution, or None if its arguments are expressions of other
            hyperparameters, or if it is not one of hpo's.
        options: for a choice, the nodes it chooses between; else None. The value of
            a choice is the number of its option.
        conditions: when it is active: a tuple of alternatives, each a frozenset of
            pairs (label, value) that must all hold. `(frozenset(),)` is always,
            `()` is never. They are necessary; they are sufficient as well unless a
            switch depends on continuous hyperparameters or on very many values.
        parents: labels that decide whether it is active, or how it is distributed.
    """

    label: str
    node: Apply
    distribution: Apply
    prior: Prior | None
    options: tuple[Apply, ...] | None
    conditions: Condition
    parents: frozenset[str]

    @property
    def kind(self) -> str:
        """hyperopt's name of the distribution."""
        return self.distribution.name if self.prior is None else self.prior.kind

    @property
    def is_integer(self) -> bool:
        """Whether its values are ints."""
        return self.prior is not None and self.prior.is_integer

    @cached_property
    def is_real(self) -> bool:
        """Whether any float is a value of it."""
        return self.options is None and not self.is_integer

    @cached_property
    def _n_options(self) -> int:
        """How many options it has; 0 unless it is a choice."""
        return len(self.options or ())

    @property
    def is_always_active(self) -> bool:
        """Whether every configuration has a value for it."""
        return self.conditions == (frozenset(),)

    def as_value(self, value: Any) -> Any:
        """`value` as a plain Python number: an int for integer kinds.

        Raises:
            InvalidConfiguration: it is no number, it is not whole although the
                hyperparameter is, or a choice has no such option.
        """
        # What algorithms chose is of the right type already.
        if type(value) is float and self.is_real:
            return value
        if type(value) is int and 0 <= value < self._n_options:
            return value
        if self.prior is None and self.kind not in KINDS:
            return value
        is_scalar = isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0
        number = value.item() if is_scalar else value
        if not isinstance(number, (int, float)):
            hint = "; take its only element" if np.size(number) == 1 and np.ndim(number) else ""
            raise InvalidConfiguration(
                f"{self.label!r} has the value {value!r}, which is not a number{hint}"
            )
        if self.options is not None and not 0 <= number < len(self.options):
            raise InvalidConfiguration(
                f"{self.label!r} is a choice of {len(self.options)} options, whose value is a "
                f"number from 0 to {len(self.options) - 1}, not {value!r}"
            )
        if not self.is_integer:
            return number
        # A database shell may have stored 3 as 3.0, but nobody stores 2.5 for an integer.
        if isinstance(number, float) and not number.is_integer():
            raise InvalidConfiguration(
                f"{self.label!r} has the value {value!r}, which is not whole"
            )
        return int(number)

    def draw(self, rng: Rng, evaluation: Evaluation) -> Any:
        """Draw a value, given those of the parents.

        Args:
            evaluation: knows the values of the parents' nodes.
        """
        prior = self.prior
        if prior is None and self.distribution.name in KINDS:
            prior = _prior_of_arguments(self.label, self.distribution, evaluation)
        if prior is None:
            arguments = _arguments(self.distribution, evaluation)
            return scope.implementation(self.distribution.name)(**arguments, rng=rng)
        return self.as_value(prior.sample(rng))


def prior_of(label: str, distribution: Apply) -> Prior | None:
    """The prior that a distribution's node describes.

    Returns:
        None if its arguments are not constant, or the distribution was registered
        by the user (`pyll.stochastic.implicit_stochastic`).

    Raises:
        BadSearchSpace: it is no distribution, or an argument makes no sense.
    """
    if distribution.name in KINDS:
        if not all(_is_constant(child) for child in distribution.inputs()):
            return None
        return _prior_of_arguments(label, distribution, Evaluation())
    if distribution.name == "frozen_distribution":
        try:
            return prior_of_frozen(Evaluation().value(distribution.pos_args[0]))
        except BadSearchSpace as error:
            raise BadSearchSpace(f"hyperparameter {label!r}: {error}") from None
    if distribution.name in implicit_stochastic_symbols:
        return None
    raise BadSearchSpace(
        f"the hyperparameter {label!r} is labelled on {distribution.name!r}, which is not a "
        f"distribution; label one of {', '.join(KINDS)} and compute with the result"
    )


def _is_constant(expression: Apply) -> bool:
    return all(
        isinstance(node, Literal) or (node.pure and scope.is_builtin(node.name))
        for node in dfs(expression)
    )


def _prior_of_arguments(label: str, distribution: Apply, evaluation: Evaluation) -> Prior:
    try:
        return prior_of_kind(distribution.name, _arguments(distribution, evaluation))
    except BadSearchSpace as error:
        raise BadSearchSpace(f"hyperparameter {label!r} ({distribution.name}): {error}") from None
    except TypeError as error:  # arguments are missing, or there are too many
        raise BadSearchSpace(f"hyperparameter {label!r} ({distribution.name}): {error}") from error


def _arguments(distribution: Apply, evaluation: Evaluation) -> dict[str, Any]:
    return {
        name: node.obj if isinstance(node, Literal) else evaluation.value(node)
        for name, node in distribution.arg.items()
        if name not in _NOT_ARGUMENTS and node is not MissingArgument
    }
