"""How a trial ended, written to its document; patiently, when the server is away.

    Done                  finish
    Raised                fail, reason "exception"
    Died                  fail, reason "signal" or "exit"; but when something else killed
                          it: lose, reason "killed"
    TimedOut, OutOfMemory fail, reason "timeout" or "memory"
    Refused               fail, reason "refused"
    Unloadable            release, reason "unloadable"
    Cut                   release, reason "preempted", "interrupted", "walltime" or (the
                          server was) "unreachable"

`hpo.document` says what these reasons mean to models.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from hpo.document import UNTRUSTED_OBJECTIVE, Claim, Document
from hpo.exceptions import ServerUnreachable, UnstorableResult
from hpo.outage import DEFAULT_PATIENCE_SECS
from hpo.store.base import Store
from hpo_worker.outcome import (
    Cut,
    Died,
    Done,
    Outcome,
    OutOfMemory,
    Raised,
    Refused,
    TimedOut,
    Unloadable,
)
from hpo_worker.spool import End, Spool
from hpo_worker.stopping import StopSignals

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_SECS = 0.1
MAX_PAUSE_SECS = 1.0


class Bookkeeper:
    """Writes the ends of trials to the store.

    Args:
        store: where the trials live.
        stop: ends the patience.
        spool: keeps results while the server is away.
        patience_secs: how long a server may be away before the worker gives up.
        clock: seconds that never go back.

    Attributes:
        n_jobs: how many trials ended, well or not.
        n_failures_in_a_row: how many failed since one was done.
    """

    def __init__(
        self,
        store: Store,
        stop: StopSignals,
        spool: Spool,
        *,
        patience_secs: float = DEFAULT_PATIENCE_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._stop, self._spool, self._clock = store, stop, spool, clock
        self._patience_secs = patience_secs
        self.n_jobs = 0
        self.n_failures_in_a_row = 0

    def insist(self, act: Callable[[], T]) -> T:
        """Call `act` again while the server cannot be reached.

        Raises:
            ServerUnreachable: it was away for too long, or this worker has to stop.
        """
        pause_secs, began_at = FIRST_PAUSE_SECS, self._clock()
        while True:
            try:
                return act()
            except ServerUnreachable as error:
                is_too_long = self._clock() - began_at > self._patience_secs
                if is_too_long or self._stop.requested:
                    raise
                if pause_secs == FIRST_PAUSE_SECS:
                    logger.warning("%s; trying again", error)
                self._stop.sleep(pause_secs * random.uniform(0.5, 1.0))
                pause_secs = min(2 * pause_secs, MAX_PAUSE_SECS)

    def record(self, trial: Document, held: Claim, outcome: Outcome, secs: float) -> None:
        """Write how a trial ended. Raises LeaseLost.

        Args:
            trial: the document as it was claimed.
            secs: how long it took.
        """
        match outcome:
            case Done(result):
                self._finish(held, result, secs)
            case Raised(error, traceback, last_lines):
                self._fail(End(held, None, error, traceback, details=last_lines))
            case Died() if outcome.is_from_outside:
                self._lose(trial, outcome)
            case Died() | TimedOut() | OutOfMemory():
                details = {**outcome.details, **outcome.last_lines}
                self._fail(End(held, None, outcome.error, "", outcome.reason, details))
            case Refused(message):
                # Not this node's fault: it does not count towards --max-consecutive-failures.
                self._write(End(held, None, (UNTRUSTED_OBJECTIVE, message), "", "refused"))
                logger.error("trial %s: %s", held.tid, message)
            case Unloadable():
                self.insist(lambda: self._store.release(held, "unloadable"))
            case Cut():
                reason = self._stop.reason or "unreachable"
                self.insist(lambda: self._store.release(held, reason))
                logger.info("handed trial %s back: %s", held.tid, reason)

    def _write(self, end: End) -> None:
        with self._spool.keeping(end):
            self.insist(lambda: end.write(self._store))

    def _finish(self, held: Claim, result: dict[str, Any], secs: float) -> None:
        try:
            self._write(End(held, result))
        except UnstorableResult as error:
            self._fail(End(held, None, (type(error).__name__, str(error))))
            return
        self.n_jobs += 1
        self.n_failures_in_a_row = 0
        logger.info("trial %s done in %.3g s: %s", held.tid, secs, _verdict(result))

    def _fail(self, end: End) -> None:
        self._write(end)
        self.n_jobs += 1
        self.n_failures_in_a_row += 1
        kind, text = end.error
        logger.warning("trial %s failed: %s: %s", end.held.tid, kind, _one_line(text))

    def _lose(self, trial: Document, died: Died) -> None:
        details = {**died.details, **died.last_lines}
        self.insist(lambda: self._store.lose(trial, died.reason, details))
        # A node on which everything is killed is of as little use as one where all fails.
        self.n_failures_in_a_row += 1
        logger.warning("trial %s was lost: %s", trial["tid"], died.error[1])


def _verdict(result: dict[str, Any]) -> str:
    if result.get("status") == "ok":
        return f"loss {result['loss']:.6g}"
    return f"status {result.get('status')}"


def _one_line(text: str, width: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
