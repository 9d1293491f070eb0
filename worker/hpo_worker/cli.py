"""`hpo-worker` as a program: what it sets up, and how it exits."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_worker.evaluator import ChildProcess, InProcess, TrialLimits
from hpo_worker.limits import EXIT_OK, Ending, Limits, secs_until_end
from hpo_worker.options import NO_SPOOL, parse_arguments
from hpo_worker.outcome import Interruption
from hpo_worker.stopping import EXIT_UNREACHABLE, StopSignals

if TYPE_CHECKING:
    from hpo.store.base import WorkerPresence
    from hpo.store.mongo import MongoStore

logger = logging.getLogger("hpo_worker")

STDIN_FD = 0

EXIT_UNEXPECTED = 1
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker and return its exit code."""
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    _set_up_logging(options.verbosity)
    with StopSignals(
        on_sigterm=options.on_sigterm,
        on_sigusr1=options.on_sigusr1,
        grace_secs=options.grace,
    ) as stop:
        if options.stop_on_eof:
            stop.stop_on_eof(STDIN_FD)
        # Started before anything else, the child imports while this process connects.
        evaluator = _evaluator(options, stop)
        stop.on_emergency = evaluator.kill
        try:
            return _work(options, stop, evaluator)
        finally:
            evaluator.close()


def _work(
    options: argparse.Namespace, stop: StopSignals, evaluator: ChildProcess | InProcess
) -> int:
    from hpo.exceptions import AccessDenied, HpoError, InvalidUrl, ServerUnreachable

    try:
        ending = _connect_and_run(options, stop, evaluator)
    except (InvalidUrl, AccessDenied) as error:
        logger.error("%s", error)
        return EXIT_USAGE
    except ServerUnreachable as error:
        logger.error("%s", error)
        return EXIT_UNREACHABLE
    except HpoError as error:
        logger.error("%s", error)
        return EXIT_UNEXPECTED
    logger.log(logging.INFO if ending.exit_code == 0 else logging.ERROR, "%s", ending.why)
    return ending.exit_code


def _connect_and_run(
    options: argparse.Namespace, stop: StopSignals, evaluator: ChildProcess | InProcess
) -> Ending:
    from hpo_worker.loop import Worker
    from hpo_worker.spool import Spool

    spool = Spool(_spool_directory(options.spool))
    try:
        if options.spool is not None:
            spool.prepare()
    except OSError as error:
        logger.error("--spool: %s", error)
        return Ending(EXIT_USAGE, "stopping: results could not be kept on disk")
    began = time.monotonic()
    try:
        store = _connect(options, stop)
    except Interruption:
        return Ending(EXIT_OK, f"stopping: asked to by {stop.asked_by}, before there was a server")
    whose = "any experiment" if options.exp_key is None else f"experiment {options.exp_key!r}"
    logger.info("ready for trials of %s at %s", whose, store.hosts)
    try:
        return Worker(
            store,
            evaluator,
            stop,
            _presence(options.exp_key),
            lease_secs=options.lease,
            poll_interval_secs=options.poll_interval,
            workdir=options.workdir,
            may_unpickle=options.may_unpickle,
            spool=spool,
            patience_secs=options.patience,
            limits=_limits(options, time.monotonic() - began),
        ).run()
    finally:
        store.close()


def _connect(options: argparse.Namespace, stop: StopSignals) -> MongoStore:
    """Open the database, once its server is there. Raises Interruption when asked to stop."""
    from hpo.outage import wait_for_server
    from hpo.store.mongo import MongoStore
    from hpo.store.mongo.url import read_url

    def connect() -> MongoStore:
        with stop.interruptible(also_to_finish=True):
            return MongoStore.connect(read_url(options.mongo), appname="hpo-worker")

    return wait_for_server(connect, options.patience, sleep=stop.sleep)


def _limits(options: argparse.Namespace, waited_secs: float) -> Limits:
    """When to stop, after having waited for a server."""
    now = datetime.now().astimezone()
    walltime_secs = None if options.walltime is None else options.walltime - waited_secs
    return Limits(
        max_jobs=options.max_jobs,
        max_jobs_in_db=options.max_jobs_in_db,
        max_consecutive_failures=options.max_consecutive_failures,
        last_job_timeout_secs=options.last_job_timeout,
        reserve_timeout_secs=options.reserve_timeout,
        secs_left=secs_until_end(walltime_secs, options.until, now=now),
    )


def _spool_directory(option: str | None) -> Path | None:
    from hpo_worker.spool import default_directory

    if option == NO_SPOOL:
        return None
    return default_directory() if option is None else Path(option).expanduser()


def _evaluator(options: argparse.Namespace, stop: StopSignals) -> ChildProcess | InProcess:
    from hpo.compat import AS_HYPEROPT_VARIABLE, install_if_asked

    if options.as_hyperopt:
        os.environ[AS_HYPEROPT_VARIABLE] = "1"
    if options.use_subprocesses:
        limits = TrialLimits(options.trial_timeout, options.max_memory)
        return ChildProcess(stop, is_fresh_each_time=options.fresh_process, limits=limits)
    install_if_asked()
    return InProcess(stop)


def _presence(exp_key: str | None) -> WorkerPresence:
    from hpo.store.base import WorkerPresence

    host, pid = socket.gethostname(), os.getpid()
    # Process ids are used again, also after a reboot: the token tells their owners apart.
    owner = f"{host}:{pid}:{secrets.token_hex(4)}"
    return WorkerPresence(owner=owner, host=host, pid=pid, exp_key=exp_key)


def _set_up_logging(verbosity: int) -> None:
    who = f"{socket.gethostname()}:{os.getpid()}"
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s hpo-worker [{who}] %(message)s", datefmt="%H:%M:%S")
    )
    logging.getLogger().addHandler(handler)
    level = {-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG)
    for name in ("hpo", "hpo_worker"):
        logging.getLogger(name).setLevel(level)
