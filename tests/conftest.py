"""Fixtures for every test: servers once per session, a fresh database per test.

mongo_url         a database on a one-node replica set, with login
standalone_url    the same on a standalone mongod: no change streams, no retryable writes
mongo_server, standalone_server
                  the servers themselves: port, pid, password
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator

import pytest

from tests.servers import Server, fresh_database, running_server

# For this process and those that it starts: no test may touch the key of whoever runs it.
os.environ["HPO_KEY"] = secrets.token_hex(32)
# In the background of a shell SIGINT is ignored, and would be by all that is started here.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A one-node replica set, shared by the session's tests."""
    with running_server(tmp_path_factory.mktemp("replica-set"), replica_set=True) as server:
        yield server


@pytest.fixture(scope="session")
def standalone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A standalone mongod, shared by the session's tests."""
    with running_server(tmp_path_factory.mktemp("standalone"), replica_set=False) as server:
        yield server


@pytest.fixture
def mongo_url(mongo_server: Server) -> Iterator[str]:
    """URL, with credentials, of a fresh database on the replica set."""
    with fresh_database(mongo_server) as url:
        yield url


@pytest.fixture
def standalone_url(standalone_server: Server) -> Iterator[str]:
    """URL, with credentials, of a fresh database on the standalone server."""
    with fresh_database(standalone_server) as url:
        yield url
