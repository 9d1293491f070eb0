"""Searches on local workers that are killed, or that have to end what hangs."""

from __future__ import annotations

import os
import signal
import threading

import pymongo
import pytest

from hpo import JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_RUNNING, fmin, hp, rand
from hpo.exceptions import InvalidOption

SPACE = {"x": hp.uniform("x", 0, 1)}


@pytest.fixture
def jobs(mongo_url):
    with pymongo.MongoClient(mongo_url) as client:
        yield client.get_default_database()["jobs"]


def search(fn, mongo_url, **options):
    return fmin(
        fn,
        SPACE,
        algo=rand.suggest,
        trials=mongo_url,
        exp_key="digits",
        rstate=0,
        show_progressbar=False,
        **options,
    )


def test_a_trial_that_hangs_fails_and_the_search_goes_on(mongo_url, jobs, tmp_path):
    flag = str(tmp_path / "flag")

    def hangs_once(configuration):
        import time

        if not os.path.exists(flag):
            open(flag, "w").close()
            time.sleep(600)
        return configuration["x"]

    search(hangs_once, mongo_url, max_evals=3, workers=1, trial_timeout=0.5)

    trials = list(jobs.find({}).sort("tid"))
    assert [trial["state"] for trial in trials] == [JOB_STATE_ERROR, *[JOB_STATE_DONE] * 2]
    assert trials[0]["attempts"][0]["reason"] == "timeout"


@pytest.mark.parametrize("secs", [0, -1, "5", True, float("inf"), float("nan")])
def test_a_time_limit_that_makes_no_sense_is_refused(mongo_url, secs):
    with pytest.raises(InvalidOption, match="trial_timeout must be a number of seconds above 0"):
        search(lambda configuration: 0.0, mongo_url, max_evals=1, trial_timeout=secs)


def test_a_time_limit_needs_a_worker():
    with pytest.raises(InvalidOption, match="needs a worker to end the evaluation"):
        fmin(lambda configuration: 0.0, SPACE, max_evals=1, trial_timeout=5)


def test_a_search_outlives_its_only_worker(mongo_url, jobs, tmp_path, monkeypatch):
    # Its trial comes back when the lease has expired: of the whole minute one second is left.
    flag = str(tmp_path / "flag")

    def sleeps_once(configuration):
        import time

        if not os.path.exists(flag):
            open(flag, "w").close()
            time.sleep(600)
        return configuration["x"]

    def kill_the_worker():
        while not (trial := jobs.find_one({"state": JOB_STATE_RUNNING})) or not os.path.exists(
            flag
        ):
            stopped.wait(0.02)
        os.kill(int(trial["owner"].split(":")[1]), signal.SIGKILL)
        jobs.update_one(
            {"tid": trial["tid"]}, [{"$set": {"lease_until": {"$add": ["$$NOW", 1000]}}}]
        )

    stopped = threading.Event()
    killer = threading.Thread(target=kill_the_worker, daemon=True)
    killer.start()
    search(sleeps_once, mongo_url, max_evals=2, workers=1)

    killer.join()
    trials = list(jobs.find({}).sort("tid"))
    assert [trial["state"] for trial in trials] == [JOB_STATE_DONE] * 2
    assert [end["reason"] for end in trials[0]["attempts"]] == ["lost", "done"]
