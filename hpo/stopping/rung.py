"""A rung: who has reached a step, in the order of their losses there.

    symbol   meaning                                           here
    n        lines that have reached the step                   len(rung)
    loss     of a line's first report at the step or later      Curve.losses[0]

Lines are put in one by one, as they arrive or change, and stay sorted: so a place costs a
binary search, however many stand there.
"""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING

from hpo.document import Tid

if TYPE_CHECKING:
    from hpo.stopping.base import Curve

_Place = tuple[float, int]


class Rung:
    """The lines at one step.

    Args:
        until: the next rung; a stopped line that has reached it is judged there.
    """

    def __init__(self, until: float = math.inf) -> None:
        self._until = until
        self._curves: dict[int, Curve] = {}
        # (loss, line), the best first: of all, and of those that may be taken up.
        self._places: list[_Place] = []
        self._stopped: list[_Place] = []

    def __len__(self) -> int:
        return len(self._curves)

    def put(self, line: int, curve: Curve | None) -> None:
        """Take note of a line as it now stands.

        Args:
            curve: with its report at this step; None: the line is not here, or no more.
        """
        known = self._curves.get(line)
        if known is not None and (curve is None or _loss(known) != _loss(curve)):
            _remove(self._places, _place(known))
        if known is not None and self._may_be_taken_up(known):
            _remove(self._stopped, _place(known))
        if curve is None:
            self._curves.pop(line, None)
            return
        if known is None or _loss(known) != _loss(curve):
            bisect.insort(self._places, _place(curve))
        if self._may_be_taken_up(curve):
            bisect.insort(self._stopped, _place(curve))
        self._curves[line] = curve

    def n_others(self, line: int) -> int:
        """How many are here beside one line."""
        return len(self) - (line in self._curves)

    def n_better(self, loss: float, line: int) -> int:
        """How many others than one line have a smaller loss here."""
        own = self._curves.get(line)
        is_own_better = own is not None and _loss(own) < loss
        # Lines are numbered from 0, so this place is before all that have the loss.
        return bisect.bisect_left(self._places, (loss, -1)) - is_own_better

    def stopped_among_best(self, n: int) -> list[Tid]:
        """Lines that were stopped here and are among the best n, as tids; the best first."""
        if n < 1 or not self._places:
            return []
        last = self._places[min(n, len(self._places)) - 1]
        n_stopped = bisect.bisect_right(self._stopped, last)
        return [self._curves[line].tid for _, line in self._stopped[:n_stopped]]

    def _may_be_taken_up(self, curve: Curve) -> bool:
        return curve.is_stopped and curve.last_step < self._until and _loss(curve) < math.inf


def _loss(curve: Curve) -> float:
    # Anybody may have written the document; NaN has no place among numbers.
    loss = curve.losses[0]
    return math.inf if math.isnan(loss) else loss


def _place(curve: Curve) -> _Place:
    return _loss(curve), curve.line


def _remove(places: list[_Place], place: _Place) -> None:
    del places[bisect.bisect_left(places, place)]
