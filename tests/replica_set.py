"""A replica set of three servers on this machine, whose members can be broken one by one.

    with running_replica_set(directory) as servers:
        primary = servers.primary()
        servers.kill(primary)           kill -9; `start` brings it back on its data
        servers.freeze(primary)         SIGSTOP, a partition of one node; `thaw` ends it
        servers.step_down()             the primary resigns, as for maintenance

The members share a key and demand a login. They give each other up after
`ELECTION_TIMEOUT_SECS`, sooner than MongoDB's 10 s, so that tests need not
wait for what is MongoDB's own affair. With `proxied=True` each member is known
to the others and to all clients by the port of a proxy before it, so that its
network can be broken, too.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from hpo.store.mongo.mongod import LOOPBACK, USER, free_port, holder_pid
from hpo.store.mongo.program import find_mongod
from tests.servers import kill_server
from tests.store.proxy import Proxy

NAME = "hpo3"
ELECTION_TIMEOUT_SECS = 2.0
START_TIMEOUT_SECS = 60.0


@dataclass
class Member:
    """One server of the set.

    Attributes:
        directory: holds its data, its key and its log.
        port: where it listens.
        proxy: what stands before it, or None.
        admin: a connection of its own to this very member, for looking at it.
        has_fail_points: see `running_replica_set`.
    """

    directory: Path
    port: int
    proxy: Proxy | None
    admin: pymongo.MongoClient[dict[str, Any]] = field(repr=False)
    has_fail_points: bool = False

    @property
    def address(self) -> str:
        """The name under which the others and the clients know it."""
        return f"{LOOPBACK}:{self.port if self.proxy is None else self.proxy.port}"

    def primary_since(self) -> datetime | None:
        """Its clock, naive UTC, if it takes writes at this moment; None if not, or if away."""
        try:
            hello = self.admin.admin.command("hello")
        except PyMongoError:
            return None
        return hello["localTime"].replace(tzinfo=None) if hello["isWritablePrimary"] else None


class ReplicaSet:
    """Three members, of which any may be away.

    Attributes:
        members: all of them, whether or not they run.
        password: of the user "hpo", who may do everything.
    """

    def __init__(self, members: list[Member], password: str) -> None:
        self.members = members
        self.password = password

    def url(self, database: str = "") -> str:
        """The address of the whole set, credentials included."""
        hosts = ",".join(member.address for member in self.members)
        options = f"authSource=admin&replicaSet={NAME}"
        return f"mongodb://{USER}:{self.password}@{hosts}/{database}?{options}"

    def client(self) -> pymongo.MongoClient[dict[str, Any]]:
        """A client with every right, which follows the primary; the caller closes it."""
        return pymongo.MongoClient(self.url())

    def primary(
        self, *, other_than: Member | None = None, timeout_secs: float = START_TIMEOUT_SECS
    ) -> Member:
        """Wait for a member that takes writes, and return it."""
        return self.election(other_than=other_than, timeout_secs=timeout_secs)[0]

    def election(
        self, *, other_than: Member | None = None, timeout_secs: float = START_TIMEOUT_SECS
    ) -> tuple[Member, datetime]:
        """Wait for a member that takes writes; return it, and when it was first seen to.

        Args:
            other_than: this one does not count; it is not asked (it may be frozen).
        """
        deadline = time.monotonic() + timeout_secs
        while time.monotonic() < deadline:
            for member in self.members:
                if member is not other_than and (since := member.primary_since()):
                    return member, since
            time.sleep(0.02)
        raise TimeoutError(f"no primary within {timeout_secs:.0f} s: {self.members}")

    def wait_until_whole(self, timeout_secs: float = START_TIMEOUT_SECS) -> None:
        """Wait until one member is primary and all others follow it."""
        deadline = time.monotonic() + timeout_secs
        while True:
            states = self._states()
            if states[0] == "PRIMARY" and all(state == "SECONDARY" for state in states[1:]):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the set is not whole after {timeout_secs:.0f} s: {states}")
            time.sleep(0.05)

    def _states(self) -> list[str]:
        """The members' states as the primary sees them, its own first."""
        for member in self.members:
            with contextlib.suppress(PyMongoError):
                if member.primary_since() is not None:
                    status = member.admin.admin.command("replSetGetStatus")
                    return sorted(str(seen["stateStr"]) for seen in status["members"])
        return ["unknown"]

    # --- breaking it ---

    def kill(self, member: Member) -> None:
        """kill -9."""
        kill_server(member.directory)

    def start(self, member: Member) -> None:
        """Start a member that was killed on the data that it left."""
        _launch(member.directory, member.port, member.has_fail_points)

    def freeze(self, member: Member) -> None:
        """Let a member do nothing, and answer nobody, until `thaw`."""
        _signal(member.directory, signal.SIGSTOP)

    def thaw(self, member: Member) -> None:
        _signal(member.directory, signal.SIGCONT)

    def step_down(self) -> Member:
        """Let the primary resign; return the one that it was."""
        member = self.primary()
        # It may close the connection before it has answered.
        with contextlib.suppress(PyMongoError):
            member.admin.admin.command(
                "replSetStepDown", 10, secondaryCatchUpPeriodSecs=5, force=True
            )
        return member

    def is_running(self, member: Member) -> bool:
        return holder_pid(member.directory) is not None

    def repair(self) -> None:
        """Start, thaw and mend whatever was broken, and wait until the set is whole."""
        for member in self.members:
            if member.proxy is not None:
                member.proxy.mend()
            if self.is_running(member):
                self.thaw(member)
            else:
                self.start(member)
        self.wait_until_whole()


