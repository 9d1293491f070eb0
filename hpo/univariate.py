"""The univariate tree-structured Parzen estimator: hyperopt's, for comparison.

After a random start, the trials are split into a few good ones and the rest. For
each hyperparameter two densities are fitted, l(x) to the good trials and g(x) to
the rest; candidates are drawn from l, and the one with the largest l(x) / g(x)
is proposed. Hyperparameters are treated one by one, parents before children,
so that a conditional one is drawn only under the branch that was chosen.

    symbol      meaning                                              shape
    N           number of trials that are finished, failed or pending
    below       a hyperparameter's values in the good trials           (n,), oldest first
    above       its values in all others                               (m,), oldest first
    l, g        the estimators fitted to below and above
    candidates  draws from l                                           (n_EI_candidates,)

Trials that failed or still run are in `above`. It is offered as
`tpe.hyperopt_suggest`; `tpe.suggest` is better and faster.

Source: hyperopt.tpe, whose estimators and defaults these are, but for this: every
id gets a document, and sees those before it; a trial without a loss is never
good; draws come by inversion, not by rejection; integers of a very wide range
have a Parzen estimator instead of a table.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hpo import rand
from hpo.algobase import (
    as_integer,
    as_real,
    choose_root_first,
    known_rows,
    reject_unknown_options,
    suggestion_rng,
)
from hpo.document import Document, Tid
from hpo.observations import Observations
from hpo.space import Categorical, Continuous, Integers, Prior, Space
from hpo.surrogate import parzen
from hpo.surrogate.categorical import fit_categorical
from hpo.surrogate.mixture import NormalMixture
from hpo.surrogate.split import count_below, split_by_loss

__all__ = ["Options", "suggest", "suggest_values"]

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

_default_prior_weight = 1.0
_default_n_EI_candidates = 24
_default_gamma = 0.25
_default_n_startup_jobs = 20
_default_linear_forgetting = parzen.N_RECENT

# Integers of a wider range get no table of counts: one of a billion entries would
# fill the memory, and neighbours would learn nothing from each other.
_MAX_TABULATED_INTEGERS = 4096

# Keeps a quantile off 0 and 1, where an unbounded distribution is infinite.
_LEAST_QUANTILE = 2.0**-53


@dataclass(frozen=True)
class Options:
    """How `suggest` works; see there.

    Raises:
        InvalidOption: one of them is of the wrong type or out of range.
    """

    prior_weight: float = _default_prior_weight
    n_startup_jobs: int = _default_n_startup_jobs
    n_EI_candidates: int = _default_n_EI_candidates
    gamma: float = _default_gamma

    def __post_init__(self) -> None:
        as_real("prior_weight", self.prior_weight, at_least=0.0)
        as_integer("n_startup_jobs", self.n_startup_jobs)
        as_integer("n_EI_candidates", self.n_EI_candidates, at_least=1)
        as_real("gamma", self.gamma, above=0.0)


_KNOWN_OPTIONS = ("prior_weight", "n_startup_jobs", "n_EI_candidates", "gamma", "verbose")


def suggest(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: int | None,
    prior_weight: float = _default_prior_weight,
    n_startup_jobs: int = _default_n_startup_jobs,
    n_EI_candidates: int = _default_n_EI_candidates,
    gamma: float = _default_gamma,
    verbose: bool = True,
    **unknown: Any,
) -> list[Document]:
    """Propose one configuration for each id, from what the trials have shown.

    Args:
        new_ids: the tids of the trials to propose. Each proposal counts as a
            running trial for the next.
        domain: the `Domain` that is searched.
        trials: the `Trials` so far.
        seed: with a tid and the trials it determines the tid's configuration.
        prior_weight: weight of the space's prior, where a recent trial weighs 1; at least 0.
        n_startup_jobs: with fewer trials than these, known points included, draw at random.
        n_EI_candidates: how many candidates compete for each hyperparameter; at least 1.
        gamma: of N trials, min(ceil(gamma sqrt(N)), 25) are good; greater than 0.
        verbose: log how many trials were used.

    Returns:
        NEW documents, one for each id, not yet inserted.

    Raises:
        InvalidOption: an option is unknown, of the wrong type or out of range.
    """
    reject_unknown_options("tpe.hyperopt_suggest", unknown, _KNOWN_OPTIONS)
    options = Options(prior_weight, n_startup_jobs, n_EI_candidates, gamma)
    observations = trials.observations()
    if verbose:
        _log_what_is_known(observations)
    if len(new_ids) > 1:
        # Each pick is added as a pending trial, which is not for others to see.
        observations = observations.copy()
    chosen: list[dict[str, Any]] = []
    for tid in new_ids:
        if chosen:
            observations.add_pending(new_ids[len(chosen) - 1], chosen[-1])
        chosen.append(suggest_values(domain.space, observations, tid, seed, options))
    documents: list[Document] = domain.new_trials(trials, new_ids, chosen)
    return documents


def suggest_values(
    space: Space,
    observations: Observations,
    tid: Tid,
    seed: int | None,
    options: Options | None = None,
) -> dict[str, Any]:
    """Choose one configuration: {label: value} of the active hyperparameters."""
    options = Options() if options is None else options
    rows = known_rows(observations)
    if len(rows) < options.n_startup_jobs:
        return rand.suggest_values(space, tid, seed)
    is_below = split_by_loss(observations.losses[rows], count_below(len(rows), options.gamma))
    rng = suggestion_rng(seed, tid)

    def choose(label: str, prior: Prior) -> float:
        column = observations.column(label)[rows]
        below, above = _known(column[is_below]), _known(column[~is_below])
        return _best_candidate(prior, below, above, rng, options)

    return choose_root_first(space, rng, choose)


def _known(column: Floats) -> Floats:
    # NaN where the hyperparameter is inactive; an infinite value is no position to learn from.
    return column[np.isfinite(column)]


def _best_candidate(
    prior: Prior, below: Floats, above: Floats, rng: np.random.Generator, options: Options
) -> float:
    """Draw candidates from l and return the one with the largest log l - log g."""
    good = fit_estimator(prior, below, options.prior_weight)
    rest = fit_estimator(prior, above, options.prior_weight)
    candidates = good.sample(rng, int(options.n_EI_candidates))
    score = good.log_density(candidates) - rest.log_density(candidates)
    return float(candidates[np.argmax(score)])


# --- estimators ---


class Estimator(Protocol):
    """A fitted one-dimensional density over stored values."""

    def sample(self, rng: np.random.Generator, n_samples: int) -> Floats:
        """Draw values, shape (n_samples,)."""

    def log_density(self, values: npt.ArrayLike) -> Floats:
        """Log density or log probability of each value, shape (n,), up to a constant."""


def fit_estimator(prior: Prior, observed: Floats, prior_weight: float) -> Estimator:
    """Fit the estimator that suits a prior to the values observed under it.

    Args:
        observed: stored values, oldest first, finite; shape (n,), may be empty.
    """
    if isinstance(prior, Categorical):
        return fit_categorical(observed, prior.p, prior_weight)
    if isinstance(prior, Integers) and prior.n_values <= _MAX_TABULATED_INTEGERS:
        equal = np.full(prior.n_values, 1.0 / prior.n_values)
        return fit_categorical(observed, equal, prior_weight, first=prior.low)
    if isinstance(prior, Continuous) and math.isfinite(prior.latent_mu_sigma[1]):
        return _fit_continuous(prior, observed, prior_weight)
    return _QuantileEstimator.fit(prior, observed, prior_weight)


def _fit_continuous(prior: Continuous, observed: Floats, prior_weight: float) -> NormalMixture:
    low, high = prior.latent_bounds
    components = parzen.adaptive_parzen_normal(
        prior.to_latent(observed), prior_weight, *prior.latent_mu_sigma
    )
    return NormalMixture(*components, low=low, high=high, is_log=prior.is_log, q=prior.q)


class _QuantileEstimator:
    """Values of any distribution, estimated by where they stand among its quantiles.

    It serves distributions that only scipy knows, integers of a wide range, and
    ranges wider than a float can tell. The change of variable cancels in l / g,
    so the density is left in quantiles.
    """

    def __init__(self, prior: Prior, quantiles: NormalMixture) -> None:
        self._prior, self._quantiles = prior, quantiles

    @classmethod
    def fit(cls, prior: Prior, observed: Floats, prior_weight: float) -> _QuantileEstimator:
        least, most = _LEAST_QUANTILE, 1.0 - _LEAST_QUANTILE
        positions = np.clip(prior.cdf(observed), least, most)
        components = parzen.adaptive_parzen_normal(positions, prior_weight, 0.5, 1.0)
        return cls(prior, NormalMixture(*components, low=least, high=most))

    def sample(self, rng: np.random.Generator, n_samples: int) -> Floats:
        drawn = self._prior.ppf(self._quantiles.sample(rng, n_samples))
        return np.asarray(drawn, dtype=np.float64)

    def log_density(self, values: npt.ArrayLike) -> Floats:
        least, most = _LEAST_QUANTILE, 1.0 - _LEAST_QUANTILE
        return self._quantiles.log_density(np.clip(self._prior.cdf(values), least, most))


def _log_what_is_known(observations: Observations) -> None:
    losses = observations.losses[observations.is_ok]
    best = f"best loss {losses.min():g}" if losses.size else "no loss yet"
    logger.info("TPE using %d trials, %d with a loss, %s", len(observations), losses.size, best)
