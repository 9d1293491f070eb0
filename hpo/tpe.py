"""The tree-structured Parzen estimator: sample where good trials are dense and others are not.

The trials are split into the good ones and the rest. Two densities over all
hyperparameters together are fitted, l to the good trials and g to the rest;
candidates are drawn from l, and the one with the largest l / g is proposed.

    symbol      meaning                                                  shape
    N           number of trials that are finished, failed or pending      scalar
    good, rest  rows of the trials that l and g are fitted to              (n,), (N - n,)
    l, g        the estimators: one kernel for each trial, and the prior
    C           number of candidates                                      scalar
    score       log l - log g of each candidate, corrected at bounds,      (C,)
                and what a regression of the losses adds while others run

Where choices decide which other hyperparameters exist, the space is a tree. One
of these choices is decided first, by Thompson sampling over its branches, and the
estimators are fitted to the trials of that branch: so every branch is tuned by
what was seen inside it, and none is given up before it was.

Next to a bound g is too low, for a reason of its own (`hpo.surrogate.edges`); the score
makes up for that, so that the search does not stick to borders.

A good trial weighs the more the better it is, one of the rest the more the worse it is
(`hpo.surrogate.weights`). Trials that failed or still run are among the rest, so the search
leaves failing regions, and several suggestions in flight spread out. In a space of discrete
values no configuration is proposed twice, unless the objective is noisy.

Some suggestions come from a wider l, and when nothing better has been found for a while,
in some a hyperparameter or two are drawn anew, whatever the good trials have
(`hpo.candidates.Way`): so a search leaves a wrong peak.

While a few other trials run, results come late: when one is a success, the next suggestions
have been made without it. Then a regression of the losses has a say in the score
(`hpo.surrogate.outlook`): it sees from the trials that have ended which way losses fall, and
looks beyond the best of them.

The first trials are points of a scrambled Sobol sequence.

Source: Watanabe, "Tree-structured Parzen estimator: understanding its algorithm
components", arXiv 2304.11127; the details, and what was changed after measuring, are
in `hpo.surrogate`. The univariate estimator of hyperopt is `hyperopt_suggest`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from hpo import univariate
from hpo.algobase import (
    Seed,
    as_seed,
    choose_root_first,
    known_rows,
    reject_unknown_options,
    suggestion_rng,
)
from hpo.candidates import Crowd, Lot, Way, draw_lots
from hpo.document import Document, Tid
from hpo.exceptions import SpaceExhausted, did_you_mean
from hpo.observations import Observations
from hpo.provenance import Provenance
from hpo.sequence import unit_points
from hpo.space import Space
from hpo.tree_model import History, Model, Options
from hpo.univariate import suggest as hyperopt_suggest

__all__ = ["Options", "Pick", "hyperopt_suggest", "suggest", "suggest_in_turn", "suggest_values"]

logger = logging.getLogger(__name__)

VERSION = 6

# In this share of suggestions l is wide, so that a many-peaked function is not searched
# around its first good peak alone; and in that share, once so many trials have ended since
# the best one, some axes are drawn anew.
_WIDE_FRACTION, _ANEW_FRACTION = 0.2, 0.2
_STUCK_AFTER = 20

# So many suggestions are made from one fit; each still sees the ones before it.
_BLOCK = 64
# If no more are asked for, each is made by itself, so that a regression knows the ones before.
_FEW = 8
# In a discrete space, so many draws that were all tried before say that it is exhausted.
_MAX_REDRAWS = 10_000
_REDRAWS_AT_ONCE = 500

Values = tuple[tuple[str, Any], ...]


def suggest(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: Seed,
    prior_weight: float = 1.0,
    n_startup_jobs: int = 10,
    n_EI_candidates: int = 24,
    gamma: float | None = None,
    verbose: bool = True,
    *,
    below_fraction: float = 0.10,
    least_sigma: float = 0.03,
    max_kernels: int = 256,
    noisy: bool | None = None,
    regression: bool | None = None,
    **unknown: Any,
) -> list[Document]:
    """Propose one configuration for each id, from what the trials have shown.

    Args:
        new_ids: the tids of the trials to propose. Each proposal counts as a
            running trial for the next.
        domain: the `Domain` that is searched.
        trials: the `Trials` so far.
        seed: with the tids and the trials it determines the configurations.
        prior_weight: weight of the space's prior, where a trial weighs 1; at least 0.
        n_startup_jobs: until so many trials have ended, known points included, take
            the next point of a Sobol sequence.
        n_EI_candidates: how many candidates compete; at least 1.
        gamma: hyperopt's rule: of N trials, min(ceil(gamma sqrt(N)), 25) are good.
        below_fraction: without `gamma`: of n trials with a loss, so large a share is
            good, and no more than 25; greater than 0.
        least_sigma: no kernel is narrower than this share of a range; greater than 0.
        max_kernels: g has no more kernels than these; of more trials it takes those
            that still run, and others evenly spaced in time.
        noisy: whether evaluating a configuration again may give another loss; default what
            `fmin` was told. Losses are then smoothed before trials are called good, and
            configurations may come again.
        regression: whether a regression of the losses has a say. None: while other trials
            run, unless more than eight are asked for at once. True: always; then a
            suggestion takes a millisecond or two longer, and good losses are found in fewer
            trials.
        verbose: log how many trials were used.

    Returns:
        NEW documents, one for each id, not yet inserted; fewer, when no configuration
        of a discrete space is left that was not tried.

    Raises:
        InvalidOption: an option is unknown, of the wrong type or out of range.
    """
    reject_unknown_options("tpe.suggest", unknown, _KNOWN_OPTIONS)
    is_noisy = domain.noisy if noisy is None else noisy
    options = Options(
        prior_weight, n_startup_jobs, n_EI_candidates, gamma,
        below_fraction, least_sigma, max_kernels, bool(is_noisy), regression,
    )  # fmt: skip
    seed_word = as_seed(seed)
    observations = trials.observations()
    if verbose and logger.isEnabledFor(logging.INFO):
        _log_what_is_known(observations)
    provenance = Provenance.of(
        "tpe", VERSION, dict(vars(options)), seed_word, domain.search_seed, observations
    )
    if any(tid in observations for tid in new_ids):
        # Proposals for trials that exist already must not overwrite them.
        observations = observations.copy()
    with observations.provisional():
        chosen = list(
            suggest_in_turn(
                domain.space, observations, new_ids, seed_word, options, domain.search_seed
            )
        )
    n = len(chosen)
    if n < len(new_ids):
        logger.info("%s", SpaceExhausted(len(observations.history) + n))
    documents: list[Document] = domain.new_trials(
        trials, new_ids[:n], [pick.values for pick in chosen],
        [provenance.for_place(new_ids, place, pick.start) for place, pick in enumerate(chosen)],
    )  # fmt: skip
    return documents


_KNOWN_OPTIONS = (
    "prior_weight", "n_startup_jobs", "n_EI_candidates", "gamma", "verbose",
    "below_fraction", "least_sigma", "max_kernels", "noisy", "regression",
)  # fmt: skip


def suggest_values(
    space: Space,
    observations: Observations,
    tid: Tid,
    seed: Seed,
    options: Options | None = None,
    search_seed: int | None = None,
) -> dict[str, Any]:
    """Choose one configuration: {label: value} of the active hyperparameters.

    Raises:
        SpaceExhausted: every configuration has been tried.
    """
    options = Options() if options is None else options
    for pick in suggest_in_turn(space, observations, [tid], as_seed(seed), options, search_seed):
        return pick.values
    raise SpaceExhausted(len(observations.history))


class Pick(NamedTuple):
    """One configuration that was chosen.

    Attributes:
        values: {label: value} of the active hyperparameters; a choice by index.
        start: its place among the first trials, from 0, or None when a model chose it.
        lot: the candidates that competed, if a model chose it.
        is_candidate: whether it is one of them, and not a draw from the prior because
            all of them had been tried.
    """

    values: dict[str, Any]
    start: int | None = None
    lot: Lot | None = None
    is_candidate: bool = True


def suggest_in_turn(
    space: Space,
    observations: Observations,
    tids: Sequence[Tid],
    seed: int,
    options: Options,
    search_seed: int | None,
) -> Iterator[Pick]:
    """Choose for one tid after the other.

    Whoever asks for several encloses this in `observations.provisional()`: each
    choice is added as a pending trial, for the next ones to see.
    """
    key = seed if search_seed is None else search_seed
    todo = list(tids)
    one_by_one = options.regression
    if one_by_one is None:
        one_by_one = len(todo) <= _FEW
    while todo:
        known = known_rows(observations)
        n_ended = len(known)
        if observations.n_pending:
            n_ended -= int(np.count_nonzero(observations.is_pending[known]))
        if n_ended < options.n_startup_jobs:
            picks = [_start(space, observations, todo[0], seed, key, len(known), options)]
        elif one_by_one:
            is_alone = len(todo) == 1 and not observations.n_pending
            with_outlook = options.regression or not is_alone
            picks = _pick_by_model(
                space, observations, todo[:1], seed, options, with_outlook=with_outlook
            )
        else:
            picks = _pick_by_model(space, observations, todo[:_BLOCK], seed, options)
        made, todo = todo[: len(picks)], todo[len(picks) :]
        for tid, pick in zip(made, picks, strict=True):
            if pick is None:
                return
            yield pick
            if todo:
                observations.add_pending(tid, pick.values)


# --- the first trials ---


def _start(
    space: Space,
    observations: Observations,
    tid: Tid,
    seed: int,
    key: int,
    index: int,
    options: Options,
) -> Pick | None:
    """The point number `index` of the Sobol sequence, through the priors' quantiles."""
    rng = suggestion_rng(seed, tid)
    point = dict(zip(space.hyperparameters, unit_points(len(space), key, [index])[0], strict=True))
    values = choose_root_first(space, rng, lambda label, prior: prior.ppf(point[label]))
    if _may_repeat(space, options) or not observations.has_tried(values):
        return Pick(values, index)
    untried = _untried(space, observations, rng) if space.is_finite else values
    return None if untried is None else Pick(untried, index)


