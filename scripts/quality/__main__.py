"""Compare the searches of hpo with those of its peers, at equal numbers of evaluations.

    scripts/bench_quality                                   everything, for the default algorithm
    scripts/bench_quality --quick                           a few problems, 4 seeds
    scripts/bench_quality --half development --workers 1 \\
        --optimisers 'hpo tpe' 'hpo tpe {"gamma": 0.2}'      while tuning

What was run before is taken from .bench/quality/, and the peers' runs that come with the
sources from scripts/quality/measured/. Only the named optimisers are run; peers and
random search are shown beside them as far as they are there (they are run if named, or
if no optimiser is).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.quality import optimisers, report, runs
from scripts.quality.optimisers import Name
from scripts.quality.problem import HALVES
from scripts.quality.runs import Results, Run
from scripts.quality.suite import names_in

DEFAULT_ALGORITHMS = ("hpo tpe",)
N_SEEDS = 20
# Random search is the unit of every regret, and costs nothing: more seeds, less noise in it.
N_SEEDS_OF_RANDOM = 200
QUICK_PROBLEMS = ("heart2", "hartmann6", "three-models", "follow-the-other", "choices-6000")
QUICK_SEEDS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, and report."""
    options = _parser().parse_args(arguments)
    named = [str(Name.parse(text)) for text in options.optimisers or DEFAULT_ALGORITHMS]
    shown = list(dict.fromkeys([*named, *optimisers.TPE_PEERS, optimisers.RANDOM]))
    to_run = [] if options.cached else named if options.optimisers else shown
    problems = _problems(options)
    results = Results(measured=runs.MEASURED)
    for optimiser in to_run if options.fresh else ():
        results.forget(optimiser)
    wanted = [
        run
        for optimiser in dict.fromkeys([*to_run, optimisers.RANDOM] if to_run else [])
        for run in _runs(optimiser, problems, options.seeds, options.workers)
    ]
    failures = runs.complete(wanted, results, options.jobs, _progress)
    for optimiser in named if options.keep else ():
        results.keep(optimiser)
    figures = report.Figures.collect(results, shown, problems, options.workers)
    print(report.as_text(figures, per_problem=options.details))
    for failure in failures:
        print(failure, file=sys.stderr)
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(figures), indent=1) + "\n")
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="five problems and four seeds")
    parser.add_argument("--half", choices=HALVES, help="only this half of the problems")
    parser.add_argument("--problems", nargs="+", metavar="NAME", help="only these problems")
    parser.add_argument(
        "--optimisers", nargs="+", metavar="NAME",
        help="what to run, e.g. 'hpo tpe', 'optuna cmaes', 'hpo tpe {\"gamma\": 0.2}'",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, help=f"runs of each (default {N_SEEDS})")
    parser.add_argument(
        "--workers", nargs="+", type=int, default=[1, 8], metavar="N",
        help="trials in flight (default: 1 and 8)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default 1)")
    parser.add_argument("--fresh", action="store_true", help="run again what was run before")
    parser.add_argument("--cached", action="store_true", help="run nothing, report what is there")
    parser.add_argument(
        "--keep", action="store_true", help="let the runs of those named come with the sources"
    )
    parser.add_argument("--details", action="store_true", help="a table of all problems as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    return parser


def _problems(options: argparse.Namespace) -> tuple[str, ...]:
    if options.seeds is None:
        options.seeds = QUICK_SEEDS if options.quick else N_SEEDS
    known = names_in(options.half)
    chosen = options.problems or (QUICK_PROBLEMS if options.quick else known)
    unknown = set(chosen) - set(names_in(None))
    if unknown:
        raise SystemExit(f"no such problems: {', '.join(sorted(unknown))}; there are {known}")
    return tuple(name for name in chosen if name in known)


def _runs(
    optimiser: str, problems: Sequence[str], n_seeds: int, workers: Sequence[int]
) -> list[Run]:
    """All runs, seed by seed, so that a run cut short has seen every problem equally often."""
    if optimiser == optimisers.RANDOM:
        # To draw independently it makes no difference how many results are awaited.
        n_seeds, workers = N_SEEDS_OF_RANDOM, [1]
    return [
        Run(optimiser, problem, seed, n_workers)
        for n_workers in workers
        for seed in range(n_seeds)
        for problem in problems
    ]


def _progress(optimiser: str, n_done: int, n_total: int) -> None:
    """One line that is overwritten on a terminal; elsewhere one line for each tenth."""
    text = f"{optimiser}: {n_done} of {n_total} runs"
    if sys.stderr.isatty():
        print(f"{text:<78}", end="\r", file=sys.stderr, flush=True)
    elif n_done % max(1, n_total // 10) == 0 or n_done == n_total:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
