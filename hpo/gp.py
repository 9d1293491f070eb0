"""Gaussian processes: a model of the loss that knows how little it knows.

For objectives that take minutes or more, up to some hundreds of trials and about
twenty hyperparameters: there it needs the fewest evaluations of all the algorithms here.
The trials are points that a random function passes through; what is proposed is the
configuration from which the most improvement is expected.

    hpo.gp_inputs     a configuration as features, conditions and choices included
    hpo.gp_model      from the trials to the posterior; trials that failed or still run
    hpo.gp_search     where an acquisition is largest
    hpo.gp_choice     which acquisition decides, and what it chooses
    hpo.surrogate     kernels, gaussian_process, likelihood, warping, acquisition, portfolio

The first trials are points of a scrambled Sobol sequence. In a space of discrete values
no configuration is proposed twice, unless the objective is noisy.

Source: Rasmussen and Williams, "Gaussian processes for machine learning", 2006; Jones,
Schonlau and Welch, "Efficient global optimization of expensive black-box functions", 1998.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hpo.algobase import (
    Seed,
    as_seed,
    choose_root_first,
    known_rows,
    reject_unknown_options,
    suggestion_rng,
)
from hpo.document import Document, Tid
from hpo.exceptions import SpaceExhausted
from hpo.gp_choice import ACQUISITIONS, Chooser, Nominees, Options, Pick, untried
from hpo.gp_model import MOST_TRIALS
from hpo.observations import Observations
from hpo.provenance import Provenance
from hpo.sequence import unit_points
from hpo.space import Space

__all__ = [
    "ACQUISITIONS",
    "Options",
    "Pick",
    "nominated",
    "suggest",
    "suggest_in_turn",
    "suggest_values",
]

logger = logging.getLogger(__name__)

VERSION = 4

_KNOWN_OPTIONS = tuple(Options.__dataclass_fields__)


def suggest(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: Seed,
    *,
    acquisition: str = "logei",
    kernel: str = "matern52",
    n_startup_jobs: int = 5,
    n_candidates: int = 1024,
    n_starts: int = 4,
    kappa: float | None = None,
    margin: float = 0.01,
    halfway: int = 40,
    noisy: bool | None = None,
    **unknown: Any,
) -> list[Document]:
    """Propose one configuration for each id, from what the trials have shown.

    Args:
        new_ids: the tids of the trials to propose. Each proposal counts as a
            running trial for the next.
        domain: the `Domain` that is searched.
        trials: the `Trials` so far.
        seed: with the tids and the trials it determines the configurations.
        acquisition: what is maximised. "logei" and "ei": the expected improvement, both
            by its logarithm, and where that has become negligible now and then that of a
            large one, "far"; "pi": the probability of an improvement by at least `margin`;
            "ucb": the confidence bound; "portfolio": one of these, by a schedule that
            explores first; "hedge": one of these, by what each was worth so far.
        kernel: "matern52", "matern32", "rbf" or "rational_quadratic".
        n_startup_jobs: with fewer trials than these, known points included, take
            the next point of a Sobol sequence; at least 1.
        n_candidates: how many points are looked at; at least 1.
        n_starts: from how many of them the acquisition is climbed; at least 1.
        kappa: of "ucb": how many deviations the bound is wide; default: by the number of
            trials, as regret bounds ask for.
        margin: of "pi", where the losses' standard deviation is 1.
        halfway: of "portfolio": at how many trials half of the exploring is over.
        noisy: whether evaluating a configuration again may give another loss; default what
            `fmin` was told. More noise is then expected, and configurations may come again.

    Returns:
        NEW documents, one for each id, not yet inserted; fewer, when no configuration
        of a discrete space is left that was not tried. Beside the provenance,
        `suggested_by` has the `acquisition` that chose; of "hedge" all `nominees`; and
        `n_modelled`, the number of trials in the model, where that is not all of them.

    Raises:
        InvalidOption: an option is unknown, of the wrong type or out of range.
    """
    reject_unknown_options("gp.suggest", unknown, _KNOWN_OPTIONS)
    is_noisy = bool(domain.noisy if noisy is None else noisy)
    options = Options(
        acquisition, kernel, n_startup_jobs, n_candidates, n_starts, kappa, margin, halfway,
        is_noisy,
    )  # fmt: skip
    seed_word, observations = as_seed(seed), trials.observations()
    provenance = Provenance.of(
        "gp", VERSION, asdict(options), seed_word, domain.search_seed, observations
    )
    _log_subset(observations)
    if any(tid in observations for tid in new_ids):
        # Proposals for trials that exist already must not overwrite them.
        observations = observations.copy()
    with observations.provisional():
        picks = list(
            suggest_in_turn(
                domain.space, observations, new_ids, seed_word, options,
                domain.search_seed, nominated(trials, observations),
            )
        )  # fmt: skip
    n = len(picks)
    if n < len(new_ids):
        logger.info("%s", SpaceExhausted(len(observations.history) + n))
    documents: list[Document] = domain.new_trials(
        trials, new_ids[:n], [pick.values for pick in picks],
        [
            {**provenance.for_place(new_ids, place, pick.start), **pick.record}
            for place, pick in enumerate(picks)
        ],
    )  # fmt: skip
    return documents


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


def suggest_in_turn(
    space: Space,
    observations: Observations,
    tids: Sequence[Tid],
    seed: int,
    options: Options,
    search_seed: int | None,
    nominated: Iterable[Nominees] = (),
) -> Iterator[Pick]:
    """Choose for one tid after the other.

    Whoever asks for several encloses this in `observations.provisional()`: each
    choice is added as a pending trial, for the next ones to see.

    Args:
        nominated: of GP-Hedge, the nominees of earlier trials.
    """
    key = seed if search_seed is None else search_seed
    model: Chooser | None = None
    for place, tid in enumerate(tids):
        rng = suggestion_rng(seed, tid)
        n_known = len(known_rows(observations))
        if n_known < options.n_startup_jobs or not _n_ended(observations):
            pick = _start(space, observations, rng, key, n_known, options)
        else:
            model = model or Chooser(space, observations, options, nominated)
            pick = model.pick(rng)
        if pick is None:
            return
        yield pick
        if place + 1 < len(tids):
            observations.add_pending(tid, pick.values)


def _n_ended(observations: Observations) -> int:
    return int(np.count_nonzero(~observations.is_pending[known_rows(observations)]))


def _start(
    space: Space,
    observations: Observations,
    rng: np.random.Generator,
    key: int,
    index: int,
    options: Options,
) -> Pick | None:
    """The point number `index` of the Sobol sequence, through the priors' quantiles."""
    point = dict(zip(space.hyperparameters, unit_points(len(space), key, [index])[0], strict=True))
    values = choose_root_first(space, rng, lambda label, prior: prior.ppf(point[label]))
    if options.noisy or not space.is_discrete or not observations.has_tried(values):
        return Pick(values, index)
    other = untried(space, observations, rng)
    return None if other is None else Pick(other, index)


def nominated(trials: Any, observations: Observations) -> Iterator[Nominees]:
    """What GP-Hedge's acquisitions proposed for the trials that were observed, in their order."""
    records = {
        document["tid"]: document.get("suggested_by") or {} for document in trials._dynamic_trials
    }
    for tid in observations.tids[observations.order]:
        if "nominees" in records.get(tid, {}):
            yield records[tid]["nominees"]


_told: weakref.WeakSet[Observations] = weakref.WeakSet()


def _log_subset(observations: Observations) -> None:
    """Say once that there are more trials than the model can hold."""
    if len(observations) <= MOST_TRIALS or observations in _told:
        return
    n_ended = _n_ended(observations)
    if n_ended > MOST_TRIALS:
        _told.add(observations)
        logger.info(
            "gp.suggest models %d of %d trials, the best and the latest; for searches as long "
            "as this tpe.suggest is quicker",
            MOST_TRIALS,
            n_ended,
        )
