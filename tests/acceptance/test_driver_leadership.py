"""Two drivers of one experiment: one leads, the other takes over, and none adds blindly."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from hpo import fmin, hp, rand
from hpo.document import JOB_STATE_DONE
from hpo.mongo_trials import MongoTrials
from hpo.store.mongo import MongoStore
from tests.acceptance.dying_driver import EXP_KEY, objective
from tests.acceptance.working import assert_that_nothing_was_lost_or_repeated, worker

pytestmark = pytest.mark.breaks

ROOT = Path(__file__).parents[2]
LEASE_SECS = 1.0
N_TRIALS = 60

DRIVER = f"""\
import sys
import numpy as np
from hpo import fmin, leadership, rand
from tests.acceptance.dying_driver import EXP_KEY, SPACE, objective

leadership.DRIVER_LEASE_SECS = {LEASE_SECS}
# As if it were on another machine: nobody can look whether it still runs.
leadership.THIS_HOST = sys.argv[2]
fmin(objective, SPACE, algo=rand.suggest, max_evals={N_TRIALS}, max_queue_len=3,
     trials=sys.argv[1], exp_key=EXP_KEY, rstate=np.random.default_rng(7), verbose=False)
"""


@contextmanager
def driver(url, host):
    process = subprocess.Popen([sys.executable, "-c", DRIVER, url, host], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition, secs=30.0):
    deadline = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


def leader(store):
    return (store.experiment(EXP_KEY).driver or "").partition(":")[0]


def n_done(store):
    return store.count(EXP_KEY, [JOB_STATE_DONE])


@pytest.fixture
def store(standalone_url):
    with closing(MongoStore.connect(standalone_url)) as store:
        yield store


def test_when_the_leader_is_killed_the_other_takes_over_within_a_lease(store, standalone_url):
    with (
        worker(standalone_url, EXP_KEY, objective, pause_secs=0.04),
        driver(standalone_url, "one") as one,
    ):
        wait_until(lambda: n_done(store) >= 5)
        with driver(standalone_url, "two") as two:
            wait_until(lambda: n_done(store) >= 10)
            assert leader(store) == "one"

            one.kill()
            killed_at = time.monotonic()
            wait_until(lambda: leader(store) == "two")
            assert time.monotonic() - killed_at < LEASE_SECS + 2.0

            assert two.wait(60) == 0
    assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, objective, N_TRIALS)


def test_a_leader_that_slept_past_its_lease_adds_nothing_to_what_it_does_not_know(
    store, standalone_url
):
    with (
        worker(standalone_url, EXP_KEY, objective, pause_secs=0.03),
        driver(standalone_url, "one") as one,
        driver(standalone_url, "two") as two,
    ):
        drivers = {"one": one, "two": two}
        wait_until(lambda: n_done(store) >= 5)
        for n_more in (15, 30, 45):
            sleeper = leader(store)
            drivers[sleeper].send_signal(signal.SIGSTOP)
            wait_until(lambda least=n_more: n_done(store) >= least)
            assert leader(store) != sleeper
            drivers[sleeper].send_signal(signal.SIGCONT)

        assert one.wait(60) == 0
        assert two.wait(60) == 0
    assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, objective, N_TRIALS)


def test_a_driver_that_is_overtaken_while_it_thinks_thinks_again(standalone_url):
    seen = []

    def overtaken_suggest(new_ids, domain, trials, seed):
        suggested = rand.suggest(new_ids, domain, trials, seed)
        seen.append(len(trials.observations()))
        if len(seen) == 3:
            # given another driver that adds a trial at this very moment
            other = MongoTrials(standalone_url, exp_key=EXP_KEY)
            other.insert_trial_docs(rand.suggest(other.new_trial_ids(1), domain, other, 1))
            other.close()
        return suggested

    with worker(standalone_url, EXP_KEY, objective):
        fmin(
            objective,
            {"x": hp.uniform("x", -5, 5)},
            algo=overtaken_suggest,
            max_evals=6,
            max_queue_len=1,
            trials=standalone_url,
            exp_key=EXP_KEY,
            rstate=np.random.default_rng(7),
            verbose=False,
        )

    assert seen == [0, 1, 2, 3, 4, 5], "its third suggestion was not stored, and made again"
    with closing(MongoStore.connect(standalone_url)) as store:
        assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, objective, 6)
