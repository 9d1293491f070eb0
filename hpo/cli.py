"""The `hpo` command: serve a MongoDB, look at experiments, put them in order.

    hpo serve --dir D            run the embedded MongoDB for workers elsewhere
    hpo status URL               how far every experiment is
    hpo best URL digits          its best trials
    hpo requeue URL              hand out again what dead workers held
    hpo rm URL digits            remove an experiment
    hpo gc URL                   remove what killed processes left behind
    hpo role URL --user worker   a login with which workers can do no harm
    hpo key                      the key that signs objectives

Everything that reads or changes trials goes through the verbs of a `Store`;
this file only parses, asks and prints.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    JOB_STATES,
    STATE_WORDS,
)
from hpo.exceptions import HpoError, InvalidKey, ServerUnreachable, did_you_mean

if TYPE_CHECKING:
    from hpo.store.mongo import MongoStore
    from hpo.store.mongo.embedded import EmbeddedMongo

EXIT_OK = 0
EXIT_NOTHING = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 69
EXIT_INTERRUPTED = 130

_UNIT_SECS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# On the command line, the experiment whose exp_key is None.
NAMELESS = "-"

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


# --- the command line -------------------------------------------------------------


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

    def command(name: str, run: Any, text: str) -> _Parser:
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

    _add_serve_options(command("serve", serve, "run the embedded MongoDB until Ctrl-C"))

    status = command("status", show_status, "show how far each experiment is")
    _add_url(status)
    status.add_argument("--exp-key", metavar="K", help="only this experiment")

    best = command("best", show_best, "show the best trials of an experiment")
    _add_url(best)
    _add_experiment(best)
    best.add_argument("-n", type=_positive, default=5, metavar="N", help="how many (default 5)")

    trials = command("trials", show_trials, "show the latest trials, and how far each has come")
    _add_url(trials)
    _add_experiment(trials)
    trials.add_argument(
        "-n", type=_positive, default=20, metavar="N", help="how many (default 20)"
    )
    trials.add_argument(
        "--state", choices=STATE_WORDS, metavar="S", help=f"only these: {', '.join(STATE_WORDS)}"
    )

    again = command("replay", show_replay, "compute a suggestion again, and compare")
    _add_url(again)
    _add_experiment(again)
    again.add_argument("tid", type=int, metavar="TID", help="the trial's id")

    requeue = command("requeue", requeue_expired, "hand out again the trials of dead workers")
    _add_url(requeue)
    requeue.add_argument("exp_key", nargs="?", metavar="K", help="only those of this experiment")

    remove = command("rm", remove_experiment, "remove an experiment, its trials and attachments")
    _add_url(remove)
    _add_experiment(remove)
    remove.add_argument("--yes", action="store_true", help="do not ask")

    collect = command("gc", collect_garbage, "remove what killed processes left behind")
    _add_url(collect)
    collect.add_argument("--dry-run", action="store_true", help="only show what there is")
    collect.add_argument(
        "--older-than",
        type=_length_of_time,
        default=86400.0,
        metavar="TIME",
        help="leave alone what is younger: 45s, 30m, 2h or 7d (default 1d)",
    )

    role = command("role", make_role, "make a login that may do a worker's work, and no more")
    _add_url(role)
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
    return parser, commands


def _add_serve_options(parser: _Parser) -> None:
    parser.add_argument(
        "--dir",
        metavar="D",
        help="where the data is kept (default $HPO_DATA_DIR, or your data directory)",
    )
    parser.add_argument(
        "--bind",
        metavar="HOST",
        default="127.0.0.1",
        help="name or address of this machine under which other machines reach it; 0.0.0.0 for "
        "all of them (default: this machine only)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="P",
        help="default: that of last time, or any free one",
    )
    parser.add_argument(
        "--url-file", metavar="F", help="where to write the URL, mode 0600 (default D/url)"
    )


def _add_url(parser: _Parser) -> None:
    parser.add_argument("url", nargs="?", metavar="URL", help="the database; see below")


def _add_experiment(parser: _Parser) -> None:
    parser.add_argument(
        "exp_key", metavar="K", help=f"the experiment; {NAMELESS!r} for the one without a name"
    )


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


def _length_of_time(text: str) -> float:
    """A number and a unit, in seconds."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and unit in _UNIT_SECS:
        return float(int(number) * _UNIT_SECS[unit])
    raise argparse.ArgumentTypeError(f"{text!r} is not a length of time such as 45s, 30m, 2h, 7d")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 1 to 65535")


