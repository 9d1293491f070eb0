"""The crew of a soak: its workers and its driver, started again when somebody killed them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.soaking.objective import EXP_KEY

ROOT = Path(__file__).parents[2]
LEASE_SECS = 6.0
# What ends by itself as soon as it has begun is not started again and again.
MIN_LIFE_SECS = 5.0


class Member:
    """One place of the crew: a process, and the one that follows it when it was killed.

    Args:
        name: of its log file.
        command: what it runs.
        environment: in which.
        directory: holds the log.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], directory: Path
    ) -> None:
        self.name = name
        self._command, self._environment = list(command), dict(environment)
        self._log = directory / f"{name}.log"
        self._lock = threading.Lock()
        self._was_killed = False
        self.is_stopped = False
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._started_at = time.monotonic()
        with open(self._log, "ab") as log:
            # The pipe ends with this process, and `--stop-on-eof` the worker with the pipe.
            return subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the present process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_lines(self, n: int = 5) -> str:
        """The end of its log."""
        return "\n    ".join(self._log.read_text(errors="replace").splitlines()[-n:])

    def kill(self) -> bool:
        """kill -9; False if it does not run."""
        with self._lock:
            if self.exit_code is not None:
                return False
            self._was_killed = True
            self._process.kill()
            self._process.wait()
            self.is_stopped = False
            return True

    def stop(self) -> bool:
        """SIGSTOP; False if it does not run, or is stopped already."""
        with self._lock:
            if self.exit_code is not None or self.is_stopped:
                return False
            self._process.send_signal(signal.SIGSTOP)
            self.is_stopped = True
            return True

    def go_on(self) -> None:
        """SIGCONT."""
        with self._lock:
            if self.exit_code is None and self.is_stopped:
                self._process.send_signal(signal.SIGCONT)
            self.is_stopped = False

    def revive(self) -> int | None:
        """Start it again if it ended; return its exit code if nobody had killed it."""
        with self._lock:
            code = self.exit_code
            if code is None:
                return None
            was_killed, self._was_killed = self._was_killed, False
            if not was_killed and time.monotonic() - self._started_at < MIN_LIFE_SECS:
                return None
            self._close_pipe()
            self._process = self._start()
            return None if was_killed else code

    def ask_to_end(self) -> None:
        """SIGTERM."""
        self.go_on()
        if self.exit_code is None:
            self._process.terminate()

    def end(self, timeout_secs: float = 15.0) -> int:
        """Wait until it has ended, and kill it if that takes too long; its exit code."""
        try:
            return self._process.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._close_pipe()

    def _close_pipe(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


class Crew:
    """Workers and a driver.

    Args:
        directory: for their logs.
        environment: what all of them share.
        clocks: what each worker has beside it; as many workers as there are.
        max_evals: how many trials the driver asks for.
        seed: of the search.

    Attributes:
        gave_up: how often who ended although nobody had killed it, and its last words.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        clocks: Sequence[Mapping[str, str]],
        *,
        max_evals: int,
        seed: int,
    ) -> None:
        self.gave_up: Counter[str] = Counter()
        self.workers: list[Member] = []
        run = [sys.executable, "-m"]
        self.driver = Member(
            "driver",
            [*run, "scripts.soaking.driver", str(max_evals), str(seed)],
            environment,
            directory,
        )
        options = ["--exp-key", EXP_KEY, "--lease", f"{LEASE_SECS:g}", "--stop-on-eof"]
        options += ["--max-consecutive-failures", "never"]
        for number, clock in enumerate(clocks):
            self.workers.append(
                Member(
                    f"worker-{number:02d}",
                    [*run, "scripts.soaking.worker", *options],
                    {**environment, **clock},
                    directory,
                )
            )

    def look_after(self) -> bool:
        """Start again what ended; False once the driver has ended well."""
        for worker in self.workers:
            self._revive(worker)
        if self.driver.exit_code == 0:
            return False
        self._revive(self.driver)
        return True

    def _revive(self, member: Member) -> None:
        if member.exit_code is None:
            return
        last_lines = member.last_lines()
        code = member.revive()
        if code is not None:
            self.gave_up[f"{member.name} (exit code {code}): {last_lines}"] += 1

    def end(self) -> None:
        """Let all of them end, by force if need be."""
        everybody = [*self.workers, self.driver]
        for member in everybody:
            member.ask_to_end()
        for member in everybody:
            member.end()


def environment(url: str, **more: str) -> dict[str, str]:
    """What every process of the crew needs."""
    paths = [str(ROOT), str(ROOT / "worker")]
    return {**os.environ, "HPO_MONGO_URL": url, "PYTHONPATH": os.pathsep.join(paths), **more}
