"""How long a suggestion takes: hpo's TPE beside hyperopt's and Optuna's, in the same run.

Every library runs in a process and a Python of its own, and holds the same finished
trials. They are asked in turn, and each suggestion is finished with a loss before
the next one, so that no library can answer from what it computed before; only the
asking is timed. Machines are noisy, so it is the ratios that count.

    mixed10, mixed50    uniform, loguniform, quniform and choice in equal parts
    cond19              which of four models, and its own hyperparameters; 19 labels in all

hpo's own TPE stands there twice: by itself, and with the regression that has a say while other
trials run (`regression`: true).

By default Optuna and hyperopt hold up to 10,000 trials, and hpo 100,000; --full has
them hold 100,000, too, which takes half an hour and some gigabytes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hpo import Domain, FMinIter, MongoTrials, fmin, hp, rand, tpe
from hpo.document import JOB_STATE_DONE, new_trial
from hpo.store.mongo.embedded import EmbeddedMongo
from scripts.bench_queue import AT_LEAST, AT_MOST, Figure, fresh_database, in_new_process, jobs_of
from scripts.quality.optimisers import HYPEROPT_TPE, OPTUNA_GROUP, OPTUNA_TPE, Name
from scripts.quality.runs import ROOT, python_of

HPO_TPE = "hpo tpe"
# As it suggests while other trials run.
HPO_IN_PARALLEL = 'hpo tpe {"regression": true}'
OPTUNA_UNIVARIATE = 'optuna tpe {"multivariate": false}'
PEERS = (OPTUNA_TPE, HYPEROPT_TPE, OPTUNA_UNIVARIATE, OPTUNA_GROUP)

BATCH = 64
# Suggestions before those that count: of a new process, and after trials were loaded.
N_FIRST, N_WARM_UP = 20, 3
# In its turn a library makes so many suggestions in a row, as a search at work does. The
# first ones find the processor's caches full of the others' data: that weighs on short
# times most, up to half as much again.
BURST = 10
# Trials are loaded anew before a burst that adds more than this share of them.
MOST_MORE = 0.05
# Where a peer takes long, one in a row is enough of it.
LONG = 10_000

# hpo should be so many times faster than Optuna, by the number of finished trials,
FASTER_THAN_OPTUNA: Mapping[int, float] = {100: 6, 1_000: 15, 10_000: 40, 100_000: 100}
# and one of a batch so many times faster than one alone.
FASTER_IN_BATCH = 4.0
GROWTH_TO_100_000 = 3.0
DRIVER_MB = 250.0
N_DRIVER_TRIALS, N_DRIVER_LABELS = 100_000, 20


@dataclass(frozen=True)
class Case:
    """A space, a number of finished trials, and who is asked how often."""

    space: str
    n_trials: int
    n_rounds: int
    peers: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{self.space} N={self.n_trials:,}"


@dataclass
class Times:
    """Milliseconds of single suggestions, by library; and of hpo's batches, per suggestion."""

    case: Case
    single: dict[str, list[float]] = field(default_factory=dict)
    in_batch: list[float] = field(default_factory=list)

    def median(self, library: str) -> float:
        return statistics.median(self.single[library])

    def faster_than(self, peer: str) -> float:
        """A peer's time as a multiple of hpo's."""
        return self.median(peer) / self.median(HPO_TPE)

    def rows(self) -> Iterator[str]:
        """The lines of the table."""
        batch = f"{statistics.median(self.in_batch):.2f} in batches of {BATCH}"
        for library, ms in self.single.items():
            note = batch if library == HPO_TPE else f"{self.faster_than(library):6.1f} x hpo"
            yield (
                f"{self.case.title:<18} {library:<52} {statistics.median(ms):>9.2f} "
                f"{np.quantile(ms, 0.95):>9.2f}  {note}"
            )


