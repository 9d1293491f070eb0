"""How fast the queue is: driver, workers and MongoDB with an objective that costs nothing.

Everything runs on one embedded server, in one run, beside bare pymongo loops
that claim and finish documents in the same way; machines are noisy, so the
two take turns, and it is their ratio that counts.

    trial rate         from the first claim to the last result, by the server's clock
    suggest -> start   the algorithm has returned .. the objective begins on an idle worker
    finish -> known    the objective has returned .. the driver calls early_stop_fn
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymongo

from hpo import Domain, FMinIter, MongoTrials, fmin, hp, rand, tpe
from hpo.document import JOB_STATE_DONE, JOB_STATE_NEW, JOB_STATE_RUNNING, new_trial
from hpo.pool import LocalWorkers
from hpo.store.mongo.embedded import EmbeddedMongo

N_LABELS = 10
SPACE = {f"x{i}": hp.uniform(f"x{i}", 0, 1) for i in range(N_LABELS)}

DURABLE: Mapping[str, Any] = {"w": "majority", "journal": True}
FAST: Mapping[str, Any] = {"w": 1}

# A number is judged by "at most" or "at least" its target.
AT_MOST, AT_LEAST = "<=", ">="


@dataclass(frozen=True)
class Figure:
    """One measured number, with what it should be."""

    name: str
    value: float
    unit: str
    direction: str = ""
    target: float | None = None

    @property
    def verdict(self) -> str:
        """ok or MISSED, empty without a target."""
        if self.target is None:
            return ""
        holds = (
            self.value <= self.target if self.direction == AT_MOST else self.value >= self.target
        )
        return "ok" if holds else "MISSED"

    def row(self) -> str:
        """A line of the table."""
        target = "" if self.target is None else f"{self.direction} {self.target:g} {self.unit}"
        return f"{self.name:<58} {self.value:>9.2f} {self.unit:<9} {target:<16} {self.verdict}"


@dataclass(frozen=True)
class Size:
    """How much to measure; --quick measures less."""

    n_trials: int
    n_pairs: int
    n_latencies: int
    n_starts: int
    n_stored: int


FULL = Size(n_trials=1500, n_pairs=3, n_latencies=60, n_starts=7, n_stored=100_000)
QUICK = Size(n_trials=300, n_pairs=1, n_latencies=15, n_starts=3, n_stored=20_000)


def main() -> int:
    """Measure everything, print the table; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench_queue", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller store")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL

    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="hpo-bench-") as directory:
        with EmbeddedMongo.join_or_start(directory) as server:
            for measure in MEASUREMENTS:
                print(f"measuring {measure.__name__.replace('_', ' ')} …", file=sys.stderr)
                for figure in measure(server.url, size):
                    figures.append(figure)
                    print(f"  {figure.row()}", file=sys.stderr, flush=True)
    print("\n".join(figure.row() for figure in figures))
    if options.json:
        options.json.write_text(json.dumps(_report(figures, options.quick), indent=2) + "\n")
    return int(any(figure.verdict == "MISSED" for figure in figures))


def _report(figures: Sequence[Figure], is_quick: bool) -> dict[str, Any]:
    return {
        "quick": is_quick,
        "python": platform.python_version(),
        "pymongo": pymongo.version,
        "cores": os.cpu_count(),
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
    }


# --- trials per second ---------------------------------------------------------------


def trial_rates(url: str, size: Size) -> Iterator[Figure]:
    """Bare pymongo loops and whole searches, in turn, on the same server."""
    n = size.n_trials
    pairs = [
        (bare_pymongo_rate(url, 4, n, DURABLE, DURABLE), search_rate(url, 4, n))
        for _ in range(size.n_pairs)
    ]
    bare, searched = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    ratio = statistics.median(search / bare for bare, search in pairs)
    yield Figure("bare pymongo, 4 processes, majority + journal", bare, "trials/s")
    yield Figure("fmin with a no-op objective, workers=4", searched, "trials/s")
    yield Figure("ratio of the two, median of pairs", ratio, "", AT_LEAST, 0.5)
    for n_workers in (1, 2):
        rate = search_rate(url, n_workers, n)
        yield Figure(f"fmin with a no-op objective, workers={n_workers}", rate, "trials/s")
    yield Figure("4 workers draining a full queue", drain_rate(url, 4, n), "trials/s")
    mixed = bare_pymongo_rate(url, 4, n, FAST, DURABLE)
    yield Figure("bare pymongo, 4 processes, claim w:1, finish majority", mixed, "trials/s")
    fast = bare_pymongo_rate(url, 4, n, FAST, FAST)
    yield Figure("bare pymongo, 4 processes, w:1", fast, "trials/s")


