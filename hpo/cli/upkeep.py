"""Putting a database in order: what dead workers held, what nobody needs any more."""

from __future__ import annotations

import argparse
import sys
from typing import TextIO

from hpo.cli.console import (
    EXIT_NOTHING,
    EXIT_OK,
    AddCommand,
    add_experiment,
    add_url,
    counted,
    existing,
    name_of,
    open_store,
    print_table,
)
from hpo.document import JOB_STATE_ERROR, JOB_STATE_NEW, JOB_STATE_RUNNING, JOB_STATES
from hpo.exceptions import HpoError

_UNIT_SECS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_commands(command: AddCommand) -> None:
    """Say what these commands are called, and what can be said to them."""
    requeue = command("requeue", requeue_expired, "hand out again the trials of dead workers")
    add_url(requeue)
    requeue.add_argument("exp_key", nargs="?", metavar="K", help="only those of this experiment")

    remove = command("rm", remove_experiment, "remove an experiment, its trials and attachments")
    add_url(remove)
    add_experiment(remove)
    remove.add_argument("--yes", action="store_true", help="do not ask")

    collect = command("gc", collect_garbage, "remove what killed processes left behind")
    add_url(collect)
    collect.add_argument("--dry-run", action="store_true", help="only show what there is")
    collect.add_argument(
        "--older-than",
        type=_length_of_time,
        default=86400.0,
        metavar="TIME",
        help="leave alone what is younger: 45s, 30m, 2h or 7d (default 1d)",
    )


def requeue_expired(args: argparse.Namespace) -> int:
    """Return trials whose lease has passed to the queue."""
    with open_store(args) as store:
        exp_key = None if args.exp_key is None else existing(store, args.exp_key)
        tids = store.requeue_expired(exp_key)
        given_up = list(store.find(exp_key, tids=tids, states=[JOB_STATE_ERROR])) if tids else []
    listed = f": {', '.join(map(str, tids))}" if tids else ""
    print(f"{counted(len(tids), 'expired trial')}{listed}")
    if given_up:
        print(f"{len(given_up)} of them were lost too often and ended as errors")
    return EXIT_OK


def remove_experiment(args: argparse.Namespace) -> int:
    """Delete an experiment after asking."""
    with open_store(args) as store:
        exp_key = existing(store, args.exp_key)
        n_trials = store.count(exp_key, JOB_STATES)
        n_open = store.count(exp_key, [JOB_STATE_NEW, JOB_STATE_RUNNING])
        trials = counted(n_trials, "trial")
        question = f"Remove {name_of(exp_key)!r}: {trials} ({n_open} still open) for ever?"
        if not args.yes and not _agreed(question, sys.stdin):
            print("nothing was removed", file=sys.stderr)
            return EXIT_NOTHING
        store.delete(exp_key)
    print(f"removed {name_of(exp_key)!r} and its {trials}")
    return EXIT_OK


def collect_garbage(args: argparse.Namespace) -> int:
    """Remove what nobody refers to any more, and say what it was."""
    with open_store(args) as store:
        found = store.collect_garbage(older_than_secs=args.older_than, dry_run=args.dry_run)
    rows = [
        [kind.what, str(kind.n), f"{kind.n_bytes / 1e6:.1f} MB" if kind.n_bytes else ""]
        for kind in found
        if kind.n
    ]
    if not rows:
        print("nothing was left behind")
        return EXIT_OK
    print_table(["would be removed" if args.dry_run else "removed", "how many", "size"], rows)
    return EXIT_OK


def _length_of_time(text: str) -> float:
    """A number and a unit, in seconds."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and unit in _UNIT_SECS:
        return float(int(number) * _UNIT_SECS[unit])
    raise argparse.ArgumentTypeError(f"{text!r} is not a length of time such as 45s, 30m, 2h, 7d")


def _agreed(question: str, answers: TextIO) -> bool:
    print(f"{question} [y/N] ", end="", flush=True)
    answer = answers.readline()
    if not answer:
        print()
        raise HpoError("there is nobody to answer; add --yes to remove without asking")
    return answer.strip().lower() in ("y", "yes")
