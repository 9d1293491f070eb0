"""What the commands share: arguments, exit codes, opening the store of a URL, printing."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hpo.exceptions import did_you_mean

if TYPE_CHECKING:
    from hpo.store.mongo import MongoStore

EXIT_OK = 0
EXIT_NOTHING = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 69
EXIT_INTERRUPTED = 130

# Runs a command, and returns the exit code.
Run = Callable[[argparse.Namespace], int]
# Adds a command to the command line: its name, what runs, what it does in a few words.
AddCommand = Callable[[str, Run, str], argparse.ArgumentParser]

# On the command line, the experiment whose exp_key is None.
NAMELESS = "-"


def add_url(parser: argparse.ArgumentParser) -> None:
    """Let a command take the URL of a database."""
    parser.add_argument("url", nargs="?", metavar="URL", help="the database; see below")


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Let a command take the exp_key of an experiment."""
    parser.add_argument(
        "exp_key", metavar="K", help=f"the experiment; {NAMELESS!r} for the one without a name"
    )


def positive(text: str) -> int:
    """A whole number from 1; the type of an argument."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


@contextlib.contextmanager
def open_store(args: argparse.Namespace) -> Iterator[MongoStore]:
    """The store of `args.url`, closed at the end of the block."""
    from hpo.store.mongo import MongoStore
    from hpo.store.mongo.url import read_url

    store = MongoStore.connect(read_url(args.url), appname="hpo")
    try:
        yield store
    finally:
        store.close()


def existing(store: MongoStore, name: str) -> str | None:
    """The exp_key of an experiment that has trials; else end with a suggestion."""
    exp_key = None if name == NAMELESS else name
    known = store.exp_keys()
    if exp_key not in known:
        names = [name_of(other) for other in known]
        print(f"hpo: there is no experiment {name!r}{did_you_mean(name, names)}", file=sys.stderr)
        raise SystemExit(EXIT_NOTHING)
    return exp_key


def name_of(exp_key: str | None) -> str:
    """What an experiment is called on the command line."""
    return NAMELESS if exp_key is None else exp_key


def counted(n: int, noun: str) -> str:
    """A number and what it counts: 1 trial, 2 trials."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def readable(params: dict[str, Any] | None) -> str:
    """A trial's hyperparameters in one line."""
    pairs = (params or {}).items()
    return "  ".join(
        f"{label}={value:.6g}" if isinstance(value, float) else f"{label}={value!r}"
        for label, value in pairs
    )


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 0) -> None:
    """Print columns as wide as they need; the first and the `n_left` last are flush left."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    left = {0, *range(len(header) - n_left, len(header))}
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
