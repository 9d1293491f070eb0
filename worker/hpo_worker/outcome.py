"""How the evaluation of a trial can end.

    Done        the objective returned a result
    Raised      it raised, or returned what cannot be used
    Unloadable  it could not be rebuilt here: the trial is innocent
    Refused     the trial names an objective that was not signed for it
    Died        it took its process along: a signal, or an exit
    TimedOut    it ran past the time allowed, and was ended
    OutOfMemory it took more memory than allowed, and was ended
    Cut         the worker ended the evaluation: it must stop, or lost the lease

The first four are made in the process that evaluates and travel to the
worker; hence this module imports nothing that costs time.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hpo_worker.quantities import bytes_text, secs_text


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
        last_lines: what it printed last, by stream.
    """

    error: tuple[str, str]
    traceback: str = ""
    last_lines: Mapping[str, str] = field(default_factory=dict, compare=False)


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
    """The objective's process ended.

    Attributes:
        status: as `subprocess.Popen.returncode`: the exit code, or minus the signal's number.
        last_lines: what it printed last, by stream.
    """

    status: int
    last_lines: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_from_outside(self) -> bool:
        """Whether something else ended it: a signal that no crash causes.

        Such as the SIGKILL of a kernel that has no memory left, which depends on all
        that runs on the machine: another attempt may succeed.
        """
        return self.status < 0 and -self.status not in _CRASHES

    @property
    def reason(self) -> str:
        """The word for it in the attempt history."""
        if self.is_from_outside:
            return "killed"
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
        name = _signal_name(-self.status)
        if self.is_from_outside:
            hint = _OUTSIDE_HINTS.get(-self.status, "")
            return ("ProcessKilled", f"something sent the objective's process {name}{hint}")
        return (
            "ProcessKilled",
            f"the objective's process was ended by {name}: a crash in C code; stderr says where",
        )


@dataclass(frozen=True)
class TimedOut:
    """The objective ran past the time allowed.

    Attributes:
        timeout_secs: that time.
        last_lines: what it printed last, by stream.
    """

    timeout_secs: float
    last_lines: Mapping[str, str] = field(default_factory=dict, compare=False)
    reason = "timeout"

    @property
    def details(self) -> dict[str, Any]:
        """What the attempt history says beside the reason."""
        return {"timeout_secs": self.timeout_secs}

    @property
    def error(self) -> tuple[str, str]:
        """The document's error: a type and a text."""
        return (
            "TrialTimeout",
            f"the objective ran for longer than {secs_text(self.timeout_secs)} (--trial-timeout)",
        )


@dataclass(frozen=True)
class OutOfMemory:
    """The objective's processes took more memory than allowed.

    Attributes:
        memory_bytes: what they held together.
        max_memory_bytes: what was allowed.
        last_lines: what they printed last, by stream.
    """

    memory_bytes: int
    max_memory_bytes: int
    last_lines: Mapping[str, str] = field(default_factory=dict, compare=False)
    reason = "memory"

    @property
    def details(self) -> dict[str, Any]:
        """What the attempt history says beside the reason."""
        return {"memory_bytes": self.memory_bytes, "max_memory_bytes": self.max_memory_bytes}

    @property
    def error(self) -> tuple[str, str]:
        """The document's error: a type and a text."""
        return (
            "OutOfMemory",
            f"the objective held {bytes_text(self.memory_bytes)} where "
            f"{bytes_text(self.max_memory_bytes)} are allowed (--max-memory)",
        )


@dataclass(frozen=True)
class Cut:
    """The worker ended the evaluation before it had a result."""


class Interruption(BaseException):
    """Raised in the worker to cut the present evaluation.

    Not an `Exception`: where the objective runs in the worker's own process,
    its `except Exception` must let this pass.
    """


# Signals that the system sends to a process for what its own code did.
_CRASHES = frozenset(
    number
    for name in "SEGV ABRT BUS FPE ILL SYS TRAP XCPU XFSZ PIPE ALRM".split()
    if (number := getattr(signal, f"SIG{name}", None)) is not None
)

_OUTSIDE_HINTS: dict[int, str] = {
    signal.SIGKILL: ": the kernel, for want of memory (see dmesg), or somebody by hand",
}

Outcome: TypeAlias = Done | Raised | Unloadable | Refused | Died | TimedOut | OutOfMemory | Cut


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