@contextlib.contextmanager
def running_replica_set(
    directory: Path, *, proxied: bool = False, with_fail_points: bool = False
) -> Iterator[ReplicaSet]:
    """Start three servers under `directory`, yield them as a set with a primary, and kill them.

    Args:
        proxied: put a proxy before each of them.
        with_fail_points: let tests stop them at a chosen place of their own code.
    """
    key = secrets.token_hex(64)
    with contextlib.ExitStack() as cleaning:
        members = []
        for name in ("a", "b", "c"):
            home, port = directory / name, free_port()
            _prepare(home, key)
            cleaning.callback(kill_server, home)
            _launch(home, port, with_fail_points)
            proxy = Proxy(port) if proxied else None
            if proxy is not None:
                cleaning.callback(proxy.close)
            admin = _admin_client(port, key)
            cleaning.callback(admin.close)
            members.append(Member(home, port, proxy, admin, with_fail_points))
        servers = ReplicaSet(members, secrets.token_hex(16))
        _found(servers)
        yield servers


def _prepare(home: Path, key: str) -> None:
    (home / "db").mkdir(mode=0o700, parents=True)
    key_file = home / "key"
    key_file.write_text(key)
    # mongod refuses a key that others can read.
    key_file.chmod(0o600)


def _launch(home: Path, port: int, with_fail_points: bool) -> None:
    """Start a mongod that detaches itself; return when it listens."""
    command = [
        *(str(find_mongod()), "--fork", "--dbpath", str(home / "db")),
        *("--logpath", str(home / "mongod.log"), "--logappend"),
        *("--port", str(port), "--bind_ip", LOOPBACK, "--nounixsocket"),
        *("--auth", "--keyFile", str(home / "key")),
        *("--setParameter", "enableLocalhostAuthBypass=0"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *(("--setParameter", "enableTestCommands=1") if with_fail_points else ()),
        *("--networkMessageCompressors", "snappy,zstd"),
        *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128", "--replSet", NAME),
    ]
    subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=START_TIMEOUT_SECS,
        start_new_session=True,
    )


def _admin_client(port: int, key: str) -> pymongo.MongoClient[dict[str, Any]]:
    """A client for whoever holds the key; it gives up soon, since it is asked again and again."""
    return pymongo.MongoClient(
        LOOPBACK,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=300,
        heartbeatFrequencyMS=500,
        socketTimeoutMS=10_000,
        retryReads=False,
        username="__system",
        password=key,
        authSource="local",
        authMechanism="SCRAM-SHA-256",
    )


def _found(servers: ReplicaSet) -> None:
    """Make the members a set, and let the user "hpo" log in."""
    config = {
        "_id": NAME,
        "members": [
            {"_id": number, "host": member.address}
            for number, member in enumerate(servers.members)
        ],
        "settings": {
            "electionTimeoutMillis": round(ELECTION_TIMEOUT_SECS * 1000),
            "heartbeatIntervalMillis": 500,
        },
    }
    servers.members[0].admin.admin.command("replSetInitiate", config)
    primary = servers.primary()
    primary.admin.admin.command("createUser", USER, pwd=servers.password, roles=["root"])
    servers.wait_until_whole()


def _signal(directory: Path, number: int) -> None:
    pid = holder_pid(directory)
    if pid is not None:
        os.kill(pid, number)
