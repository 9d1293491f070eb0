"""Inserting trials: numbered without gaps, repeatable, all or nothing where it matters.

Every document is encoded before the first is sent; one that cannot be stored
stops all. Numbers come from the greatest one stored, and a unique index lets
only one of two inserters have a number: the other reads again and goes on,
unless it said from which number on; then it is told that it was overtaken.
Each trial is sent under an `_id` made here, so a repeated insert recognises
what its first try stored.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError, WTimeoutError

from hpo.defects import check_insertable
from hpo.document import Document
from hpo.exceptions import DuplicateTrial, Overtaken, StoreError
from hpo.store.mongo import queries
from hpo.store.mongo.encoding import encoded
from hpo.store.mongo.failures import DUPLICATE_KEY, PASSING_CODES, Patience

# What the store itself writes; a document that comes from elsewhere brings its own.
_STORE_FIELDS = ("_id", "number", "queue_time")


class Inserter:
    """Inserts trials; remembers the next number of the experiment it last inserted into."""

    def __init__(self, jobs: Collection[Document], patiently: Patience) -> None:
        self._jobs, self._patiently = jobs, patiently
        self._lock = threading.Lock()
        self._exp_key: str | None = None
        self._next_number: int | None = None

    def insert(self, trials: Sequence[Document], first_number: int | None = None) -> None:
        """Store trials in order, and set `_id` and `number` in the documents given.

        Raises:
            Overtaken: one would not have got the next number from `first_number` on.
        """
        new = [_Encoded(trial) for trial in trials]
        with self._lock:
            if first_number is not None and new:
                self._insert_at(new[0].exp_key, new, first_number)
                return
            # A bulk is one experiment's: its numbers count on from one another.
            for exp_key, group in groupby(new, key=lambda one: one.exp_key):
                self._insert_into(exp_key, list(group))

    def forget(self) -> None:
        """Read the next number again: trials were deleted."""
        with self._lock:
            self._next_number = None

    def _insert_at(self, exp_key: str | None, trials: list[_Encoded], first: int) -> None:
        """Store trials under the numbers from `first` on, until one of these is taken."""
        n_stored = self._store_from(exp_key, trials, first)
        if n_stored < len(trials):
            raise Overtaken(exp_key, first + n_stored)

    def _insert_into(self, exp_key: str | None, trials: list[_Encoded]) -> None:
        at_least = 0
        while trials:
            first = max(self._first_number(exp_key), at_least)
            n_stored = self._store_from(exp_key, trials, first)
            # The number that was taken may be one that reading again does not show.
            at_least = first + n_stored + 1
            trials = trials[n_stored:]

    def _store_from(self, exp_key: str | None, trials: list[_Encoded], first: int) -> int:
        """Store trials until a number is taken; how many were stored."""
        self._exp_key, self._next_number = exp_key, None
        n_stored = self._send(trials, first)
        for offset, one in enumerate(trials[:n_stored]):
            one.trial["_id"], one.trial["number"] = one.id, first + offset
        if n_stored == len(trials):
            self._next_number = first + n_stored
        return n_stored

    def _first_number(self, exp_key: str | None) -> int:
        if self._next_number is not None and self._exp_key == exp_key:
            return self._next_number
        last = self._patiently(
            lambda: self._jobs.find_one(
                queries.usefully_numbered(exp_key),
                {"number": 1, "_id": 0},
                sort=queries.BY_NUMBER_DOWN,
            )
        )
        return 0 if last is None else int(last["number"]) + 1

    def _send(self, trials: list[_Encoded], first: int) -> int:
        """Store trials until another driver has taken a number; how many were stored."""
        writes = [
            UpdateOne({"_id": one.id}, queries.insertion(one.encoded, first + offset), upsert=True)
            for offset, one in enumerate(trials)
        ]
        try:
            self._patiently(lambda: self._bulk_write(writes))
        except _Conflict as conflict:
            if not conflict.is_about_number:
                raise DuplicateTrial([trials[conflict.index].trial["tid"]]) from None
            return conflict.index
        return len(trials)

    def _bulk_write(self, writes: list[UpdateOne]) -> None:
        try:
            self._jobs.bulk_write(writes, ordered=True)
        except BulkWriteError as error:
            failures = error.details.get("writeErrors") or []
            if failures and failures[0]["code"] == DUPLICATE_KEY:
                raise _Conflict(failures[0]) from None
            if not failures and error.details.get("writeConcernErrors"):
                # Stored, but not yet by a majority: passes, and may be repeated.
                raise WTimeoutError(_reason(error), details=error.details) from error
            if failures and failures[0]["code"] in PASSING_CODES:
                raise AutoReconnect(_reason(error)) from error
            raise StoreError(f"MongoDB did not store the trials: {_reason(error)}") from error


class _Encoded:
    """A trial on its way: the caller's document, its encoding and its `_id`."""

    def __init__(self, trial: Document) -> None:
        check_insertable(trial)
        self.trial, self.exp_key, self.id = trial, trial["exp_key"], ObjectId()
        own = {key: value for key, value in trial.items() if key not in _STORE_FIELDS}
        self.encoded = encoded(own, f"trial {trial['tid']!r}")


class _Conflict(Exception):
    """A unique index refused the write at `index` of a bulk."""

    def __init__(self, failure: dict[str, Any]) -> None:
        super().__init__(failure)
        self.index = int(failure["index"])
        self.is_about_number = queries.NUMBER_INDEX in failure["errmsg"]


def _reason(error: BulkWriteError) -> str:
    details = error.details
    failures = details.get("writeErrors") or details.get("writeConcernErrors") or [details]
    return str(failures[0].get("errmsg", failures[0]))
