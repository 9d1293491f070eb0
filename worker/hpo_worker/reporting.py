"""What a trial reports, stored beside it: the objective waits for no server.

put     keeps the curve, and lets the thread know
thread  stores it, at most ten times a second; the latest curve holds all before it
flush   stores what is kept now: before a rule looks, a checkpoint is saved, a trial ends
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from hpo.exceptions import LeaseLost
from hpo.reports import Report

logger = logging.getLogger(__name__)

# Curves that come faster are stored together.
STORE_INTERVAL_SECS = 0.1
# The objective gets its answer, and goes on, before storing competes with it for a core.
HEAD_START_SECS = 0.005


class Reporter:
    """Stores the learning curve of one trial.

    Args:
        store: publishes a curve, whole.
        interval_secs: the least time between two curves that the thread stores.
    """

    def __init__(
        self,
        store: Callable[[Sequence[Report]], None],
        *,
        interval_secs: float = STORE_INTERVAL_SECS,
    ) -> None:
        self._store, self._interval_secs = store, interval_secs
        self._changed = threading.Condition()
        self._storing = threading.Lock()
        self._kept: Sequence[Report] | None = None
        self._lost: LeaseLost | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def put(self, reports: Sequence[Report]) -> None:
        """Keep a curve, which is stored soon.

        Raises:
            LeaseLost: it turned out meanwhile that another worker holds the trial.
        """
        if self._lost is not None:
            raise self._lost
        with self._changed:
            self._kept = reports
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hpo-reports", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Store what is kept, in the calling thread. Raises what storing raises."""
        with self._storing:
            with self._changed:
                reports, self._kept = self._kept, None
            if reports is None:
                return
            try:
                self._store(reports)
            except BaseException:
                with self._changed:
                    self._kept = reports if self._kept is None else self._kept
                raise

    def close(self) -> None:
        """End the thread; what is kept stays kept."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    # --- in the thread ---

    def _run(self) -> None:
        while self._has_work():
            self._wait(HEAD_START_SECS)
            try:
                self.flush()
            except LeaseLost as lost:
                self._lost = lost
                return
            except Exception as error:  # the worker meets it, too, and knows what to do
                logger.debug("what was reported is not stored yet: %s", error)
            self._wait(self._interval_secs)

    def _wait(self, secs: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, secs)

    def _has_work(self) -> bool:
        """Wait until there is something to store; False when the trial has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._kept is not None)
            return not self._is_closed
