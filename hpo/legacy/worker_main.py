"""hpo-worker, called from Python: hyperopt's main_worker and main_worker_helper."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from hpo.legacy.mongo_url import as_mongo_str
from hpo.legacy.mongo_worker import MongoWorker
from hpo.outage import DEFAULT_PATIENCE_SECS, wait_for_server
from hpo.store.mongo.jobs import MongoJobs

__all__ = ["main", "main_worker", "main_worker_helper"]

# Attributes of hyperopt's options and the options of hpo-worker that they are.
_OPTIONS = {
    "mongo": "--mongo",
    "exp_key": "--exp-key",
    "workdir": "--workdir",
    "poll_interval": "--poll-interval",
    "reserve_timeout": "--reserve-timeout",
    "max_jobs": "--max-jobs",
    "max_consecutive_failures": "--max-consecutive-failures",
    "last_job_timeout": "--last-job-timeout",
    "max_jobs_in_db": "--max-jobs-in-db",
}
# hyperopt's way to say "no limit".
_NO_LIMIT = (None, sys.maxsize)


def main_worker_helper(options: Any, args: Sequence[str] = ()) -> int:
    """Be a worker until it has a reason to stop.

    With max_jobs = 1 the trial is evaluated in this process, and what ends it is raised.
    Otherwise hpo-worker does the work, and this returns its exit code.

    Args:
        options: has hyperopt's options as attributes: mongo, exp_key, workdir,
            poll_interval, reserve_timeout, max_jobs, max_consecutive_failures,
            last_job_timeout, max_jobs_in_db, use_subprocesses. Those that are missing
            have hpo-worker's defaults.
        args: taken for compatibility; not needed.

    Raises:
        ReserveTimeout: max_jobs is 1, and there was nothing to claim.

    Source: hyperopt.mongoexp.main_worker_helper.
    """
    if int(getattr(options, "max_jobs", None) or sys.maxsize) == 1:
        return _run_one(options)
    return _run_worker(_arguments(options))


def main_worker() -> int:
    """Run hpo-worker with this process's command line; return its exit code."""
    return _run_worker(sys.argv[1:])


def main() -> None:
    """Run hpo-worker with this process's command line, and exit as it does."""
    sys.exit(main_worker())


def _run_one(options: Any) -> int:
    url = as_mongo_str(options.mongo)
    jobs = wait_for_server(lambda: MongoJobs.new_from_connection_str(url), DEFAULT_PATIENCE_SECS)
    with contextlib.closing(jobs):
        worker = MongoWorker(
            jobs,
            float(getattr(options, "poll_interval", MongoWorker.poll_interval)),
            workdir=getattr(options, "workdir", None),
            exp_key=getattr(options, "exp_key", None),
            logfilename=None,
        )
        timeout = getattr(options, "reserve_timeout", None)
        worker.run_one(reserve_timeout=None if timeout is None else float(timeout))
    return 0


def _arguments(options: Any) -> list[str]:
    """The command line of hpo-worker that says what hyperopt's options say."""
    arguments = []
    for attribute, option in _OPTIONS.items():
        value = getattr(options, attribute, None)
        if value not in _NO_LIMIT:
            arguments.append(f"{option}={value}")
    if not getattr(options, "use_subprocesses", True):
        arguments.append("--no-subprocesses")
    return arguments


def _run_worker(arguments: Sequence[str]) -> int:
    # A process of its own, not an import: hpo does not depend on its worker, and a
    # worker wants the main thread, its signals and its standard streams for itself.
    worker = subprocess.Popen([sys.executable, "-m", "hpo_worker", *arguments])
    with _signals_passed_on(worker):
        return worker.wait()


@contextlib.contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """What asks this process to stop asks the other one, and waits for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = {
        number: signal.signal(number, lambda received, frame: process.send_signal(received))
        for number in numbers
    }
    # Ctrl-C reaches every process of the terminal by itself.
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
