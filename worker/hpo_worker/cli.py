"""The command line of `hpo-worker`."""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hpo_worker.evaluator import ChildProcess, InProcess, TrialLimits
from hpo_worker.limits import Ending, Limits, secs_until_end
from hpo_worker.quantities import parse_bytes, parse_moment, parse_secs
from hpo_worker.stopping import DEFAULT_GRACE_SECS, EXIT_UNREACHABLE, StopSignals

if TYPE_CHECKING:
    from hpo.store.base import WorkerPresence

T = TypeVar("T")

logger = logging.getLogger("hpo_worker")

STDIN_FD = 0

# Here and not from hpo.objective, which is costly to import before the child is started.
NO_PICKLE_VARIABLE = "HPO_NO_PICKLE"

# Where half of a space fails, twenty failures in a row are one chance in a million.
DEFAULT_MAX_FAILURES = 20

# Given to --spool: keep nothing.
NO_SPOOL = "none"

EXIT_UNEXPECTED = 1
EXIT_USAGE = 2

DESCRIPTION = """\
Evaluate trials: claim one, call its objective in a child process, write the
result back, and go on until a limit is reached or a signal comes."""

EPILOG = """\
The database's address may also come from $HPO_MONGO_URL or a file
(--mongo file:PATH, such as `hpo serve` writes): a command line is visible to
everybody on the machine. Modules that the objective imports are looked for in
the current directory, on PYTHONPATH and among the installed packages.

An objective runs only if it was signed with a key that this worker has too: in
$HPO_KEY, in the file $HPO_KEY_FILE, or in ~/.config/hpo/key, which the first
driver makes. See `hpo key --help`.

signals:
  SIGTERM, SIGINT, SIGHUP   hand the running trial back and stop
  one of them again         stop at once
  SIGUSR1                   finish the running trial, then stop
Where SIGUSR1 announces a preemption: --on-sigusr1 hand-back. A trial that is
handed back costs nothing but the time; another worker takes it.

durations: 90, 90s, 45m, 2h30m, or as Slurm writes them: 30:00, 02:00:00, 1-02:00:00

exit codes:
  0       a limit was reached, or the worker was asked to stop
  1       an error that nobody foresaw
  2       wrong usage: options, address, login
  3       the objective of the experiment (--exp-key) cannot be loaded here
  4       too many failed trials in a row (--max-consecutive-failures)
  69      the server cannot be reached; a result that it should have had is in --spool,
          and the next hpo-worker on this machine delivers it
  128+N   stopped at once by a second signal N (130 for Ctrl-C)
"""


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
    from hpo.store.mongo import MongoStore
    from hpo.store.mongo.url import read_url
    from hpo_worker.loop import Worker
    from hpo_worker.spool import Spool

    spool = Spool(_spool_directory(options.spool))
    try:
        if options.spool is not None:
            spool.prepare()
    except OSError as error:
        logger.error("--spool: %s", error)
        return Ending(EXIT_USAGE, "stopping: results could not be kept on disk")
    store = MongoStore.connect(read_url(options.mongo), appname="hpo-worker")
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
            limits=_limits(options),
        ).run()
    finally:
        store.close()


