"""Outages: for how long a driver waits for a server that is away, and what it says meanwhile.

Every verb of a store is repeated until the server answers; that is the
store's work. Here it is decided when to give up. What cannot be repeated
inside the store, an answer that broke off in its middle, makes the driver's
whole turn begin again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from hpo.progress import duration

_PAUSE_SECS = 0.25
# An election takes about so long, and nobody need hear of it.
_QUIET_SECS = 2.0


class Outage:
    """What a driver does while the server is away.

    Args:
        patience_secs: how long it is waited for; the patience begins anew with each outage.
        secs_left: how much time the search has left; None: no limit.

    Attributes:
        notify: shows why nothing moves.
        say: prints a line.
    """

    def __init__(self, patience_secs: float, secs_left: Callable[[], float | None]) -> None:
        self._patience_secs, self._secs_left = patience_secs, secs_left
        self.notify: Callable[[str], None] = _say_nothing
        self.say: Callable[[str], None] = _say_nothing
        self._began: float | None = None
        self._began_at = ""
        self._is_noted = False

    @property
    def is_on(self) -> bool:
        """Whether the server was away when it was last asked."""
        return self._began is not None

    def goes_on(self, _away_secs: float, hosts: str) -> bool:
        """Take note of a vain try; whether the server is still waited for."""
        if self._began is None:
            self._began, self._began_at = time.monotonic(), time.strftime("%H:%M:%S")
        secs_left = self._secs_left()
        if secs_left is not None and secs_left <= 0:
            return False
        away_secs = time.monotonic() - self._began
        if away_secs >= self._patience_secs:
            return False
        if away_secs >= _QUIET_SECS:
            self._is_noted = True
            self.notify(self._described(hosts))
        return True

    def _described(self, hosts: str) -> str:
        where = f" at {hosts}" if hosts else ""
        limit = "" if math.isinf(self._patience_secs) else f" for {duration(self._patience_secs)}"
        return f"the server{where} cannot be reached since {self._began_at}; trying again{limit}"

    def outlives_turn(self) -> bool:
        """Whether a turn that the server's absence broke off shall begin again."""
        if not self.goes_on(0.0, ""):
            return False
        time.sleep(_PAUSE_SECS)
        return True

    def end(self) -> None:
        """The server answers."""
        if self._began is not None and self._is_noted:
            away = duration(time.monotonic() - self._began)
            self.say(f"the server answers again, after {away}")
        self._began, self._is_noted = None, False


def _say_nothing(_line: str) -> None:
    """Until there is a display."""
