"""Signals: how a worker is asked to stop.

    SIGTERM, SIGINT, SIGHUP   hand the running trial back and stop (exit 0)
    one of them again         stop at once (exit 128 + signal); its trial's lease will expire
    SIGUSR1                   finish the running trial, then stop (exit 0), as in hyperopt

What SIGTERM and SIGUSR1 mean can be chosen: sites differ in which one announces
a preemption. A time at which to hand back can be set beforehand; a timer's
signal (SIGALRM) keeps it, and the grace period within which a worker that was
asked to stop must be gone.

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
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Literal, TypeAlias

from hpo_worker.outcome import Interruption

Meaning: TypeAlias = Literal["hand-back", "finish"]

# A worker that was asked to stop and cannot hand its trial back gives up after so long.
DEFAULT_GRACE_SECS = 10.0

# sysexits.h: EX_UNAVAILABLE.
EXIT_UNREACHABLE = 69


class StopSignals:
    """Turns signals into flags, from `__enter__` to `__exit__`. Main thread only.

    Args:
        on_sigterm, on_sigusr1: hand the running trial back and stop, or finish it before.
        grace_secs: from the demand to stop to the end of the process, at the latest.

    Attributes:
        on_emergency: called just before the process exits at once.
        requested: stop now; hand the running trial back.
        after_trial: stop when the running trial has ended.
        reason: for the attempt history of a trial that is handed back.
        asked_by: the signal that asked to stop, or "the end of its time".
        wake_fd: readable when something may have changed.
    """

    def __init__(
        self,
        *,
        on_sigterm: Meaning = "hand-back",
        on_sigusr1: Meaning = "finish",
        grace_secs: float = DEFAULT_GRACE_SECS,
    ) -> None:
        self._meanings: dict[int, Meaning] = {
            signal.SIGTERM: on_sigterm,
            signal.SIGINT: "hand-back",
            signal.SIGHUP: "hand-back",
            signal.SIGUSR1: on_sigusr1,
        }
        self.grace_secs = grace_secs
        self.on_emergency: Callable[[], None] = lambda: None
        self.requested = False
        self.after_trial = False
        self.reason = ""
        self.asked_by = ""
        self._is_interruptible = False
        self._interrupts_to_finish = False
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self.wake_fd = self._wake_receiver.fileno()
        self._handlers_before: dict[int, Any] = {}
        self._wakeup_fd_before = -1

    def __enter__(self) -> StopSignals:
        for number, meaning in self._meanings.items():
            # Whoever starts a worker with nohup wants it to outlive the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._handle(number, self._on_stop if meaning == "hand-back" else self._on_finish)
        self._handle(signal.SIGALRM, self._on_alarm)
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
    def interruptible(self, *, also_to_finish: bool = False) -> Iterator[None]:
        """Within the block, to be asked to stop raises `Interruption`; also if it was before.

        Args:
            also_to_finish: likewise to be asked to stop after the running trial.
        """
        self._is_interruptible, self._interrupts_to_finish = True, also_to_finish
        try:
            if self.requested or (self.after_trial and also_to_finish):
                raise Interruption
            yield
        finally:
            self._is_interruptible = False

    def hand_back_in(self, secs: float) -> None:
        """Ask to stop, as a signal would, when so many seconds have passed."""
        if self.requested:
            return  # the timer keeps the grace period
        signal.setitimer(signal.ITIMER_REAL, max(secs, 1e-6))

    def stop_on_eof(self, fd: int) -> None:
        """Stop as on SIGINT when `fd` reaches its end: whoever holds the other end is gone."""

        def read_to_the_end() -> None:
            with contextlib.suppress(OSError):  # closed from the start: an end, too
                while os.read(fd, 4096):
                    pass
            # A signal whose meaning nobody can change, and nobody ignores.
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=read_to_the_end, name="hpo-stop-on-eof", daemon=True).start()

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handlers_before[number] = signal.signal(number, handler)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._exit_at_once(128 + number)
        reason = "interrupted" if number in (signal.SIGINT, signal.SIGHUP) else "preempted"
        self._hand_back(reason, signal.Signals(number).name)

    def _on_finish(self, number: int, frame: FrameType | None) -> None:
        self.after_trial = True
        self.asked_by = self.asked_by or signal.Signals(number).name
        if self._interrupts_to_finish:
            self._interrupt()

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._exit_at_once(EXIT_UNREACHABLE)
        self._hand_back("walltime", "the end of its time")

    def _hand_back(self, reason: str, asked_by: str) -> None:
        self.requested, self.reason, self.asked_by = True, reason, asked_by
        signal.setitimer(signal.ITIMER_REAL, self.grace_secs)
        self._interrupt()

    def _interrupt(self) -> None:
        if self._is_interruptible:
            self._is_interruptible = False
            raise Interruption

    def _exit_at_once(self, code: int) -> None:
        self.on_emergency()
        os._exit(code)