# --- the later ones ---


def _pick_by_model(
    space: Space,
    observations: Observations,
    tids: Sequence[Tid],
    seed: int,
    options: Options,
    *,
    with_outlook: bool = False,
) -> list[Pick | None]:
    """Choose for each tid from the trials; each choice is a kernel of g for the next."""
    history = History(space, observations, options)
    rng = suggestion_rng(seed, tids[0])
    sources = [(history.choose_branch(rng), _choose_way(history, rng)) for _ in tids]
    if len(sources) == 1:
        ((branch, way),) = sources
        (lot,) = draw_lots(Model(history, dict(branch)), rng, way, with_outlook=with_outlook)
        return [_pick_from(lot, observations, rng)]
    branches = dict.fromkeys(branch for branch, _ in sources)
    models = {branch: Model(history, dict(branch)) for branch in branches}
    Model.fit_all(
        list(dict.fromkeys((models[branch], way is Way.WIDE) for branch, way in sources))
    )
    lots_of = {
        (branch, way): draw_lots(models[branch], rng, way, n_lots)
        for (branch, way), n_lots in Counter(sources).items()
    }
    lots = [next(lots_of[source]) for source in sources]
    return _pick_one_by_one(lots, observations, rng)


def _choose_way(history: History, rng: np.random.Generator) -> Way:
    place = rng.random()
    if place < _WIDE_FRACTION:
        return Way.WIDE
    is_anew = place < _WIDE_FRACTION + _ANEW_FRACTION and history.n_since_best >= _STUCK_AFTER
    return Way.ANEW if is_anew and history.space.coordinates.numeric else Way.NEAR


