"""mongod: start a MongoDB server on a directory, make it ready for use, stop it.

A directory holds one server and all that belongs to it:

    db/          the data; db/mongod.lock is locked by the mongod that runs on it
    key          secret of the server's own user `__system`, by which we log in first
    port         under which the replica set knows its only member, us
    mongod.log   what the server says

`start_mongod` returns a server that takes writes and that nobody can use
without a login: the door that MongoDB leaves open for the first local visitor
(the "localhost exception") is shut from the beginning, since the holder of
`key` can create the first user without it.

The server detaches itself (`--fork`: a session of its own, no parent that must
wait for it), so that it outlives whoever started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from hpo.exceptions import EmbeddedServerError
from hpo.store.mongo.program import MONGOD_VARIABLE, find_mongod

USER = "hpo"
REPLICA_SET = "hpo"
LOOPBACK = "127.0.0.1"

START_TIMEOUT_SECS = 60.0
STOP_TIMEOUT_SECS = 20.0

# A search's documents are small: a quarter of a GB caches hundreds of thousands.
CACHE_GB = 0.25
# Change streams read the oplog; this much is days of trials, and 0.1 s to allocate.
OPLOG_MB = 128

# mongod's exit code when it cannot listen on the port, and the server's error code
# when the user exists already.
EXIT_CANNOT_LISTEN = 48
USER_EXISTS = 51003

# What mongod's exit codes mean for the reader, as the manual's "Exit Codes and Statuses" has them.
EXIT_ADVICE = {
    14: "is the disk full, or damaged? Make room, or choose another directory",
    48: "is the port taken? Choose another one, or let hpo choose",
    62: "the data was written by another version of MongoDB; use that one, or a new directory",
    100: "is the disk full, or the directory in use by another mongod?",
}


@dataclass(frozen=True)
class Mongod:
    """A server that runs.

    Attributes:
        directory: holds its data, its key and its log.
        pid: of its process.
        port: where it listens, on the loopback interface in any case.
        password: of `USER`, who may do everything.
    """

    directory: Path
    pid: int
    port: int
    password: str = field(repr=False)

    def url(self, database: str = "", host: str = LOOPBACK) -> str:
        """Its address, credentials included.

        `directConnection` makes any name by which a client reaches the server
        as good as any other: without it pymongo would follow the name that the
        replica set knows, which is the loopback one.
        """
        name = f"[{host}]" if ":" in host else host
        login = f"{USER}:{self.password}"
        options = "authSource=admin&directConnection=true"
        return f"mongodb://{login}@{name}:{self.port}/{database}?{options}"


# --- starting -------------------------------------------------------------------


def start_mongod(
    directory: Path,
    *,
    port: int = 0,
    bind: str = LOOPBACK,
    password: str = "",
    replica_set: bool = True,
) -> Mongod:
    """Start a server on `directory` and wait until it takes writes.

    Args:
        directory: made if it is missing; only its owner may enter it.
        port: 0 for that of last time, or any that is free.
        bind: a name or address of this machine on which to listen beside
            the loopback interface.
        password: of `USER`; invented if empty. A server that kept another one is told.
        replica_set: a set of one member, which has change streams,
            transactions and retryable writes; else a standalone server.

    Raises:
        EmbeddedServerError: it does not start; quotes what it wrote last.
        MongodNotFound: there is no mongod.
    """
    _check_bind(bind)
    key = _prepare(directory)
    password = password or secrets.token_hex(16)
    try:
        chosen_port = _launch(directory, port, bind, key, replica_set=replica_set)
        pid = holder_pid(directory)
        if pid is None:
            raise EmbeddedServerError(f"mongod ended once it had started; {_log_tail(directory)}")
        _make_usable(chosen_port, key, password, replica_set=replica_set)
    except (PyMongoError, TimeoutError) as error:
        stop_mongod(directory)
        raise EmbeddedServerError(
            f"mongod started but cannot be used: {error}; {_log_tail(directory)}"
        ) from error
    except KeyboardInterrupt:
        stop_mongod(directory)
        raise
    return Mongod(directory, pid, chosen_port, password)


def free_port() -> int:
    """A TCP port of the loopback interface on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _check_bind(bind: str) -> None:
    # mongod itself passes over a name that it cannot resolve, and listens on loopback only.
    try:
        family, kind, _, _, address = socket.getaddrinfo(bind, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as error:
        raise EmbeddedServerError(
            f"this machine cannot listen on {bind!r}: {error.strerror}; give one of its own names "
            "or addresses, or 0.0.0.0 for all of them"
        ) from error


def _prepare(directory: Path) -> str:
    """Make the directory private and complete; return the key."""
    try:
        (directory / "db").mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        key_file = directory / "key"
        if not key_file.exists():
            with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(secrets.token_hex(64))
        # mongod refuses a key that others can read, as it should.
        key_file.chmod(0o600)
        return key_file.read_text()
    except OSError as error:
        raise EmbeddedServerError(
            f"{str(directory)!r} cannot hold a MongoDB: {error.strerror}; "
            "choose a directory in which you may write"
        ) from error


def _command(directory: Path, port: int, bind: str, *, replica_set: bool) -> list[str]:
    addresses = bind if bind in (LOOPBACK, "0.0.0.0", "::") else f"{LOOPBACK},{bind}"
    command = [
        *(str(find_mongod()), "--fork", "--dbpath", str(directory / "db")),
        *("--logpath", str(directory / "mongod.log"), "--logappend"),
        *("--port", str(port), "--bind_ip", addresses, "--nounixsocket"),
        *("--auth", "--keyFile", str(directory / "key")),
        *("--setParameter", "enableLocalhostAuthBypass=0"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--wiredTigerCacheSizeGB", str(CACHE_GB)),
        # Not zlib: up to MongoDB 6.0.26 it leaks memory before login (CVE-2025-14847).
        *("--networkMessageCompressors", "snappy,zstd"),
    ]
    if ":" in bind:
        command += ["--ipv6"]
    if replica_set:
        command += ["--replSet", REPLICA_SET, "--oplogSize", str(OPLOG_MB)]
    return command


def _launch(directory: Path, port: int, bind: str, key: str, *, replica_set: bool) -> int:
    """Start the process and return the port on which it listens."""
    last_port = _last_port(directory)
    chosen_port = port or last_port or free_port()
    attempts_left = 1 if port else 3
    while True:
        started = None
        if replica_set and chosen_port != last_port and (directory / "db" / "WiredTiger").exists():
            started = _move_replica_set(directory, chosen_port, key)
        if started is None or started.returncode == 0:
            started = _run(_command(directory, chosen_port, bind, replica_set=replica_set))
        if started.returncode == 0:
            _note_port(directory, chosen_port)
            return chosen_port
        attempts_left -= 1
        if started.returncode != EXIT_CANNOT_LISTEN or attempts_left == 0:
            break
        # Another process holds the port of last time, or took a free one before mongod did.
        chosen_port = free_port()
    advice = EXIT_ADVICE.get(started.returncode, "what it wrote should say why")
    said = f"{_log_tail(directory)}\n  {started.stderr.strip()}".rstrip()
    raise EmbeddedServerError(
        f"mongod did not start on port {chosen_port} (exit code {started.returncode}): "
        f"{advice}; {said}"
    )


def _last_port(directory: Path) -> int:
    """The port under which the replica set knows its member, or 0 if that is not known."""
    try:
        return int((directory / "port").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _note_port(directory: Path, port: int) -> None:
    (directory / "port").write_text(str(port))


def _move_replica_set(directory: Path, port: int, key: str) -> subprocess.CompletedProcess[str]:
    """Tell the set that its member now listens on `port`, without starting the set.

    A set that starts looks for itself under the address that it knows. If a
    stranger listens there by now, it waits for his answer for half a minute.
    """
    started = _run(_command(directory, port, LOOPBACK, replica_set=False))
    if started.returncode == 0:
        with _system_client(port, key) as client:
            change = {"$set": {"members.0.host": f"{LOOPBACK}:{port}"}, "$inc": {"version": 1}}
            client.local.system.replset.update_one({}, change)
        _note_port(directory, port)
        stop_mongod(directory)
    return started


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run mongod's command, which returns when the server listens or has failed."""
    try:
        return subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_TIMEOUT_SECS,
            # A Ctrl-C on the terminal is meant for the search, not for its database.
            start_new_session=True,
        )
    except OSError as error:
        raise EmbeddedServerError(
            f"{command[0]!r} cannot be run: {error.strerror}; set ${MONGOD_VARIABLE} to a mongod "
            "that runs on this machine"
        ) from error
    except subprocess.TimeoutExpired:
        raise EmbeddedServerError(
            f"mongod did not listen within {START_TIMEOUT_SECS:.0f} s; is the disk very busy? "
            "Try again"
        ) from None


def _make_usable(port: int, key: str, password: str, *, replica_set: bool) -> None:
    """Make the server primary, and let `USER` log in."""
    with _system_client(port, key) as client:
        if replica_set and client.local.system.replset.find_one() is None:
            member = {"_id": 0, "host": f"{LOOPBACK}:{port}"}
            config = {"_id": REPLICA_SET, "members": [member]}
            client.admin.command("replSetInitiate", config)
        _wait_until_writable(client)
        try:
            client.admin.command("createUser", USER, pwd=password, roles=["root"])
        except OperationFailure as error:
            if error.code != USER_EXISTS:
                raise
            client.admin.command("updateUser", USER, pwd=password)


def _system_client(port: int, key: str) -> MongoClient[dict[str, Any]]:
    """A client for whoever holds the key, even before there is any user."""
    return MongoClient(
        LOOPBACK,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=int(START_TIMEOUT_SECS * 1000),
        username="__system",
        password=key,
        authSource="local",
        authMechanism="SCRAM-SHA-256",
    )


def _wait_until_writable(client: MongoClient[dict[str, Any]]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECS
    while not client.admin.command("hello")["isWritablePrimary"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"it took no writes within {START_TIMEOUT_SECS:.0f} s")
        time.sleep(0.01)


# --- running and stopping ---------------------------------------------------------


def holder_pid(directory: Path) -> int | None:
    """The pid of the mongod that runs on the directory's data, or None.

    A running mongod keeps its lock file locked, and its pid in it. That
    identifies it for certain; a pid by itself may belong to anybody by now.
    """
    import fcntl

    try:
        with open(directory / "db" / "mongod.lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read().strip() or 0) or None
    except (FileNotFoundError, ValueError):
        pass
    return None


def stop_mongod(directory: Path, timeout_secs: float = STOP_TIMEOUT_SECS) -> None:
    """End the server cleanly and wait until it let go of its data; without one, do nothing.

    Raises:
        EmbeddedServerError: it still runs after `timeout_secs`.
    """
    pid = holder_pid(directory)
    if pid is None:
        return
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise EmbeddedServerError(
            f"the mongod on {str(directory)!r} (pid {pid}) belongs to another user"
        ) from error
    deadline = time.monotonic() + timeout_secs
    # It lets go of its data a moment before it ends.
    while holder_pid(directory) is not None or _is_alive(pid):
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"the mongod on {str(directory)!r} (pid {pid}) still runs {timeout_secs:.0f} s "
                f"after it was asked to end; its data is safe: end it with kill -9 {pid}"
            )
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not waited for by its parent does not."""
    with contextlib.suppress(OSError):
        # "pid (name) state …": Z for ended, but not waited for. There is no /proc on macOS.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _log_tail(directory: Path, n_lines: int = 5) -> str:
    """The log's last warnings and errors, or else its last lines, fit for a message."""
    path = directory / "mongod.log"
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 64_000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return f"it wrote nothing to {str(path)!r}"
    # The log is appended to: what an earlier server said is not to the point.
    starts = [i for i, line in enumerate(lines) if "SERVER RESTARTED" in line]
    readable = [_readable(line) for line in lines[starts[-1] if starts else 0 :]]
    grave = [text for severity, text in readable if severity in ("F", "E")]
    chosen = (grave or [text for _, text in readable])[-n_lines:]
    return f"the last lines of {str(path)!r}:\n  " + "\n  ".join(chosen)


def _readable(line: str) -> tuple[str, str]:
    """(severity, text) of a line of mongod's log, which is JSON."""
    try:
        entry = json.loads(line)
        details = json.dumps(entry.get("attr", {}))
        return entry["s"], f"{entry['t']['$date']} {entry['msg']} {details}"[:400]
    except (ValueError, KeyError, TypeError):
        return "", line[:400]
