"""Searches on one server, which is killed in mid-run and comes back on its data."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from hpo.store.mongo import MongoStore
from hpo.store.mongo.mongod import start_mongod
from tests.outages import (
    assert_that_nothing_was_lost,
    searching,
    wait_for_the_driver,
    wait_until_some_are_done,
)
from tests.servers import kill_server, running_server

pytestmark = pytest.mark.breaks

AWAY_SECS = 2.0


@pytest.fixture(params=["standalone", "one-node replica set"])
def server(request, tmp_path):
    """A server of the test's own, which it may kill."""
    is_replica_set = request.param != "standalone"
    with running_server(tmp_path / "server", replica_set=is_replica_set) as server:
        yield server


def test_a_search_outlives_the_kill_and_the_return_of_its_only_server(server, tmp_path):
    url = server.url("outage")
    with (
        closing(MongoStore.connect(url)) as store,
        searching(url, tmp_path) as (crew, log),
    ):
        wait_until_some_are_done(store)

        kill_server(server.directory)
        time.sleep(AWAY_SECS)
        start_mongod(server.directory, password=server.password, replica_set=server.is_replica_set)

        wait_for_the_driver(crew)
        assert_that_nothing_was_lost(store, crew, log)
