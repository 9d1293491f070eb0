"""A TCP proxy between a program and its server: a network that can be broken.

    cut        every connection breaks, and new ones are refused
    drop       some connections break; new ones are accepted
    silent     nothing gets through, and nobody is told: a network that swallows packets
    delay      every piece of a message takes so much longer

`mend` ends whatever lasts.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time

_PIECE_BYTES = 65536


class Proxy:
    """Forwards 127.0.0.1:`port` to another port of the same machine, as long as it is let.

    Attributes:
        port: where it listens.
        delay_secs: by how much longer each piece of a message takes, in either direction.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.delay_secs = 0.0
        self._lines: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._passes = threading.Event()
        self._passes.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def n_lines(self) -> int:
        """How many connections are open."""
        return len(self._lines)

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._is_cut = True
        self._break(self._open_lines())

    def drop(self, share: float, rng: random.Random) -> int:
        """Break each open connection with probability `share`; return how many broke."""
        return self._break([line for line in self._open_lines() if rng.random() < share])

    def silence(self) -> None:
        """Let nothing through, without breaking a connection."""
        self._passes.clear()

    def mend(self) -> None:
        """Forward, and accept connections, as if nothing had been."""
        self._is_cut = False
        self.delay_secs = 0.0
        self._passes.set()

    def close(self) -> None:
        """Break every connection for good."""
        self.cut()
        self._passes.set()
        _end(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                _end(client)
                continue
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        """Join a client to the server and forward what it says, until one of them ends."""
        self._passes.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:  # the server is away, so nobody is here, either
            _end(client)
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = (client, server)
        with self._lock:
            self._lines.add(line)
        if self._is_cut:
            self._break([line])
        threading.Thread(target=self._forward, args=(line, server, client), daemon=True).start()
        self._forward(line, client, server)

    def _forward(
        self, line: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                self._passes.wait()
                if self.delay_secs:
                    time.sleep(self.delay_secs)
                sink.sendall(piece)
        self._break([line])

    def _open_lines(self) -> list[tuple[socket.socket, socket.socket]]:
        with self._lock:
            return list(self._lines)

    def _break(self, lines: list[tuple[socket.socket, socket.socket]]) -> int:
        for line in lines:
            with self._lock:
                self._lines.discard(line)
            for end in line:
                _end(end)
        return len(lines)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
