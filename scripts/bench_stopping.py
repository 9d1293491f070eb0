"""What stopping rules save, and what a report costs.

Rules watch workers that train along recorded learning curves (see `scripts.stopping`): of
each table a random 120 configurations in random order, once for every seed. A rule should
meet a loss within 1 % of the best that full trainings reach, after few epochs, and without
stopping the configuration that would have ended best.

    to best    epochs that were trained until the best loss was met within 1 %; median
    in all     epochs that were trained until nothing was left to do; mean
    lost       seeds in which the best configuration was stopped for good, too early
    not met    seeds in which no configuration ever met a loss within 1 % of the best

Epochs are shares of those that training everything to its end takes. The settings of the rules
were chosen on three of the tables; the one marked "held out" judges them. The cost of a report
is measured in a worker's child process, over a real MongoDB.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymongo

from hpo import Ctrl, MongoTrials, fmin, hp, rand
from hpo.stopping.asha import ASHA
from hpo.stopping.base import Stopper
from hpo.stopping.curve import CurveRule
from hpo.stopping.hyperband import Hyperband
from hpo.stopping.median import MedianRule
from hpo.store.mongo.connection import QUICK
from hpo.store.mongo.embedded import EmbeddedMongo
from hpo.store.mongo.url import parse_mongo_url
from hpo_worker.reporting import STORE_INTERVAL_SECS
from scripts.bench_queue import AT_MOST, Figure, fresh_database
from scripts.stopping.curves import HELD_OUT, N_EPOCHS, TABLES, load_curves
from scripts.stopping.simulation import Outcome, simulate

N_CONFIGURATIONS = 120
N_WORKERS = 8

# Judged by targets: share of the epochs, and of the seeds.
EPOCHS_TO_BEST: Mapping[str, float] = {"ASHA": 0.30, "curve": 0.60}
LOST_SEEDS = 0.05
REPORT_MS = 2.0

RULES: Mapping[str, Stopper] = {
    "ASHA": ASHA(min_steps=9, max_steps=N_EPOCHS, eta=3),
    "Hyperband": Hyperband(min_steps=3, max_steps=N_EPOCHS, eta=3),
    "median": MedianRule(warmup_steps=9, warmup_trials=10, interval_steps=9),
    "curve": CurveRule(burn_in=10, min_input_size=9, probability=0.9, interval_reports=9),
}


def main() -> int:
    """Measure everything, print the table; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench_stopping", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="10 seeds instead of 50")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()

    n_seeds = 10 if options.quick else 50
    print(f"{'':<28} {'':<10} {'to best':>8} {'in all':>8} {'lost':>6} {'not met':>8}")
    summaries: list[Summary] = []
    for table in TABLES:
        for rule in RULES:
            summary = Summary.of(table, rule, outcomes(table, RULES[rule], n_seeds))
            summaries.append(summary)
            print(summary.row(), flush=True)
    figures = [*targets(summaries), *report_costs()]
    print()
    for figure in figures:
        print(figure.row())
    if options.json:
        options.json.write_text(json.dumps(_report(summaries, figures), indent=2) + "\n")
    return int(any(figure.verdict == "MISSED" for figure in figures))


def _report(summaries: Sequence[Summary], figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "rules": [asdict(summary) for summary in summaries],
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
    }


# --- what rules save ----------------------------------------------------------------


def outcomes(table: str, rule: Stopper, n_seeds: int) -> list[Outcome]:
    """What a rule makes of a table, once for every seed."""
    curves = load_curves(table)
    return [
        simulate(
            curves[np.random.default_rng(seed).permutation(len(curves))[:N_CONFIGURATIONS]],
            rule,
            n_workers=N_WORKERS,
            seed=seed,
        )
        for seed in range(n_seeds)
    ]


@dataclass(frozen=True)
class Summary:
    """A rule on a table, over the seeds; shares from 0 to 1."""

    table: str
    rule: str
    to_best: float
    in_all: float
    lost: float
    not_met: float

    @classmethod
    def of(cls, table: str, rule: str, found: Sequence[Outcome]) -> Summary:
        """Of one outcome a seed."""
        return cls(
            table,
            rule,
            to_best=statistics.median(one.share for one in found),
            in_all=statistics.fmean(one.share_in_all for one in found),
            lost=statistics.fmean(one.loses_best for one in found),
            not_met=statistics.fmean(one.n_epochs_to_best is None for one in found),
        )

    def row(self) -> str:
        """A line of the table."""
        shares = (self.to_best, self.in_all, self.lost, self.not_met)
        widths = (8, 8, 6, 8)
        cells = (f"{share:>{width}.0%}" for share, width in zip(shares, widths, strict=True))
        return f"{named(self.table):<28} {self.rule:<10} {' '.join(cells)}"


