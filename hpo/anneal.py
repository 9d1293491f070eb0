"""Annealing: draw near a good trial, and nearer the more trials there are.

One of the best trials is picked, the best most often. Each hyperparameter is then
drawn around that trial's value, as its prior would but more narrowly: after T
observations of it the width is

    f = 1 / (1 + T * shrink_coef)                                       (1)

of the prior's. A hyperparameter that the picked trial does not have is drawn around
another good trial that has it, or from the prior where there is none. A trial that was
stopped early is good only after all that were not (hpo.partial).

`AnnealingAlgo` is the same in steps that a subclass can change.

Source: hyperopt.anneal, but for this: every id gets a document, and trials without a
loss are never picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo import rand
from hpo.algobase import (
    Seed,
    SuggestAlgo,
    as_real,
    as_seed,
    choose_root_first,
    reject_unknown_options,
    suggestion_rng,
)
from hpo.document import Document, Tid
from hpo.observations import Observations
from hpo.partial import ranking_losses
from hpo.provenance import Provenance
from hpo.pyll import Apply
from hpo.space import Continuous, Normal, Prior, Space

__all__ = ["AnnealingAlgo", "Options", "suggest", "suggest_batch", "suggest_values"]


VERSION = 2


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
    options, seed_word = Options(avg_best_idx, shrink_coef), as_seed(seed)
    values = _choose(new_ids, domain, trials, seed_word, options)
    provenance = Provenance.of(
        "anneal", VERSION, asdict(options), seed_word, domain.search_seed, trials.observations()
    )
    documents: list[Document] = domain.new_trials(
        trials,
        new_ids,
        values,
        [provenance.for_place(new_ids, place) for place in range(len(new_ids))],
    )
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
        losses = ranking_losses(observations)[self._history]
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


# --- for subclasses -------------------------------------------------------------------------


class AnnealingAlgo(SuggestAlgo):
    """Annealing, hyperparameter by hyperparameter, with steps to override.

    For each label `choose_ltv` picks a trial, and `hp_uniform`, `hp_normal`, … (by the
    distribution's name) draws near the value that the label has there.

    Attributes:
        tids: of all trials that count, sorted.
        losses: of these trials; infinite where there is none. Those of stopped trials stand
            behind the complete ones.
        node_tids: {label: tids of the trials that have the label}.
        node_vals: {label: their values}.
        best_tids: the trials that the present suggestion is modelled on.

    Raises:
        InvalidOption: an option is of the wrong type or out of range.

    Source: hyperopt.anneal.AnnealingAlgo.
    """

    def __init__(
        self,
        domain: Any,
        trials: Any,
        seed: Seed,
        avg_best_idx: float = 2.0,
        shrink_coef: float = 0.1,
    ) -> None:
        Options(avg_best_idx, shrink_coef)  # raises when they make no sense
        super().__init__(domain, trials, seed)
        self.avg_best_idx, self.shrink_coef = avg_best_idx, shrink_coef
        observations = trials.observations()
        history = observations.history
        losses = ranking_losses(observations)[history]
        self.tids = observations.tids[history]
        self.losses = np.where(np.isnan(losses), np.inf, losses)
        self.node_tids: dict[str, list[Tid]] = {}
        self.node_vals: dict[str, list[Any]] = {}
        for label, parameter in domain.space.hyperparameters.items():
            column = observations.column(label)[history]
            has_it = ~np.isnan(column)
            self.node_tids[label] = list(self.tids[has_it])
            self.node_vals[label] = [parameter.as_value(value) for value in column[has_it]]
        self.best_tids: list[Tid] = []

    def _decide(self, new_ids: list[Tid], key: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self.best_tids = []
        return super()._decide(new_ids, key)

    def shrinking(self, label: str) -> float:
        """The width to draw in, as a fraction of the prior's: f of equation (1)."""
        return 1.0 / (1.0 + len(self.node_vals[label]) * self.shrink_coef)

    def choose_ltv(
        self, label: str, size: int
    ) -> tuple[npt.NDArray[np.float64], list[Tid], npt.NDArray[Any]] | None:
        """Pick the good trials to draw a label's values near.

        Args:
            size: how many. One alone is a trial that was picked for another label
                before, if that has this label too.

        Returns:
            (losses, tids, values), each of length `size`; None if no trial that has the
            label has a loss.
        """
        loss_of = dict(zip(self.tids, self.losses, strict=True))
        having = zip(self.node_tids[label], self.node_vals[label], strict=True)
        ranked = sorted(
            ((loss_of[tid], tid, value) for tid, value in having if loss_of[tid] < np.inf),
            key=lambda candidate: candidate[0],
        )
        if not ranked:
            return None
        picked = [row for tid in self.best_tids for row in ranked if row[1] == tid][:1]
        if size != 1 or not picked:
            ranks = np.minimum(self.rng.geometric(1.0 / self.avg_best_idx, size), len(ranked)) - 1
            picked = [ranked[rank] for rank in ranks]
        if size == 1:
            self.best_tids.append(picked[0][1])
        losses, tids, values = ([row[part] for row in picked] for part in range(3))
        return np.array(losses), tids, np.array(values)

    def on_node_hyperparameter(self, memo: dict[Apply, Any], node: Apply, label: str) -> Any:
        """Draw near good trials by the method hp_<distribution>, or from the prior."""
        size = memo[node.arg["size"]] if "size" in node.arg else None
        chosen = self.choose_ltv(label, size) if size else None
        if chosen is None:
            return self.on_node_prior(memo, node)
        _, tids, values = chosen
        return getattr(self, f"hp_{node.name}", self._hp)(memo, node, label, tids, values)

    def _hp(
        self, memo: dict[Apply, Any], node: Apply, label: str, tid: Sequence[Tid], val: Any
    ) -> list[Any]:
        """Draw values of one hyperparameter, each near one of `val`.

        Args:
            memo, node, label: as in `SuggestAlgo`.
            tid: the trials that the values `val` are those of.
        """
        prior, width = self.domain.space.hyperparameters[label].prior, self.shrinking(label)
        return [_draw_near(prior, float(model), width, self.rng) for model in np.atleast_1d(val)]

    hp_uniform = hp_quniform = hp_uniformint = hp_loguniform = hp_qloguniform = _hp
    hp_normal = hp_qnormal = hp_lognormal = hp_qlognormal = _hp
    hp_randint = hp_categorical = hp_frozen_distribution = _hp
