"""A mirror of the learning curves in a store: what was read once is not read again.

    follow    reads what may have changed beyond a horizon, and says where the horizon is now
    mirror    what has been read of one experiment; outlives the trial that asks
    history   what a stopping rule sees of it

Trials that ended stay as they are, so a look costs what was added since the last one and what
was still open then (`hpo.store.base.Horizon`), not what is stored. Rungs, to which ASHA and
Hyperband look, are kept in order; for them only one report of each trial is read. A rule that
asks for whole curves has them all in memory.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hpo.document import Document, Tid
from hpo.stopping.base import Curve, History, curve_of, precedence
from hpo.stopping.rung import Rung
from hpo.store.base import Horizon

__all__ = ["Follow", "Followed", "Mirror", "mirror_of"]

# (step or None, horizon) -> `Store.reported` since then, and the horizon moved along.
Follow = Callable[[int | None, Horizon], tuple[Iterable[Document], Horizon]]
IsSeen = Callable[[int], bool]


def _everyone(line: int) -> bool:
    return True


class Mirror:
    """What has been read of one experiment's learning curves. Threads may share it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._at_step: dict[int | None, _Lines] = {}

    def lines(self, step: int | None, follow: Follow) -> _Lines:
        """Every line that has reported, as it stands now.

        Args:
            step: what has reached it, each line with that report alone; None: whole curves.
        """
        lines = self._at_step.setdefault(step, _Lines(step))
        lines.refresh(follow)
        return lines


class Followed(History):
    """The history of one experiment, of which only news are read.

    Args:
        follow: how to reach the documents.
        mirror: what is known of them.
        is_seen: which lines there are, by their numbers; default all.
    """

    def __init__(self, follow: Follow, mirror: Mirror, is_seen: IsSeen = _everyone) -> None:
        self._follow, self._mirror, self._is_seen_here = follow, mirror, is_seen

    def at(self, step: int) -> list[Curve]:
        """Every line that has reached `step`, by its first report at that step or later."""
        return [_only_at(step, curve) for curve in self.curves() if curve.last_step >= step]

    def curves(self) -> list[Curve]:
        """Every line that has reported, with its whole curve."""
        with self._mirror.lock:
            latest = self._mirror.lines(None, self._follow).latest
            return [latest[line] for line in sorted(latest) if self._is_seen_here(line)]

    def rung(self, step: int, until: float = math.inf) -> Rung:
        """Every line that has reached `step`, in order."""
        with self._mirror.lock:
            return self._mirror.lines(step, self._follow).rung(until, self._is_seen_here)

    def of_lines(self, is_seen: IsSeen) -> History:
        """The same for some lines only."""
        return Followed(self._follow, self._mirror, is_seen)


def _only_at(step: int, curve: Curve) -> Curve:
    place = next(place for place, each in enumerate(curve.steps) if each >= step)
    one = slice(place, place + 1)
    return curve._replace(steps=curve.steps[one], losses=curve.losses[one])


class _Lines:
    """The lines that have reported, by what each says at one step, or by whole curves.

    Attributes:
        latest: {line: its curve}.
    """

    def __init__(self, step: int | None) -> None:
        self._step = step
        self._begin()

    def _begin(self) -> None:
        self.latest: dict[int, Curve] = {}
        self._horizon = Horizon()
        # {line: {tid: (precedence, curve)}}: a trial that took up another may be cancelled.
        self._documents: dict[int, dict[Tid, tuple[tuple[bool, int], Curve]]] = {}
        self._line_of: dict[Tid, int] = {}
        self._rungs: dict[tuple[float, IsSeen], Rung] = {}

    def refresh(self, follow: Follow) -> None:
        """Read what may have changed."""
        # A copy, because the look may break off halfway.
        documents, horizon = follow(self._step, self._horizon.copy())
        if horizon.epoch != self._horizon.epoch:
            self._begin()
        gone = self._horizon.new | self._horizon.running
        for document in documents:
            gone.discard(document["tid"])
            self._see(document)
        for tid in gone:
            # Somebody removed it: else it would be asked for again each time.
            horizon.new.discard(tid)
            horizon.running.discard(tid)
            self._forget(tid)
        self._horizon = horizon

    def _see(self, document: Mapping[str, Any]) -> None:
        tid = document["tid"]
        if not document.get("reports"):
            self._forget(tid)
            return
        curve = curve_of(document)
        of_line = self._documents.setdefault(curve.line, {})
        seen = precedence(document), curve
        if of_line.get(tid) != seen:
            of_line[tid], self._line_of[tid] = seen, curve.line
            self._settle(curve.line)

    def _forget(self, tid: Tid) -> None:
        line = self._line_of.pop(tid, None)
        if line is not None:
            del self._documents[line][tid]
            self._settle(line)

    def _settle(self, line: int) -> None:
        """What a line's latest document says is what holds for the line."""
        documents = self._documents[line].values()
        if documents:
            _, self.latest[line] = max(documents, key=lambda seen: seen[0])
        else:
            del self._documents[line], self.latest[line]
        for (_, is_seen), rung in self._rungs.items():
            if is_seen(line):
                rung.put(line, self.latest.get(line))

    def rung(self, until: float, is_seen: IsSeen) -> Rung:
        """These lines in order, some of them only."""
        key = (until, is_seen)
        if key not in self._rungs:
            if len(self._rungs) >= _MOST_RUNGS:
                self._rungs.clear()
            self._rungs[key] = rung = Rung(until)
            for line, curve in self.latest.items():
                if is_seen(line):
                    rung.put(line, curve)
        return self._rungs[key]


# Orders of the same lines that are kept: Hyperband has one for each bracket.
_MOST_RUNGS = 32


# --- one for each experiment of a store ------------------------------------------------

_mirrors: weakref.WeakKeyDictionary[Any, dict[str | None, Mirror]] = weakref.WeakKeyDictionary()
_mirrors_lock = threading.Lock()


def mirror_of(store: Any, exp_key: str | None) -> Mirror:
    """The mirror of an experiment that whoever uses this store object shares."""
    with _mirrors_lock:
        return _mirrors.setdefault(store, {}).setdefault(exp_key, Mirror())