def bare_pymongo_rate(
    url: str,
    n_processes: int,
    n_trials: int,
    claim_concern: Mapping[str, Any],
    finish_concern: Mapping[str, Any],
) -> float:
    """Trials per second of processes that only claim and finish documents."""
    with fresh_database(url, "bare") as database_url:
        jobs = jobs_of(database_url)
        jobs.create_index([("state", 1), ("tid", 1)])
        jobs.insert_many([stored_trial(tid, JOB_STATE_NEW) for tid in range(n_trials)])
        context = multiprocessing.get_context("spawn")
        ready = context.Barrier(n_processes)
        spans = context.SimpleQueue()
        processes = [
            context.Process(
                target=claim_and_finish_all,
                args=(database_url, dict(claim_concern), dict(finish_concern), ready, spans),
            )
            for _ in range(n_processes)
        ]
        for process in processes:
            process.start()
        begins, ends = zip(*(spans.get() for _ in processes), strict=True)
        for process in processes:
            process.join()
        assert jobs.count_documents({"state": JOB_STATE_DONE}) == n_trials
    return n_trials / float(max(ends) - min(begins))


def claim_and_finish_all(
    url: str,
    claim_concern: Mapping[str, Any],
    finish_concern: Mapping[str, Any],
    ready: Any,
    spans: Any,
) -> None:
    """Two commands for each trial, until no trial is left; says from when to when."""
    claims = jobs_of(url, **claim_concern)
    finishes = jobs_of(url, **finish_concern)
    for jobs in (claims, finishes):
        jobs.database.command("ping")
    ready.wait()
    began = time.time()
    taken = {"$set": {"state": JOB_STATE_RUNNING, "owner": str(os.getpid())}}
    while trial := claims.find_one_and_update(
        {"state": JOB_STATE_NEW}, taken, sort=[("tid", pymongo.ASCENDING)]
    ):
        ended = {"state": JOB_STATE_DONE, "result": {"status": "ok", "loss": 0.0}}
        finishes.update_one({"_id": trial["_id"], "owner": str(os.getpid())}, {"$set": ended})
    spans.put((began, time.time()))


def search_rate(url: str, n_workers: int, n_trials: int) -> float:
    """Trials per second of a whole `fmin`, its driver included."""
    with fresh_database(url, "search") as database_url:
        fmin(
            no_op,
            SPACE,
            algo=rand.suggest,
            max_evals=n_trials,
            trials=database_url,
            exp_key="bench",
            workers=n_workers,
            rstate=0,
            verbose=False,
        )
        return rate_of_stored(database_url, n_trials)


def drain_rate(url: str, n_workers: int, n_trials: int) -> float:
    """Trials per second of workers alone, with every trial queued beforehand."""
    with fresh_database(url, "drain") as database_url:
        trials = MongoTrials(database_url, exp_key="bench")
        search = searching(trials, rand.suggest, max_queue_len=n_trials)
        search.run(n_trials, block_until_done=False)
        with local_workers(n_workers, database_url):
            wait_until(lambda: trials.count_by_state_unsynced(JOB_STATE_DONE) == n_trials)
        trials.close()
        return rate_of_stored(database_url, n_trials)


def rate_of_stored(database_url: str, n_trials: int) -> float:
    """Trials over the time from the first claim to the last result."""
    [span] = jobs_of(database_url).aggregate(
        [
            {"$match": {"state": JOB_STATE_DONE}},
            {
                "$group": {
                    "_id": None,
                    "n": {"$sum": 1},
                    "began": {"$min": "$book_time"},
                    "ended": {"$max": "$finish_time"},
                }
            },
        ]
    )
    assert span["n"] == n_trials, f"{span['n']} of {n_trials} trials are done"
    return n_trials / float((span["ended"] - span["began"]).total_seconds())


# --- latencies -----------------------------------------------------------------------


