"""Grid search: every combination of a few values of each hyperparameter, once.

Whole numbers, choices and quantised hyperparameters have all of their values in
the grid; of a continuous one, n_steps = k takes the quantiles in the middle of k
equally likely parts of its prior,

    x_i = ppf((i + 1/2) / k),        i = 0 .. k - 1                             (1)

Only what is active is combined: a branch of a choice adds its own combinations,
and none of them is there twice.

The grid's points have numbers from 0 to n - 1, in lexicographic order. They are
proposed in the order 0, s, 2s, 3s, … modulo n, with a stride s next to the golden
section of n that has no divisor in common with it: so every point's turn comes
once, and the first few are already spread over the whole grid. Points that were
tried are left out, whoever proposed them; those of cancelled or lost trials are
proposed again. When nothing is left the search ends.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import numbers
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.algobase import Seed, as_integer, as_seed, reject_unknown_options
from hpo.document import Document, Tid
from hpo.exceptions import BadSearchSpace, InvalidOption, InvalidOptionValue, did_you_mean
from hpo.observations import Observations
from hpo.provenance import Provenance
from hpo.space import Hyperparameter, Prior, Space

__all__ = ["MAX_POINTS", "Grid", "size", "suggest", "suggest_values"]

# A count for every continuous label, or {label: count or values}.
Steps = int | Mapping[str, int | Sequence[float]]
_HashableSteps = tuple[int, tuple[tuple[str, int | tuple[Any, ...]], ...]]

VERSION = 1
MAX_POINTS = 10_000_000
DEFAULT_STEPS = 10

_GOLDEN_SECTION = 0.5 * (math.sqrt(5.0) - 1.0)


def suggest(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: Seed,
    n_steps: Steps = DEFAULT_STEPS,
    **unknown: Any,
) -> list[Document]:
    """Propose the next untried points of the grid.

    Args:
        new_ids: the tids of the trials to propose.
        domain: the `Domain` that is searched.
        trials: the `Trials` so far; their configurations are left out.
        seed: not used, the grid is the same in every search.
        n_steps: how many values of each continuous hyperparameter; or a dictionary
            that gives, for some labels of any kind, this number or the values
            themselves (of a choice: numbers of options). Continuous labels that it
            does not name have 10.

    Returns:
        NEW documents in the order of the ids, not yet inserted; fewer than there are
        ids, or none, when all points have been tried.

    Raises:
        InvalidOption: an option is unknown, or `n_steps` makes no sense for a label.
        BadSearchSpace: a distribution depends on other hyperparameters and has no
            values in `n_steps`, or the grid has more than 10 million points.
    """
    reject_unknown_options("grid.suggest", unknown, known=("n_steps",))
    observations = trials.observations()
    grid = _grid_of(domain.space, n_steps)
    turns = list(itertools.islice(grid.untried(observations), len(new_ids)))
    tids = new_ids[: len(turns)]
    provenance = Provenance.of(
        "grid", VERSION, _as_plain(n_steps), as_seed(seed), domain.search_seed, observations
    )
    records = [provenance.for_place(new_ids, place, turn) for place, turn in enumerate(turns)]
    values = [grid.at_turn(turn) for turn in turns]
    documents: list[Document] = domain.new_trials(trials, tids, values, records)
    return documents


def suggest_values(space: Space, turn: int, n_steps: Steps = DEFAULT_STEPS) -> dict[str, Any]:
    """The point whose turn it was: {label: value} of its active hyperparameters.

    Raises:
        InvalidOption, BadSearchSpace: as for `suggest`.
        InvalidOptionValue: the grid of this space has no such turn.
    """
    grid = _grid_of(space, n_steps)
    if not 0 <= turn < len(grid):
        raise InvalidOptionValue(
            f"the grid has {len(grid)} points and no turn {turn}; is it that of another space?"
        )
    return grid.at_turn(turn)


def _as_plain(n_steps: Steps) -> dict[str, Any]:
    """The option as documents hold it."""
    if not isinstance(n_steps, Mapping):
        return {"n_steps": int(n_steps)}
    _, by_label = _as_hashable(n_steps)
    return {
        "n_steps": {name: each if isinstance(each, int) else list(each) for name, each in by_label}
    }


def size(space: Any, n_steps: Steps = DEFAULT_STEPS) -> int:
    """How many points the grid of a space has, which is the `max_evals` that covers it.

    Args:
        space: what is given to `fmin`, or a compiled `Space`.
        n_steps: as for `suggest`.

    Raises:
        InvalidOption, BadSearchSpace: as for `suggest`.
    """
    compiled = space if isinstance(space, Space) else Space(space)
    return len(_grid_of(compiled, n_steps))


def _grid_of(space: Space, n_steps: Steps) -> Grid:
    return _grid(space, _as_hashable(n_steps))


@functools.lru_cache(maxsize=16)
def _grid(space: Space, n_steps: _HashableSteps) -> Grid:
    default, by_label = n_steps
    return Grid(space, default, dict(by_label))


def _as_hashable(n_steps: Any) -> _HashableSteps:
    if not isinstance(n_steps, Mapping):
        return as_integer("n_steps", n_steps, at_least=1), ()
    rows: list[tuple[str, int | tuple[Any, ...]]] = []
    for label, given in n_steps.items():
        if isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, (str, bytes)):
            rows.append((label, tuple(_as_number(label, value) for value in given)))
        else:
            rows.append((label, as_integer(f"n_steps[{label!r}]", given, at_least=1)))
    return DEFAULT_STEPS, tuple(rows)


def _as_number(label: str, value: Any) -> Any:
    """One of the values given for a label; numpy's numbers as Python's, for documents."""
    if not isinstance(value, (numbers.Real, np.bool_)):
        hint = "; give a choice the numbers of its options" if isinstance(value, str) else ""
        raise InvalidOption(
            f"n_steps gives {label!r} the value {value!r}, which is not a number{hint}"
        )
    return value.item() if isinstance(value, np.generic) else value


# --- the grid of one space --------------------------------------------------------


class Grid:
    """The points of a grid, by number and in the order of their proposal.

    Labels fall into groups that do not decide about each other, and the grid is the
    product of the groups' grids.

    Args:
        n_steps: number of values of each continuous hyperparameter.
        n_steps_of: {label: number of values, or the values}.

    Raises:
        InvalidOption, BadSearchSpace: as for `suggest`.
    """

    def __init__(
        self, space: Space, n_steps: int, n_steps_of: Mapping[str, int | Sequence[Any]]
    ) -> None:
        _check_labels(n_steps_of, space)
        self._space = space
        axes = {
            label: _axis(parameter, n_steps, n_steps_of.get(label))
            for label, parameter in space.hyperparameters.items()
        }
        self._groups = [_Group(space, labels, axes) for labels in _independent_labels(space)]
        self._n_points = math.prod(len(group) for group in self._groups)
        if self._n_points > MAX_POINTS:
            raise BadSearchSpace(_too_large(f"{self._n_points:,}", axes))
        self._stride = _coprime_stride(self._n_points)
        # How many points each experiment's search has passed already.
        self._passed: weakref.WeakKeyDictionary[Observations, int] = weakref.WeakKeyDictionary()

    def __len__(self) -> int:
        return self._n_points

    def point(self, number: int) -> dict[str, Any]:
        """{label: value} of the active hyperparameters at a point, 0 <= number < len."""
        values: dict[str, Any] = {}
        for group in reversed(self._groups):
            number, own = divmod(number, len(group))
            values |= group.point(own)
        return {label: values[label] for label in self._space.hyperparameters if label in values}

    def at_turn(self, turn: int) -> dict[str, Any]:
        """The point that is proposed as the `turn`-th, 0 <= turn < len."""
        return self.point(turn * self._stride % len(self))

    def untried(self, observations: Observations) -> Iterator[int]:
        """The turns of points that no trial of the history has, in the order of proposal."""
        start = self._passed.get(observations, 0)
        # What lies before the start may be free again, because its trial was cancelled.
        for turn in itertools.chain(range(start, len(self)), range(start)):
            self._passed[observations] = turn
            if not observations.has_tried(self.at_turn(turn)):
                yield turn


def _coprime_stride(n: int) -> int:
    """The whole number nearest below the golden section of n that shares no divisor with n."""
    stride = max(1, round(n * _GOLDEN_SECTION))
    while math.gcd(stride, n) > 1:
        stride -= 1
    return stride


def _too_large(n_points: str, axes: Mapping[str, Sequence[Any]]) -> str:
    largest = max(axes, key=lambda label: len(axes[label]))
    return (
        f"the grid has {n_points} points, but {MAX_POINTS:,} is the limit; its longest axis is "
        f"{largest!r} with {len(axes[largest]):,} values. Give fewer, as in "
        f"n_steps={{{largest!r}: 5}}, or search with tpe.suggest or qmc.suggest"
    )


# --- groups of labels that decide about each other --------------------------------


def _independent_labels(space: Space) -> list[list[str]]:
    """The labels in groups, so that no label's parent is in another group."""
    group_of = {label: [label] for label in space.hyperparameters}
    for label, parameter in space.hyperparameters.items():
        for parent in parameter.parents:
            kept, joined = group_of[parent], group_of[label]
            if kept is not joined:
                kept.extend(joined)
                group_of.update(dict.fromkeys(joined, kept))
    return list({id(group): group for group in group_of.values()}.values())


