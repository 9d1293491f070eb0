"""The process in which a worker evaluates trials, and its end of the connection.

    child -> worker    ("ready",)            once, when all is imported
    worker -> child    (trial, workdir)      evaluate this
    child -> worker    ("ask", verb, args)   any number of questions, one at a time,
    worker -> child    (answer, None)          each answered
                       (None, exception)       or answered by raising
    child -> worker    ("end", outcome, whether it left processes behind)

The child is reused from trial to trial, so an objective loads its data once;
but not when processes live below it as a trial ends (see `hpo_worker.processes`):
then it ends with them, as it does when the worker is gone.

Cluster managers send their signals to every process of a job. What they mean
is for the worker to say, so the child and what it forks treat them differently:
the child passes over them as long as it has a worker; the others do what
processes do.
"""

from __future__ import annotations

import atexit
import faulthandler
import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from hpo_worker.processes import (
    MARK_VARIABLE,
    Leftovers,
    adopt_orphans,
    descendants,
    end,
    end_marked,
)

# What a cluster manager may send to announce that it wants the machine back, and Ctrl-C.
LEFT_TO_THE_WORKER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

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

    evaluation, leftovers = Evaluation(ParentLink(connection).ask), Leftovers()
    try:
        connection.send(("ready",))
    except ConnectionError:
        return
    while True:
        try:
            trial, workdir = connection.recv()
        except (EOFError, ConnectionError):
            return
        outcome = evaluation.evaluate(trial, workdir)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        try:
            connection.send(("end", outcome, leftovers.are_alive()))
        except ConnectionError:
            return


def leave_signals_to_the_worker(fd: int) -> None:
    """Pass over signals to the whole job, unless the connection says that the worker is gone."""

    def pass_over(number: int, frame: FrameType | None) -> None:
        if _is_hung_up(fd):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in LEFT_TO_THE_WORKER:
        signal.signal(number, pass_over)

    def stand_aside() -> None:
        # Of the objective's own making: what ends processes must end these, too.
        for number in LEFT_TO_THE_WORKER:
            if signal.getsignal(number) is pass_over:
                default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, default)

    _at_fork(in_child=stand_aside)


def _at_fork(in_child: Callable[[], None]) -> None:
    """Call `in_child` in every forked process before a signal reaches it."""
    masks = threading.local()

    def block() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_WORKER)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def begin() -> None:
        in_child()
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=begin)


def _is_hung_up(fd: int) -> bool:
    hang_up = select.poll()
    hang_up.register(fd, 0)  # no events asked for: reports a hang-up only
    return bool(hang_up.poll(0))


def end_with_parent(fd: int) -> None:
    """Watch the connection from a thread: when the worker is gone, so is all that it started."""

    def guard() -> None:
        hang_up = select.poll()
        hang_up.register(fd, 0)
        hang_up.poll()
        # An idle child has seen the end of the connection too and leaves by itself.
        time.sleep(ORPHAN_GRACE_SECS)
        end(descendants(os.getpid()))
        end_marked(os.environ.get(MARK_VARIABLE, ""))
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=guard, name="hpo-parent-guard", daemon=True).start()


def main() -> None:
    """Serve the connection whose file descriptor is the only argument."""
    fd = int(sys.argv[1])
    # The objective may look at the arguments; these are none of its business.
    del sys.argv[1:]
    os.set_inheritable(fd, False)
    leave_signals_to_the_worker(fd)
    adopt_orphans()
    end_with_parent(fd)
    # Registered first, it comes last: after pools and the like have cleaned up.
    atexit.register(lambda: end(descendants(os.getpid())))
    faulthandler.enable(
        all_threads=False
    )  # a crash in C code says where, on the worker's standard error
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    import cloudpickle  # noqa: F401  (while the worker is still connecting)

    from hpo.compat import install_if_asked

    install_if_asked()
    serve(Connection(fd))


if __name__ == "__main__":
    main()