def _pick_one_by_one(
    lots: Sequence[Lot], observations: Observations, rng: np.random.Generator
) -> list[Pick | None]:
    """Pick from one lot after the other; every pick lowers the scores around it."""
    picks: list[Pick | None] = []
    history = lots[0].model.history
    may_repeat = _may_repeat(history.space, history.options)
    proposed: set[Values] = set()
    for lot in Crowd(lots).in_turn():
        pick = _pick_from(lot, observations, rng, proposed)
        picks.append(pick)
        if pick is None:
            return picks
        if not may_repeat:
            proposed.add(tuple(pick.values.items()))
    return picks


def _pick_from(
    lot: Lot,
    observations: Observations,
    rng: np.random.Generator,
    proposed: Set[Values] = frozenset(),
) -> Pick | None:
    """The candidate with the best score that was not tried before, else any that was not."""
    space, options = lot.model.history.space, lot.model.history.options
    for index in lot.by_score():
        values = lot.values(index, rng)
        if _may_repeat(space, options):
            return Pick(values, lot=lot)
        if tuple(values.items()) not in proposed and not observations.has_tried(values):
            return Pick(values, lot=lot)
    if not space.is_finite:
        return Pick(lot.values(next(lot.by_score()), rng), lot=lot)
    untried = _untried(space, observations, rng, proposed)
    return None if untried is None else Pick(untried, lot=lot, is_candidate=False)


