"""Annealing: draw near a good trial, and nearer the more trials there are.

One of the best trials is picked, the best most often. Each hyperparameter is then
drawn around that trial's value, as its prior would but more narrowly: after T
observations of it the width is

    f = 1 / (1 + T * shrink_coef)                                       (1)

of the prior's. A hyperparameter that the picked trial does not have is drawn around
another good trial that has it, or from the prior where there is none.

Source: hyperopt.anneal, but for this: every id gets a document, and trials without a
loss are never picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo import rand
from hpo.algobase import (
    as_real,
    choose_root_first,
    reject_unknown_options,
    suggestion_rng,
)
from hpo.document import Document, Tid
from hpo.observations import Observations
from hpo.space import Continuous, Normal, Prior, Space

__all__ = ["Options", "suggest", "suggest_batch", "suggest_values"]


@dataclass(frozen=True)
class Options:
    """How `suggest` works; see there.

    Raises:
        InvalidOption: one of them is of the wrong type or out of range.
    """

    avg_best_idx: float = 2.0
    shrink_coef: float = 0.1

    def __post_init__(self) -> None:
        as_real("avg_best_idx", self.avg_best_idx, at_least=1.0)
        as_real("shrink_coef", self.shrink_coef, at_least=0.0)


_KNOWN_OPTIONS = ("avg_best_idx", "shrink_coef")


def suggest(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: int | None,
    avg_best_idx: float = 2.0,
    shrink_coef: float = 0.1,
    **unknown: Any,
) -> list[Document]:
    """Propose one configuration for each id, near what was good.

    Args:
        new_ids: the tids of the trials to propose.
        domain: the `Domain` that is searched.
        trials: the `Trials` so far.
        seed: with a tid and the trials it determines the tid's configuration.
        avg_best_idx: mean rank of the picked trial, where 1 is the best; at least 1.
        shrink_coef: how fast the search narrows, equation (1); at least 0.

    Returns:
        NEW documents, one for each id, not yet inserted.

    Raises:
        InvalidOption: an option is unknown, of the wrong type or out of range.
    """
    reject_unknown_options("anneal.suggest", unknown, _KNOWN_OPTIONS)
    values = _choose(new_ids, domain, trials, seed, Options(avg_best_idx, shrink_coef))
    documents: list[Document] = domain.new_trials(trials, new_ids, values)
    return documents


def suggest_batch(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: int | None,
    avg_best_idx: float = 2.0,
    shrink_coef: float = 0.1,
    **unknown: Any,
) -> tuple[rand.Columns, rand.Columns]:
    """Choose the configurations of `suggest`, as columns instead of documents.

    Returns:
        (idxs, vals): for each label, the ids under which it is active, and its values there.

    Raises:
        InvalidOption: an option is unknown, of the wrong type or out of range.

    Source: hyperopt.anneal.suggest_batch.
    """
    reject_unknown_options("anneal.suggest_batch", unknown, _KNOWN_OPTIONS)
    values = _choose(new_ids, domain, trials, seed, Options(avg_best_idx, shrink_coef))
    return rand.as_columns(domain.params, new_ids, values)


def _choose(
    new_ids: Sequence[Tid], domain: Any, trials: Any, seed: int | None, options: Options
) -> list[dict[str, Any]]:
    observations = trials.observations()
    return [suggest_values(domain.space, observations, tid, seed, options) for tid in new_ids]


def suggest_values(
    space: Space,
    observations: Observations,
    tid: Tid,
    seed: int | None,
    options: Options | None = None,
) -> dict[str, Any]:
    """Choose one configuration: {label: value} of the active hyperparameters."""
    options = Options() if options is None else options
    rng = suggestion_rng(seed, tid)
    models = _Models(observations, options, rng)

    def choose(label: str, prior: Prior) -> Any:
        model = models.value_of(label)
        if model is None:
            return prior.sample(rng)
        width = 1.0 / (1.0 + models.n_observed(label) * options.shrink_coef)
        return _draw_near(prior, model, width, rng)

    return choose_root_first(space, rng, choose)


class _Models:
    """The trials that a proposal is modelled on: one, and others for what it lacks."""

    def __init__(
        self, observations: Observations, options: Options, rng: np.random.Generator
    ) -> None:
        self._observations, self._rng = observations, rng
        self._p_next_is_it = 1.0 / options.avg_best_idx
        self._history = observations.history
        losses = observations.losses[self._history]
        by_loss = np.argsort(losses, kind="stable")
        self._best_first = self._history[by_loss[: np.count_nonzero(~np.isnan(losses))]]
        self._picked: list[int] = []

    def n_observed(self, label: str) -> int:
        """T of equation (1): the trials that have the hyperparameter, finished or not."""
        return int(np.count_nonzero(self._observations.active(label)[self._history]))

    def value_of(self, label: str) -> float | None:
        """The hyperparameter's value in a good trial; None when no good trial has it."""
        column = self._observations.column(label)
        for row in self._picked:
            if not np.isnan(column[row]):
                return float(column[row])
        having: npt.NDArray[np.int64] = self._best_first[~np.isnan(column[self._best_first])]
        if not having.size:
            return None
        rank = min(int(self._rng.geometric(self._p_next_is_it)), having.size) - 1
        self._picked.append(int(having[rank]))
        return float(column[having[rank]])


def _draw_near(prior: Prior, model: float, width: float, rng: np.random.Generator) -> Any:
    """Draw from the prior, narrowed to `width` in (0, 1] of itself around a value."""
    if isinstance(prior, Continuous):
        position = float(prior.to_latent(model))
        if isinstance(prior, Normal):
            return prior.from_latent(rng.normal(position, prior.sigma * width))
        return prior.from_latent(_draw_in_window(position, prior.latent_bounds, width, rng))
    if prior.is_integer:
        return _keep_or_redraw(prior, int(model), width, rng)
    # Of a distribution that only scipy knows, the quantiles are uniform.
    return prior.ppf(_draw_in_window(prior.cdf(model), (0.0, 1.0), width, rng))


def _draw_in_window(
    position: float, bounds: tuple[float, float], width: float, rng: np.random.Generator
) -> float:
    low, high = bounds
    # Never high - low, which is infinite for the widest ranges.
    half = width * (0.5 * high - 0.5 * low)
    # The window is shifted, not cut, where it would cross a bound.
    middle = min(max(position, low + half), high - half)
    u = rng.random()
    return (1.0 - u) * (middle - half) + u * (middle + half)


def _keep_or_redraw(prior: Prior, model: int, width: float, rng: np.random.Generator) -> Any:
    # Options have no neighbours: narrowing is keeping the value more often.
    if rng.random() < width or not prior.contains(model):
        return prior.sample(rng)
    return model