def _version() -> str:
    import hpo

    return f"hpo {hpo.__version__}"


# --- hpo serve --------------------------------------------------------------------


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


# --- who may do what ------------------------------------------------------------------


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


# --- looking at experiments -----------------------------------------------------------


def show_status(args: argparse.Namespace) -> int:
    """Print one line per experiment, and who works on them."""
    with _store(args) as store:
        exp_keys = store.exp_keys()
        if args.exp_key is not None:
            exp_keys = [_existing(store, args.exp_key)]
        words = [STATE_WORDS[state] for state in JOB_STATES]
        rows = [_status_row(store, exp_key) for exp_key in exp_keys]
        if rows:
            _print_table(["experiment", *words, "best loss", "workers"], rows)
        else:
            print("no experiment has trials yet")
        _print_aside(store, args.exp_key)
        _print_workers(store)
    return EXIT_OK


def _status_row(store: MongoStore, exp_key: str | None) -> list[str]:
    counts = [str(store.count(exp_key, [state])) for state in JOB_STATES]
    best = store.best(exp_key, 1)
    loss = f"{best[0]['result']['loss']:.6g}" if best else NAMELESS
    return [_name(exp_key), *counts, loss, str(len(store.workers(exp_key)))]


def _print_aside(store: MongoStore, name: str | None) -> None:
    exp_key = None if name == NAMELESS else name
    n_aside = store.count_aside(exp_key, all_experiments=name is None)
    if n_aside:
        found = "1 document is no trial and was" if n_aside == 1 else f"{n_aside} documents are"
        verb = "" if n_aside == 1 else " no trials and were"
        print(f"{found}{verb} set aside: db.{store.jobs.name}.find({{set_aside: {{$exists: 1}}}})")


def _print_workers(store: MongoStore) -> None:
    workers = store.workers()
    states = Counter(worker.state for worker in workers)
    listed = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
    print(f"{_counted(len(workers), 'worker')} alive" + (f": {listed}" if listed else ""))
    for worker in workers:
        if worker.message:
            print(f"  {worker.owner} cannot work: {worker.message}")


def show_best(args: argparse.Namespace) -> int:
    """Print the finished trials with the least losses, best first."""
    with _store(args) as store:
        exp_key = _existing(store, args.exp_key)
        best = store.best(exp_key, args.n)
    if not best:
        print(f"no trial of {_name(exp_key)!r} has finished with a loss yet", file=sys.stderr)
        return EXIT_NOTHING
    rows = [
        [str(trial["tid"]), f"{trial['result']['loss']:.6g}", _readable(trial.get("params"))]
        for trial in best
    ]
    _print_table(["trial", "loss", "parameters"], rows, n_left=1)
    return EXIT_OK


def show_trials(args: argparse.Namespace) -> int:
    """Print the trials that were added last, with what they reported last, latest first."""
    states = None if args.state is None else [STATE_WORDS.index(args.state)]
    with _store(args) as store:
        exp_key = _existing(store, args.exp_key)
        latest = store.latest(exp_key, args.n, states)
    if not latest:
        print(f"no trial of {_name(exp_key)!r} is {args.state}", file=sys.stderr)
        return EXIT_NOTHING
    header = ["trial", "state", "loss", "step", "loss there", "host", "parameters"]
    _print_table(header, [_trial_row(trial) for trial in latest], n_left=2)
    return EXIT_OK


def _trial_row(trial: Mapping[str, Any]) -> list[str]:
    result, report = trial.get("result") or {}, trial.get("last_report") or {}
    state = STATE_WORDS[trial["state"]]
    # What is done is told apart by how: ok, stopped, fail.
    status = result.get("status") if trial["state"] == JOB_STATE_DONE else None
    return [
        str(trial["tid"]),
        state if status in (None, "ok") else f"{state}: {status}",
        _number(result.get("loss")),
        str(report.get("step", NAMELESS)),
        _number(report.get("loss")),
        str(trial.get("host") or NAMELESS),
        _readable(trial.get("params")),
    ]


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, (int, float)) else NAMELESS


