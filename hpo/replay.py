"""Computing a suggestion again, bit for bit, from what the documents say of it.

A document names the algorithm that suggested it, its options and seeds, and the
trials that had been seen (`hpo.provenance`). Results stay as they are for good, so
the history of that moment can be put together again: of the trials up to the last
one that was seen, those that had not ended are taken as pending, whatever became
of them; the others as they are. A digest tells whether that is the same history.

The numbers are the same on the same machine with the same versions of hpo, numpy
and scipy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo import anneal, cma, gp, grid, qmc, rand, tpe
from hpo.document import Document, Tid, active_values
from hpo.domain import Domain
from hpo.exceptions import HistoryChanged, InvalidOptionValue
from hpo.objective import unpack, verify
from hpo.observations import Observations
from hpo.provenance import from_runs
from hpo.pyll import as_apply
from hpo.signing import load_keys
from hpo.space import Space

if TYPE_CHECKING:
    from hpo.trials import Trials

__all__ = ["Replayed", "as_space", "picks_of", "record_of", "replay", "seen_by", "space_of"]

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Replayed:
    """A suggestion, as it is stored and as it comes out now.

    Attributes:
        tid: the trial.
        stored, values: {label: value} of its active hyperparameters; a choice by index.
        params: `values` as people read them.
        suggested_by: what the document says of where it came from.
        version: of the algorithm that computed `values`; that of `stored` is in
            `suggested_by`, and another version may choose otherwise.
    """

    tid: Tid
    stored: Mapping[str, Any]
    values: Mapping[str, Any]
    params: Mapping[str, Any]
    suggested_by: Record
    version: int

    @property
    def is_same(self) -> bool:
        """Whether every value is the same, to the last bit."""
        return dict(self.stored) == dict(self.values)

    @property
    def differing(self) -> tuple[str, ...]:
        """Labels whose values differ, or that only one of the two has."""
        labels = [*self.stored, *(label for label in self.values if label not in self.stored)]
        return tuple(label for label in labels if self.stored.get(label) != self.values.get(label))


def replay(trials: Trials, tid: Tid, space: Any = None) -> Replayed:
    """Compute the suggestion of one trial again.

    Args:
        trials: the experiment.
        space: what was searched: a space, a Space or a Domain; None: it is taken from the
            objective that is stored with the experiment, whose signature must hold.

    Raises:
        InvalidOptionValue: there is no such trial, or nobody knows how it came about.
        HistoryChanged: trials that had been seen were deleted or altered since.
    """
    document, record = record_of(trials, tid, _ALGORITHMS)
    searched = space_of(trials, document) if space is None else as_space(space)
    version, compute = _ALGORITHMS[record["algorithm"]]
    values = compute(searched, trials, tid, record)
    stored = active_values(document)
    return Replayed(tid, stored, values, searched.params(values), record, version)


def record_of(trials: Trials, tid: Tid, algorithms: Collection[str]) -> tuple[Document, Record]:
    """A trial's document, and what it says of where the suggestion came from.

    Raises:
        InvalidOptionValue: there is no such trial, or none of these algorithms suggested it.
    """
    document = _document(trials, tid)
    record = document.get("suggested_by")
    if not record or record.get("algorithm") not in algorithms:
        raise InvalidOptionValue(
            f"trial {tid!r} does not say that one of {', '.join(algorithms)} suggested it, so it "
            "cannot be computed again; it may be a point that was given, or another algorithm's"
        )
    return document, record


def picks_of(
    space: Space, trials: Trials, record: Record
) -> tuple[Observations, Iterator[tpe.Pick]]:
    """What TPE saw, and what it chose, for one call; computed again.

    Raises:
        HistoryChanged: trials that had been seen were deleted or altered since.
    """
    observations = seen_by(trials, record)
    picks = tpe.suggest_in_turn(
        space,
        observations,
        _batch(trials, record["batch"]),
        record["seed"],
        tpe.Options(**record["options"]),
        record["search_seed"],
    )
    return observations, picks


def seen_by(trials: Trials, record: Record) -> Observations:
    """The trials as they were when a suggestion was made.

    Raises:
        HistoryChanged: they are not the same any more.
    """
    seen, observations = record["seen"], trials.observations()
    order = observations.order
    if seen["last"] is None:
        then = Observations()
    else:
        places = np.flatnonzero(observations.tids[order] == seen["last"])
        then = observations.only(order[: places[-1] + 1] if places.size else order)
    values_of = {tid: _values_in(then, row) for row, tid in enumerate(then.tids.tolist())}
    for tid in from_runs(seen["pending"]):
        if tid in values_of:
            then.add_pending(tid, values_of[tid])
    if then.digest != seen["digest"]:
        raise HistoryChanged(seen["digest"], then.digest)
    return then


def _values_in(observations: Observations, row: int) -> dict[str, float]:
    columns = {label: observations.column(label)[row] for label in observations.labels}
    return {label: float(value) for label, value in columns.items() if not np.isnan(value)}


def _document(trials: Trials, tid: Tid) -> Document:
    try:
        return trials.trial(tid)
    except (KeyError, LookupError):
        known = trials.observations().tids.tolist()
        such_as = f"; there are {known[0]!r} to {known[-1]!r}" if known else ", nor any other"
        raise InvalidOptionValue(f"there is no trial {tid!r}{such_as}") from None


def as_space(space: Any) -> Space:
    """A space, a Space or a Domain as a Space."""
    searched = space.space if isinstance(space, Domain) else space
    return searched if isinstance(searched, Space) else Space(as_apply(searched))


def space_of(trials: Trials, document: Document) -> Space:
    """The space of the objective that a document names."""
    sha256 = document.get("objective")
    if sha256 is None:
        raise InvalidOptionValue(
            "the experiment has no stored objective to take the space from; pass space="
        )
    try:
        payload = trials.store.get_objective(sha256)
    except KeyError:
        raise InvalidOptionValue(
            f"the objective {sha256[:12]} is not stored any more; pass space="
        ) from None
    return unpack(verify(payload, sha256, document["exp_key"], load_keys())).space


# --- the algorithms that can be asked again ---


def _by_tpe(space: Space, trials: Trials, tid: Tid, record: Record) -> dict[str, Any]:
    _, picks = picks_of(space, trials, record)
    return next(itertools.islice(picks, record["batch"]["place"], None)).values


def _by_gp(space: Space, trials: Trials, tid: Tid, record: Record) -> dict[str, Any]:
    observations = seen_by(trials, record)
    picks = gp.suggest_in_turn(
        space,
        observations,
        _batch(trials, record["batch"]),
        record["seed"],
        gp.Options(**record["options"]),
        record["search_seed"],
        gp.nominated(trials, observations),
    )
    return next(itertools.islice(picks, record["batch"]["place"], None)).values


def _batch(trials: Trials, batch: Record) -> list[Tid]:
    """The ids that were asked for together."""
    first = batch["first"]
    found: dict[int, Tid] = {}
    for other in trials._dynamic_trials:
        others = (other.get("suggested_by") or {}).get("batch", {})
        if others.get("first") == first:
            found[others["place"]] = other["tid"]
    # One that has no document any more was chosen all the same.
    return [found.get(place, _stand_in(first, place)) for place in range(batch["size"])]


def _stand_in(first: Tid, place: int) -> Tid:
    return first + place if isinstance(first, int) else f"{first}+{place}"


def _by_rand(space: Space, trials: Trials, tid: Tid, record: Record) -> dict[str, Any]:
    return rand.suggest_values(space, tid, record["seed"])


def _by_qmc(space: Space, trials: Trials, tid: Tid, record: Record) -> dict[str, Any]:
    key = record["seed"] if record["search_seed"] is None else record["search_seed"]
    return qmc.suggest_values(space, record["start"], tid, key, **record["options"])


def _by_grid(space: Space, trials: Trials, tid: Tid, record: Record) -> dict[str, Any]:
    return grid.suggest_values(space, record["start"], **record["options"])


def _by_anneal(space: Space, trials: Trials, tid: Tid, record: Record) -> dict[str, Any]:
    options = anneal.Options(**record["options"])
    return anneal.suggest_values(space, seen_by(trials, record), tid, record["seed"], options)


def _by_cma(space: Space, trials: Trials, tid: Tid, record: Record) -> dict[str, Any]:
    return cma.suggest_values(
        space,
        seen_by(trials, record),
        tid,
        record["seed"],
        cma.Options(**record["options"]),
        record["search_seed"],
    )


# Each algorithm that can be asked again: its version, and how.
_ALGORITHMS: dict[str, tuple[int, Callable[[Space, Any, Tid, Record], dict[str, Any]]]] = {
    "tpe": (tpe.VERSION, _by_tpe),
    "rand": (rand.VERSION, _by_rand),
    "qmc": (qmc.VERSION, _by_qmc),
    "gp": (gp.VERSION, _by_gp),
    "grid": (grid.VERSION, _by_grid),
    "anneal": (anneal.VERSION, _by_anneal),
    "cma": (cma.VERSION, _by_cma),
}
