"""A search space: what can vary, how it is distributed, and when it is active.

space = Space({"lr": hp.loguniform("lr", -9, 0), "depth": hp.randint("depth", 1, 9)})
values = space.sample(rng)      # {"lr": 0.0031, "depth": 4}: what a trial stores
space.evaluate(values)          # the configuration that the objective is called with
space.params(values)            # by label, as people read it: options instead of numbers
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import BadSearchSpace, InvalidConfiguration, MissingValue, did_you_mean
from hpo.pyll import Apply, Evaluation, GarbageCollected, Literal, as_apply
from hpo.pyll.evaluate import as_branch
from hpo.space.columns import SpaceColumns
from hpo.space.compile import compile_space
from hpo.space.coordinates import Coordinates
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.options import OptionReader
from hpo.space.priors import Rng
from hpo.space.readable import expression_text
from hpo.space.structure import (
    Switch,
    active_labels,
    activity,
    harmless_nodes,
    parents_first,
)

__all__ = ["Space"]


class Space:
    """A compiled search space.

    A configuration is given by values: {label: number} of its active
    hyperparameters; a choice's number is that of its option.

    Args:
        expr: any nest of dictionaries, lists, tuples and constants around
            hyperparameters (`hp.…`), expressions of them, and frozen scipy
            distributions, which are labelled by their path.

    Attributes:
        expr: the expression graph; the one given, unless it had unlabelled distributions.
        hyperparameters: {label: Hyperparameter}, parents before children.

    Raises:
        DuplicateLabel: two different hyperparameters carry one label.
        BadSearchSpace: the space cannot mean anything.
    """

    def __init__(self, expr: Any) -> None:
        compiled = compile_space(as_apply(expr))
        self.expr = compiled.expr
        self.hyperparameters = compiled.hyperparameters
        self._regions = compiled.regions
        self._no_values = {
            parameter.node: GarbageCollected for parameter in self.hyperparameters.values()
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return Space, (self.expr,)

    def __len__(self) -> int:
        return len(self.hyperparameters)

    def __repr__(self) -> str:
        return f"Space({', '.join(self.hyperparameters)})"

    # --- values ---

    def sample(self, rng: Rng) -> dict[str, Any]:
        """Draw the values of one configuration from the priors.

        Each label takes its random numbers whether it is active or not, so what
        one label draws does not depend on the branch that another one takes.
        """
        values: dict[str, Any] = {}
        own_rngs: dict[str, Rng] = {}
        for label, parameter in self.hyperparameters.items():
            if parameter.prior is not None:
                values[label] = parameter.prior.sample(rng)
            else:
                own_rngs[label] = np.random.default_rng(rng.integers(2**63))
        while lacking := [label for label in self._active(values) if label not in values]:
            for label in lacking:
                values[label] = self.draw(label, values, own_rngs[label])
        return {label: values[label] for label in self._active(values)}

    def draw(self, label: str, values: Mapping[str, Any], rng: Rng) -> Any:
        """Draw the value of one hyperparameter.

        Args:
            values: of its parents, at least, as plain numbers.
        """
        return self.hyperparameters[label].draw(rng, self._evaluation(values))

    def active_labels(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The labels that are active, parents before children.

        Args:
            values: of the labels that decide it, at least; where one is missing,
                none of the branches it chooses between is counted as active.

        Raises:
            InvalidConfiguration: a label is unknown, or a value is no branch's number.
        """
        return self._active(self._checked(values))

    def active_masks(
        self, values: Mapping[str, npt.NDArray[Any]], n: int
    ) -> dict[str, npt.NDArray[np.bool_]]:
        """In which of `n` configurations each label is active, as `active_labels` says of one.

        Args:
            values: {label: values, shape (n,)} of all labels with a prior, active or
                not; not checked. What is missing decides nothing.
        """
        if len(self._regions) == 1:
            everywhere = np.ones(n, dtype=np.bool_)
            return dict.fromkeys(self.hyperparameters, everywhere)
        masks = activity(
            self._regions,
            self._regions_in_order,
            lambda switch: self._branches(switch, values, n),
            n,
        )
        return {label: masks[label] for label in self.hyperparameters}

    def _branches(
        self, switch: Switch, values: Mapping[str, npt.NDArray[Any]], n: int
    ) -> npt.NDArray[np.int64]:
        """The branch that a switch takes in each configuration; -1 where it cannot be known."""
        if switch.label is not None:
            known = values.get(switch.label)
            return np.full(n, -1) if known is None else known.astype(np.int64)
        branches = np.full(n, -1)
        for index in range(n):
            checked = self._checked({label: each[index] for label, each in values.items()})
            branch = _branch(switch, checked, self._evaluation(checked))
            if branch is not None:
                branches[index] = branch
        return branches

    @cached_property
    def _regions_in_order(self) -> list[Apply]:
        return parents_first(self._regions, self.expr)

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The configuration that the objective is called with.

        Lists and tuples come out as tuples, dictionaries as new dictionaries.

        Args:
            values: of the active labels; those of inactive ones are not used.

        Raises:
            InvalidConfiguration: the value of an active label is missing, a label
                is unknown, or a value is not a number.
        """
        try:
            return self._evaluation(self._checked(values)).value(self.expr)
        except MissingValue as missing:
            given = ", ".join(map(repr, values)) or "nothing"
            raise InvalidConfiguration(
                f"the configuration lacks a value for {missing.label!r}, which is active in it; "
                f"it has {given}"
            ) from None

    def params(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The active hyperparameters as people read them.

        A choice shows its option itself, with the values inside it, if that is
        plain data; functions, classes and objects appear as their names, what is
        too large as "option 2".

        Raises:
            InvalidConfiguration: as for `evaluate`.
        """
        checked = self._checked(values)
        is_nested = not self.is_flat or bool(self._nested_options)
        evaluation = self._evaluation(checked) if is_nested else None
        active = self._active(checked, evaluation)
        try:
            params = {label: checked[label] for label in active}
        except KeyError as missing:
            raise InvalidConfiguration(
                f"the configuration lacks a value for {missing}, which is active in it"
            ) from None
        for label, shown in self._constant_options.items():
            if label in params:
                params[label] = shown[int(params[label])]
        if evaluation is not None:
            reader = OptionReader(evaluation, self._harmless)
            for label, options in self._nested_options.items():
                if label in params:
                    params[label] = reader.read(options, int(params[label]))
        return params

    @cached_property
    def _constant_options(self) -> dict[str, list[Any]]:
        """{label: its options, as people read them} of the choices between mere constants."""
        reader = OptionReader(Evaluation(), self._harmless)
        return {
            label: [reader.read(parameter.options, n) for n in range(len(parameter.options))]
            for label, parameter in self.hyperparameters.items()
            if parameter.options is not None and all(map(_is_constant, parameter.options))
        }

    @cached_property
    def _nested_options(self) -> dict[str, Sequence[Apply]]:
        """{label: its options} of the choices that are read in the light of other values."""
        return {
            label: parameter.options
            for label, parameter in self.hyperparameters.items()
            if parameter.options is not None and label not in self._constant_options
        }

    @cached_property
    def _harmless(self) -> frozenset[Apply]:
        return harmless_nodes(self.expr)

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        parameters, reals, checked = self.hyperparameters, self._reals, dict(values)
        for label, value in values.items():
            # Most values are floats, and need nothing else.
            if type(value) is float and label in reals:
                continue
            parameter = parameters.get(label)
            if parameter is None:
                raise InvalidConfiguration(
                    f"the space has no hyperparameter {label!r}"
                    f"{did_you_mean(str(label), parameters)}; "
                    f"it has {', '.join(map(repr, parameters))}"
                )
            checked[label] = parameter.as_value(value)
        return checked

    @cached_property
    def _reals(self) -> frozenset[str]:
        """Labels of which any float is a value."""
        return frozenset(label for label, each in self.hyperparameters.items() if each.is_real)

    def _evaluation(self, checked: Mapping[str, Any]) -> Evaluation:
        known = {self.hyperparameters[label].node: value for label, value in checked.items()}
        return Evaluation({**self._no_values, **known})

    def _active(
        self, checked: Mapping[str, Any], evaluation: Evaluation | None = None
    ) -> tuple[str, ...]:
        if len(self._regions) == 1:
            return tuple(self.hyperparameters)
        evaluation = evaluation or self._evaluation(checked)
        active = active_labels(
            self._regions, self.expr, lambda switch: _branch(switch, checked, evaluation)
        )
        return tuple(label for label in self.hyperparameters if label in active)

    # --- many trials at once ---

    @cached_property
    def columns(self) -> SpaceColumns:
        """The space as one expression over many trials; made when it is first asked for.

        Raises:
            BadSearchSpace: two hyperparameters depend on each other.
        """
        return SpaceColumns(self)

    # --- what models ask ---

    @cached_property
    def coordinates(self) -> Coordinates:
        """Unit coordinates of the hyperparameters, for models that compare them."""
        return Coordinates(self.hyperparameters)

    @cached_property
    def bounds_of_integers(self) -> dict[str, tuple[float, float]]:
        """{label: least and greatest value} of the hyperparameters that are ints, no choices."""
        return {
            label: parameter.prior.bounds
            for label, parameter in self.hyperparameters.items()
            if parameter.prior is not None and parameter.is_integer and parameter.options is None
        }

    @property
    def is_flat(self) -> bool:
        """Whether every hyperparameter is always active."""
        return len(self._regions) == 1

    @cached_property
    def is_discrete(self) -> bool:
        """Whether every hyperparameter has countably many values."""
        priors = [parameter.prior for parameter in self.hyperparameters.values()]
        return all(prior is not None and prior.is_discrete for prior in priors)

    @cached_property
    def is_finite(self) -> bool:
        """Whether there are finitely many configurations."""
        bounds = [p.prior.bounds for p in self.hyperparameters.values() if p.prior is not None]
        return self.is_discrete and all(np.isfinite(bounds).ravel())

    @cached_property
    def deciding_choices(self) -> dict[str, int]:
        """{label: number of options} of the choices that decide what else is active."""
        deciding = {
            label
            for parameter in self.hyperparameters.values()
            for alternative in parameter.conditions
            for label, _ in alternative
        }
        return {
            label: len(parameter.options)
            for label, parameter in self.hyperparameters.items()
            if label in deciding and parameter.prior is not None and parameter.options is not None
        }

    def choices_above(self, label: str) -> tuple[str, ...]:
        """The deciding choices on which it depends whether a label is active, root first."""
        above: set[str] = set()
        todo = [label]
        while todo:
            conditions = self.hyperparameters[todo.pop()].conditions
            found = {other for alternative in conditions for other, _ in alternative} - above
            above |= found
            todo.extend(found)
        return tuple(name for name in self.deciding_choices if name in above)

    # --- what is the same in every process ---

    def describe(self) -> list[dict[str, Any]]:
        """One row for each hyperparameter, sorted by label, made of plain data only.

        Returns:
            Dictionaries with label, kind, arguments ({name: number, list or text}),
            integer (whether values are ints), options (of a choice, as text; else
            None), and conditions: a list of alternatives {label: value}.
        """
        return [_row(parameter) for _, parameter in sorted(self.hyperparameters.items())]

    @cached_property
    def digest(self) -> str:
        """sha256, in hexadecimal, of `describe()`: equal for equal spaces, in every process."""
        canonical = json.dumps(self.describe(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def _is_constant(node: Apply) -> bool:
    """Whether it is a number, a text or the like, which no reader can change."""
    return isinstance(node, Literal) and isinstance(
        node.obj, (bool, int, float, str, bytes, type(None))
    )


def _branch(switch: Switch, checked: Mapping[str, Any], evaluation: Evaluation) -> int | None:
    """The branch that a switch takes, or None if values that decide it are missing."""
    try:
        if switch.label is None:
            return as_branch(evaluation.value(switch.selector), len(switch.branches))
        if switch.label not in checked:
            return None
        return as_branch(checked[switch.label], len(switch.branches))
    except MissingValue:
        return None
    except BadSearchSpace as error:
        who = "a computed selector" if switch.label is None else repr(switch.label)
        raise InvalidConfiguration(f"{who} selects no branch: {error}") from None


def _row(parameter: Hyperparameter) -> dict[str, Any]:
    options = parameter.options
    return {
        "label": parameter.label,
        "kind": parameter.kind,
        "arguments": _arguments(parameter),
        "integer": parameter.is_integer,
        "options": None if options is None else [expression_text(option) for option in options],
        "conditions": [dict(sorted(alternative)) for alternative in parameter.conditions],
    }


def _arguments(parameter: Hyperparameter) -> dict[str, Any]:
    if parameter.prior is not None:
        return parameter.prior.arguments
    return {"expression": expression_text(parameter.distribution)}