def cases(options: argparse.Namespace) -> list[Case]:
    """What is measured."""
    peers = PEERS[:2] if options.quick else PEERS
    rounds = {100: 4, 1_000: 3} if options.quick else {100: 8, 1_000: 8, 10_000: 5}
    listed = [
        Case(space, n, n_rounds, peers)
        for space in ("mixed10", "mixed50", "cond19")
        for n, n_rounds in rounds.items()
    ]
    if not options.quick:
        listed.append(Case("mixed10", 100_000, 3, peers if options.full else ()))
    return listed


def main() -> int:
    """Measure everything, print the tables; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench_suggest", description=(__doc__ or "").splitlines()[0]
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="up to 1,000 trials, fewer peers")
    size.add_argument("--full", action="store_true", help="100,000 trials in the peers, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()

    measured: list[Times] = []
    header = f"{'':<18} {'':<52} {'median ms':>9} {'95 % ms':>9}"
    print(header)
    for case in cases(options):
        times = measure(case)
        measured.append(times)
        print("\n".join(times.rows()), flush=True)
    figures = [*targets(measured), *driver_memory(options.quick)]
    print()
    for figure in figures:
        print(figure.row())
    if options.json:
        options.json.write_text(json.dumps(_report(measured, figures), indent=2) + "\n")
    return int(any(figure.verdict == "MISSED" for figure in figures))


def _report(measured: Sequence[Times], figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "times_ms": [
            {
                "space": times.case.space,
                "n_trials": times.case.n_trials,
                "single": times.single,
                "in_batch": times.in_batch,
            }
            for times in measured
        ],
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
    }


# --- time -------------------------------------------------------------------------


def measure(case: Case) -> Times:
    """Ask every library in turn, round after round."""
    times = Times(case)
    libraries = (HPO_TPE, HPO_IN_PARALLEL, *case.peers)
    with contextlib.ExitStack() as stack:
        clocks = {library: stack.enter_context(Clock(library)) for library in libraries}
        for library, clock in clocks.items():
            clock.load(case.space, case.n_trials)
            clock.ask_in_turn(N_FIRST if case.n_trials < LONG else 0)
            times.single[library] = []
        # The first batch has to get the memory for its larger arrays from the system.
        clocks[HPO_TPE].ask(BATCH)
        for _ in range(case.n_rounds):
            for library, clock in clocks.items():
                if BURST > MOST_MORE * case.n_trials:
                    clock.load(case.space, case.n_trials)
                is_slow = library in case.peers and case.n_trials >= LONG
                n_asked = 1 if is_slow else BURST
                times.single[library] += clock.ask_in_turn(n_asked)
            # In the same minute, because it is compared with those one by one.
            if BATCH > MOST_MORE * case.n_trials:
                clocks[HPO_TPE].load(case.space, case.n_trials)
            times.in_batch.append(clocks[HPO_TPE].ask(BATCH) / BATCH)
    return times


class Clock:
    """A process of `scripts.suggest_clock`, for one library."""

    def __init__(self, library: str) -> None:
        self._library = library

    def __enter__(self) -> Clock:
        self._process = subprocess.Popen(
            [
                python_of(Name.parse(self._library).house),
                "-m",
                "scripts.suggest_clock",
                self._library,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        # Without input the process ends by itself.
        self._process.communicate()

    def load(self, space: str, n_trials: int) -> None:
        """Start over with finished trials, and let the library load what it loads late."""
        self._answer({"load": space, "n": n_trials})
        self.ask_in_turn(N_WARM_UP)

    def ask_in_turn(self, n: int) -> list[float]:
        """Milliseconds of n suggestions, one after the other."""
        times: list[float] = self._answer({"ask": 1, "times": n})["ms"]
        return times

    def ask(self, n: int) -> float:
        """Milliseconds that n suggestions at once take."""
        (ms,) = self._answer({"ask": n, "times": 1})["ms"]
        return float(ms)

    def _answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the process must have been started with pipes")
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._library} died; its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def targets(measured: Sequence[Times]) -> Iterator[Figure]:
    """What the ratios of the times should be."""
    for times in measured:
        if OPTUNA_TPE in times.single:
            yield Figure(
                f"{times.case.title}: Optuna's time as a multiple of hpo's",
                times.faster_than(OPTUNA_TPE),
                "x",
                AT_LEAST,
                FASTER_THAN_OPTUNA[times.case.n_trials],
            )
    for times in measured:
        yield Figure(
            f"{times.case.title}: one alone as a multiple of one of {BATCH}",
            times.median(HPO_TPE) / statistics.median(times.in_batch),
            "x",
            AT_LEAST,
            FASTER_IN_BATCH,
        )
    ours = {(t.case.space, t.case.n_trials): t.median(HPO_TPE) for t in measured}
    if ("mixed10", 100_000) in ours:
        yield Figure(
            "mixed10: time at N=100,000 as a multiple of N=1,000",
            ours["mixed10", 100_000] / ours["mixed10", 1_000],
            "x",
            AT_MOST,
            GROWTH_TO_100_000,
        )


# --- memory -----------------------------------------------------------------------


def driver_memory(is_quick: bool) -> Iterator[Figure]:
    """The peak of a driver's memory on an experiment with many trials in a database."""
    n_trials = N_DRIVER_TRIALS // 10 if is_quick else N_DRIVER_TRIALS
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as directory:
        with (
            EmbeddedMongo.join_or_start(directory) as server,
            fresh_database(server.url, "memory") as url,
        ):
            store_finished_trials(url, n_trials)
            peak_mb = in_new_process(run_driver, url)["peak_mb"]
    name = f"driver with {n_trials:,} trials of {N_DRIVER_LABELS} labels, peak resident"
    yield Figure(name, peak_mb, "MB", AT_MOST, DRIVER_MB)


