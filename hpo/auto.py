"""The algorithm that suits the search: chosen by a table of rules, anew for each suggestion.

The first rule that applies decides:

    the space has choices, or hyperparameters that are not always active    tpe
    the objective is noisy                                                  tpe
    a hyperparameter takes discrete values, or there is only one            tpe
    fewer than 20 trials for each hyperparameter have ended                 tpe
    the package cmaes is not installed                                      tpe
    otherwise: a long search over continuous hyperparameters                cma

CMA-ES takes the trials of the Parzen estimator over as if they were its own. Measured
on seven shifted functions (sphere, Ackley, Levy, Rastrigin, Griewank; ellipsoid and
Rosenbrock, also rotated) in D = 2, 3, 5, 10 and 20 dimensions, medians of 5 seeds: this
change after 20 D trials left a smaller loss than the Parzen estimator alone in 32 of
the 35 cases after 40 D trials, and in 34 at the end, after 800 to 1,200 trials, mostly
by orders of magnitude. After 10 D trials it lost more often in between (29 of 35), and
CMA-ES from the first trial on lost most often (22 of 35).

Which rule decided is logged whenever it changes, and each document says so in
`suggested_by.because`.
"""

from __future__ import annotations

import importlib.util
import logging
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpo import cma, tpe
from hpo.algobase import Seed, known_rows, reject_unknown_options
from hpo.document import Document, Tid
from hpo.observations import Observations
from hpo.space import Space

__all__ = ["RULES", "Rule", "Situation", "rule_for", "suggest"]

logger = logging.getLogger(__name__)

TRIALS_FOR_EACH_HYPERPARAMETER = 20


@dataclass(frozen=True)
class Situation:
    """What the rules look at.

    Attributes:
        n_ended: how many trials have ended, with a loss or by failing.
    """

    space: Space
    is_noisy: bool
    n_ended: int


@dataclass(frozen=True)
class Rule:
    """Which algorithm to take, when, and why."""

    algorithm: str
    applies: Callable[[Situation], bool]
    because: str


def _branches(situation: Situation) -> bool:
    return any(
        parameter.options is not None
        or parameter.kind == "categorical"
        or not parameter.is_always_active
        for parameter in situation.space.hyperparameters.values()
    )


def _is_not_continuous(situation: Situation) -> bool:
    priors = [parameter.prior for parameter in situation.space.hyperparameters.values()]
    return len(priors) < 2 or any(prior is None or prior.is_discrete for prior in priors)


def _is_short(situation: Situation) -> bool:
    return situation.n_ended < TRIALS_FOR_EACH_HYPERPARAMETER * len(situation.space)


def _lacks_cmaes(situation: Situation) -> bool:
    return importlib.util.find_spec("cmaes") is None


RULES = (
    Rule("tpe", _branches, "the space has choices or conditions"),
    Rule("tpe", lambda situation: situation.is_noisy, "the objective is noisy"),
    Rule("tpe", _is_not_continuous, "not all, or not several, hyperparameters are continuous"),
    Rule("tpe", _is_short, "fewer than 20 trials for each hyperparameter have ended"),
    Rule("tpe", _lacks_cmaes, "cmaes is missing; for long searches: pip install 'hpo[cma]'"),
    Rule("cma", lambda situation: True, "many trials of continuous hyperparameters have ended"),
)

_ALGORITHMS: dict[str, Callable[..., list[Document]]] = {"tpe": tpe.suggest, "cma": cma.suggest}


def suggest(
    new_ids: Sequence[Tid], domain: Any, trials: Any, seed: Seed, **unknown: Any
) -> list[Document]:
    """Let the algorithm that the rules name propose one configuration for each id.

    Args:
        new_ids: the tids of the trials to propose.
        domain: the `Domain` that is searched.
        trials: the `Trials` so far.
        seed: with the tids and the trials it determines the configurations.

    Returns:
        NEW documents, one for each id, not yet inserted; fewer, when no configuration
        of a discrete space is left that was not tried.

    Raises:
        InvalidOption: an option was given; there is none.
    """
    reject_unknown_options("auto.suggest", unknown, known=())
    observations = trials.observations()
    known = known_rows(observations)
    n_ended = len(known) - int(observations.is_pending[known].sum())
    rule = rule_for(Situation(domain.space, bool(domain.noisy), n_ended))
    _log_change(observations, rule)
    documents = _ALGORITHMS[rule.algorithm](new_ids, domain, trials, seed)
    for document in documents:
        document["suggested_by"]["because"] = rule.because
    return documents


def rule_for(situation: Situation) -> Rule:
    """The first rule that applies."""
    return next(rule for rule in RULES if rule.applies(situation))


_last_rules: weakref.WeakKeyDictionary[Observations, Rule] = weakref.WeakKeyDictionary()


def _log_change(observations: Observations, rule: Rule) -> None:
    if _last_rules.get(observations) != rule:
        _last_rules[observations] = rule
        logger.info("auto.suggest takes %s: %s", rule.algorithm, rule.because)
