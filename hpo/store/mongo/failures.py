"""What can go wrong between here and MongoDB: in hpo's words, and what is worth another try.

pymongo's errors become errors of `hpo.exceptions` at this one place. Their
texts name hosts, never credentials.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from hpo.exceptions import AccessDenied, HpoError, ServerUnreachable, StoreError, UnstorableResult
from hpo.store.mongo.url import redact

T = TypeVar("T")

# Server errors by code: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
UNAUTHORIZED, AUTHENTICATION_FAILED, ATLAS_ERROR = 13, 18, 8000
ACCESS_CODES = (UNAUTHORIZED, AUTHENTICATION_FAILED, ATLAS_ERROR)
DUPLICATE_KEY = 11000
# "Overflow", which the server says of a document nested beyond 200 levels.
TOO_DEEP = 15
NAMESPACE_EXISTS = 48
# BSONObjectTooLarge, and what an update answers whose outcome would be too large.
TOO_LARGE_CODES = (10334, 17419, 17420)
# "$changeStream is only supported on replica sets", and servers that do not know it at all.
NO_CHANGE_STREAM_CODES = (40573, 40324, 115, 303)

# What passes when a member resigns, stops, or has just been elected. pymongo knows most of them
# as the loss of a connection, but not where they are the outcome of waiting for a majority.
PASSING_CODES = frozenset(
    (
        *(6, 7, 89, 9001),  # HostUnreachable, HostNotFound, NetworkTimeout, SocketException
        *(91, 11600),  # ShutdownInProgress, InterruptedAtShutdown
        *(189, 10107, 13435, 13436),  # PrimarySteppedDown, NotWritablePrimary …
        *(11601, 11602),  # Interrupted, InterruptedDueToReplStateChange
        *(134, 262),  # ReadConcernMajorityNotAvailableYet, ExceededTimeLimit
        # CursorNotFound, QueryPlanKilled, CursorKilled: whoever had begun to answer is gone.
        *(43, 175, 237),
        211,  # KeyNotFound: "No keys found for HMAC", as long as they have not been read
    )
)

FIRST_PAUSE_SECS = 0.05
MAX_PAUSE_SECS = 1.0


def is_passing(error: Exception) -> bool:
    """Worth another try: a primary steps down, a network hiccups, a majority is slow."""
    if isinstance(error, (AutoReconnect, WTimeoutError)):
        return True
    return isinstance(error, OperationFailure) and error.code in PASSING_CODES


def in_our_words(error: Exception, where: str) -> HpoError:
    """The error of hpo that says what a pymongo error means.

    Args:
        where: the hosts, for the text.
    """
    reason = redact(str(error)).split(", Timeout:")[0].split(", full error:")[0]
    if isinstance(error, ConnectionFailure) or is_passing(error):
        return ServerUnreachable(
            f"no MongoDB server that takes writes answers at {where}: {reason}. Check that it "
            "runs, that this machine may reach it, and the host and port in the URL"
        )
    if getattr(error, "code", None) == TOO_DEEP:
        return UnstorableResult(
            f"the trial's document is nested too deeply ({reason}); return flatter data"
        )
    if isinstance(error, DocumentTooLarge) or getattr(error, "code", None) in TOO_LARGE_CODES:
        return UnstorableResult(
            f"the trial's document would pass MongoDB's limit of 16 MB ({reason}); put large "
            "things into attachments"
        )
    if isinstance(error, OperationFailure) and error.code in ACCESS_CODES:
        wanted = (
            "check user, password and authSource in the URL"
            if error.code != UNAUTHORIZED
            else "give the URL a user with the role readWrite on the database"
        )
        return AccessDenied(f"MongoDB at {where} refuses: {reason}; {wanted}")
    if isinstance(error, InvalidOperation):
        return StoreError(f"the connection to MongoDB at {where} is closed: {reason}")
    if isinstance(error, ConfigurationError):
        return StoreError(f"MongoDB at {where} cannot be used with this URL: {reason}")
    return StoreError(f"MongoDB at {where} refuses: {reason}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn pymongo's errors within the block into errors of hpo."""
    try:
        yield
    except (PyMongoError, BSONError) as error:
        raise in_our_words(error, where) from error


class Patience:
    """Repeats what failed for a passing reason, for a bounded time.

    Args:
        secs: how long after its first failure an action is still repeated.
        where: the hosts, for error texts.
    """

    def __init__(self, secs: float, where: str) -> None:
        self._secs, self._where = secs, where
        self._rng = random.Random()
        self._goes_on: Callable[[float, str], bool] = self._has_time_left

    def _has_time_left(self, away_secs: float, _where: str) -> bool:
        return away_secs < self._secs

    @contextmanager
    def decided_by(self, goes_on: Callable[[float, str], bool]) -> Iterator[None]:
        """Within the block, ask `goes_on(secs since the first failure, hosts)` to try again."""
        before, self._goes_on = self._goes_on, goes_on
        try:
            yield
        finally:
            self._goes_on = before

    def __call__(self, action: Callable[[], T], *, again: Callable[[], T] | None = None) -> T:
        """Return what `action` returns.

        Args:
            action: must do no harm when repeated.
            again: what to do instead after the first failure.

        Raises:
            HpoError: the last failure, in our words.
        """
        with translated(self._where):
            try:
                return action()
            except PyMongoError as error:
                if not is_passing(error):
                    raise
                failure = error
            for _ in self.pauses():
                try:
                    return (again or action)()
                except PyMongoError as error:
                    if not is_passing(error):
                        raise
                    failure = error
            raise failure

    def once(self, action: Callable[[], T]) -> T:
        """Return what `action` returns, without patience."""
        with translated(self._where):
            return action()

    def pauses(self) -> Iterator[None]:
        """Sleep before each yield, a little longer each time, until patience ends.

        Jitter keeps a cluster's workers from coming back all at once.
        """
        failed_at = time.monotonic()
        pause_secs = FIRST_PAUSE_SECS
        while self._goes_on(time.monotonic() - failed_at, self._where):
            time.sleep(pause_secs * self._rng.uniform(0.5, 1.0))
            yield
            pause_secs = min(2 * pause_secs, MAX_PAUSE_SECS)
