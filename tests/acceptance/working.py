"""A worker as a thread, and what must hold of the trials when a search is over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from hpo.document import JOB_STATE_DONE, Claim
from hpo.store.base import WorkerPresence
from hpo.store.mongo import MongoStore

OWNER = "elsewhere:1:a"


@contextmanager
def worker(
    url: str, exp_key: str, objective: Callable[[Any], float], *, pause_secs: float = 0.005
) -> Iterator[None]:
    """Evaluate trials of an experiment until the end of the block."""
    ends = threading.Event()
    thread = threading.Thread(target=_work, args=(url, exp_key, objective, pause_secs, ends))
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _work(
    url: str,
    exp_key: str,
    objective: Callable[[Any], float],
    pause_secs: float,
    ends: threading.Event,
) -> None:
    with closing(MongoStore.connect(url)) as store:
        store.announce(WorkerPresence(OWNER, "elsewhere", 1, exp_key), ttl_secs=600)
        while not ends.wait(pause_secs):
            trial = store.claim(OWNER, exp_key=exp_key)
            if trial is not None:
                result = {"status": "ok", "loss": objective(trial["params"])}
                store.finish(Claim.of(trial), result)


def assert_that_nothing_was_lost_or_repeated(store, exp_key, objective, n_trials):
    """Every trial done once, with its own configuration, its own number and its own loss."""
    trials = list(store.find(exp_key))
    assert [trial["state"] for trial in trials] == [JOB_STATE_DONE] * n_trials
    assert len({trial["tid"] for trial in trials}) == n_trials
    assert sorted(trial["number"] for trial in trials) == list(range(n_trials))
    assert len({trial["params"]["x"] for trial in trials}) == n_trials
    assert all(trial["result"]["loss"] == objective(trial["params"]) for trial in trials)
