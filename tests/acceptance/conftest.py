"""Fixtures for searches over a network that may break."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.store.proxy import Proxy


@pytest.fixture
def proxy(standalone_server):
    """Stands between the standalone server and whoever connects by `far_url`."""
    proxy = Proxy(standalone_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def far_url(standalone_url, standalone_server, proxy):
    """The test's database behind a network that may break."""
    name = standalone_url.rpartition("/")[2].partition("?")[0]
    far = replace(standalone_server, port=proxy.port)
    return far.url(name) + "&serverSelectionTimeoutMS=200"