def show_replay(args: argparse.Namespace) -> int:
    """Compute the suggestion of one trial again and print both."""
    from hpo.mongo_trials import MongoTrials
    from hpo.replay import replay
    from hpo.store.mongo.url import read_url

    with _store(args) as store:
        exp_key = _existing(store, args.exp_key)
    trials = MongoTrials(read_url(args.url), exp_key=exp_key, patience_secs=0)
    try:
        replayed = replay(trials, args.tid)
    finally:
        trials.close()
    rows = [
        [label, repr(replayed.stored.get(label)), repr(replayed.values.get(label))]
        for label in dict.fromkeys([*replayed.stored, *replayed.values])
    ]
    _print_table(["label", "stored", "again"], rows, n_left=3)
    algorithm, version = (replayed.suggested_by[key] for key in ("algorithm", "version"))
    if replayed.is_same:
        print(f"the same, by {algorithm}")
        return EXIT_OK
    print(f"differs in {', '.join(replayed.differing)}")
    if version != replayed.version:
        print(f"version {version} of {algorithm} suggested it; this is version {replayed.version}")
    return EXIT_NOTHING


# --- putting them in order ------------------------------------------------------------


def requeue_expired(args: argparse.Namespace) -> int:
    """Return trials whose lease has passed to the queue."""
    with _store(args) as store:
        exp_key = None if args.exp_key is None else _existing(store, args.exp_key)
        tids = store.requeue_expired(exp_key)
        given_up = list(store.find(exp_key, tids=tids, states=[JOB_STATE_ERROR])) if tids else []
    listed = f": {', '.join(map(str, tids))}" if tids else ""
    print(f"{_counted(len(tids), 'expired trial')}{listed}")
    if given_up:
        print(f"{len(given_up)} of them were lost too often and ended as errors")
    return EXIT_OK


def remove_experiment(args: argparse.Namespace) -> int:
    """Delete an experiment after asking."""
    with _store(args) as store:
        exp_key = _existing(store, args.exp_key)
        n_trials = store.count(exp_key, JOB_STATES)
        n_open = store.count(exp_key, [JOB_STATE_NEW, JOB_STATE_RUNNING])
        trials = _counted(n_trials, "trial")
        question = f"Remove {_name(exp_key)!r}: {trials} ({n_open} still open) for ever?"
        if not args.yes and not _agreed(question, sys.stdin):
            print("nothing was removed", file=sys.stderr)
            return EXIT_NOTHING
        store.delete(exp_key)
    print(f"removed {_name(exp_key)!r} and its {trials}")
    return EXIT_OK


def collect_garbage(args: argparse.Namespace) -> int:
    """Remove what nobody refers to any more, and say what it was."""
    with _store(args) as store:
        found = store.collect_garbage(older_than_secs=args.older_than, dry_run=args.dry_run)
    rows = [
        [kind.what, str(kind.n), f"{kind.n_bytes / 1e6:.1f} MB" if kind.n_bytes else ""]
        for kind in found
        if kind.n
    ]
    if not rows:
        print("nothing was left behind")
        return EXIT_OK
    _print_table(["would be removed" if args.dry_run else "removed", "how many", "size"], rows)
    return EXIT_OK


def _agreed(question: str, answers: TextIO) -> bool:
    print(f"{question} [y/N] ", end="", flush=True)
    answer = answers.readline()
    if not answer:
        print()
        raise HpoError("there is nobody to answer; add --yes to remove without asking")
    return answer.strip().lower() in ("y", "yes")


# --- shared ---------------------------------------------------------------------------


@contextlib.contextmanager
def _store(args: argparse.Namespace) -> Iterator[MongoStore]:
    from hpo.store.mongo import MongoStore
    from hpo.store.mongo.url import read_url

    store = MongoStore.connect(read_url(args.url), appname="hpo")
    try:
        yield store
    finally:
        store.close()


def _existing(store: MongoStore, name: str) -> str | None:
    """The exp_key of an experiment that has trials; else end with a suggestion."""
    exp_key = None if name == NAMELESS else name
    known = store.exp_keys()
    if exp_key not in known:
        names = [_name(other) for other in known]
        print(f"hpo: there is no experiment {name!r}{did_you_mean(name, names)}", file=sys.stderr)
        raise SystemExit(EXIT_NOTHING)
    return exp_key


def _name(exp_key: str | None) -> str:
    return NAMELESS if exp_key is None else exp_key


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _readable(params: dict[str, Any] | None) -> str:
    pairs = (params or {}).items()
    return "  ".join(
        f"{label}={value:.6g}" if isinstance(value, float) else f"{label}={value!r}"
        for label, value in pairs
    )


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 0) -> None:
    """Print columns as wide as they need; the first and the `n_left` last are flush left."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    left = {0, *range(len(header) - n_left, len(header))}
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    sys.exit(main())
