"""Where trials are evaluated: in a child process, or in the worker's own.

`ChildProcess` is the rule: the objective may crash, exit, hang, eat the memory
or be cut short, and the worker lives on. `InProcess` (--no-subprocesses) trades
that for nothing in between; it suits debugging.

This module starts the child before anything costly is imported, so the child
imports numpy and cloudpickle while the worker connects to the server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import IO, TYPE_CHECKING, Any, Protocol

from hpo_worker import processes
from hpo_worker.outcome import (
    Cut,
    Died,
    Interruption,
    Outcome,
    OutOfMemory,
    Raised,
    TimedOut,
)
from hpo_worker.output import Output
from hpo_worker.stopping import StopSignals

if TYPE_CHECKING:
    from hpo_worker.evaluation import Ask, Evaluation

# A process that the objective left behind may hold the connection open after the
# child is gone: so look after the child itself so often.
CHECK_CHILD_SECS = 0.5

# How often a memory limit is looked after; asking `ps` costs a process.
CHECK_MEMORY_SECS = 0.1 if processes.HAS_PROC else 1.0

# Between asking a child to end and forcing it.
END_GRACE_SECS = 1.0

# A child that a signal to the whole job ended may be seen before the worker's own signal.
SIGNAL_SPREAD_SECS = 0.2

# The objective has no business with the database's address, nor with the key.
SECRET_VARIABLES = ("HPO_MONGO_URL", "HPO_KEY")


@dataclass(frozen=True)
class TrialLimits:
    """What one trial may take; None: as much as there is.

    Attributes:
        timeout_secs: for loading and calling its objective.
        max_memory_bytes: what its processes may hold together. Held, not reserved: the
            limits of the operating system (ulimit) count the address space, of which
            numerical libraries reserve many times what they use.
    """

    timeout_secs: float | None = None
    max_memory_bytes: int | None = None

    def of(self, trial: Mapping[str, Any]) -> TrialLimits:
        """The same, or the trial's own time limit if that is shorter."""
        asked = trial.get("timeout_secs")
        if isinstance(asked, bool) or not isinstance(asked, (int, float)) or not asked > 0:
            return self
        allowed = math.inf if self.timeout_secs is None else self.timeout_secs
        return dataclasses.replace(self, timeout_secs=min(float(asked), allowed))


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
        limits: what a trial may take.
    """

    def __init__(
        self,
        stop: StopSignals,
        *,
        is_fresh_each_time: bool = False,
        limits: TrialLimits | None = None,
    ) -> None:
        self._stop = stop
        self._is_fresh_each_time = is_fresh_each_time
        self._limits = limits or TrialLimits()
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
        child.output.begin()
        supervision = _Supervision(child, self._limits.of(trial))
        try:
            child.send((trial, workdir))
            outcome = self._converse(child, supervision, ask, is_cut)
        except Interruption:
            outcome = Cut()
        except (EOFError, ConnectionError):
            outcome = self._explain_end(child)
        except BaseException:
            self._discard(child, is_idle=False)
            raise
        is_idle = not isinstance(outcome, (Cut, Died, TimedOut, OutOfMemory))
        if self._is_fresh_each_time or child.has_leftovers or not is_idle:
            self._discard(child, is_idle=is_idle)
            # The next child imports while this trial's end is written.
            if not self._stop.requested:
                self._child = _Child(self._stop)
        if isinstance(outcome, (Raised, Died, TimedOut, OutOfMemory)):
            outcome = dataclasses.replace(outcome, last_lines=child.output.last_lines())
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

    def _explain_end(self, child: _Child) -> Outcome:
        died = Died(child.await_status())
        if died.is_from_outside and not self._stop.requested:
            self._stop.sleep(SIGNAL_SPREAD_SECS)
        return Cut() if died.is_from_outside and self._stop.requested else died

    def _converse(
        self, child: _Child, supervision: _Supervision, ask: Ask, is_cut: Callable[[], bool]
    ) -> Outcome:
        """Answer the child's questions until it says how the trial ended, or has to end."""
        while True:
            if child.has_message(supervision.check_secs()):
                message = child.receive()
                if message[0] == "ready":
                    supervision.begin()
                    continue
                if message[0] == "end":
                    outcome: Outcome = message[1]
                    child.has_leftovers = message[2]
                    return outcome
                child.send(_reply(ask, *message[1:]))
            if is_cut():
                raise Interruption
            excess = supervision.excess()
            if excess is not None:
                return excess


