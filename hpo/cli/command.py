"""The command line: what is understood, and which exit code a command ends with."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from hpo.cli import serving, showing, upkeep
from hpo.cli.console import (
    EXIT_INTERRUPTED,
    EXIT_NOTHING,
    EXIT_OK,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    Run,
)
from hpo.exceptions import HpoError, ServerUnreachable, did_you_mean

EPILOG = f"""\
URL is mongodb://user:password@host:port/database, host:port/database, file:PATH
(a file that holds the URL, such as `hpo serve` writes) or embedded:DIR. Without
it, $HPO_MONGO_URL is used. Prefer a file or the variable when the URL holds a
password: everybody on this machine can read the command line.

exit codes:
  {EXIT_OK}    done
  {EXIT_NOTHING}    there is no such experiment, no finished trial, or you said no
  {EXIT_USAGE}    wrong usage or configuration: option, URL, login, no mongod
  {EXIT_UNREACHABLE}   the server does not answer
  {EXIT_INTERRUPTED}  interrupted (`hpo serve` ends with {EXIT_OK})
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    args = _parse(sys.argv[1:] if argv is None else argv)
    try:
        exit_code = int(args.run(args))
        # Here, where it can be answered for: at exit Python would only complain.
        sys.stdout.flush()
        return exit_code
    except BrokenPipeError:
        # `hpo status | head` has read enough; nothing may be flushed to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except HpoError as error:
        from hpo.store.mongo.url import redact

        print(f"hpo {args.command}: {redact(str(error))}", file=sys.stderr)
        return EXIT_UNREACHABLE if isinstance(error, ServerUnreachable) else EXIT_USAGE


# --- parsing ---


class _Parser(argparse.ArgumentParser):
    """A parser that suggests what was meant, and never echoes a URL."""

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith("?") else "."
        self.exit(EXIT_USAGE, f"{self.prog}: {message}{end} See {self.prog} --help\n")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser, commands = _build_parser()
    word = next((word for word in argv if not word.startswith("-")), None)
    if word is not None and word not in commands:
        # What stands here in error may well be a URL with a password.
        quoted = f" {word!r}{did_you_mean(word, commands)}" if word.isalpha() else ""
        parser.error(f"unknown command{quoted}")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        command = commands[args.command]
        option, _, _ = unknown[0].partition("=")
        if not option.startswith("-"):
            command.error("there are too many arguments")
        known = [name for action in command._actions for name in action.option_strings]
        command.error(f"unknown option {option!r}{did_you_mean(option, known)}")
    return args


def _build_parser() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog="hpo",
        description="Serve a MongoDB for experiments, look at them, put them in order.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands: dict[str, _Parser] = {}

    def command(name: str, run: Run, text: str) -> _Parser:
        added: _Parser = subparsers.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        added.set_defaults(run=run)
        commands[name] = added
        return added

    for group in (serving, showing, upkeep):
        group.add_commands(command)
    return parser, commands


def _version() -> str:
    import hpo

    return f"hpo {hpo.__version__}"
