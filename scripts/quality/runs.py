"""What was run already, kept under `.bench/quality/`, and running what is missing.

One file of JSON lines for each optimiser; a line is one run:

    {"optimiser": "optuna tpe", "version": "5.0.0", "problem": "branin2", "digest": "1f2e3d4c",
     "seed": 3, "n_workers": 8, "n_evaluations": 200, "outcome": {…}, "secs": 1.4}

A stored run counts as long as the optimiser's version and the problem's digest are
what they are now. Peers therefore run once; what took hours to run of them comes with the
sources, compressed, in `measured/`.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.quality import optimisers
from scripts.quality.measures import BUDGETS, Outcome
from scripts.quality.optimisers import Name
from scripts.quality.suite import problem
from scripts.quality.worker import sources_digest

ROOT = Path(__file__).resolve().parent.parent.parent
STORED = ROOT / ".bench" / "quality"
MEASURED = Path(__file__).resolve().parent / "measured"
N_EVALUATIONS = max(BUDGETS)

Progress = Callable[[str, int, int], None]
"""Called with the optimiser, how many of its runs are done, and how many there are."""


@dataclass(frozen=True)
class Run:
    """One optimiser on one problem from one seed."""

    optimiser: str
    problem: str
    seed: int
    n_workers: int
    n_evaluations: int = N_EVALUATIONS

    @property
    def task(self) -> dict[str, Any]:
        """The line that a worker process understands."""
        return {
            "problem": self.problem,
            "seed": self.seed,
            "n_workers": self.n_workers,
            "n_evaluations": self.n_evaluations,
        }


class Results:
    """The stored outcomes, of which only those that are still valid are seen.

    Args:
        directory: where they are stored.
        n_evaluations: how long the runs are; others are not seen.
        measured: where those are that come with the sources.
    """

    def __init__(
        self,
        directory: Path = STORED,
        n_evaluations: int = N_EVALUATIONS,
        measured: Path | None = None,
    ) -> None:
        self._directory, self._n_evaluations = directory, n_evaluations
        self._measured = measured
        self._outcomes: dict[str, dict[Run, Outcome]] = {}
        self._writing = threading.Lock()

    def of(self, optimiser: str) -> dict[Run, Outcome]:
        """Every valid outcome of one optimiser."""
        if optimiser not in self._outcomes:
            self._outcomes[optimiser] = {
                _run_of(line): Outcome.from_json(line["outcome"])
                for line in self._valid_lines(optimiser)
            }
        return self._outcomes[optimiser]

    def add(self, run: Run, version: str, answer: dict[str, Any]) -> None:
        """Store the answer of a worker process."""
        line = {"optimiser": run.optimiser, "version": version, **answer}
        with self._writing:
            self._directory.mkdir(parents=True, exist_ok=True)
            # One short write in append mode: another bench may write beside us.
            with open(self._path(run.optimiser), "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            self.of(run.optimiser)[run] = Outcome.from_json(answer["outcome"])

    def forget(self, optimiser: str) -> None:
        """Act as if nothing of the optimiser had been run; the file is kept."""
        self._outcomes[optimiser] = {}

    def keep(self, optimiser: str) -> None:
        """Put one optimiser's valid runs among those that come with the sources."""
        lines = {_run_of(line): json.dumps(line) for line in self._valid_lines(optimiser)}
        if self._measured is None or not lines:
            return
        self._measured.mkdir(exist_ok=True)
        runs = sorted(lines, key=lambda run: (run.n_workers, run.seed, run.problem))
        content = "".join(lines[run] + "\n" for run in runs)
        # Without a time of day, the same runs give the same file.
        path = self._measured / f"{_file_name(optimiser)}.gz"
        path.write_bytes(gzip.compress(content.encode(), mtime=0))

    def _valid_lines(self, optimiser: str) -> Iterator[dict[str, Any]]:
        version = expected_version(Name.parse(optimiser))
        for line in self._lines(optimiser):
            is_current = line["version"] == version and _is_of_this_problem(line)
            if is_current and line["n_evaluations"] == self._n_evaluations:
                yield line

    def _lines(self, optimiser: str) -> Iterator[dict[str, Any]]:
        content = ""
        if self._measured is not None:
            path = self._measured / f"{_file_name(optimiser)}.gz"
            if path.exists():
                content = gzip.decompress(path.read_bytes()).decode()
        if self._path(optimiser).exists():
            content += self._path(optimiser).read_text(encoding="utf-8")
        for line in content.splitlines():
            yield json.loads(line)

    def _path(self, optimiser: str) -> Path:
        return self._directory / _file_name(optimiser)


