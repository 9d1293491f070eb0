"""Where a suggestion came from: enough to compute it again, bit for bit.

A suggestion is determined by the algorithm and its options, the seed, the ids
that were asked for together, and the trials that had been seen. Documents keep
their results for good, so of the trials only this has to be written down: which
was the last one, and which of those up to it had not ended yet.

    suggested_by: {
        algorithm: "tpe", version: 1, options: {…}, seed: 123, search_seed: 7,
        start: 3,                     place among the first trials, if it is one of them
        seen: {last: 41, pending: "38,40-41", digest: "41:9f…"},
        batch: {first: 42, place: 0, size: 1}  of the ids asked for together: the first, which
                                  of them this is, how many they were
    }
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.document import Tid
from hpo.observations import Observations

__all__ = ["Provenance", "as_runs", "from_runs"]


@dataclass(eq=False)
class Provenance:
    """What the suggestions of one call have in common.

    Attributes:
        algorithm, version: which code.
        options: of the algorithm, all of them.
        seed: of the call.
        search_seed: of the whole search, or None.
        seen: last, pending and digest of the trials; see above.
    """

    algorithm: str
    version: int
    options: Mapping[str, Any]
    seed: int
    search_seed: int | None
    seen: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        algorithm: str,
        version: int,
        options: Mapping[str, Any],
        seed: int,
        search_seed: int | None,
        observations: Observations,
    ) -> Provenance:
        """That of a call which is about to look at `observations`."""
        pending: list[Tid] = []
        if observations.n_pending:
            pending = observations.tids[observations.is_pending].tolist()
        seen = {
            "last": observations.last_tid,
            "pending": as_runs(pending),
            "digest": observations.digest,
        }
        return cls(algorithm, version, options, seed, search_seed, seen)

    def for_place(
        self, new_ids: Sequence[Tid], place: int, start: int | None = None
    ) -> dict[str, Any]:
        """What the document of new_ids[place] says."""
        record = {
            "algorithm": self.algorithm,
            "version": self.version,
            "options": dict(self.options),
            "seed": self.seed,
            "search_seed": self.search_seed,
            "seen": dict(self.seen),
            "batch": {"first": new_ids[0], "place": place, "size": len(new_ids)},
        }
        return record if start is None else {**record, "start": start}


def as_runs(tids: Iterable[Tid]) -> str | list[Tid]:
    """Ids as a short text, "3,5-9"; as a list if they are not all whole numbers."""
    listed = list(tids)
    if not listed:
        return ""
    if not all(isinstance(tid, numbers.Integral) and tid >= 0 for tid in listed):
        return listed
    runs: list[list[int]] = []
    for tid in sorted(int(str(tid)) for tid in listed):
        if runs and tid == runs[-1][1] + 1:
            runs[-1][1] = tid
        else:
            runs.append([tid, tid])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def from_runs(runs: str | Sequence[Tid]) -> list[Tid]:
    """The ids that `as_runs` wrote.

    Raises:
        ValueError: the text is not of that form.
    """
    if not isinstance(runs, str):
        return list(runs)
    tids: list[Tid] = []
    for run in filter(None, runs.split(",")):
        low, _, high = run.partition("-")
        tids.extend(range(int(low), int(high or low) + 1))
    return tids
