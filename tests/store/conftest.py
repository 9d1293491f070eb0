"""One `store` fixture, three backends: in memory, on a replica set, on a standalone server.

store         a Store with nothing in it
backend       its name, "memory", "replica set" or "standalone"
another       the same store as a second process would open it
let_pass      let seconds pass by the store's clock, without waiting
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from hpo.store.base import Store
from hpo.store.memory import MemoryStore
from hpo.store.mongo import MongoStore
from hpo.store.mongo.connection import Client
from tests.servers import Server, fresh_database

BACKENDS = ("memory", "replica set", "standalone")

# Every field that says until when, or since when, something holds.
DEADLINES = {
    "jobs": ("lease_until", "book_time", "finish_time"),
    "workers": ("until", "seen"),
    "experiments": ("driver_until", "driver_seen"),
}


class Clock:
    """A clock that goes only when told to."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, secs: float) -> None:
        self.time += timedelta(seconds=secs)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass(frozen=True)
class Database:
    """A database with its indexes, and two connections as two processes would have them."""

    name: str
    clients: tuple[Client, Client]

    def empty(self) -> None:
        """Remove all documents: ten times as fast as making the indexes again."""
        database = self.clients[0][self.name]
        for collection in database.list_collection_names(filter={"type": "collection"}):
            if not collection.startswith("system."):
                database[collection].delete_many({})

    def store(self, number: int) -> MongoStore:
        return MongoStore(self.clients[number], self.name)


@contextmanager
def prepared_database(server: Server) -> Iterator[Database]:
    with (
        fresh_database(server) as url,
        closing(MongoStore.connect(url)) as first,
        closing(MongoStore.connect(url)) as second,
    ):
        yield Database(first.db.name, (first.client, second.client))


@pytest.fixture(scope="session")
def replica_set_database(mongo_server: Server) -> Iterator[Database]:
    with prepared_database(mongo_server) as database:
        yield database


@pytest.fixture(scope="session")
def standalone_database(standalone_server: Server) -> Iterator[Database]:
    with prepared_database(standalone_server) as database:
        yield database


@pytest.fixture
def database(backend: str, request: pytest.FixtureRequest) -> Database | None:
    """The backend's database without documents; None for memory."""
    fixtures = {"replica set": "replica_set_database", "standalone": "standalone_database"}
    if backend not in fixtures:
        return None
    database: Database = request.getfixturevalue(fixtures[backend])
    database.empty()
    return database


@pytest.fixture
def store(database: Database | None, clock: Clock) -> Store:
    return MemoryStore(clock=clock) if database is None else database.store(0)


@pytest.fixture
def another(store: Store, database: Database | None) -> Store:
    return store if database is None else database.store(1)


@pytest.fixture
def let_pass(store: Store, clock: Clock) -> Callable[[float], None]:
    def shift_deadlines(secs: float) -> None:
        assert isinstance(store, MongoStore)
        for collection, fields in DEADLINES.items():
            for field in fields:
                earlier = {"$subtract": [f"${field}", round(secs * 1000)]}
                store.db[collection].update_many(
                    {field: {"$type": "date"}}, [{"$set": {field: earlier}}]
                )

    return shift_deadlines if isinstance(store, MongoStore) else clock.advance
