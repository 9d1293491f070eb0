"""The processes that an objective starts: found, measured, ended.

A child process that evaluates trials leads a process group, which ends with
it. That leaves those that made a session of their own (setsid, daemons), and
those that a child which lives on left behind. They are known by

    descent   the child adopts what is orphaned below it (Linux: a "subreaper")
    a mark    a variable in the environment, which processes inherit; it also
              finds them when the child is dead and init has adopted them

Both need Linux's /proc. On other systems only the process group is ended, and
memory is asked of `ps`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

# Its value in the environment is the mark.
MARK_VARIABLE = "HPO_PROCESSES_OF"

HAS_PROC = sys.platform == "linux" and os.path.exists("/proc/self/task")

# Processes may start others while they are being ended: so look again, so often.
_MAX_ROUNDS = 10

_PR_SET_CHILD_SUBREAPER = 36

# multiprocessing's and joblib's, which watch what a process shares with its own children. They
# do nothing else, end with the process, and complain when they are ended before it.
_TRACKER = b"resource_tracker"


def adopt_orphans() -> None:
    """Become the parent of whatever is orphaned among this process's descendants."""
    if HAS_PROC:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def has_children() -> bool:
    """Whether this process has any, dead ones included. One system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (ChildProcessError, AttributeError):  # macOS has no waitid before Python 3.13
        return False
    return True


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, parents before children."""
    found: list[int] = []
    unvisited = [pid]
    while unvisited:
        children = list(_children(unvisited.pop()))
        found += children
        unvisited += children
    return found


def _children(pid: int) -> Iterator[int]:
    # Each thread has those that it started.
    with contextlib.suppress(OSError):  # it has just ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            yield from map(int, _read(f"/proc/{pid}/task/{thread}/children").split())


def marked(mark: str) -> list[int]:
    """The processes of this user whose environment holds the mark, this one excepted."""
    if not HAS_PROC:
        return []
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit()
        and int(name) != os.getpid()
        and wanted in _read(f"/proc/{name}/environ").split(b"\0")
    ]


def memory_bytes(pid: int, max_bytes: float) -> int:
    """How much memory a process and its descendants hold together.

    What they share is counted once, but only where that decides whether it is
    more than `max_bytes`: the exact number costs the kernel a walk over all pages.
    """
    if not HAS_PROC:
        return _memory_bytes_by_ps(pid)
    pids = [pid, *descendants(pid)]
    resident = sum(_resident_bytes(one) for one in pids)
    return resident if resident <= max_bytes else sum(_proportional_bytes(one) for one in pids)


def _resident_bytes(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def _proportional_bytes(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return _resident_bytes(pid)


def _memory_bytes_by_ps(pid: int) -> int:
    """Of the process group that `pid` leads."""
    answer = subprocess.run(
        ["ps", "-A", "-o", "pgid=,rss="], capture_output=True, text=True, check=False
    )
    rows = [line.split() for line in answer.stdout.splitlines()]
    return sum(int(row[1]) * 1024 for row in rows if len(row) == 2 and row[0] == str(pid))


def end(pids: Iterable[int]) -> None:
    """Send SIGKILL."""
    for pid in pids:
        _send(pid, signal.SIGKILL)


def end_marked(mark: str) -> None:
    """End every process that bears the mark, at once, until none is left."""
    n_times_none = 0
    for _ in range(_MAX_ROUNDS):
        alive = [pid for pid in marked(mark) if not _is_dead(pid)]
        # One that has just begun another program shows no environment for an instant.
        n_times_none = 0 if alive else n_times_none + 1
        if n_times_none == 2:
            return
        end(alive)
        time.sleep(0.001 if alive else 0.01)


class Leftovers:
    """What the trials that this process evaluates leave behind."""

    def __init__(self) -> None:
        self._unburied: set[int] = set()

    def are_alive(self) -> bool:
        """Whether any process below this one lives.

        They cannot just be ended: a pool of processes that the objective keeps hangs for
        ever when one dies that held its lock. The process that keeps it has to go as well.
        """
        if not HAS_PROC or not has_children():
            return False
        self._bury()
        return any(
            not _is_dead(pid) and _TRACKER not in _read(f"/proc/{pid}/cmdline")
            for pid in descendants(os.getpid())
        )

    def _bury(self) -> None:
        """Reap the dead that nobody asked for since the last trial: adopted orphans."""
        dead = {pid for pid in _children(os.getpid()) if _is_dead(pid)}
        for pid in dead & self._unburied:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._unburied = dead


def _is_dead(pid: int) -> bool:
    """Gone, or a zombie."""
    # The name, in parentheses, may hold anything: the state follows the last one.
    state = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return not state or state[0] in (b"Z", b"X")


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _read(path: str) -> bytes:
    """What a file of /proc says; nothing when the process is gone, or another user's."""
    try:
        with open(path, "rb", buffering=0) as file:
            pieces = []
            while piece := file.read(65536):
                pieces.append(piece)
            return b"".join(pieces)
    except OSError:
        return b""
