"""Processes that kill themselves with SIGKILL at a chosen moment of their talk with the server.

Between two commands to the server a process changes nothing that outlives it.
So to die before a command is sent, or after it was answered, for every
command, is to die at every instant that matters.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from pymongo import monitoring


class _Death(monitoring.CommandListener):
    """Kills the process at the n-th moment of the main thread that is wanted."""

    def __init__(self) -> None:
        self.n_left = 0
        self.is_wanted: Callable[[str, str], bool] = lambda _moment, _command: False

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._moment("before", event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._moment("after", event.command_name)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not a moment of its own."""

    def _moment(self, moment: str, command: str) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or self.n_left <= 0 or not self.is_wanted(moment, command):
            return
        self.n_left -= 1
        if self.n_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


_DEATH = _Death()
monitoring.register(_DEATH)


def die_at(n: int, is_wanted: Callable[[str, str], bool] = lambda _moment, _command: True) -> None:
    """Die at the n-th moment from now that `is_wanted("before" or "after", command)`."""
    _DEATH.is_wanted, _DEATH.n_left = is_wanted, n


def in_a_child(work: Callable[..., None], *args: object) -> int:
    """Call `work` in a forked process; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(*args)
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
