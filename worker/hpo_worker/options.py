"""The options of `hpo-worker`, and what its help says."""

from __future__ import annotations

import argparse
import difflib
import math
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from hpo_worker.quantities import parse_bytes, parse_moment, parse_secs
from hpo_worker.stopping import DEFAULT_GRACE_SECS

T = TypeVar("T")

# Here and not from hpo.objective, which is costly to import before the child is started.
NO_PICKLE_VARIABLE = "HPO_NO_PICKLE"

# Where half of a space fails, twenty failures in a row are one chance in a million.
DEFAULT_MAX_FAILURES = 20

# Here and not from hpo.outage, for the same reason.
DEFAULT_PATIENCE_SECS = 600.0
# Given to --patience.
FOREVER = "forever"

# Given to --spool: keep nothing.
NO_SPOOL = "none"

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
    add(
        "--patience", metavar="DURATION", type=_read_by(_parse_patience),
        default=DEFAULT_PATIENCE_SECS,
        help="wait so long for a server that is away, each time, or 'forever' "
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


def _parse_patience(text: str) -> float:
    if text in (FOREVER, "inf"):
        return math.inf
    return 0.0 if text == "0" else parse_secs(text)


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
