"""The heartbeat: a thread that keeps the running trial's lease and the worker's presence alive.

It beats every third of the lease, so that two beats may fail before the lease
expires. A trial whose lease is lost is none of this worker's business any
more: the thread says so and wakes the main thread, which drops it.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from typing import Literal

from hpo.document import Claim
from hpo.exceptions import LeaseLost, StoreError
from hpo.store.base import Store, WorkerPresence

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 3
MIN_PRESENCE_SECS = 30.0

# A change from idle to busy, or back, is announced no sooner than after this.
ANNOUNCE_DELAY_SECS = 0.5

# How long to wait for the thread, which may be in the middle of a call to the server.
JOIN_SECS = 2.0


class Heartbeat:
    """Renews a lease and a presence from a thread of its own.

    Args:
        store: where the trials live.
        presence: how the worker announces itself at first.
        lease_secs: the length of a lease.
        on_lost: called in the thread when the held trial's lease is lost.
    """

    def __init__(
        self,
        store: Store,
        presence: WorkerPresence,
        lease_secs: float,
        *,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._presence = presence
        self._lease_secs = lease_secs
        self._ttl_secs = max(lease_secs, MIN_PRESENCE_SECS)
        self._on_lost = on_lost
        self._held: Claim | None = None
        self._lost: Claim | None = None
        self._is_ending = threading.Event()
        self._has_news = threading.Event()
        self._is_cut_off = False
        self._thread = threading.Thread(target=self._run, name="hpo-heartbeat", daemon=True)

    def start(self) -> None:
        """Announce the worker and begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the presence stands until it is retired or runs out."""
        self._is_ending.set()
        self._has_news.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECS)

    def hold(self, held: Claim) -> None:
        """Renew this claim from now on."""
        self._held = held
        self._note(state="busy")

    def drop(self) -> None:
        """The claim has ended; renew nothing."""
        self._held = None

    def idle(self) -> None:
        """There is nothing to do."""
        self._note(state="idle")

    def unfit(self, message: str, unfit_for: tuple[str, ...]) -> None:
        """Announce at once, from the calling thread, that the worker cannot serve everyone."""
        self._presence = dataclasses.replace(
            self._presence, state="unfit", message=message, unfit_for=unfit_for
        )
        self._store.announce(self._presence, self._ttl_secs)

    def has_lost(self, held: Claim) -> bool:
        """Whether the lease of this very claim was lost."""
        return self._lost == held

    def _note(self, state: Literal["idle", "busy"]) -> None:
        if self._presence.state not in (state, "unfit"):
            self._presence = dataclasses.replace(self._presence, state=state)
            self._has_news.set()

    # --- in the thread ---

    def _run(self) -> None:
        while not self._is_ending.is_set():
            self._beat()
            if self._has_news.wait(self._lease_secs / BEATS_PER_LEASE):
                self._is_ending.wait(ANNOUNCE_DELAY_SECS)
                self._has_news.clear()

    def _beat(self) -> None:
        held = self._held
        try:
            if held is not None:
                self._store.heartbeat(held, self._lease_secs)
            self._store.announce(self._presence, self._ttl_secs)
        except LeaseLost:
            # A trial that has just ended has no lease either.
            if held == self._held:
                self._lost = held
                self._on_lost()
        except StoreError as error:
            if not self._is_cut_off:
                logger.warning("no heartbeat: %s; going on, the server may come back", error)
            self._is_cut_off = True
        else:
            if self._is_cut_off:
                logger.warning("the server is back")
            self._is_cut_off = False
