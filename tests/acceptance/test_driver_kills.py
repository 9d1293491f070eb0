"""kill -9 of the driver at any moment: started again, it goes on as if nothing had been."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hpo.store.mongo import MongoStore
from tests.acceptance.dying_driver import EXP_KEY, MAX_EVALS, objective
from tests.acceptance.working import assert_that_nothing_was_lost_or_repeated, worker

pytestmark = pytest.mark.breaks

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["replica set", "standalone"])
def url(request):
    name = "mongo_url" if request.param == "replica set" else "standalone_url"
    return request.getfixturevalue(name)


def kill_and_restart(url, *how):
    """Run the search of a driver that dies and is started again; how often it died."""
    with worker(url, EXP_KEY, objective):
        done = subprocess.run(
            [sys.executable, "-m", "tests.acceptance.dying_driver", url, *map(str, how)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_driver_killed_at_many_random_moments_loses_and_repeats_nothing(url, seed):
    n_killed = kill_and_restart(url, seed, 15)

    assert n_killed > 8
    with closing(MongoStore.connect(url)) as store:
        assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, objective, MAX_EVALS)


@pytest.mark.parametrize(
    ("moment", "command"),
    [
        # ids are reserved, leadership is taken, and records are made by this command
        ("before", "findAndModify"),
        ("after", "findAndModify"),
        # trials are inserted by this one, four at a time
        ("before", "update"),
        ("after", "update"),
    ],
)
def test_a_driver_killed_around_what_it_writes_loses_and_repeats_nothing(
    standalone_url, moment, command
):
    n_killed = kill_and_restart(standalone_url, moment, command)

    assert n_killed >= 3
    with closing(MongoStore.connect(standalone_url)) as store:
        assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, objective, MAX_EVALS)
