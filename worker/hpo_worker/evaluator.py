"""Where trials are evaluated: in a child process, or in the worker's own.

`ChildProcess` is the rule: the objective may crash, exit or be cut short, and
the worker lives on. `InProcess` (--no-subprocesses) trades that for nothing in
between; it suits debugging.

This module starts the child before anything costly is imported, so the child
imports numpy and cloudpickle while the worker connects to the server.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from hpo_worker.outcome import Cut, Died, Interruption, Outcome
from hpo_worker.stopping import StopSignals

if TYPE_CHECKING:
    from hpo_worker.evaluation import Ask, Evaluation

# A process that the objective left behind may hold the connection open after the
# child is gone: so look after the child itself so often.
CHECK_CHILD_SECS = 0.5

# Between asking a child to end and forcing it.
END_GRACE_SECS = 1.0

# The objective has no business with the database's address, nor with the key.
SECRET_VARIABLES = ("HPO_MONGO_URL", "HPO_KEY")


class Evaluator(Protocol):
    """Evaluates one trial at a time."""

    def evaluate(
        self,
        trial: Mapping[str, Any],
        workdir: str | None,
        *,
        ask: Ask,
        is_cut: Callable[[], bool],
    ) -> Outcome:
        """Evaluate a trial.

        Args:
            trial: the RUNNING document, as plain data.
            workdir: the directory to work in, or None.
            ask: answers the objective's questions; `Interruption` from it cuts the evaluation.
            is_cut: looked at after every wake-up; True cuts the evaluation.
        """

    def close(self) -> None:
        """End what it started."""


class ChildProcess:
    """A child process that evaluates trials, replaced when it is spoilt.

    Args:
        stop: to be woken by.
        is_fresh_each_time: every trial gets a new process.
    """

    def __init__(self, stop: StopSignals, *, is_fresh_each_time: bool = False) -> None:
        self._stop = stop
        self._is_fresh_each_time = is_fresh_each_time
        self._child: _Child | None = _Child(stop)

    def evaluate(
        self,
        trial: Mapping[str, Any],
        workdir: str | None,
        *,
        ask: Ask,
        is_cut: Callable[[], bool],
    ) -> Outcome:
        """Evaluate a trial in the child; a child that dies of it is replaced."""
        child = self._living_child()
        try:
            child.send((trial, workdir))
            outcome = self._converse(child, ask, is_cut)
        except Interruption:
            outcome = Cut()
        except (EOFError, ConnectionError):
            outcome = Died(child.await_status())
        except BaseException:
            self._discard(child, is_idle=False)
            raise
        is_idle = not isinstance(outcome, (Cut, Died))
        if self._is_fresh_each_time or not is_idle:
            self._discard(child, is_idle=is_idle)
            # The next child imports while this trial's end is written.
            if not self._stop.requested:
                self._child = _Child(self._stop)
        return outcome

    def close(self) -> None:
        """End the child and whatever it started."""
        if self._child is not None:
            self._discard(self._child, is_idle=True)

    def kill(self) -> None:
        """End the child's whole process group at once; safe in a signal handler."""
        if self._child is not None:
            self._child.kill()

    def _living_child(self) -> _Child:
        if self._child is not None and not self._child.is_alive():
            # It died between two trials: that is not the next one's fault.
            self._discard(self._child, is_idle=True)
        if self._child is None:
            self._child = _Child(self._stop)
        return self._child

    def _discard(self, child: _Child, *, is_idle: bool) -> None:
        child.end(is_idle=is_idle)
        self._child = None

    def _converse(self, child: _Child, ask: Ask, is_cut: Callable[[], bool]) -> Outcome:
        """Answer the child's questions until it says how the trial ended."""
        while True:
            if child.has_message():
                message = child.receive()
                if message[0] == "end":
                    outcome: Outcome = message[1]
                    return outcome
                child.send(_reply(ask, *message[1:]))
            if is_cut():
                raise Interruption


class _Child:
    """A running child process and this end of the connection to it.

    Args:
        stop: ends `has_message` early.
    """

    def __init__(self, stop: StopSignals) -> None:
        self._stop = stop
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hpo_worker.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Its own session: Ctrl-C in the terminal is for the worker to handle, and
                # the child ends together with whatever it started.
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if k not in SECRET_VARIABLES},
            )
        self._connection = Connection(ours.detach())
        self._poll = select.poll()
        self._poll.register(self._connection.fileno(), select.POLLIN)
        self._poll.register(stop.wake_fd, select.POLLIN)
        self._has_worked = False

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Any) -> None:
        """Raises ConnectionError when the child is gone."""
        self._has_worked = True
        self._connection.send(message)

    def receive(self) -> Any:
        """Raises EOFError or ConnectionError when the child is gone."""
        return self._connection.recv()

    def has_message(self) -> bool:
        """Wait for a message; False when woken for another reason.

        Raises:
            EOFError: the child is gone.
        """
        ready = {fd for fd, _ in self._poll.poll(CHECK_CHILD_SECS * 1e3)}
        if self._stop.wake_fd in ready:
            self._stop.drain()
        if self._connection.fileno() in ready:
            return True
        if not ready and not self.is_alive():
            raise EOFError
        return False

    def await_status(self) -> int:
        """The exit status of a child whose connection broke."""
        try:
            return self._process.wait(END_GRACE_SECS)
        except subprocess.TimeoutExpired:  # it closed the connection and lives on
            self.kill()
            return self._process.wait()

    def end(self, *, is_idle: bool) -> None:
        """End the process: ask, wait a little, force; and its descendants with it."""
        # An idle child ends when its connection does, and cleans up (atexit) before.
        self._connection.close()
        if not (is_idle and self._has_worked):
            self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_GRACE_SECS)
        self.kill()
        self._process.wait()

    def kill(self) -> None:
        """End the whole process group at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # The child leads its group. The group may be gone, or be dying (macOS: not permitted).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _reply(ask: Ask, verb: str, arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return ask(verb, *arguments), None
    except Exception as error:  # the desk lets out only what is an answer
        return None, error


class InProcess:
    """Evaluates trials in the worker's own process.

    An exception still only fails its trial, but a crash takes the worker along,
    and a lost lease is noticed only when the objective returns.
    """

    def __init__(self, stop: StopSignals) -> None:
        self._stop = stop
        self._evaluation: Evaluation | None = None
        self._ask: Ask | None = None
        # As `python -m` does for the child: modules beside the user's data import.
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())

    def evaluate(
        self,
        trial: Mapping[str, Any],
        workdir: str | None,
        *,
        ask: Ask,
        is_cut: Callable[[], bool],
    ) -> Outcome:
        """Evaluate a trial here; a stop signal interrupts the objective."""
        from hpo_worker.evaluation import Evaluation

        if self._evaluation is None:
            self._evaluation = Evaluation(self._forward)
        self._ask = ask
        try:
            with self._stop.interruptible():
                return self._evaluation.evaluate(dict(trial), workdir)
        except Interruption:
            return Cut()

    def close(self) -> None:
        """There is nothing to end."""

    def kill(self) -> None:
        """There is nothing to end."""

    def _forward(self, verb: str, *arguments: Any) -> Any:
        if self._ask is None:
            raise RuntimeError("no trial is being evaluated")
        return self._ask(verb, *arguments)
