"""The embedded MongoDB: a server of one's own, shared by the processes of one machine.

    with EmbeddedMongo.join_or_start("/scratch/search") as mongo:
        client = pymongo.MongoClient(mongo.url)

Whoever comes first starts the server on the directory; whoever comes later
joins it; the last one to leave stops it. Nobody owns it: the server outlives
the process that started it, even a kill -9, and a server that everybody left
behind is joined by the next who comes.

Beside what `hpo.store.mongo.mongod` keeps there, the directory holds

    server.json    where the server listens, and the password
    url            the address for others, while `hpo serve` offers it
    start.lock     held (flock) while somebody starts, joins, leaves or stops
    users.lock     held shared (flock) by every user for as long as it uses the
                   server. The system lets go of a dead process's lock, so the
                   count of users needs no tidying up.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TextIO

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from hpo.exceptions import EmbeddedServerError
from hpo.store.mongo.mongod import LOOPBACK, Mongod, holder_pid, start_mongod, stop_mongod
from hpo.store.mongo.url import DEFAULT_DATABASE

logger = logging.getLogger(__name__)

DIRECTORY_VARIABLE = "HPO_DATA_DIR"

# Where `hpo serve` leaves the address unless told otherwise.
URL_FILE = "url"

# Longer than a start may take: whoever holds the lock for this long is stuck.
LOCK_TIMEOUT_SECS = 90.0
PING_TIMEOUT_SECS = 5.0


def default_directory(environ: Mapping[str, str] | None = None) -> Path:
    """$HPO_DATA_DIR, or `hpo/mongo` in the place where this system keeps a user's data."""
    environ = os.environ if environ is None else environ
    if chosen := environ.get(DIRECTORY_VARIABLE):
        return Path(chosen).expanduser()
    if chosen := environ.get("XDG_DATA_HOME"):
        return Path(chosen) / "hpo" / "mongo"
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "hpo" / "mongo"
    return home / ".local" / "share" / "hpo" / "mongo"


class EmbeddedMongo:
    """One user's hold on the embedded server of a directory.

    Attributes:
        directory: holds the server's data.
        pid: of the server's process.
        port: where it listens.
        url: for this machine, credentials included.
        started_here: True if this call started it, False if it ran already.
    """

    def __init__(
        self, server: Mongod, bind: str, users_lock: TextIO, *, started_here: bool
    ) -> None:
        """Use `join_or_start`; this only keeps what it found."""
        self.directory = server.directory
        self.pid = server.pid
        self.port = server.port
        self.bind = bind
        self.started_here = started_here
        self.url = server.url(DEFAULT_DATABASE)
        self.url_for_other_machines = server.url(DEFAULT_DATABASE, _name_for_others(bind))
        self._users_lock: TextIO | None = users_lock
        self._user_pid = os.getpid()
        atexit.register(self.close)

    def __repr__(self) -> str:
        return f"EmbeddedMongo({str(self.directory)!r}, pid={self.pid}, port={self.port})"

    @classmethod
    def join_or_start(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        bind: str = LOOPBACK,
        port: int = 0,
    ) -> EmbeddedMongo:
        """Join the server of a directory, or start it there.

        Args:
            directory: None for `default_directory()`.
            bind: a name or address of this machine under which other machines
                reach the server; "0.0.0.0" for all. Without it only this
                machine does.
            port: 0 for the port of last time, or any that is free.

        Raises:
            EmbeddedServerError: it does not start, does not answer, runs
                already in another way than asked for, or this is Windows.
            MongodNotFound: there is no mongod to start.
        """
        path = _own_directory(Path(directory or default_directory()))
        users_lock = _open_private(path / "users.lock")
        try:
            with _starting(path):
                last = _State.read(path)
                _refuse_other_machine(path, last, users_lock)
                running = _running_server(path, last)
                if running is not None:
                    _refuse_other_address(path, running[1], bind, port)
                else:
                    _end_unusable_server(path, users_lock)
                server, state = running or _start(path, last, bind, port)
                _lock(users_lock, shared=True)
        except BaseException:
            users_lock.close()
            raise
        return cls(server, state.bind, users_lock, started_here=running is None)

    def is_running(self) -> bool:
        """Whether the server's process lives."""
        return holder_pid(self.directory) == self.pid

    def close(self) -> None:
        """Leave the server; stop it if nobody else uses it.

        Called at the end of the process by itself. A forked child has no hold
        of its own, so that in a child this does nothing.

        Raises:
            EmbeddedServerError: the server does not stop.
        """
        if self._users_lock is None or os.getpid() != self._user_pid:
            return
        users_lock, self._users_lock = self._users_lock, None
        atexit.unregister(self.close)
        with users_lock, _starting(self.directory):
            if _lock(users_lock, shared=False):
                stop_mongod(self.directory)
                (self.directory / URL_FILE).unlink(missing_ok=True)

    def __enter__(self) -> EmbeddedMongo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_joined: dict[Path, EmbeddedMongo] = {}
_joined_guard = threading.Lock()


def join_for_this_process(directory: str | os.PathLike[str] | None = None) -> str:
    """Join or start the server of a directory until this process ends; return its URL."""
    with _joined_guard:
        # Joined anew each time: the server may have died, or this be a forked child.
        mongo = EmbeddedMongo.join_or_start(directory)
        previous = _joined.get(mongo.directory)
        _joined[mongo.directory] = mongo
        if previous is not None:
            previous.close()
        return mongo.url