def _limits(options: argparse.Namespace) -> Limits:
    now = datetime.now().astimezone()
    return Limits(
        max_jobs=options.max_jobs,
        max_jobs_in_db=options.max_jobs_in_db,
        max_consecutive_failures=options.max_consecutive_failures,
        last_job_timeout_secs=options.last_job_timeout,
        reserve_timeout_secs=options.reserve_timeout,
        secs_left=secs_until_end(options.walltime, options.until, now=now),
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


# --- options --------------------------------------------------------------------


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the checked options; exits with code 2 when they make no sense."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_explain_unknown(parser, unknown[0]))
    if options.fresh_process and not options.use_subprocesses:
        parser.error("--fresh-process and --no-subprocesses contradict each other")
    if not options.use_subprocesses:
        for name in ("trial_timeout", "max_memory"):
            if getattr(options, name) is not None:
                option = "--" + name.replace("_", "-")
                parser.error(f"{option} needs a process to end; leave out --no-subprocesses")
    if options.workdir is not None:
        try:
            options.workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--workdir {options.workdir}: {error.strerror}")
        options.workdir = options.workdir.resolve()
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hpo-worker",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--mongo", metavar="URL", help="where the trials are: mongodb://…, host[:port]/db, file:…")
    add("--exp-key", metavar="KEY", help="serve only this experiment (default: all)")
    add(
        "--lease", metavar="SECS", type=_read_by(parse_secs), default=60.0,
        help="a trial whose worker gives no sign for so long goes to another one "
        "(default: %(default)g)",
    )  # fmt: skip
    add(
        "--poll-interval", metavar="SECS", type=_read_by(parse_secs), default=5.0,
        help="look for work at least so often; new trials wake the worker anyway "
        "(default: %(default)g)",
    )  # fmt: skip
    _add_limits(parser)
    _add_trial_limits(parser)
    _add_preemption(parser)
    add(
        "--spool", metavar="DIR",
        help="keep results there while the server is away, or 'none' "
        "(default: $XDG_STATE_HOME/hpo/spool or ~/.local/state/hpo/spool)",
    )  # fmt: skip
    add(
        "--workdir", metavar="DIR", type=Path,
        help="call the objective in the directory DIR/<tid>, made if missing "
        "(default: the workdir of the objective's Domain, else the current directory)",
    )  # fmt: skip
    add(
        "--no-subprocesses", dest="use_subprocesses", action="store_false",
        help="call the objective in this very process; a crash then ends the worker",
    )  # fmt: skip
    add(
        "--no-pickle", dest="may_unpickle", action="store_false",
        default=not os.environ.get(NO_PICKLE_VARIABLE),
        help="evaluate only objectives that are given to fmin by name, as "
        "'package.module:function' (also: $HPO_NO_PICKLE=1)",
    )  # fmt: skip
    add("--fresh-process", action="store_true", help="a new child process for every trial")
    add(
        "--as-hyperopt", action="store_true",
        help="let objectives that import hyperopt find hpo instead",
    )  # fmt: skip
    add(
        "--stop-on-eof", action="store_true",
        help="stop, as on SIGINT, when standard input ends: when whoever started this dies",
    )  # fmt: skip
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q", "--quiet", dest="verbosity", action="store_const", const=-1, default=0,
        help="say only what went wrong",
    )  # fmt: skip
    loudness.add_argument(
        "-v", "--verbose", dest="verbosity", action="store_const", const=1, help="say more"
    )
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("when to stop")
    limits.add_argument(
        "--reserve-timeout", metavar="SECS", type=_read_by(parse_secs),
        help="when there was nothing to claim for so long "
        "(default: wait for ever; hyperopt's default was 120)",
    )  # fmt: skip
    limits.add_argument(
        "--max-jobs", metavar="N", type=_positive_int, help="after N trials (default: never)"
    )
    limits.add_argument(
        "--max-jobs-in-db", metavar="N", type=_positive_int,
        help="once the database holds N trials (default: never)",
    )  # fmt: skip
    limits.add_argument(
        "--max-consecutive-failures", metavar="N", type=_positive_int_or_never,
        default=DEFAULT_MAX_FAILURES,
        help="after N failed trials in a row, since a broken node would fail them all; or "
        "'never' (default: %(default)s; hyperopt's was 4)",
    )  # fmt: skip
    limits.add_argument(
        "--last-job-timeout", metavar="SECS", type=_read_by(parse_secs),
        help="claim nothing later than this after the start (default: no limit)",
    )  # fmt: skip


def _add_trial_limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("what one trial may take")
    limits.add_argument(
        "--trial-timeout", metavar="DURATION", type=_read_by(parse_secs),
        help="end and fail it after so long (default: no limit but the trial's own)",
    )  # fmt: skip
    limits.add_argument(
        "--max-memory", metavar="SIZE", type=_read_by(parse_bytes),
        help="end and fail it when its processes together hold more, such as 500M or 2G "
        "(default: no limit)",
    )  # fmt: skip


def _add_preemption(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machines that are lent for a while")
    meanings = ("hand-back", "finish")
    group.add_argument(
        "--on-sigterm", choices=meanings, default="hand-back",
        help="what to do with the running trial on SIGTERM (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--on-sigusr1", choices=meanings, default="finish",
        help="and on SIGUSR1 (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--grace", metavar="DURATION", type=_read_by(parse_secs), default=DEFAULT_GRACE_SECS,
        help="be gone so long after having been asked to hand back, whatever happens "
        "(default: %(default)g)",
    )  # fmt: skip
    group.add_argument(
        "--walltime", metavar="DURATION", type=_read_by(parse_secs),
        help="claim nothing that most trials' durations say will not end within so long from "
        "the start, and hand back in time what runs then",
    )  # fmt: skip
    group.add_argument(
        "--until", metavar="TIME", type=_read_by(_parse_until),
        help="the same by the clock: 2026-11-21T18:00 or 18:00. The end of a Slurm job is "
        "known from $SLURM_JOB_END_TIME; the earliest end holds",
    )  # fmt: skip


def _parse_until(text: str) -> datetime:
    return parse_moment(text, datetime.now().astimezone())


def _read_by(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show what `parse` says about a text that it refuses."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _positive_int_or_never(text: str) -> int | None:
    return None if text == "never" else _positive_int(text)


def _positive_int(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def _explain_unknown(parser: argparse.ArgumentParser, word: str) -> str:
    if not word.startswith("-"):
        # Not quoted: it may be an address with a password in it.
        return "an argument without an option; the address of the database goes after --mongo"
    name = word.partition("=")[0]
    known = [option for action in parser._actions for option in action.option_strings]
    # Not hpo.exceptions.did_you_mean: importing hpo takes longer than all the rest of this.
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown option {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
