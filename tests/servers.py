"""Real MongoDB servers for the tests: a one-node replica set and a standalone.

Each runs on a free port of 127.0.0.1 in a directory of its own, with a login.
Tests may freeze and kill it through its pid; it is killed at the end in any
case.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from hpo.store.mongo.mongod import USER, holder_pid, start_mongod

KILL_TIMEOUT_SECS = 20.0


@dataclass(frozen=True)
class Server:
    """A mongod under test.

    Attributes:
        port: on 127.0.0.1.
        pid: of the mongod process.
        password: of the user "hpo", who may do everything.
        is_replica_set: has change streams, transactions and retryable writes.
        directory: holds its data, and its log in mongod.log.
    """

    port: int
    pid: int
    password: str
    is_replica_set: bool
    directory: Path

    def url(self, database: str = "") -> str:
        """The URL, credentials included, of one of its databases."""
        # By the set's name, as users write it for a cluster; not as a direct connection.
        options = "authSource=admin" + ("&replicaSet=hpo" if self.is_replica_set else "")
        return f"mongodb://{USER}:{self.password}@127.0.0.1:{self.port}/{database}?{options}"

    def client(self) -> pymongo.MongoClient[dict[str, object]]:
        """A client with every right; the caller closes it."""
        return pymongo.MongoClient(self.url())


@contextlib.contextmanager
def running_server(directory: Path, *, replica_set: bool) -> Iterator[Server]:
    """Start a mongod in `directory`, yield it when it takes writes, and kill it afterwards."""
    mongod = start_mongod(directory, replica_set=replica_set)
    try:
        yield Server(mongod.port, mongod.pid, mongod.password, replica_set, directory)
    finally:
        kill_server(directory)


@contextlib.contextmanager
def fresh_database(server: Server) -> Iterator[str]:
    """The URL of a database that nobody used before; it is dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    yield server.url(name)
    # A test may have frozen or killed the server: then there is nothing to drop.
    with contextlib.suppress(PyMongoError), server.client() as client:
        client.drop_database(name)


def kill_server(directory: Path) -> None:
    """End the mongod that runs on a directory, if one does, in the quickest way."""
    pid = holder_pid(directory)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(directory)


def wait_until_gone(directory: Path) -> None:
    deadline = time.monotonic() + KILL_TIMEOUT_SECS
    while holder_pid(directory) is not None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the mongod in {directory} did not end when it was killed")
        time.sleep(0.01)