def named(table: str) -> str:
    """A table as it is shown."""
    return f"{table} (held out)" if table in HELD_OUT else table


def targets(summaries: Sequence[Summary]) -> Iterator[Figure]:
    """What the shares should be."""
    for rule, most in EPOCHS_TO_BEST.items():
        of_rule = [summary for summary in summaries if summary.rule == rule]
        for summary in of_rule:
            where = f"{rule} on {named(summary.table)}"
            yield _percentage(f"{where}: epochs to best", summary.to_best, most)
        for summary in of_rule:
            where = f"{rule} on {named(summary.table)}"
            yield _percentage(f"{where}: seeds lost", summary.lost, LOST_SEEDS)


def _percentage(name: str, share: float, most: float) -> Figure:
    return Figure(name, 100 * share, "%", AT_MOST, 100 * most)


# --- what a report costs --------------------------------------------------------------

_N_STORED, _N_COALESCED = 40, 500


def report_costs() -> Iterator[Figure]:
    """Milliseconds of `ctrl.report` and `ctrl.should_stop` in a worker, over MongoDB.

    Beside them those of a bare update of a document, from the same process in turn.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hpo-bench-") as directory,
        EmbeddedMongo.join_or_start(directory) as server,
        fresh_database(server.url, "reports") as url,
    ):
        fmin(
            functools.partial(reporting_objective, url=url),
            {"x": hp.uniform("x", 0, 1), "ctrl": Ctrl},
            algo=rand.suggest,
            max_evals=1,
            trials=url,
            exp_key="reports",
            workers=1,
            stopper=ASHA(min_steps=N_EPOCHS, max_steps=10**6),
            verbose=False,
        )
        trials = MongoTrials(url, exp_key="reports")
        try:
            result = trials.results[0]
        finally:
            trials.close()
    stored, coalesced, bare = (result[f"{name}_ms"] for name in ("stored", "coalesced", "bare"))
    yield Figure("a report after a rest, median", stored, "ms", AT_MOST, REPORT_MS)
    yield Figure("a report after another, median", coalesced, "ms", AT_MOST, REPORT_MS)
    yield Figure("a bare update of a document, median", bare, "ms")
    yield Figure("a report after a rest as a share of a bare update", stored / bare, "x")


def reporting_objective(config: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Reports, and asks whether to stop; slowly, and as fast as it can."""
    ctrl = config["ctrl"]
    reports = [{"step": step, "loss": 1.0 / (1 + step)} for step in range(_N_STORED)]

    def report(step: int) -> None:
        ctrl.report(step, 1.0 / (1 + step))
        ctrl.should_stop()

    with bare_collection(url) as collection:

        def update(step: int) -> None:
            changed = {"reports": reports[: step + 1], "last_report": reports[step]}
            collection.update_one({"_id": 0}, {"$set": changed}, upsert=True)

        stored, bare = _medians_ms((report, update), range(_N_STORED), 1.1 * STORE_INTERVAL_SECS)
    steps = range(_N_STORED, _N_STORED + _N_COALESCED)
    (coalesced,) = _medians_ms((report,), steps, rest_secs=0.0)
    return {
        "status": "ok",
        "loss": 0.0,
        "stored_ms": stored,
        "coalesced_ms": coalesced,
        "bare_ms": bare,
    }


@contextlib.contextmanager
def bare_collection(url: str) -> Iterator[Any]:
    """A collection beside the trials, in pymongo's hands, with the write concern of reports."""

    address = parse_mongo_url(url)
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(address.url)
    with client:
        yield client[address.database].get_collection("bare", write_concern=QUICK)


def _medians_ms(
    calls: Sequence[Callable[[int], None]], steps: Sequence[int], rest_secs: float
) -> list[float]:
    """The median time of each call, all called in turn and each after a rest."""
    times: list[list[float]] = [[] for _ in calls]
    for step in steps:
        for of_call, call in zip(times, calls, strict=True):
            time.sleep(rest_secs)
            start = time.perf_counter()
            call(step)
            of_call.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(each) for each in times]


if __name__ == "__main__":
    raise SystemExit(main())
