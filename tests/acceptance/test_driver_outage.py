"""The server goes away under a driver: it waits, says so, and goes on by itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import closing, contextmanager

import numpy as np
import pytest

from hpo import fmin, hp, rand
from hpo.document import JOB_STATE_DONE
from hpo.exceptions import InvalidOption, ServerUnreachable
from hpo.store.mongo import MongoStore
from tests.acceptance.working import assert_that_nothing_was_lost_or_repeated, worker

pytestmark = pytest.mark.breaks

EXP_KEY = "outage"
N_TRIALS = 30


def objective(config):
    return (config["x"] - 3.0) ** 2


def search(url, **options):
    return fmin(
        objective,
        {"x": hp.uniform("x", -5, 5)},
        algo=rand.suggest,
        max_evals=N_TRIALS,
        trials=url,
        exp_key=EXP_KEY,
        rstate=np.random.default_rng(7),
        **options,
    )


def wait_until_some_are_done(store, n):
    deadline = time.monotonic() + 20
    while store.count(EXP_KEY, [JOB_STATE_DONE]) < n:
        assert time.monotonic() < deadline, "the search does not begin"
        time.sleep(0.01)


@contextmanager
def interrupted_network(proxy, store, outages):
    """Cut the network for so many seconds, each time after some more trials."""

    def interrupt():
        for n_done, secs in outages:
            wait_until_some_are_done(store, n_done)
            proxy.cut()
            time.sleep(secs)
            proxy.mend()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.fixture
def store(standalone_url):
    with closing(MongoStore.connect(standalone_url)) as store:
        yield store


def test_a_search_goes_on_after_outages_and_has_said_so(
    store, standalone_url, far_url, proxy, capsys, monkeypatch
):
    monkeypatch.setattr("hpo.outage._QUIET_SECS", 0.3)
    with (
        worker(standalone_url, EXP_KEY, objective, pause_secs=0.02),
        interrupted_network(proxy, store, [(5, 1.5), (12, 0.1), (20, 1.0)]),
    ):
        search(far_url)

    assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, objective, N_TRIALS)
    said = capsys.readouterr().err
    assert f"the server at 127.0.0.1:{proxy.port} cannot be reached since" in said
    assert "the server answers again, after" in said


def test_work_resumes_within_three_seconds_of_the_servers_return(
    store, standalone_url, far_url, proxy
):
    returned = []

    def outage():
        wait_until_some_are_done(store, 5)
        proxy.cut()
        time.sleep(4.0)
        returned.append((store.now(), store.count(EXP_KEY, [JOB_STATE_DONE])))
        proxy.mend()

    thread = threading.Thread(target=outage)
    with worker(standalone_url, EXP_KEY, objective, pause_secs=0.02):
        thread.start()
        search(far_url, verbose=False)
        thread.join()

    ((moment, n_done),) = returned
    assert n_done < N_TRIALS
    queued = [trial["queue_time"] for trial in store.find(EXP_KEY)]
    assert min((time - moment).total_seconds() for time in queued if time > moment) < 3.0


def test_patience_ends(store, standalone_url, far_url, proxy):
    with (
        worker(standalone_url, EXP_KEY, objective, pause_secs=0.02),
        interrupted_network(proxy, store, [(5, 3.0)]),
        pytest.raises(ServerUnreachable),
    ):
        search(far_url, verbose=False, patience_secs=0.5)


def test_a_timeout_is_kept_while_the_server_is_away(store, standalone_url, far_url, proxy):
    began = time.monotonic()
    with (
        worker(standalone_url, EXP_KEY, objective, pause_secs=0.2),
        interrupted_network(proxy, store, [(2, 5.0)]),
        pytest.raises(ServerUnreachable),
    ):
        try:
            search(far_url, verbose=False, timeout=2.0)
        finally:
            ended = time.monotonic()

    assert ended - began < 2.0 + 2.0


def test_ctrl_c_ends_the_wait_for_the_server(store, standalone_url, far_url, proxy):
    ended_after = []

    def interrupt():
        wait_until_some_are_done(store, 3)
        proxy.cut()
        time.sleep(1.0)
        ended_after.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with (
        worker(standalone_url, EXP_KEY, objective, pause_secs=0.2),
        pytest.raises(KeyboardInterrupt),
    ):
        try:
            search(far_url, verbose=False)
        finally:
            ended_after.append(time.monotonic())
    thread.join()

    interrupted_at, ended_at = ended_after
    assert ended_at - interrupted_at < 1.5


@pytest.mark.parametrize("secs", [-1, float("nan"), "long", True])
def test_patience_is_a_number_of_seconds(secs):
    with pytest.raises(InvalidOption, match="patience_secs"):
        fmin(objective, {"x": hp.uniform("x", 0, 1)}, max_evals=1, patience_secs=secs)
