"""Searches of real processes that a test breaks and audits: for tests of outages."""

from __future__ import annotations

import time
from contextlib import contextmanager

from hpo.document import JOB_STATE_DONE
from scripts.soaking import sidelog
from scripts.soaking.auditor import audit
from scripts.soaking.crew import Crew, environment
from scripts.soaking.objective import EXP_KEY, MEAN_SECS_VARIABLE

N_TRIALS = 120


@contextmanager
def searching(url, directory, n_workers=4, max_evals=N_TRIALS):
    """A driver and workers at work, as processes; yields (crew, side log)."""
    log = directory / "side.log"
    shared = {sidelog.PATH_VARIABLE: str(log), MEAN_SECS_VARIABLE: "0.15"}
    crew = Crew(
        directory, environment(url, **shared), [{}] * n_workers, max_evals=max_evals, seed=1
    )
    try:
        yield crew, log
    finally:
        crew.end()


def wait_until_some_are_done(store, n=10, secs=30.0):
    deadline = time.monotonic() + secs
    while store.count(EXP_KEY, [JOB_STATE_DONE]) < n:
        assert time.monotonic() < deadline, "the search does not begin"
        time.sleep(0.02)


def wait_for_the_driver(crew, secs=60.0):
    deadline = time.monotonic() + secs
    while crew.look_after():
        assert time.monotonic() < deadline, f"the search is stuck: {crew.driver.last_lines(20)}"
        time.sleep(0.05)


def first_end_after(store, moment):
    return min(
        trial["finish_time"]
        for trial in store.find(EXP_KEY, fields=["finish_time"])
        if trial.get("finish_time") and trial["finish_time"] > moment
    )


def assert_that_nothing_was_lost(store, crew, log, max_evals=N_TRIALS):
    breaches = audit(list(store.find(EXP_KEY)), sidelog.read(log), max_evals=max_evals)
    assert [str(breach) for breach in breaches] == []
    assert crew.gave_up == {}, "driver and workers go on by themselves"
