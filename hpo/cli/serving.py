"""A server for others, and who may do what on it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from hpo.cli.console import EXIT_OK, EXIT_UNREACHABLE, AddCommand, add_url
from hpo.exceptions import HpoError, InvalidKey

if TYPE_CHECKING:
    from hpo.store.mongo.embedded import EmbeddedMongo


def add_commands(command: AddCommand) -> None:
    """Say what these commands are called, and what can be said to them."""
    start = command("serve", serve, "run the embedded MongoDB until Ctrl-C")
    start.add_argument(
        "--dir",
        metavar="D",
        help="where the data is kept (default $HPO_DATA_DIR, or your data directory)",
    )
    start.add_argument(
        "--bind",
        metavar="HOST",
        default="127.0.0.1",
        help="name or address of this machine under which other machines reach it; 0.0.0.0 for "
        "all of them (default: this machine only)",
    )
    start.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="P",
        help="default: that of last time, or any free one",
    )
    start.add_argument(
        "--url-file", metavar="F", help="where to write the URL, mode 0600 (default D/url)"
    )

    role = command("role", make_role, "make a login that may do a worker's work, and no more")
    add_url(role)
    role.add_argument(
        "--user",
        metavar="NAME",
        help="make this user, or give it a new password (default: only print the commands)",
    )
    role.add_argument(
        "--url-file", metavar="F", help="where to write its URL, mode 0600 (default ./NAME.url)"
    )

    key = command("key", show_key, "show the key that signs objectives; make it if there is none")
    key.add_argument(
        "--add",
        action="store_true",
        help="put a new key in front: it signs from now on, the old ones are still accepted",
    )


def serve(args: argparse.Namespace) -> int:
    """Hold the embedded server of a directory until a signal comes."""
    from hpo.store.mongo.embedded import URL_FILE, EmbeddedMongo

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with contextlib.suppress(KeyboardInterrupt):
        mongo = EmbeddedMongo.join_or_start(args.dir, bind=args.bind, port=args.port)
        url_file = Path(args.url_file or mongo.directory / URL_FILE).expanduser().absolute()
        try:
            with mongo, contextlib.suppress(KeyboardInterrupt):
                write_private(url_file, mongo.url_for_other_machines + "\n")
                _say_how_to_join(mongo, url_file)
                while mongo.is_running():
                    time.sleep(0.5)
                print("hpo serve: the server was ended by somebody else", file=sys.stderr)
                return EXIT_UNREACHABLE
        finally:
            # While others use the server, its URL is as good as before.
            if not mongo.is_running():
                url_file.unlink(missing_ok=True)
    return EXIT_OK


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 1 to 65535")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def write_private(path: Path, text: str) -> None:
    """Put `text` into a file that only its owner may read, all of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        os.replace(partial, path)
    except OSError as error:
        raise HpoError(
            f"the URL cannot be written to {str(path)!r}: {error.strerror}; "
            "choose another file with --url-file"
        ) from error


def _say_how_to_join(mongo: EmbeddedMongo, url_file: Path) -> None:
    began = "started" if mongo.started_here else "ran already, joined"
    print(
        f"MongoDB {began}: {mongo.bind}:{mongo.port}, pid {mongo.pid}, data in {mongo.directory}"
    )
    print(f"Its URL is in {url_file}, which only you can read.")
    print(f"  workers:  hpo-worker --mongo file:{url_file}")
    print(f'  driver:   fmin(..., trials="file:{url_file}")')
    if mongo.bind == "127.0.0.1":
        print("Only this machine can reach it; --bind HOST lets other machines in.")
    print("Ctrl-C ends it, unless others still use it.", flush=True)


# --- who may do what ---


def make_role(args: argparse.Namespace) -> int:
    """Make a user for workers, or print how an administrator makes one."""
    from hpo.store.mongo import roles
    from hpo.store.mongo.url import parse_mongo_url, read_url

    url = read_url(args.url)
    address = parse_mongo_url(url)
    if args.user is None:
        print(roles.role_script(address.database, address.collection))
        return EXIT_OK
    url_file = Path(args.url_file or f"{args.user}.url").expanduser().absolute()
    write_private(url_file, roles.make_worker_login(url, args.user) + "\n")
    print(f"{args.user!r} may work on the trials of {address}, and alter no objective.")
    print(f"Its URL is in {url_file}, which only you can read.")
    print(f"  workers:  hpo-worker --mongo file:{url_file}")
    return EXIT_OK


def show_key(args: argparse.Namespace) -> int:
    """Print where the signing keys are and what they are called; never a key itself."""
    from hpo import signing

    if args.add:
        if os.environ.get(signing.KEY_VARIABLE):
            raise HpoError(
                f"the keys are in ${signing.KEY_VARIABLE}: put the new one there, in front of the "
                "old one, apart by a space"
            )
        keys = signing.add_key(signing.key_file())
    else:
        try:
            keys = signing.load_keys(make=True)
        except InvalidKey:
            # A file that somebody named, and that is still to be made.
            path = signing.key_file()
            if os.environ.get(signing.KEY_VARIABLE) or os.path.lexists(path):
                raise
            keys = signing.make_key_file(path)
    print(f"keys from {keys.origin}:")
    for position, key_id in enumerate(keys.ids):
        print(f"  {key_id}  {'signs' if position == 0 else 'accepted'}")
    return EXIT_OK
