"""Fixtures for the worker's tests: trials to evaluate, and workers that evaluate them.

`submit` puts trials of an objective into a store. Objectives are defined
inside the tests, so that they are pickled by value: no worker can import this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pymongo
import pytest

from hpo import Domain, hp
from hpo.document import new_trial
from hpo.objective import pack
from hpo.signing import load_keys

START_SECS = 30.0


def wait_until(condition, secs=START_SECS):
    """Return what `condition()` returns once it is true; fail after `secs`."""
    deadline = time.monotonic() + secs
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"still {found!r} after {secs} s")
        time.sleep(0.01)
    return found


def submit(store, fn, n=1, *, exp_key="digits", misc_workdir=None, x0=0, **domain_options):
    """Insert `n` trials of fn with x = x0, x0 + 1, x0 + 2 …; return their tids."""
    domain = Domain(fn, {"x": hp.uniform("x", 0, 1000)}, **domain_options)
    packed = pack(domain, exp_key, load_keys())
    store.put_objective(exp_key, packed.sha256, packed.payload)
    tids = store.allocate_tids(n)
    store.insert(
        [_trial(tid, x, exp_key, packed.sha256, misc_workdir) for x, tid in enumerate(tids, x0)]
    )
    return tids


def _trial(tid, x, exp_key, sha256, workdir):
    trial = new_trial(
        tid, exp_key=exp_key, values={"x": float(x)}, labels=["x"], params={"x": float(x)}
    )
    trial["objective"] = sha256
    trial["misc"]["workdir"] = workdir
    return trial


class WorkerProcess(subprocess.Popen):
    """An `hpo-worker` process; `log` is the file that takes its output."""

    def __init__(self, log, *options, stdout=None, **kwargs):
        self.log = log
        with log.open("w") as output, open(stdout or os.devnull, "wb") as elsewhere:
            super().__init__(
                [sys.executable, "-m", "hpo_worker", *options],
                stdout=elsewhere if stdout else output,
                stderr=output,
                **kwargs,
            )

    @property
    def said(self):
        return self.log.read_text()


class WorkerProcesses:
    """Starts workers on one database, and ends them with the test."""

    def __init__(self, url, tmp_path):
        self._url, self._tmp_path = url, tmp_path
        self._started = []

    def __call__(
        self,
        *options,
        exp_key="digits",
        env=None,
        stdin=subprocess.DEVNULL,
        stdout=None,
        cwd=None,
    ):
        """Start one that serves `exp_key`, or every experiment when that is None."""
        process = WorkerProcess(
            self._tmp_path / f"worker-{len(self._started)}.log",
            *options,
            *([] if exp_key is None else ["--exp-key", exp_key]),
            stdin=stdin,
            stdout=stdout,
            cwd=cwd,
            env={
                **os.environ,
                "HPO_MONGO_URL": self._url,
                "XDG_STATE_HOME": str(self._tmp_path / "state"),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **(env or {}),
            },
        )
        self._started.append(process)
        return process

    def end_all(self):
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


@pytest.fixture
def start_worker(mongo_url, tmp_path):
    """start_worker(*options) starts an `hpo-worker` process on the test's database."""
    workers = WorkerProcesses(mongo_url, tmp_path)
    yield workers
    workers.end_all()


@pytest.fixture
def store(mongo_url):
    """The store that the worker processes share with the test."""
    from hpo.store.mongo import MongoStore

    store = MongoStore.connect(mongo_url)
    yield store
    store.close()


@pytest.fixture
def jobs(mongo_url):
    """The documents themselves, as someone with pymongo sees them."""
    with pymongo.MongoClient(mongo_url) as client:
        yield client.get_default_database()["jobs"]
