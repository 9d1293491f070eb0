"""Leadership: of the drivers of one experiment, one adds trials and the others wait.

The leader renews a lease in the experiment's record. When it has ended or was
killed another one takes over; on the leader's own machine at once, elsewhere
when the lease has passed. The lease only spares work: a driver that slept
through the loss of it, and adds trials before it looks, is refused by the
store, because others stand where it believes the end to be (`Overtaken`).
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid

from hpo.exceptions import StoreError
from hpo.trials import Trials

logger = logging.getLogger(__name__)

DRIVER_LEASE_SECS = 10.0
THIS_HOST = socket.gethostname()


class Leadership:
    """One driver's part in leading an experiment.

    Args:
        trials: of the experiment.
        is_shared: whether other drivers can be there; if not, this one always leads.

    Attributes:
        owner: the driver as "host:pid:token".
        is_held: whether it led when it last looked.
    """

    def __init__(self, trials: Trials, *, is_shared: bool) -> None:
        self._trials, self._is_shared = trials, is_shared
        self.owner = f"{THIS_HOST}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.is_held = True
        self._is_due = Every(DRIVER_LEASE_SECS / 3)

    def seek(self) -> bool:
        """Become the leader, or stay it, if no other driver leads; whether that succeeded."""
        self.is_held = not self._is_shared or self._try()
        return self.is_held

    def look_after(self) -> None:
        """Seek it again when it is time."""
        if self._is_due():
            self.seek()

    def resign(self) -> None:
        """Let another driver start at once. If the server is away, the lease passes by itself."""
        if not self._is_shared:
            return
        try:
            self._trials.store.resign(self._trials.exp_key, self.owner)
        except StoreError as error:
            logger.debug("the lead passes with its lease: %s", error)

    def who(self) -> str | None:
        """The driver that leads now."""
        return self._trials.store.experiment(self._trials.exp_key).driver

    def _try(self) -> bool:
        store, exp_key = self._trials.store, self._trials.exp_key
        if store.lead(exp_key, self.owner, DRIVER_LEASE_SECS):
            return True
        leader = self.who()
        if leader is None or not _has_died_here(leader):
            return False
        # Killed on this machine: its lease need not be waited for.
        store.resign(exp_key, leader)
        return store.lead(exp_key, self.owner, DRIVER_LEASE_SECS)


def _has_died_here(owner: str) -> bool:
    """Whether "host:pid:token" was a process of this machine that is no more."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != THIS_HOST or not (pid.isascii() and pid.isdigit()):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


class Every:
    """True once per interval."""

    def __init__(self, interval_secs: float) -> None:
        self._interval_secs = interval_secs
        self._due = time.monotonic() + interval_secs

    def __call__(self) -> bool:
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + self._interval_secs
        return True
