"""Waiting for news: a change stream where the server has one, patient polling where not.

Waking is a hint. The caller looks, waits, and looks again; so the first wait
opens the stream and returns at once, and whatever happened between the last
look and the opening is found by the next look. A worker that is never idle
never opens a stream, and a stream that nobody waits for is closed: the server
would go through every write of the database for it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pymongo.change_stream import DatabaseChangeStream
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from hpo.document import Document
from hpo.store.mongo import queries
from hpo.store.mongo.failures import NO_CHANGE_STREAM_CODES, UNAUTHORIZED
from hpo.store.mongo.queries import Pipeline

Interest = Literal["work", "results"]

logger = logging.getLogger(__name__)

# How long one request for the next change waits on the server.
AWAIT_SECS = 1.0

FIRST_POLL_SECS = 0.005
# Results matter to one driver, work to hundreds of workers.
MAX_POLL_SECS: Mapping[Interest, float] = {"results": 0.25, "work": 1.0}

# A stream that nobody has waited for so long is closed.
UNUSED_SECS = 0.25

# Before a stream that broke is opened again.
REOPEN_PAUSE_SECS = 0.25


class MongoWatch:
    """A `Watch` of one database.

    Args:
        database: of the trials.
        pipeline: which changes matter (see `queries.new_work`, `queries.new_results`).
        interest: how impatient polling may get.
        n_found: counts what looks have found so far; polling starts anew when it has grown.
    """

    def __init__(
        self,
        database: Database[Document],
        pipeline: Pipeline,
        *,
        interest: Interest,
        n_found: Callable[[], int],
    ) -> None:
        self._database, self._pipeline = database, pipeline
        self._polling = _Polling(MAX_POLL_SECS[interest], n_found)
        self._has_streams = True
        self._listener: _Listener | None = None

    def wait(self, timeout_secs: float) -> bool:
        """Return True when there may be news, False after `timeout_secs` without any."""
        if not self._has_streams:
            return self._polling.wait(timeout_secs)
        if self._listener is None or self._listener.has_ended:
            return self._open(timeout_secs)
        return self._listener.wait(timeout_secs)

    def _open(self, timeout_secs: float) -> bool:
        """Open the stream, for the first time or again; the caller must look in any case."""
        try:
            stream = self._database.watch(
                self._pipeline,
                max_await_time_ms=round(AWAIT_SECS * 1000),
            )
        except PyMongoError as error:
            code = error.code if isinstance(error, OperationFailure) else None
            if code in (*NO_CHANGE_STREAM_CODES, UNAUTHORIZED):
                logger.debug("no change streams here (%s): polling", error)
                self._has_streams = False
                return self._polling.wait(timeout_secs)
            # The look that follows meets the same trouble, and has the patience for it.
            time.sleep(min(timeout_secs, REOPEN_PAUSE_SECS))
            return True
        self._listener = _Listener(stream)
        return True

    def close(self) -> None:
        """Let the stream end, within AWAIT_SECS."""
        if self._listener is not None:
            self._listener.stop()


class _Listener:
    """Reads a change stream in a thread, so that a wait ends when its caller wants.

    A wait on the socket itself could only last as long as the server was told
    when the stream was opened, and Ctrl-C in the middle of an answer would leave
    the connection in the middle of an answer.
    """

    def __init__(self, stream: DatabaseChangeStream[Any]) -> None:
        self._stream = stream
        self._news, self._stopping = threading.Event(), threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="hpo-watch", daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """The stream broke, or was closed because nobody waited."""
        return not self._thread.is_alive()

    def wait(self, timeout_secs: float) -> bool:
        self._wanted.set()
        happened = self._news.wait(timeout_secs)
        self._wanted.clear()
        if happened:
            # Cleared before the caller looks: what happens during the look wakes the next wait.
            self._news.clear()
        return happened

    def stop(self) -> None:
        self._stopping.set()

    def _listen(self) -> None:
        try:
            while self._stream.alive and not self._stopping.is_set():
                if self._stream.try_next() is not None:
                    self._news.set()
                    # More news would add nothing to there being news. While nobody waits,
                    # the server is asked for no more; and before long for nothing.
                    if not self._wanted.wait(UNUSED_SECS):
                        break
        except PyMongoError as error:
            if not self._stopping.is_set():
                logger.debug("the change stream ended and will be opened again: %s", error)
        finally:
            self._close_stream()
            self._news.set()

    def _close_stream(self) -> None:
        try:
            self._stream.close()
        except PyMongoError as error:
            logger.debug("the change stream could not be closed: %s", error)


class _Polling:
    """Sleeps between looks: shortly after a find, longer and longer after that."""

    def __init__(self, max_pause_secs: float, n_found: Callable[[], int]) -> None:
        self._max_pause_secs, self._n_found = max_pause_secs, n_found
        self._pause_secs, self._n_found_before = FIRST_POLL_SECS, n_found()
        self._rng = random.Random()

    def wait(self, timeout_secs: float) -> bool:
        """Return True when it is time to look, False if `timeout_secs` end before that."""
        n_found = self._n_found()
        if n_found != self._n_found_before:
            self._n_found_before, self._pause_secs = n_found, FIRST_POLL_SECS
        # Jitter keeps many idle workers from looking all at once.
        pause_secs = self._pause_secs * self._rng.uniform(0.5, 1.0)
        if pause_secs >= timeout_secs:
            time.sleep(timeout_secs)
            return False
        time.sleep(pause_secs)
        self._pause_secs = min(2 * self._pause_secs, self._max_pause_secs)
        return True


def watch_pipeline(interest: Interest, jobs: str, workers: str, exp_key: str | None) -> Pipeline:
    """The changes of interest."""
    if interest == "work":
        return queries.new_work(jobs, exp_key)
    return queries.new_results(jobs, workers, exp_key)