class _Supervision:
    """Whether a trial keeps to its limits; looked at now and then."""

    def __init__(self, child: _Child, limits: TrialLimits) -> None:
        self._child = child
        self._limits = limits
        self._deadline = math.inf
        if child.is_ready:
            self.begin()
        has_max_memory = limits.max_memory_bytes is not None
        self._check_memory_at = time.monotonic() if has_max_memory else math.inf

    def begin(self) -> None:
        """From now on it is the objective that takes time, and not the child's own start."""
        self._child.is_ready = True
        if self._limits.timeout_secs is not None:
            self._deadline = time.monotonic() + self._limits.timeout_secs

    def check_secs(self) -> float:
        """When to look again."""
        wait_secs = min(self._deadline, self._check_memory_at) - time.monotonic()
        return min(CHECK_CHILD_SECS, max(0.0, wait_secs))

    def excess(self) -> TimedOut | OutOfMemory | None:
        """What the trial took beyond its limits."""
        now, limits = time.monotonic(), self._limits
        if limits.timeout_secs is not None and now >= self._deadline:
            return TimedOut(limits.timeout_secs)
        if limits.max_memory_bytes is not None and now >= self._check_memory_at:
            self._check_memory_at = now + CHECK_MEMORY_SECS
            held_bytes = processes.memory_bytes(self._child.pid, limits.max_memory_bytes)
            if held_bytes > limits.max_memory_bytes:
                return OutOfMemory(held_bytes, limits.max_memory_bytes)
        return None


class _Child:
    """A running child process and this end of the connection to it.

    Args:
        stop: ends `has_message` early.

    Attributes:
        pid: it leads a process group, and a session, of that number.
        output: what it prints.
        is_ready: it has imported what it needs.
        has_leftovers: its last trial left processes behind.
    """

    def __init__(self, stop: StopSignals) -> None:
        self._stop = stop
        self.is_ready = self.has_leftovers = False
        self._mark = secrets.token_hex(8)
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hpo_worker.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=[theirs.fileno()],
                # Its own session: Ctrl-C in the terminal is for the worker to handle, and
                # the child ends together with whatever it started.
                start_new_session=True,
                env=_environment(self._mark),
            )
        self.pid = self._process.pid
        self.output = Output(*map(_detached, (self._process.stdout, self._process.stderr)))
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

    def has_message(self, wait_secs: float) -> bool:
        """Wait for a message; False when woken for another reason.

        Raises:
            EOFError: the child is gone.
        """
        ready = {fd for fd, _ in self._poll.poll(math.ceil(wait_secs * 1e3))}
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
        self.output.close()

    def kill(self) -> None:
        """End the whole process group at once, and what left it."""
        self._signal(signal.SIGKILL)
        processes.end_marked(self._mark)

    def _signal(self, number: int) -> None:
        # The child leads its group. The group may be gone, or be dying (macOS: not permitted).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _environment(mark: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in SECRET_VARIABLES}
    return {**kept, processes.MARK_VARIABLE: mark}


def _detached(pipe: IO[bytes] | None) -> int:
    """The descriptor of a pipe, which the caller closes."""
    if pipe is None:
        raise RuntimeError("the child was started without pipes")
    fd = os.dup(pipe.fileno())
    pipe.close()
    return fd


def _reply(ask: Ask, verb: str, arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return ask(verb, *arguments), None
    except Exception as error:  # the desk lets out only what is an answer
        return None, error


class InProcess:
    """Evaluates trials in the worker's own process.

    An exception still only fails its trial, but a crash takes the worker along,
    a lost lease is noticed only when the objective returns, and no limit holds.
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