def latencies(url: str, size: Size) -> Iterator[Figure]:
    """One trial at a time on one idle worker: how long until each side knows."""
    suggested_at: dict[int, float] = {}
    known_at: list[float] = []

    def suggest(new_ids: Sequence[int], *others: Any) -> Sequence[dict[str, Any]]:
        documents = rand.suggest(new_ids, *others)
        suggested_at.update(dict.fromkeys(new_ids, time.time()))
        return documents

    def note_time(trials: Any, *state: Any) -> tuple[bool, Sequence[Any]]:
        known_at.append(time.time())
        return False, state

    with fresh_database(url, "latency") as database_url:
        trials = MongoTrials(database_url, exp_key="bench")
        search = searching(trials, suggest, timed, early_stop_fn=note_time)
        with local_workers(1, database_url):
            search.run(2)  # the worker starts, its child loads the objective
            known_at.clear()
            for _ in range(size.n_latencies):
                time.sleep(0.05)  # the worker goes idle
                search.run(1)
        results = {trial["tid"]: trial["result"] for trial in trials.trials[2:]}
        trials.close()
    starts = [results[tid]["began"] - suggested_at[tid] for tid in results]
    ends = [
        known - result["ended"] for known, result in zip(known_at, results.values(), strict=True)
    ]
    for name, found in (("suggest -> start", starts), ("finish -> known", ends)):
        median_ms = statistics.median(found) * 1e3
        yield Figure(f"{name} on an idle worker, median", median_ms, "ms", AT_MOST, 15)
        yield Figure(
            f"{name} on an idle worker, 95 %", float(np.quantile(found, 0.95)) * 1e3, "ms"
        )


# --- starting ------------------------------------------------------------------------


def starts(url: str, size: Size) -> Iterator[Figure]:
    """From exec to work, and what an import costs."""
    with fresh_database(url, "start") as database_url:
        trials = MongoTrials(database_url, exp_key="bench")
        search = searching(trials, rand.suggest, max_queue_len=1)
        search.run(1, block_until_done=False)
        secs = [worker_start_secs(database_url, search) for _ in range(size.n_starts)]
        trials.close()
    yield Figure("hpo-worker, exec -> first claim", statistics.median(secs), "s", AT_MOST, 0.7)
    code = (
        "import time, numpy; t = time.perf_counter(); import hpo; print(time.perf_counter() - t)"
    )
    imports = [
        float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(size.n_starts)
    ]
    yield Figure("import hpo, beyond import numpy", statistics.median(imports), "s", AT_MOST, 0.15)


def worker_start_secs(database_url: str, search: FMinIter) -> float:
    """Start one worker for one trial; by the server's clock, which is this machine's."""
    jobs = jobs_of(database_url)
    if not jobs.find_one({"state": JOB_STATE_NEW}):
        search.run(1, block_until_done=False)
    waiting = jobs.find_one({"state": JOB_STATE_NEW})
    assert waiting is not None
    began = time.time()
    subprocess.run(
        [sys.executable, "-m", "hpo_worker", "--max-jobs", "1", "--quiet"],
        env={**os.environ, "HPO_MONGO_URL": database_url},
        check=True,
    )
    done = jobs.find_one({"_id": waiting["_id"]}, {"_id": 0, "booked": {"$toLong": "$book_time"}})
    assert done is not None
    return float(done["booked"]) / 1e3 - began


# --- large experiments -----------------------------------------------------------------


def large_experiments(url: str, size: Size) -> Iterator[Figure]:
    """A driver on an experiment with many finished trials."""
    with fresh_database(url, "large") as database_url:
        store_finished_trials(database_url, size.n_stored)
        found = in_new_process(measure_refresh, database_url)
        of_stored = f"of {size.n_stored:,} stored trials"
        yield Figure(f"first read {of_stored}", found["load_secs"], "s")
        yield Figure(f"refresh {of_stored} with 10 new", found["refresh_ms"], "ms", AT_MOST, 20)
        found = in_new_process(measure_driver, database_url)
        yield Figure(
            f"resident driver (tpe, 10 more) {of_stored}", found["peak_mb"], "MB", AT_MOST, 250
        )


def store_finished_trials(database_url: str, n: int) -> None:
    """Write an experiment as a search would have left it, without running one."""
    trials = MongoTrials(database_url, exp_key="bench")
    searching(trials, rand.suggest)  # the experiment's record and indexes
    trials.new_trial_ids(n)
    jobs = jobs_of(database_url)
    for first in range(0, n, 10_000):
        jobs.insert_many(
            [stored_trial(tid, JOB_STATE_DONE) for tid in range(first, min(n, first + 10_000))],
            ordered=False,
        )
    trials.close()


