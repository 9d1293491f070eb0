"""What a database needs before the first trial: indexes, the view, numbers for old trials."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pymongo import IndexModel, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from hpo.document import Document
from hpo.exceptions import StoreError
from hpo.store.mongo import queries
from hpo.store.mongo.failures import DUPLICATE_KEY, NAMESPACE_EXISTS, UNAUTHORIZED

logger = logging.getLogger(__name__)

# MongoDB 5.0: before it, no field's name could hold a dot or begin with a dollar.
OLDEST_WIRE_VERSION = 13


def check_version(hello: Mapping[str, Any]) -> None:
    """Raise StoreError when the server that said `hello` is too old."""
    if int(hello["maxWireVersion"]) < OLDEST_WIRE_VERSION:
        raise StoreError(
            "the MongoDB server is older than 5.0, which is the oldest that can hold our "
            "documents; upgrade it, or use the embedded one with the URL embedded:"
        )


def create_indexes(wanted: Iterable[tuple[Collection[Document], list[IndexModel]]]) -> None:
    """Create the indexes that are missing; naming existing ones costs a round trip each.

    Raises:
        StoreError: documents are stored already that break a unique index.
    """
    for collection, indexes in wanted:
        try:
            collection.create_indexes(indexes)
        except DuplicateKeyError as error:
            raise StoreError(
                f"the collection {collection.name!r} holds two documents where only one may be: "
                f"{error}. Remove one of them, or use another database"
            ) from error


def create_view(database: Database[Document], name: str, jobs: str) -> None:
    """Create the view of one readable row per trial, or bring it up to date."""
    pipeline = queries.trials_view()
    stored = next(database.list_collections(filter={"name": name}), None)
    if stored is None:
        try:
            database.create_collection(name, viewOn=jobs, pipeline=pipeline, check_exists=False)
        except OperationFailure as error:
            # Another process made it since we looked.
            if error.code != NAMESPACE_EXISTS:
                raise
    elif stored["type"] != "view":
        logger.warning(
            "the database has a collection %r of its own, so there is no view of that name", name
        )
    elif stored["options"]["pipeline"] != pipeline or stored["options"]["viewOn"] != jobs:
        database.command("collMod", name, viewOn=jobs, pipeline=pipeline)


def number_old_trials(jobs: Collection[Document], exp_key: str | None) -> int:
    """Give numbers to an experiment's trials that have none, in the order of their tids.

    hyperopt's documents have none, and what has no number is never followed.

    Returns:
        How many trials were numbered.
    """
    n_numbered = at_least = 0
    while True:
        numbered = queries.numbered(exp_key)
        n_trials = jobs.count_documents(queries.in_experiment(exp_key))
        if n_trials == jobs.count_documents(numbered):
            return n_numbered
        last = jobs.find_one(queries.usefully_numbered(exp_key), sort=queries.BY_NUMBER_DOWN)
        first = max(0 if last is None else int(last["number"]) + 1, at_least)
        old = jobs.find(queries.unnumbered(exp_key), {"_id": 1}, sort=queries.BY_TID)
        writes = [
            UpdateOne({"_id": trial["_id"], "number": {"$exists": False}}, _number_it(number))
            for number, trial in enumerate(old, start=first)
        ]
        if not writes:
            return n_numbered
        try:
            n_numbered += jobs.bulk_write(writes, ordered=True).modified_count
        except BulkWriteError as error:
            # Somebody else numbers or inserts at this moment: go on from where they are.
            failures = error.details.get("writeErrors") or [{}]
            if failures[0].get("code") != DUPLICATE_KEY:
                raise
            n_numbered += int(error.details["nModified"])
            # The number that was taken may be one that reading again does not show.
            at_least = first + int(failures[0].get("index", 0)) + 1


def _number_it(number: int) -> dict[str, Any]:
    return {"$set": {"number": number}}


def may_only_read(error: OperationFailure, jobs: Collection[Document]) -> bool:
    """Whether a refusal to create things leaves a user who may still read."""
    if error.code != UNAUTHORIZED:
        return False
    try:
        jobs.find_one({}, {"_id": 1})
    except OperationFailure:
        return False
    return True
