"""Outages: for how long a server that is away is waited for, and what is said meanwhile.

Every verb of a store is repeated until the server answers; that is the
store's work. Here it is decided when to give up. What cannot be repeated
inside the store, an answer that broke off in its middle, begins again as a
whole (`Outage.outlive`).

A first contact has the same patience, and says at once what it waits for: the
server may be away, but the address may be wrong as well. What waiting cannot
mend (a refused login, a host that nobody knows) is raised at once.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hpo.exceptions import ServerUnreachable, UnknownHost
from hpo.progress import duration
from hpo.store.base import Store

T = TypeVar("T")

logger = logging.getLogger(__name__)

DEFAULT_PATIENCE_SECS = 600.0
_PAUSE_SECS = 0.25
# An election takes about so long, and nobody need hear of it.
_QUIET_SECS = 2.0


def wait_for_server(
    connect: Callable[[], T],
    patience_secs: float,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Return what `connect` returns, as soon as there is a server that takes writes.

    Args:
        connect: raises ServerUnreachable while there is none; does no harm when repeated.
        patience_secs: for how long it is repeated.
        sleep: instead of `time.sleep`; what it raises ends the wait.

    Raises:
        ServerUnreachable: there was none for so long.
        UnknownHost, and whatever else `connect` raises: at once.
    """
    began = time.monotonic()
    is_noted = False
    while True:
        try:
            connected = connect()
        except UnknownHost:
            raise
        except ServerUnreachable as error:
            if time.monotonic() - began >= patience_secs:
                raise
            if not is_noted:
                logger.warning("%s; trying again%s", error, _limit(patience_secs))
            is_noted = True
            sleep(_PAUSE_SECS)
        else:
            if is_noted:
                logger.warning("the server answers, %s", _after(began))
            return connected


class Outage:
    """What a driver does while the server is away.

    Args:
        patience_secs: how long it is waited for; the patience begins anew with each outage.
        secs_left: how much time the search has left; None: no limit.
    """

    def __init__(
        self, patience_secs: float, secs_left: Callable[[], float | None] = lambda: None
    ) -> None:
        self._patience_secs, self._secs_left = patience_secs, secs_left
        self._notify: Callable[[str], None] = self._warn_once
        self._say: Callable[[str], None] = logger.warning
        self._began: float | None = None
        self._began_at = ""
        self._is_noted = False

    @property
    def is_on(self) -> bool:
        """Whether the server was away when it was last asked."""
        return self._began is not None

    @contextmanager
    def shown_by(
        self, notify: Callable[[str], None], say: Callable[[str], None]
    ) -> Iterator[None]:
        """Within the block, show outages by other means than the log's warnings.

        Args:
            notify: shows why nothing moves, again and again.
            say: prints a line.
        """
        before = self._notify, self._say
        self._notify, self._say = notify, say
        try:
            yield
        finally:
            self._notify, self._say = before

    def outlive(self, store: Store, act: Callable[[], T]) -> T:
        """Return what `act` returns; it begins again when the server's absence broke it off.

        Args:
            act: does no harm when repeated.
            store: what it asks.

        Raises:
            ServerUnreachable: the patience, or the search's time, is over.
        """
        with store.insisting(self.goes_on):
            while True:
                try:
                    done = act()
                except ServerUnreachable:
                    if not self.outlives_turn():
                        raise
                    continue
                self.end()
                return done

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
            self._notify(self._described(hosts))
            self._is_noted = True
        return True

    def _described(self, hosts: str) -> str:
        where = f" at {hosts}" if hosts else ""
        limit = _limit(self._patience_secs)
        return f"the server{where} cannot be reached since {self._began_at}; trying again{limit}"

    def _warn_once(self, notice: str) -> None:
        if not self._is_noted:
            logger.warning(notice)

    def outlives_turn(self) -> bool:
        """Whether what the server's absence broke off shall begin again."""
        if not self.goes_on(0.0, ""):
            return False
        time.sleep(_PAUSE_SECS)
        return True

    def end(self) -> None:
        """The server answers."""
        if self._began is not None and self._is_noted:
            self._say(f"the server answers again, {_after(self._began)}")
        self._began, self._is_noted = None, False


def _limit(patience_secs: float) -> str:
    return "" if math.isinf(patience_secs) else f" for {duration(patience_secs)}"


def _after(began: float) -> str:
    return f"after {duration(time.monotonic() - began)}"