DRIVER_SPACE = {f"x{i:02d}": hp.uniform(f"x{i:02d}", 0.0, 1.0) for i in range(N_DRIVER_LABELS)}
_EXPERIMENT = "bench"


def store_finished_trials(database_url: str, n_trials: int) -> None:
    """Write an experiment as a search would have left it, without running one."""
    with contextlib.closing(MongoTrials(database_url, exp_key=_EXPERIMENT)) as trials:
        # The experiment's record and indexes.
        FMinIter(rand.suggest, Domain(no_op, DRIVER_SPACE), trials, np.random.default_rng(0))
        trials.new_trial_ids(n_trials)
    rng = np.random.default_rng(0)
    jobs = jobs_of(database_url)
    for first in range(0, n_trials, 10_000):
        tids = range(first, min(n_trials, first + 10_000))
        jobs.insert_many([_stored(tid, rng) for tid in tids], ordered=False)


def _stored(tid: int, rng: np.random.Generator) -> dict[str, Any]:
    values = dict(zip(DRIVER_SPACE, rng.random(N_DRIVER_LABELS).tolist(), strict=True))
    trial = new_trial(tid, exp_key=_EXPERIMENT, values=values, params=values)
    result = {"status": "ok", "loss": float(rng.random())}
    return {**trial, "number": tid, "state": JOB_STATE_DONE, "result": result}


def run_driver(database_url: str) -> dict[str, float]:
    """Run ten more trials with TPE; the peak of this process's memory."""
    with contextlib.closing(MongoTrials(database_url, exp_key=_EXPERIMENT)) as trials:
        n_stored = trials.count_by_state_unsynced(JOB_STATE_DONE)
    fmin(
        no_op,
        DRIVER_SPACE,
        algo=tpe.suggest,
        max_evals=n_stored + 10,
        trials=database_url,
        exp_key=_EXPERIMENT,
        workers=1,
        rstate=0,
        verbose=False,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_mb": peak / (1e6 if sys.platform == "darwin" else 1e3)}


def no_op(configuration: Mapping[str, Any]) -> float:
    """An objective that costs nothing."""
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