# --- the directory ----------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """What `server.json` says: how to reach the server that was started last."""

    machine: str
    pid: int
    port: int
    bind: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, directory: Path) -> _State | None:
        """None if there is none that can be used."""
        path = directory / "server.json"
        try:
            if path.stat().st_mode & 0o077:
                logger.warning("%s could be read by others; its mode is now 0600", path)
                path.chmod(0o600)
            state = cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            logger.warning("%s is not used, it cannot be understood: %s", path, error)
            return None
        types_are_right = isinstance(state.port, int) and isinstance(state.password, str)
        return state if types_are_right and 0 < state.port < 65536 else None

    def write(self, directory: Path) -> None:
        # mkstemp makes it readable for its owner only; the rename makes it whole at once.
        handle, partial = tempfile.mkstemp(dir=directory, prefix=".server-")
        with open(handle, "w") as file:
            json.dump(asdict(self), file)
        os.replace(partial, directory / "server.json")


def _own_directory(path: Path) -> Path:
    """Return the directory, made if it is missing, where only this user may look."""
    if sys.platform == "win32":
        raise EmbeddedServerError(
            "the embedded MongoDB needs Linux or macOS; on Windows install MongoDB and give its "
            "address, e.g. mongodb://localhost:27017/hpo"
        )
    path = path.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = path.resolve()
        if path.stat().st_uid != os.geteuid():
            raise EmbeddedServerError(
                f"{str(path)!r} belongs to another user; choose a directory of your own, "
                f"e.g. by ${DIRECTORY_VARIABLE}"
            )
        path.chmod(0o700)
    except OSError as error:
        raise EmbeddedServerError(
            f"{str(path)!r} cannot hold the embedded MongoDB: {error.strerror}; choose another "
            f"directory, e.g. by ${DIRECTORY_VARIABLE}"
        ) from error
    return path


def _open_private(path: Path) -> TextIO:
    return open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")


def _lock(file: TextIO, *, shared: bool) -> bool:
    """Take the lock on a file, or change the kind of it, without waiting."""
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _starting(directory: Path) -> Iterator[None]:
    """Be the only one who starts, joins, leaves or stops."""
    deadline = time.monotonic() + LOCK_TIMEOUT_SECS
    with _open_private(directory / "start.lock") as file:
        while not _lock(file, shared=False):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"another process has been starting or stopping the MongoDB in "
                    f"{str(directory)!r} for {LOCK_TIMEOUT_SECS:.0f} s; find it with "
                    f"`fuser {directory}/start.lock`"
                )
            time.sleep(0.02)
        yield


# --- the server -------------------------------------------------------------------


def _start(path: Path, last: _State | None, bind: str, port: int) -> tuple[Mongod, _State]:
    # The password stays that of last time, as does the port if it is free, so that a
    # URL which somebody noted down keeps its worth.
    password = last.password if last else ""
    server = start_mongod(path, port=port, bind=bind, password=password)
    state = _State(socket.gethostname(), server.pid, server.port, bind, server.password)
    state.write(path)
    return server, state


def _running_server(path: Path, last: _State | None) -> tuple[Mongod, _State] | None:
    """The server of the directory, if it runs and lets us in."""
    pid = holder_pid(path)
    if pid is None or last is None:
        return None
    server = Mongod(path, pid, last.port, last.password)
    return (server, last) if _lets_us_in(server) else None


def _lets_us_in(server: Mongod) -> bool:
    timeout_ms = int(PING_TIMEOUT_SECS * 1000)
    try:
        with MongoClient[dict[str, object]](
            server.url(), serverSelectionTimeoutMS=timeout_ms, socketTimeoutMS=timeout_ms
        ) as client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _end_unusable_server(path: Path, users_lock: TextIO) -> None:
    """End a server that runs but cannot be reached, unless somebody uses it."""
    pid = holder_pid(path)
    if pid is None:
        return
    if not _lock(users_lock, shared=False):
        raise EmbeddedServerError(
            f"the MongoDB in {str(path)!r} (pid {pid}) is in use but does not answer; look into "
            f"{str(path / 'mongod.log')!r}, or end it with `kill {pid}` and try again"
        )
    logger.warning("ending the MongoDB in %s (pid %d): it cannot be joined", path, pid)
    stop_mongod(path)


def _refuse_other_machine(path: Path, state: _State | None, users_lock: TextIO) -> None:
    """Directories may be shared by machines; a server's loopback address is not."""
    here = socket.gethostname()
    if state and state.machine != here and not _lock(users_lock, shared=False):
        raise EmbeddedServerError(
            f"the MongoDB in {str(path)!r} runs on the machine {state.machine!r}, this is "
            f"{here!r}. Start it there with `hpo serve --bind {state.machine}` and use the URL "
            f"that it writes, or choose another directory, e.g. by ${DIRECTORY_VARIABLE}"
        )


def _refuse_other_address(path: Path, state: _State, bind: str, port: int) -> None:
    """Joining cannot change where a server listens."""
    other_bind = bind not in (LOOPBACK, state.bind)
    if other_bind or port not in (0, state.port):
        raise EmbeddedServerError(
            f"the MongoDB in {str(path)!r} runs already and listens on {state.bind}:{state.port}, "
            f"not on {bind}:{port or state.port}; end the processes that use it, or choose "
            "another directory"
        )


def _name_for_others(bind: str) -> str:
    return socket.gethostname() if bind in ("0.0.0.0", "::") else bind
