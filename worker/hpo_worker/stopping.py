"""Signals: how a worker is asked to stop.

    SIGTERM, SIGINT, SIGHUP   hand the running trial back and stop (exit 0)
    one of them again         stop at once (exit 128 + signal); its trial's lease will expire
    SIGUSR1                   finish the running trial, then stop (exit 0), as in hyperopt

Python runs a handler between two steps of the main thread and then goes on
with the interrupted system call; one that is about to block does not even
notice. So the main thread waits for its child on `wake_fd` too, to which the
interpreter's C-level handler writes at once. Where it cannot (the store's
waits, an objective in this very process) it waits inside `interruptible`, and
the handler raises.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any

from hpo_worker.outcome import Interruption

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FINISH_SIGNAL = signal.SIGUSR1
ALL_SIGNALS = (*STOP_SIGNALS, FINISH_SIGNAL)

# A worker that was asked to stop and cannot reach the server gives up after so long.
HAND_BACK_SECS = 10.0

# sysexits.h: EX_UNAVAILABLE.
EXIT_UNREACHABLE = 69


class StopSignals:
    """Turns signals into flags, from `__enter__` to `__exit__`. Main thread only.

    Attributes:
        on_emergency: called just before the process exits at once.
        requested: stop now; hand the running trial back.
        after_trial: stop when the running trial has ended.
        reason: for the attempt history of a trial that is handed back.
        wake_fd: readable when something may have changed.
    """

    def __init__(self) -> None:
        self.on_emergency: Callable[[], None] = lambda: None
        self.requested = False
        self.after_trial = False
        self.reason = ""
        self._interrupts: frozenset[int] = frozenset()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self.wake_fd = self._wake_receiver.fileno()
        self._handlers_before: dict[int, Any] = {}
        self._wakeup_fd_before = -1

    def __enter__(self) -> StopSignals:
        for number in STOP_SIGNALS:
            # Whoever starts a worker with nohup wants it to outlive the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._handle(number, self._on_stop)
        self._handle(FINISH_SIGNAL, self._on_finish)
        self._wakeup_fd_before = signal.set_wakeup_fd(
            self._wake_sender.fileno(), warn_on_full_buffer=False
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(self._wakeup_fd_before)
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        self._wake_receiver.close()
        self._wake_sender.close()

    def wake(self) -> None:
        """End the main thread's present wait; any thread may call this."""
        try:
            self._wake_sender.send(b"\0")
        except BlockingIOError:
            pass  # the buffer is full of wake-ups already

    def drain(self) -> None:
        """Take note of the wake-ups; flags say what they were about."""
        try:
            while self._wake_receiver.recv(4096):
                pass
        except BlockingIOError:
            pass

    def sleep(self, secs: float) -> None:
        """Sleep until `secs` have passed or a signal came."""
        ready, _, _ = select.select([self.wake_fd], [], [], secs)
        if ready:
            self.drain()

    @contextlib.contextmanager
    def interruptible(self, numbers: Collection[int] = STOP_SIGNALS) -> Iterator[None]:
        """Within the block, these signals raise `Interruption`, also those that came before it."""
        self._interrupts = frozenset(numbers)
        try:
            if self.requested or (self.after_trial and FINISH_SIGNAL in numbers):
                raise Interruption
            yield
        finally:
            self._interrupts = frozenset()

    def stop_on_eof(self, fd: int) -> None:
        """Stop as on SIGTERM when `fd` reaches its end: whoever holds the other end is gone."""

        def read_to_the_end() -> None:
            with contextlib.suppress(OSError):  # closed from the start: an end, too
                while os.read(fd, 4096):
                    pass
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=read_to_the_end, name="hpo-stop-on-eof", daemon=True).start()

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handlers_before[number] = signal.signal(number, handler)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._exit_at_once(128 + number)
        self.requested = True
        self.reason = "preempted" if number == signal.SIGTERM else "interrupted"
        self._handle(signal.SIGALRM, lambda *_: self._exit_at_once(EXIT_UNREACHABLE))
        signal.setitimer(signal.ITIMER_REAL, HAND_BACK_SECS)
        self._interrupt(number)

    def _on_finish(self, number: int, frame: FrameType | None) -> None:
        self.after_trial = True
        self._interrupt(number)

    def _interrupt(self, number: int) -> None:
        if number in self._interrupts:
            self._interrupts = frozenset()
            raise Interruption

    def _exit_at_once(self, code: int) -> None:
        self.on_emergency()
        os._exit(code)
