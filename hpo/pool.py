"""Local workers: `hpo-worker` processes that a driver starts and stops.

They are the same program that runs on cluster nodes, so a search tried out
with `workers=4` runs unchanged on a cluster. Each gets the URL through its
environment (a command line is visible to every user of the machine) and the
read end of a pipe as standard input; when the driver dies the pipe closes, and
the worker stops.

A worker that was killed is replaced at once; its trial comes back to the queue
when its lease has expired. One that ended by itself had its reasons.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from hpo.exceptions import WorkersGone

GRACE_SECS = 10.0
_KEPT_LINES = 20

# What kills so many of its workers, on average each of them so often, will kill the next, too.
MAX_REPLACED_PER_WORKER = 5


@dataclass(eq=False)
class _LocalWorker:
    """A process, the thread that passes its output on, and its last lines."""

    process: subprocess.Popen[str]
    last_lines: collections.deque[str] = field(
        default_factory=lambda: collections.deque(maxlen=_KEPT_LINES)
    )
    reader: threading.Thread | None = None

    def pass_output_on(self, say: Callable[[str], None]) -> None:
        """Hand every line of output to `say` until the process ends."""
        stream = self.process.stdout
        if stream is None:
            return
        with contextlib.suppress(ValueError):  # closed, because it is no longer wanted
            for line in stream:
                self.last_lines.append(line.rstrip("\n"))
                say(line.rstrip("\n"))
        self.process.wait()

    def join(self) -> None:
        """Wait a little for the thread."""
        if self.reader is not None:
            self.reader.join(timeout=1.0)

    def close(self) -> None:
        """Close the pipes to a process that has ended."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class LocalWorkers:
    """A fixed number of worker processes for one experiment.

    Args:
        n: how many.
        url: the MongoDB URL they connect to.
        exp_key: the experiment they serve.
        say: receives each line that they or the objective print.
        options: more command-line options for each.
    """

    def __init__(
        self,
        n: int,
        url: str,
        exp_key: str | None,
        *,
        say: Callable[[str], None],
        options: Sequence[str] = (),
    ) -> None:
        command = [sys.executable, "-m", "hpo_worker", "--quiet", "--stop-on-eof", *options]
        # They fail where the driver would; it is the driver that says so in the end.
        command += ["--max-consecutive-failures", "never"]
        if exp_key is not None:
            command += ["--exp-key", exp_key]
        self._command, self._url, self._say = command, url, say
        self._lock = threading.Lock()
        self._is_stopping = False
        self._n_replaceable = MAX_REPLACED_PER_WORKER * n
        self._pids: set[int] = set()
        self._workers: list[_LocalWorker] = []
        try:
            for _ in range(n):
                with self._lock:
                    self._workers.append(self._start())
        except BaseException:
            self.stop()
            raise

    @property
    def n_alive(self) -> int:
        """How many are still running."""
        return sum(worker.process.poll() is None for worker in self._workers)

    def check(self, owners: Callable[[], Collection[str]] = tuple) -> None:
        """Raise WorkersGone when none is left here or elsewhere, with what the last one said.

        Args:
            owners: the workers that the store knows, as "host:pid:token". Those from here may
                be among them for a while after their end.
        """
        with self._lock:
            workers = list(self._workers)
        if not workers or any(worker.process.poll() is None for worker in workers):
            return
        for worker in workers:
            worker.join()
        if self.n_alive or not all(self._is_from_here(owner) for owner in owners()):
            return
        codes = sorted({worker.process.returncode for worker in workers})
        lines = next((worker.last_lines for worker in workers if worker.last_lines), ())
        said = "\n  ".join(lines) or "(they printed nothing)"
        raise WorkersGone(
            f"all {len(workers)} local workers ended early (exit codes {codes}):\n  {said}\n"
            "The trials are kept; run the same script again once the cause is mended."
        )

    def _is_from_here(self, owner: str) -> bool:
        host, pid, _ = owner.rsplit(":", 2)
        return host == socket.gethostname() and int(pid) in self._pids

    def _start(self) -> _LocalWorker:
        worker = _start(self._command, self._url)
        self._pids.add(worker.process.pid)
        worker.reader = threading.Thread(
            target=self._accompany, args=(worker,), name="hpo-local-worker", daemon=True
        )
        worker.reader.start()
        return worker

    def _accompany(self, worker: _LocalWorker) -> None:
        """In a thread of its own: pass a worker's output on, and replace it if it is killed."""
        worker.pass_output_on(self._say)
        with self._lock:
            if self._is_stopping or worker.process.returncode >= 0:
                return
            notice = (
                f"local worker {worker.process.pid} was killed by signal "
                f"{-worker.process.returncode}; its trial goes on when its lease has expired"
            )
            if self._n_replaceable == 0:
                self._say(f"{notice}. Too many were: this one is not replaced")
                return
            self._n_replaceable -= 1
            worker.close()
            self._workers[self._workers.index(worker)] = self._start()
            self._say(f"{notice}. Another worker takes its place")

    def stop(self, grace_secs: float = GRACE_SECS) -> None:
        """End them: ask, wait up to `grace_secs`, then force."""
        with self._lock:
            self._is_stopping = True
        for worker in self._workers:
            _signal(worker.process, signal.SIGTERM)
        deadline = time.monotonic() + grace_secs
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(worker.process, signal.SIGKILL)
                worker.process.wait()
            worker.join()
            worker.close()
        self._workers = []


def _start(command: Sequence[str], url: str) -> _LocalWorker:
    environment = {**os.environ, "HPO_MONGO_URL": url, "PYTHONPATH": _python_path()}
    return _LocalWorker(
        subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
            # Ctrl-C in the driver's terminal must not reach them: the driver ends them itself.
            start_new_session=True,
        )
    )


def _python_path() -> str:
    """What this process can import, its workers can import too."""
    # An empty entry means the current directory, which the workers share.
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path)


def _signal(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
