"""The process in which a worker evaluates trials, and its end of the connection.

    worker -> child    (trial, workdir)      evaluate this
    child -> worker    ("ask", verb, args)   any number of questions, one at a time,
    worker -> child    (answer, None)          each answered
                       (None, exception)       or answered by raising
    child -> worker    ("end", outcome)

The child is reused from trial to trial, so an objective loads its data once.
Objectives crash, and their libraries leave processes behind: the child leads a
process group of its own, which ends with the worker, however the worker ends.
"""

from __future__ import annotations

import faulthandler
import io
import os
import select
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

# How long a child whose worker is gone may clean up after itself.
ORPHAN_GRACE_SECS = 2.0


class ParentLink:
    """Questions to the worker, one at a time.

    Args:
        connection: to the worker.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Ask the worker and return its answer, or raise what it answered with."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                f"{verb}: ctrl works only in the process that the objective was called in, "
                "not in one that it forked; hand the value back to that process"
            )
        with self._lock:
            self._connection.send(("ask", verb, arguments))
            answer, error = self._connection.recv()
        if error is not None:
            raise error
        return answer


def serve(connection: Connection) -> None:
    """Evaluate what the worker sends, until it closes the connection."""
    from hpo_worker.evaluation import Evaluation

    evaluation = Evaluation(ParentLink(connection).ask)
    while True:
        try:
            trial, workdir = connection.recv()
        except (EOFError, ConnectionError):
            return
        outcome = evaluation.evaluate(trial, workdir)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        try:
            connection.send(("end", outcome))
        except ConnectionError:
            return


def end_with_parent(fd: int) -> None:
    """Watch the connection from a thread: when the worker is gone, so is this process group."""

    def guard() -> None:
        hang_up = select.poll()
        hang_up.register(fd, 0)  # no events asked for: reports a hang-up only
        hang_up.poll()
        # An idle child has seen the end of the connection too and leaves by itself.
        time.sleep(ORPHAN_GRACE_SECS)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=guard, name="hpo-parent-guard", daemon=True).start()


def main() -> None:
    """Serve the connection whose file descriptor is the only argument."""
    fd = int(sys.argv[1])
    # The objective may look at the arguments; these are none of its business.
    del sys.argv[1:]
    os.set_inheritable(fd, False)
    end_with_parent(fd)
    faulthandler.enable(
        all_threads=False
    )  # a crash in C code says where, on the worker's standard error
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    import cloudpickle  # noqa: F401  (while the worker is still connecting)

    from hpo.compat import install_if_asked

    install_if_asked()
    try:
        serve(Connection(fd))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