@dataclass(frozen=True)
class _Cell:
    """The combinations that share the values of the deciding labels.

    Attributes:
        decided: these values.
        axes: {label: values} of the other active labels.
    """

    decided: Mapping[str, Any]
    axes: dict[str, Sequence[Any]]

    @property
    def n_points(self) -> int:
        return math.prod(map(len, self.axes.values()))

    def point(self, number: int) -> dict[str, Any]:
        values = dict(self.decided)
        for label, axis in reversed(self.axes.items()):
            number, place = divmod(number, len(axis))
            values[label] = axis[place]
        return values


class _Group:
    """The combinations of the labels of one group, cell after cell."""

    def __init__(
        self, space: Space, labels: Sequence[str], axes: Mapping[str, Sequence[Any]]
    ) -> None:
        deciding = {parent for label in labels for parent in space.hyperparameters[label].parents}
        self._cells: list[_Cell] = []
        self._ends: list[int] = []
        for cell in _cells(space, labels, deciding, axes, {}):
            self._cells.append(cell)
            self._ends.append(len(self) + cell.n_points)
            if len(self) > MAX_POINTS:
                raise BadSearchSpace(_too_large(f"more than {MAX_POINTS:,}", axes))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def point(self, number: int) -> dict[str, Any]:
        place = bisect.bisect_right(self._ends, number)
        begin = self._ends[place - 1] if place else 0
        return self._cells[place].point(number - begin)