def measure_refresh(database_url: str) -> dict[str, float]:
    """Read everything once, then refresh again and again with 10 new trials each time."""
    began = time.perf_counter()
    trials = MongoTrials(database_url, exp_key="bench")
    load_secs = time.perf_counter() - began
    search = searching(trials, rand.suggest, max_queue_len=10)
    other = MongoTrials(trials.handle, exp_key="bench", refresh=False)
    refresh_secs = []
    for _ in range(15):
        tids = trials.new_trial_ids(10)
        other.insert_trial_docs(rand.suggest(tids, search.domain, trials, 0))
        n_before = len(trials)
        began = time.perf_counter()
        trials.refresh()
        refresh_secs.append(time.perf_counter() - began)
        assert len(trials) == n_before + 10
    trials.store.cancel("bench")
    return {"load_secs": load_secs, "refresh_ms": statistics.median(refresh_secs) * 1e3}


def measure_driver(database_url: str) -> dict[str, float]:
    """Run ten more trials with TPE; the peak of this process's memory."""
    n_counted = MongoTrials(database_url, exp_key="bench").count_by_state_unsynced(JOB_STATE_DONE)
    fmin(
        no_op,
        SPACE,
        algo=tpe.suggest,
        max_evals=n_counted + 10,
        trials=database_url,
        exp_key="bench",
        workers=1,
        rstate=0,
        verbose=False,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_mb": peak / (1e6 if sys.platform == "darwin" else 1e3)}


# --- what the measurements share -------------------------------------------------------


def no_op(configuration: Mapping[str, Any]) -> float:
    """The objective that costs nothing."""
    return float(configuration["x0"])


def timed(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """An objective that takes 20 ms and says when it began and ended."""
    began = time.time()
    time.sleep(0.02)
    return {"status": "ok", "loss": 0.0, "began": began, "ended": time.time()}


def stored_trial(tid: int, state: int) -> dict[str, Any]:
    """A document of some 600 bytes, as the driver and a worker would have left it."""
    values = {label: (tid * (i + 1) % 997) / 997 for i, label in enumerate(SPACE)}
    trial = new_trial(tid, exp_key="bench", values=values, params=values)
    if state == JOB_STATE_DONE:
        trial.update(result={"status": "ok", "loss": values["x0"]}, state=state)
    return {**trial, "number": tid}


def searching(
    trials: MongoTrials,
    algo: Callable[..., Any],
    objective: Callable[..., Any] = no_op,
    **options: Any,
) -> FMinIter:
    """A driver of an experiment, to be run in steps."""
    domain = Domain(objective, SPACE)
    return FMinIter(algo, domain, trials, np.random.default_rng(0), **options)


@contextlib.contextmanager
def local_workers(n: int, url: str) -> Iterator[None]:
    """Worker processes for the length of the block."""
    pool = LocalWorkers(n, url, "bench", say=lambda line: print(line, file=sys.stderr))
    try:
        yield
    finally:
        pool.stop()


@contextlib.contextmanager
def fresh_database(url: str, name: str) -> Iterator[str]:
    """The URL of an empty database, dropped afterwards."""
    parts = pymongo.uri_parser.parse_uri(url)
    database = f"{name}_{time.monotonic_ns()}"
    database_url = url.replace(f"/{parts['database']}?", f"/{database}?", 1)
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        try:
            yield database_url
        finally:
            client.drop_database(database)


def jobs_of(url: str, **concern: Any) -> pymongo.collection.Collection[dict[str, Any]]:
    """The collection of trial documents."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, **concern)
    return client.get_default_database()["jobs"]


def in_new_process(function: Callable[[str], dict[str, float]], url: str) -> dict[str, float]:
    """Run a function in a Python of its own, so that its memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (url,))


def wait_until(condition: Callable[[], bool], timeout_secs: float = 300.0) -> None:
    """Poll; for states that nothing announces."""
    deadline = time.monotonic() + timeout_secs
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not reached within {timeout_secs:.0f} s")
        time.sleep(0.05)


MEASUREMENTS: tuple[Callable[[str, Size], Iterator[Figure]], ...] = (
    trial_rates,
    latencies,
    starts,
    large_experiments,
)

if __name__ == "__main__":
    raise SystemExit(main())
