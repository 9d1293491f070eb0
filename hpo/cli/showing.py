"""What there is in a database: experiments, trials, workers."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpo.cli.console import (
    EXIT_NOTHING,
    EXIT_OK,
    NAMELESS,
    AddCommand,
    add_experiment,
    add_url,
    counted,
    existing,
    name_of,
    open_store,
    positive,
    print_table,
    readable,
)
from hpo.document import JOB_STATE_DONE, JOB_STATES, STATE_WORDS

if TYPE_CHECKING:
    from hpo.store.mongo import MongoStore


def add_commands(command: AddCommand) -> None:
    """Say what these commands are called, and what can be said to them."""
    status = command("status", show_status, "show how far each experiment is")
    add_url(status)
    status.add_argument("--exp-key", metavar="K", help="only this experiment")

    best = command("best", show_best, "show the best trials of an experiment")
    add_url(best)
    add_experiment(best)
    best.add_argument("-n", type=positive, default=5, metavar="N", help="how many (default 5)")

    trials = command("trials", show_trials, "show the latest trials, and how far each has come")
    add_url(trials)
    add_experiment(trials)
    trials.add_argument("-n", type=positive, default=20, metavar="N", help="how many (default 20)")
    trials.add_argument(
        "--state", choices=STATE_WORDS, metavar="S", help=f"only these: {', '.join(STATE_WORDS)}"
    )

    again = command("replay", show_replay, "compute a suggestion again, and compare")
    add_url(again)
    add_experiment(again)
    again.add_argument("tid", type=int, metavar="TID", help="the trial's id")


def show_status(args: argparse.Namespace) -> int:
    """Print one line per experiment, and who works on them."""
    with open_store(args) as store:
        exp_keys = store.exp_keys()
        if args.exp_key is not None:
            exp_keys = [existing(store, args.exp_key)]
        words = [STATE_WORDS[state] for state in JOB_STATES]
        rows = [_status_row(store, exp_key) for exp_key in exp_keys]
        if rows:
            print_table(["experiment", *words, "best loss", "workers"], rows)
        else:
            print("no experiment has trials yet")
        _print_aside(store, args.exp_key)
        _print_workers(store)
    return EXIT_OK


def _status_row(store: MongoStore, exp_key: str | None) -> list[str]:
    counts = [str(store.count(exp_key, [state])) for state in JOB_STATES]
    best = store.best(exp_key, 1)
    loss = f"{best[0]['result']['loss']:.6g}" if best else NAMELESS
    return [name_of(exp_key), *counts, loss, str(len(store.workers(exp_key)))]


def _print_aside(store: MongoStore, name: str | None) -> None:
    exp_key = None if name == NAMELESS else name
    n_aside = store.count_aside(exp_key, all_experiments=name is None)
    if n_aside:
        found = "1 document is no trial and was" if n_aside == 1 else f"{n_aside} documents are"
        verb = "" if n_aside == 1 else " no trials and were"
        print(f"{found}{verb} set aside: db.{store.jobs.name}.find({{set_aside: {{$exists: 1}}}})")


def _print_workers(store: MongoStore) -> None:
    workers = store.workers()
    states = Counter(worker.state for worker in workers)
    listed = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
    print(f"{counted(len(workers), 'worker')} alive" + (f": {listed}" if listed else ""))
    for worker in workers:
        if worker.message:
            print(f"  {worker.owner} cannot work: {worker.message}")


def show_best(args: argparse.Namespace) -> int:
    """Print the finished trials with the least losses, best first."""
    with open_store(args) as store:
        exp_key = existing(store, args.exp_key)
        best = store.best(exp_key, args.n)
    if not best:
        print(f"no trial of {name_of(exp_key)!r} has finished with a loss yet", file=sys.stderr)
        return EXIT_NOTHING
    rows = [
        [str(trial["tid"]), f"{trial['result']['loss']:.6g}", readable(trial.get("params"))]
        for trial in best
    ]
    print_table(["trial", "loss", "parameters"], rows, n_left=1)
    return EXIT_OK


def show_trials(args: argparse.Namespace) -> int:
    """Print the trials that were added last, with what they reported last, latest first."""
    states = None if args.state is None else [STATE_WORDS.index(args.state)]
    with open_store(args) as store:
        exp_key = existing(store, args.exp_key)
        latest = store.latest(exp_key, args.n, states)
    if not latest:
        print(f"no trial of {name_of(exp_key)!r} is {args.state}", file=sys.stderr)
        return EXIT_NOTHING
    header = ["trial", "state", "loss", "step", "loss there", "host", "parameters"]
    print_table(header, [_trial_row(trial) for trial in latest], n_left=2)
    return EXIT_OK


def _trial_row(trial: Mapping[str, Any]) -> list[str]:
    result, report = trial.get("result") or {}, trial.get("last_report") or {}
    state = STATE_WORDS[trial["state"]]
    # What is done is told apart by how: ok, stopped, fail.
    status = result.get("status") if trial["state"] == JOB_STATE_DONE else None
    return [
        str(trial["tid"]),
        state if status in (None, "ok") else f"{state}: {status}",
        _number(result.get("loss")),
        str(report.get("step", NAMELESS)),
        _number(report.get("loss")),
        str(trial.get("host") or NAMELESS),
        readable(trial.get("params")),
    ]


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, (int, float)) else NAMELESS


def show_replay(args: argparse.Namespace) -> int:
    """Compute the suggestion of one trial again and print both."""
    from hpo.mongo_trials import MongoTrials
    from hpo.replay import replay
    from hpo.store.mongo.url import read_url

    with open_store(args) as store:
        exp_key = existing(store, args.exp_key)
    trials = MongoTrials(read_url(args.url), exp_key=exp_key, patience_secs=0)
    try:
        replayed = replay(trials, args.tid)
    finally:
        trials.close()
    rows = [
        [label, repr(replayed.stored.get(label)), repr(replayed.values.get(label))]
        for label in dict.fromkeys([*replayed.stored, *replayed.values])
    ]
    print_table(["label", "stored", "again"], rows, n_left=3)
    algorithm, version = (replayed.suggested_by[key] for key in ("algorithm", "version"))
    if replayed.is_same:
        print(f"the same, by {algorithm}")
        return EXIT_OK
    print(f"differs in {', '.join(replayed.differing)}")
    if version != replayed.version:
        print(f"version {version} of {algorithm} suggested it; this is version {replayed.version}")
    return EXIT_NOTHING
