"""hpo's Gaussian process beside scikit-optimize's and Optuna's: how quick, and how good.

Time: every library holds the same finished trials of ten continuous hyperparameters,
and is asked in turn, as in `scripts.bench_suggest`; learning from the last result is
part of the asking. Quality: the continuous problems of `scripts.quality` with up to ten
hyperparameters, 100 evaluations; mean normalised regret, 0 the optimum, 1 random search.

Optuna's GPSampler needs torch, so it takes part only where HPO_BENCH_OPTUNA_PYTHON names
a Python that has both. What the peers have run before is kept in .bench/gp/.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from scripts.bench_queue import AT_MOST, Figure
from scripts.bench_suggest import Clock
from scripts.quality import runs
from scripts.quality.measures import Outcome
from scripts.quality.optimisers import GP_PEERS, HPO_GP, OPTUNA_GP, RANDOM, SKOPT_GP
from scripts.quality.problem import CONTINUOUS
from scripts.quality.report import Figures
from scripts.quality.runs import ROOT, Results, Run
from scripts.quality.suite import NAMES, problem

N_EVALUATIONS = 100
BUDGETS = (50, 100)
MOST_DIMS = 10
STORED = ROOT / ".bench" / "gp"
N_SEEDS, QUICK_SEEDS = 10, 2
N_SEEDS_OF_RANDOM = 200
QUICK_PROBLEMS = ("heart2", "hartmann6", "branin2")

SPACE, N_TRIALS = "continuous10", 100
N_ROUNDS, BURST = 8, 3
MOST_MS = 150.0
MOST_OF_SKOPT = 0.3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench_gp", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="three problems, two seeds")
    parser.add_argument("--seeds", type=int, help=f"runs of each problem (default {N_SEEDS})")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    n_seeds = options.seeds or (QUICK_SEEDS if options.quick else N_SEEDS)
    names = QUICK_PROBLEMS if options.quick else continuous_problems()

    figures = [*time_figures(medians_ms(libraries()))]
    regrets, failures = mean_regrets(names, n_seeds, options.jobs)
    figures += quality_figures(regrets)
    for figure in figures:
        print(figure.row())
    for failure in failures:
        print(failure, file=sys.stderr)
    if options.json:
        report = {
            "python": platform.python_version(),
            "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return int(bool(failures) or any(figure.verdict == "MISSED" for figure in figures))


def libraries() -> tuple[str, ...]:
    """Who takes part."""
    has_torch = "HPO_BENCH_OPTUNA_PYTHON" in os.environ
    return (HPO_GP, *(peer for peer in GP_PEERS if peer != OPTUNA_GP or has_torch))


def continuous_problems() -> tuple[str, ...]:
    """The continuous problems of up to ten hyperparameters."""
    return tuple(
        name
        for name in NAMES
        if problem(name).kind == CONTINUOUS and len(problem(name).space) <= MOST_DIMS
    )


# --- time -------------------------------------------------------------------------


def medians_ms(asked: Sequence[str]) -> dict[str, float]:
    """{library: median time of a suggestion in milliseconds}, each asked in turn."""
    times: dict[str, list[float]] = {library: [] for library in asked}
    with contextlib.ExitStack() as stack:
        clocks = {library: stack.enter_context(Clock(library)) for library in asked}
        for clock in clocks.values():
            clock.load(SPACE, N_TRIALS)
        for _ in range(N_ROUNDS):
            for library, clock in clocks.items():
                times[library] += [clock.ask(1) for _ in range(BURST)]
    return {library: statistics.median(each) for library, each in times.items()}


def time_figures(medians: Mapping[str, float]) -> Iterator[Figure]:
    """The times, the ratio to scikit-optimize, and what they should be."""
    where = f"{SPACE} N={N_TRIALS}"
    for library, median in medians.items():
        bound = MOST_MS if library == HPO_GP else None
        yield Figure(f"{where}: {library}, median", median, "ms", AT_MOST, bound)
    ratio = medians[HPO_GP] / medians[SKOPT_GP]
    yield Figure(f"{where}: hpo as a share of {SKOPT_GP}", ratio, "x", AT_MOST, MOST_OF_SKOPT)


# --- quality ----------------------------------------------------------------------


def mean_regrets(
    names: Sequence[str], n_seeds: int, n_jobs: int
) -> tuple[dict[str, dict[int, float]], list[str]]:
    """{library: {budget: mean normalised regret over the problems}}, and what went wrong."""
    ours, of_random = Results(STORED, N_EVALUATIONS), Results()
    shown = libraries()
    wanted = [
        Run(optimiser, name, seed, 1, N_EVALUATIONS)
        for optimiser in shown
        for seed in range(n_seeds)
        for name in names
    ]
    failures = runs.complete(wanted, ours, n_jobs, _progress)
    draws = [Run(RANDOM, name, seed, 1) for seed in range(N_SEEDS_OF_RANDOM) for name in names]
    failures += runs.complete(draws, of_random, n_jobs, _progress)
    outcomes = {
        **Figures.collect(of_random, [RANDOM], names, [1]).outcomes,
        **{name: _of_seeds(ours, name, n_seeds) for name in shown},
    }
    figures = Figures((*shown, RANDOM), tuple(names), (1,), outcomes)
    regrets: dict[str, dict[int, float]] = {}
    for optimiser in shown:
        for budget in BUDGETS:
            regret = figures.group(optimiser, names, 1, budget)
            if regret is not None:
                regrets.setdefault(optimiser, {})[budget] = regret.mean
    return regrets, failures


def _of_seeds(
    results: Results, optimiser: str, n_seeds: int
) -> dict[str, dict[int, list[Outcome]]]:
    """An optimiser's outcomes of the first seeds: all libraries are judged by the same ones."""
    sorted_out: dict[str, dict[int, list[Outcome]]] = {}
    for run, outcome in results.of(optimiser).items():
        if run.seed < n_seeds:
            sorted_out.setdefault(run.problem, {}).setdefault(1, []).append(outcome)
    return sorted_out


def quality_figures(regrets: Mapping[str, Mapping[int, float]]) -> Iterator[Figure]:
    """The regrets, and that hpo's is the least after 100 evaluations."""
    for library, by_budget in regrets.items():
        for budget, regret in by_budget.items():
            yield Figure(f"regret after {budget} evaluations: {library}", regret, "")
    ours = regrets.get(HPO_GP, {}).get(N_EVALUATIONS)
    for peer in GP_PEERS:
        theirs = regrets.get(peer, {}).get(N_EVALUATIONS)
        if ours is not None and theirs is not None:
            yield Figure(f"regret as a share of that of {peer}", ours / theirs, "x", AT_MOST, 1.0)


def _progress(optimiser: str, n_done: int, n_total: int) -> None:
    if n_done % max(1, n_total // 10) == 0 or n_done == n_total:
        print(f"{optimiser}: {n_done} of {n_total} runs", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
