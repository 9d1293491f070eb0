"""Quasi-random search: the points of one low-discrepancy sequence, through the priors.

Like random search it needs no results, and any number of trials can run at once;
but its points keep out of each other's way (see `hpo.sequence`), so that the same
number of trials leaves smaller gaps. Each hyperparameter has a dimension of its
own, whether it is active or not, and takes its prior's quantile at the point's
coordinate there.

The trial that is proposed when the experiment has i others takes point i, so a
driver that resumes an experiment goes on where the last one left off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpo.algobase import (
    Seed,
    as_seed,
    choose_root_first,
    reject_unknown_options,
    suggestion_rng,
)
from hpo.document import Document, Tid
from hpo.exceptions import InvalidOption, did_you_mean
from hpo.provenance import Provenance
from hpo.sequence import METHODS, Method, unit_points
from hpo.space import Prior, Space

__all__ = ["suggest", "suggest_values"]

VERSION = 2

_KNOWN_OPTIONS = ("method", "scramble")


def suggest(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: Seed,
    method: Method = "sobol",
    scramble: bool = True,
    **unknown: Any,
) -> list[Document]:
    """Propose the next points of the sequence.

    Args:
        new_ids: the tids of the trials to propose; they get consecutive points.
        domain: the `Domain` that is searched.
        trials: the `Trials` so far; only their number counts.
        seed: determines the scrambling if the domain has no `search_seed`. Points of
            different scramblings do not keep out of each other's way, so it should
            be the same in every call; `fmin` sees to that.
        method: "sobol" or "halton".
        scramble: whether the sequence is randomised. Without it every search
            proposes the same points, which in many dimensions lie on few planes.

    Returns:
        NEW documents, one for each id, not yet inserted.

    Raises:
        InvalidOption: an option is unknown, or it has no such value.
    """
    reject_unknown_options("qmc.suggest", unknown, _KNOWN_OPTIONS)
    _check(method, scramble)
    observations = trials.observations()
    seed_word = as_seed(seed)
    key = seed_word if domain.search_seed is None else domain.search_seed
    first = len(observations)
    values = [
        suggest_values(domain.space, first + place, tid, key, method, scramble)
        for place, tid in enumerate(new_ids)
    ]
    options = {"method": method, "scramble": scramble}
    provenance = Provenance.of(
        "qmc", VERSION, options, seed_word, domain.search_seed, observations
    )
    documents: list[Document] = domain.new_trials(
        trials,
        new_ids,
        values,
        [provenance.for_place(new_ids, place, first + place) for place in range(len(new_ids))],
    )
    return documents


def suggest_values(
    space: Space,
    index: int,
    tid: Tid,
    key: int,
    method: Method = "sobol",
    scramble: bool = True,
) -> dict[str, Any]:
    """The configuration at one point: {label: value} of the active hyperparameters.

    A hyperparameter without a prior, because its distribution depends on others or is
    the user's own, has no quantiles: it is drawn at random, keyed by `key` and `tid`.

    Args:
        index: the point's number in the sequence, from 0 on.
        key: determines the scrambling; not negative.
    """
    row = unit_points(len(space), key if scramble else None, [index], method)[0]
    point = dict(zip(space.hyperparameters, row, strict=True))

    def choose(label: str, prior: Prior) -> Any:
        return prior.ppf(point[label])

    return choose_root_first(space, suggestion_rng(key, tid), choose)


def _check(method: Any, scramble: Any) -> None:
    if method not in METHODS:
        hint = did_you_mean(str(method), METHODS)
        raise InvalidOption(f"method must be one of {', '.join(METHODS)}, not {method!r}{hint}")
    if not isinstance(scramble, bool):
        raise InvalidOption(f"scramble must be True or False, not {scramble!r}")
