"""What a child prints: passed on to the worker's own streams, its last lines kept.

A thread reads the child's pipes, so a flood fills no memory, and waits for
nobody but whoever reads the worker's output.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import termios
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_LINES = 20
MAX_BYTES = 4096

_READ_BYTES = 1 << 18

# How long to wait for what was printed last; a process may go on printing for ever.
SETTLE_SECS = 0.5


@dataclass
class _Stream:
    """One of the child's streams.

    Attributes:
        source_fd: the pipe's read end.
        sink_fd: the worker's own stream.
        last: what came last, at least `MAX_BYTES` of it if there was so much.
    """

    name: str
    source_fd: int
    sink_fd: int
    last: bytearray = field(default_factory=bytearray)

    def keep(self, piece: bytes) -> None:
        self.last += piece[-MAX_BYTES:]
        # One byte more than is shown, to know whether the first line is whole.
        del self.last[: -MAX_BYTES - 1]

    @property
    def is_read(self) -> bool:
        n_waiting = array.array("i", [0])
        try:
            fcntl.ioctl(self.source_fd, termios.FIONREAD, n_waiting)
        except OSError:
            return True
        return n_waiting[0] == 0


class Output:
    """Reads a child's standard streams until it closes them.

    Args:
        stdout_fd, stderr_fd: the read ends of its pipes; this object closes them.
    """

    def __init__(self, stdout_fd: int, stderr_fd: int) -> None:
        self._streams = (_Stream("stdout", stdout_fd, 1), _Stream("stderr", stderr_fd, 2))
        self._lock = threading.Lock()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="hpo-output", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """What comes from now on is the next trial's."""
        with self._lock:
            for stream in self._streams:
                stream.last.clear()

    def last_lines(self) -> Mapping[str, str]:
        """{"stdout": text, "stderr": text}: what was printed last, without what is empty."""
        self._settle()
        with self._lock:
            texts = {stream.name: _last_lines(bytes(stream.last)) for stream in self._streams}
        return {name: text for name, text in texts.items() if text}

    def close(self) -> None:
        """Wait for the rest, which ends when all who could print are gone."""
        self._thread.join(SETTLE_SECS)
        self._is_closing = True

    def _settle(self) -> None:
        """Wait until everything printed so far is read."""
        deadline = time.monotonic() + SETTLE_SECS
        while self._thread.is_alive() and time.monotonic() < deadline:
            with self._lock:
                if all(stream.is_read for stream in self._streams):
                    return
            time.sleep(0.001)

    # --- in the thread ---

    def _run(self) -> None:
        open_streams = {stream.source_fd: stream for stream in self._streams}
        waiting = select.poll()
        for fd in open_streams:
            waiting.register(fd, select.POLLIN)
        while open_streams and not self._is_closing:
            for fd, _ in waiting.poll(1000.0):
                if not self._pass_on(open_streams[fd]):
                    waiting.unregister(fd)
                    del open_streams[fd]
        for stream in self._streams:
            os.close(stream.source_fd)

    def _pass_on(self, stream: _Stream) -> bool:
        """Read once; False at the end."""
        with self._lock:
            piece = os.read(stream.source_fd, _READ_BYTES)
            stream.keep(piece)
        _write(stream.sink_fd, piece)
        return bool(piece)


def _write(fd: int, piece: bytes) -> None:
    """Write all of it, unless nobody reads it any more."""
    rest = memoryview(piece)
    with contextlib.suppress(OSError):
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    raise
                select.select([], [fd], [], 1.0)


def _last_lines(last: bytes) -> str:
    lines = last[-MAX_BYTES:].splitlines(keepends=True)
    is_cut = len(last) > MAX_BYTES and last[-MAX_BYTES - 1 : -MAX_BYTES] != b"\n"
    if is_cut and len(lines) > 1:
        lines = lines[1:]
    return b"".join(lines[-MAX_LINES:]).decode("utf-8", "replace")
