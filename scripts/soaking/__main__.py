"""`scripts/soak`: options, the run from beginning to end, the report."""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    OPEN_STATES,
    STATE_WORDS,
    Document,
)
from hpo.store.mongo import MongoStore
from scripts.soaking import sidelog
from scripts.soaking.adversary import Adversary
from scripts.soaking.auditor import Breach, audit
from scripts.soaking.clocks import find_libfaketime, shifted
from scripts.soaking.crew import Crew, environment
from scripts.soaking.objective import EXP_KEY, MEAN_SECS_VARIABLE
from tests.replica_set import ReplicaSet, running_replica_set

# Of the workers' time this share goes into objectives; the rest is lost to the adversary.
BUSY_SHARE = 0.6
TICK_SECS = 0.2
PROGRESS_SECS = 15.0
# Once the adversary has ceased, the rest must come to its end within so many seconds,
# on top of the time that it takes.
SETTLING_SECS = 90.0
# The soak itself looks at the database, too, while there is none.
PATIENCE_SECS = 120.0

CLOCK_SHIFTS_HOURS = (0.0, 0.0, 5.0, -7.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak; the exit code is 0 if every promise was kept."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    directory = Path(tempfile.mkdtemp(prefix="hpo-soak-"))
    try:
        with running_replica_set(directory / "servers", proxied=True) as servers:
            breaches = _soak(servers, directory, options)
    except BaseException:
        print(f"the logs are in {directory}", file=sys.stderr)
        raise
    if breaches:
        print(f"{len(breaches)} breaches; the logs are in {directory}")
        for breach in breaches[:50]:
            print(f"  {breach}")
        return 1
    print("every promise was kept")
    shutil.rmtree(directory)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Run a search while an adversary breaks everything; audit what is left.",
    )
    parser.add_argument("--minutes", type=float, default=12.0, help="(default: %(default)g)")
    parser.add_argument("--workers", type=int, default=16, help="(default: %(default)d)")
    parser.add_argument("--trials", type=int, default=10_000, help="(default: %(default)d)")
    parser.add_argument("--seed", type=int, default=0, help="of the adversary's plans")
    return parser


def _soak(servers: ReplicaSet, directory: Path, options: argparse.Namespace) -> list[Breach]:
    """Run the search, audit and report; return the breaches."""
    began_at = time.monotonic()
    log = directory / "side.log"
    url = servers.url("soak")
    with closing(MongoStore.connect(url, patience_secs=PATIENCE_SECS)) as store:
        crew = _crew(url, log, directory, options)
        adversary = Adversary(crew, servers, options.seed)
        try:
            adversary.begin()
            has_ended = _run(crew, store, began_at + options.minutes * 60)
            adversary.cease()
            if not has_ended:
                print(f"the adversary ceases; {store.count(EXP_KEY, OPEN_STATES)} trials are open")
                secs = SETTLING_SECS + 4 * _secs_left(store, options)
                has_ended = _run(crew, store, time.monotonic() + secs)
        finally:
            adversary.stop()
            crew.end()
        trials = list(store.find(EXP_KEY))
        leader = store.experiment(EXP_KEY).driver
    entries = sidelog.read(log)
    counts = adversary.counts + _happened(entries) + _stored(trials)
    counts["elections"] = _elections(servers)
    _report(counts, time.monotonic() - began_at, options)
    breaches = audit(trials, entries, max_evals=options.trials, leader=leader)
    if not has_ended:
        breaches.insert(0, Breach("complete", None, "the driver did not end: it is stuck"))
    return breaches + [
        Breach("goes on", None, f"{n} times {how}") for how, n in crew.gave_up.items()
    ]


def _crew(url: str, log: Path, directory: Path, options: argparse.Namespace) -> Crew:
    shared = {
        "HPO_KEY": secrets.token_hex(32),
        sidelog.PATH_VARIABLE: str(log),
        MEAN_SECS_VARIABLE: f"{_mean_secs(options):.4g}",
    }
    clocks = _clocks(directory, options.workers)
    return Crew(
        directory, environment(url, **shared), clocks, max_evals=options.trials, seed=options.seed
    )


def _mean_secs(options: argparse.Namespace) -> float:
    """How long a trial takes on average, so that all of them fill the time."""
    return float(BUSY_SHARE * options.workers * options.minutes * 60 / options.trials)


def _secs_left(store: MongoStore, options: argparse.Namespace) -> float:
    """How long what is not done yet would take if nothing happened."""
    n_left = options.trials - _n_ended(store)
    return float(n_left * _mean_secs(options) / options.workers)


def _clocks(directory: Path, n_workers: int) -> list[dict[str, str]]:
    library = find_libfaketime(directory / "faketime")
    if library is None:
        print("libfaketime cannot be had here (apt-get install faketime): all clocks are right")
        return [{} for _ in range(n_workers)]
    shifts = [CLOCK_SHIFTS_HOURS[n % len(CLOCK_SHIFTS_HOURS)] for n in range(n_workers)]
    return [shifted(library, hours) if hours else {} for hours in shifts]


def _run(crew: Crew, store: MongoStore, until: float) -> bool:
    """Look after the crew until the driver has ended (True) or it is `until` (False)."""
    shown_at = time.monotonic()
    while crew.look_after():
        now = time.monotonic()
        if now > until:
            return False
        if now - shown_at > PROGRESS_SECS:
            shown_at = now
            print(f"{_n_ended(store)} trials have ended", flush=True)
        time.sleep(TICK_SECS)
    return True


def _n_ended(store: MongoStore) -> int:
    return store.count(EXP_KEY, (JOB_STATE_DONE, JOB_STATE_ERROR))


def _happened(entries: Iterable[sidelog.Entry]) -> Counter[str]:
    words = {
        sidelog.Evaluation: "evaluations",
        sidelog.Acknowledged: "results acknowledged",
        sidelog.Fenced: "writes fenced",
    }
    return Counter(words[type(entry)] for entry in entries)


def _stored(trials: Iterable[Document]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for trial in trials:
        counts[f"trials {STATE_WORDS[trial['state']]}"] += 1
        counts.update(f"attempts {ended['reason']}" for ended in trial.get("attempts", ()))
    return counts


def _elections(servers: ReplicaSet) -> int:
    """How many terms the set has had, beyond its first."""
    status = servers.primary().admin.admin.command("replSetGetStatus")
    return int(status["term"]) - 1


def _report(counts: Counter[str], secs: float, options: argparse.Namespace) -> None:
    print(f"{options.trials} trials, {options.workers} workers, seed {options.seed}, {secs:.0f} s")
    for what, n in sorted(counts.items()):
        print(f"{n:8d}  {what}")


if __name__ == "__main__":
    sys.exit(main())