def _file_name(optimiser: str) -> str:
    return re.sub(r"[^\w.]+", "-", optimiser).strip("-") + ".jsonl"


def _run_of(line: dict[str, Any]) -> Run:
    fields = ("optimiser", "problem", "seed", "n_workers", "n_evaluations")
    return Run(*(line[field] for field in fields))


def _is_of_this_problem(line: dict[str, Any]) -> bool:
    try:
        return bool(problem(line["problem"]).digest == line["digest"])
    except KeyError:
        return False


def expected_version(name: Name) -> str:
    """The version that a worker process will report."""
    if name.house == optimisers.RANDOM:
        return "1"
    if name.house == optimisers.HPO:
        return sources_digest()
    return optimisers.REQUIREMENTS[name.house][0].partition("==")[2]


def python_of(house: str) -> str:
    """The interpreter that has the house's library; made on first use.

    `HPO_BENCH_OPTUNA_PYTHON` and the like name one that exists already.
    """
    if house not in optimisers.REQUIREMENTS:
        return sys.executable
    given = os.environ.get(f"HPO_BENCH_{house.upper()}_PYTHON")
    if given:
        return given
    make = [sys.executable, str(ROOT / "scripts" / "make_venv.py"), f".venv-{house}"]
    made = subprocess.run(
        [*make, *optimisers.REQUIREMENTS[house]], check=True, stdout=subprocess.PIPE, text=True
    )
    return made.stdout.strip()


def complete(
    runs: Collection[Run], results: Results, n_jobs: int, progress: Progress
) -> list[str]:
    """Run what is missing, `n_jobs` processes at a time.

    Returns:
        What went wrong, one text for each failed run.
    """
    failures: list[str] = []
    for optimiser in dict.fromkeys(run.optimiser for run in runs):
        done = results.of(optimiser)
        missing = [run for run in runs if run.optimiser == optimiser and run not in done]
        if missing:
            failures += _run_all(missing, results, n_jobs, progress)
    return failures


def _run_all(
    missing: Sequence[Run], results: Results, n_jobs: int, progress: Progress
) -> list[str]:
    """Spread one optimiser's runs over processes."""
    optimiser = missing[0].optimiser
    python = python_of(Name.parse(optimiser).house)
    count = _Counter(optimiser, len(missing), progress)

    def work_through(share: Sequence[Run]) -> list[str]:
        return list(_work_through(share, python, results, count))

    shares = [missing[i::n_jobs] for i in range(min(n_jobs, len(missing)))]
    with ThreadPoolExecutor(n_jobs) as pool:
        return [failure for failures in pool.map(work_through, shares) for failure in failures]


class _Counter:
    """Says how far an optimiser's runs are."""

    def __init__(self, optimiser: str, total: int, progress: Progress) -> None:
        self._optimiser, self._total, self._progress = optimiser, total, progress
        self._n_done = 0
        self._lock = threading.Lock()

    def one_more(self) -> None:
        with self._lock:
            self._n_done += 1
            self._progress(self._optimiser, self._n_done, self._total)


def _work_through(
    share: Sequence[Run], python: str, results: Results, count: _Counter
) -> Iterator[str]:
    """Feed one worker process with runs, one at a time; yields what goes wrong."""
    optimiser = share[0].optimiser
    with subprocess.Popen(
        [python, "-m", "scripts.quality.worker", optimiser],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        ask = functools.partial(_ask, process)
        greeting = ask(None)
        if greeting is None:
            yield f"{optimiser} did not start; its error stands above"
            return
        for run in share:
            answer = ask(run)
            if answer is None:
                yield f"{run}: the process died; its error stands above"
                return
            if "error" in answer:
                yield f"{run}:\n{answer['error']}"
            else:
                results.add(run, greeting["version"], answer)
            count.one_more()


def _ask(process: subprocess.Popen[str], run: Run | None) -> dict[str, Any] | None:
    """Send a run (or nothing) and read one answer; None if the process is gone."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process must have been started with pipes")
    try:
        if run is not None:
            process.stdin.write(json.dumps(run.task) + "\n")
        line = process.stdout.readline()
    except BrokenPipeError:
        return None
    answer: dict[str, Any] | None = json.loads(line) if line else None
    return answer
