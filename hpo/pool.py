"""Local workers: `hpo-worker` processes that a driver starts and stops.

They are the same program that runs on cluster nodes, so a search tried out
with `workers=4` runs unchanged on a cluster. Each gets the URL through its
environment (a command line is visible to every user of the machine) and the
read end of a pipe as standard input; when the driver dies the pipe closes, and
the worker stops as on SIGTERM.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hpo.exceptions import WorkersGone

GRACE_SECS = 10.0
_KEPT_LINES = 20


@dataclass
class _LocalWorker:
    """A process, the thread that passes its output on, and its last lines."""

    process: subprocess.Popen[str]
    last_lines: collections.deque[str] = field(
        default_factory=lambda: collections.deque(maxlen=_KEPT_LINES)
    )
    reader: threading.Thread | None = None

    def pass_output_on(self, say: Callable[[str], None]) -> None:
        """Hand every line of output to `say` until the process closes it."""
        stream = self.process.stdout
        if stream is None:
            return
        for line in stream:
            self.last_lines.append(line.rstrip("\n"))
            say(line.rstrip("\n"))


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
        self._workers: list[_LocalWorker] = []
        try:
            for _ in range(n):
                self._workers.append(_start(command, url, say))
        except BaseException:
            self.stop()
            raise

    @property
    def n_alive(self) -> int:
        """How many are still running."""
        return sum(worker.process.poll() is None for worker in self._workers)

    def check(self) -> None:
        """Raise WorkersGone when none is left, with what the last one said."""
        if self.n_alive or not self._workers:
            return
        codes = sorted({worker.process.returncode for worker in self._workers})
        for worker in self._workers:
            if worker.reader is not None:
                worker.reader.join(timeout=1.0)
        lines = next((w.last_lines for w in self._workers if w.last_lines), ())
        said = "\n  ".join(lines) or "(they printed nothing)"
        raise WorkersGone(
            f"all {len(self._workers)} local workers ended early (exit codes {codes}):\n  {said}\n"
            "The trials are kept; run the same script again once the cause is mended."
        )

    def stop(self, grace_secs: float = GRACE_SECS) -> None:
        """End them: ask, wait up to `grace_secs`, then force."""
        for worker in self._workers:
            _signal(worker.process, signal.SIGTERM)
        deadline = time.monotonic() + grace_secs
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(worker.process, signal.SIGKILL)
                worker.process.wait()
            if worker.process.stdin is not None:
                worker.process.stdin.close()
            if worker.reader is not None:
                worker.reader.join(timeout=1.0)
            if worker.process.stdout is not None:
                worker.process.stdout.close()
        self._workers = []


def _start(command: Sequence[str], url: str, say: Callable[[str], None]) -> _LocalWorker:
    environment = {**os.environ, "HPO_MONGO_URL": url, "PYTHONPATH": _python_path()}
    process = subprocess.Popen(
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
    worker = _LocalWorker(process)
    worker.reader = threading.Thread(
        target=worker.pass_output_on, args=(say,), name="hpo-worker-output", daemon=True
    )
    worker.reader.start()
    return worker


def _python_path() -> str:
    """What this process can import, its workers can import too."""
    # An empty entry means the current directory, which the workers share.
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path)


def _signal(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