def _cells(
    space: Space,
    labels: Sequence[str],
    deciding: set[str],
    axes: Mapping[str, Sequence[Any]],
    decided: dict[str, Any],
) -> Iterator[_Cell]:
    open_labels = [label for label in _active(space, labels, decided) if label not in decided]
    undecided = next((label for label in open_labels if label in deciding), None)
    if undecided is None:
        yield _Cell(decided, {label: axes[label] for label in open_labels})
        return
    for value in axes[undecided]:
        yield from _cells(space, labels, deciding, axes, {**decided, undecided: value})


def _active(space: Space, labels: Sequence[str], decided: Mapping[str, Any]) -> list[str]:
    active = set(space.active_labels(decided))
    # A label under every option of a choice does not wait for the choice, and so is in
    # another group.
    return [
        label
        for label in labels
        if label in active or space.hyperparameters[label].is_always_active
    ]


# --- the values of one label ------------------------------------------------------


def _check_labels(n_steps_of: Mapping[str, Any], space: Space) -> None:
    for label in n_steps_of:
        if label not in space.hyperparameters:
            raise InvalidOption(
                f"n_steps has the unknown label {label!r}"
                f"{did_you_mean(str(label), space.hyperparameters)}; "
                f"the space has {', '.join(map(repr, space.hyperparameters))}"
            )


def _axis(
    parameter: Hyperparameter, default: int, given: int | Sequence[Any] | None
) -> Sequence[Any]:
    """The values of a label in the grid, each once."""
    label, prior = parameter.label, parameter.prior
    if isinstance(given, Sequence):
        return _given_values(parameter, given)
    if prior is None:
        raise BadSearchSpace(
            f"the distribution of {label!r} depends on other hyperparameters or is your own, so "
            f"that a grid cannot know its values; give them as n_steps={{{label!r}: [...]}}"
        )
    n_values = _n_values(prior)
    if n_values is None:
        return _midpoints(prior, default if given is None else given)
    if given is not None and given < n_values:
        return _midpoints(prior, given)
    if n_values > MAX_POINTS:
        raise BadSearchSpace(
            f"{label!r} alone has {n_values:,} values, more than a grid of {MAX_POINTS:,} points "
            f"can hold; give fewer, as in n_steps={{{label!r}: 10}}"
        )
    return _all_values(prior, n_values)


def _given_values(parameter: Hyperparameter, given: Sequence[Any]) -> Sequence[Any]:
    if not given:
        raise InvalidOption(
            f"n_steps gives {parameter.label!r} no value at all; give at least one"
        )
    for value in given:
        if parameter.prior is not None and not parameter.prior.contains(value):
            raise InvalidOption(
                f"n_steps gives {parameter.label!r} the value {value!r}, which "
                f"{parameter.prior} cannot have"
            )
    return tuple(dict.fromkeys(parameter.as_value(value) for value in given))


def _n_values(prior: Prior) -> int | None:
    """How many values a discrete prior has between its bounds; None where they are endless."""
    low, high = prior.bounds
    if not prior.is_discrete or not math.isfinite(high - low):
        return None
    return round((high - low) / (prior.q or 1)) + 1


def _all_values(prior: Prior, n_values: int) -> Sequence[Any]:
    low, step = prior.bounds[0], prior.q or 1
    # Multiples of the step, which are the floats that the prior itself rounds to.
    values = (np.arange(n_values) + round(low / step)) * step
    values = values.astype(np.int64 if prior.is_integer else np.float64)
    if prior.q is None:
        # Options of probability 0 are none.
        values = values[prior.cdf(values) > prior.cdf(values - 1)]
    return tuple(values.tolist())


def _midpoints(prior: Prior, n_steps: int) -> Sequence[Any]:
    """Equation (1); quantiles of a discrete prior that coincide count once."""
    quantiles = prior.ppf((np.arange(n_steps) + 0.5) / n_steps)
    return tuple(dict.fromkeys(quantiles.tolist()))