# --- spaces of discrete values ---


def _may_repeat(space: Space, options: Options) -> bool:
    """Whether a configuration may be proposed that was tried before."""
    return options.noisy or not space.is_discrete


def _untried(
    space: Space,
    observations: Observations,
    rng: np.random.Generator,
    proposed: Set[Values] = frozenset(),
) -> dict[str, Any] | None:
    """A draw from the prior that was not tried before, or None when there seems to be none."""
    for _ in range(_MAX_REDRAWS // _REDRAWS_AT_ONCE):
        tried = set(proposed)
        for _ in range(_REDRAWS_AT_ONCE):
            values = space.sample(rng)
            drawn = tuple(values.items())
            if drawn not in tried and not observations.has_tried(values):
                return values
            tried.add(drawn)
    return None


def _log_what_is_known(observations: Observations) -> None:
    losses = observations.losses[observations.is_ok]
    best = f"best loss {losses.min():g}" if losses.size else "no loss yet"
    logger.info("TPE using %d trials, %d with a loss, %s", len(observations), losses.size, best)


# --- hyperopt's other names ---

_default_prior_weight = univariate._default_prior_weight
_default_n_EI_candidates = univariate._default_n_EI_candidates
_default_gamma = univariate._default_gamma
_default_n_startup_jobs = univariate._default_n_startup_jobs
_default_linear_forgetting = univariate._default_linear_forgetting

# The estimators as operations of expressions. `suggest` does without them, so they
# are loaded, and entered in `scope`, by whoever asks for one first.
_NODE_NAMES = frozenset(
    """DEFAULT_LF EPS GMM1 GMM1_lpdf LGMM1 LGMM1_lpdf adaptive_parzen_normal
    adaptive_parzen_normal_orig adaptive_parzen_sampler adaptive_parzen_samplers
    ap_categorical_sampler ap_filter_trials ap_loglognormal_sampler ap_loguniform_sampler
    ap_normal_sampler ap_qlognormal_sampler ap_qloguniform_sampler ap_qnormal_sampler
    ap_quniform_sampler ap_randint_sampler ap_split_trials ap_uniform_sampler broadcast_best
    categorical_lpdf linear_forgetting_weights lognormal_cdf lognormal_lpdf logsum_rows
    normal_cdf qlognormal_lpdf randint_via_categorical_lpdf""".split()
)


def __getattr__(name: str) -> Any:
    if name in _NODE_NAMES:
        from hpo import parzen_nodes

        return getattr(parzen_nodes, name)
    raise AttributeError(
        f"module 'hpo.tpe' has no attribute {name!r}{did_you_mean(name, _NODE_NAMES)}"
    )
