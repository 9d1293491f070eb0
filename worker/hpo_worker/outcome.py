"""How the evaluation of a trial can end.

    Done        the objective returned a result
    Raised      it raised, or returned what cannot be used
    Unloadable  it could not be rebuilt here: the trial is innocent
    Refused     the trial names an objective that was not signed for it
    Died        it took its process along: a signal, or an exit
    Cut         the worker ended the evaluation: it must stop, or lost the lease

The first four are made in the process that evaluates and travel to the
worker; hence this module imports nothing that costs time.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Done:
    """The objective returned.

    Attributes:
        result: what it returned, normalised, as plain data.
    """

    result: dict[str, Any]


@dataclass(frozen=True)
class Raised:
    """The objective raised.

    Attributes:
        error: the exception's type and text.
        traceback: as text, from the user's first frame on.
    """

    error: tuple[str, str]
    traceback: str = ""


@dataclass(frozen=True)
class Unloadable:
    """The objective cannot be rebuilt on this worker.

    Attributes:
        message: why, and what to do about it.
    """

    message: str


@dataclass(frozen=True)
class Refused:
    """The trial names an objective of another experiment: nothing was run.

    Attributes:
        message: which, and what to do about it.
    """

    message: str


@dataclass(frozen=True)
class Died:
    """The objective ended the process it ran in.

    Attributes:
        status: as `subprocess.Popen.returncode`: the exit code, or minus the signal's number.
    """

    status: int

    @property
    def reason(self) -> str:
        """The word for it in the attempt history."""
        return "signal" if self.status < 0 else "exit"

    @property
    def details(self) -> dict[str, Any]:
        """What the attempt history says beside the reason."""
        return {"signal": -self.status} if self.status < 0 else {"exit_code": self.status}

    @property
    def error(self) -> tuple[str, str]:
        """The document's error: a type and a text."""
        if self.status >= 0:
            return (
                "ProcessExited",
                f"the objective ended its process with exit code {self.status} instead of "
                "returning (os._exit, or a library that calls exit)",
            )
        hint = _SIGNAL_HINTS.get(-self.status, "")
        return (
            "ProcessKilled",
            f"the objective's process was ended by {_signal_name(-self.status)}{hint}",
        )


@dataclass(frozen=True)
class Cut:
    """The worker ended the evaluation before it had a result."""


class Interruption(BaseException):
    """Raised in the worker to cut the present evaluation.

    Not an `Exception`: where the objective runs in the worker's own process,
    its `except Exception` must let this pass.
    """


_CRASH_HINT = ": a crash in C code; the worker's standard error shows where"

_SIGNAL_HINTS: dict[int, str] = {
    signal.SIGKILL: ": somebody sent it, or the kernel did for want of memory (see dmesg)",
    signal.SIGSEGV: _CRASH_HINT,
    signal.SIGABRT: _CRASH_HINT,
    signal.SIGBUS: _CRASH_HINT,
    signal.SIGFPE: _CRASH_HINT,
    signal.SIGILL: _CRASH_HINT,
}

Outcome: TypeAlias = Done | Raised | Unloadable | Refused | Died | Cut


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
