"""The tables, and whether the targets are met.

Everything is normalised regret (see `measures`): 0 is the optimum, 1 is random
search at the same budget. A group's figure is the mean over its problems, with the
standard error that comes from the finite number of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.quality.measures import BUDGETS, Outcome
from scripts.quality.optimisers import HPO, OPTUNA_TPE, RANDOM, TPE_PEERS, Name
from scripts.quality.problem import CONDITIONAL, CONTINUOUS, DISCRETE, HALVES, KINDS, NOISY
from scripts.quality.runs import Results
from scripts.quality.suite import problem

ALL = "all"

# A normalised regret this small is the optimum, but for rounding.
_FOUND = 1e-9


@dataclass(frozen=True)
class Regret:
    """A mean normalised regret and its standard error."""

    mean: float
    error: float


Outcomes = Mapping[str, Mapping[int, Sequence[Outcome]]]
"""problem -> number of workers -> the outcomes of all seeds."""


@dataclass(frozen=True)
class Figures:
    """The outcomes to report on.

    Attributes:
        shown: optimisers, in the order of the tables.
        problems: their names; only those that random search has run on.
        workers: numbers of workers.
        outcomes: optimiser -> `Outcomes`.
    """

    shown: tuple[str, ...]
    problems: tuple[str, ...]
    workers: tuple[int, ...]
    outcomes: Mapping[str, Outcomes]

    @staticmethod
    def collect(
        results: Results, shown: Sequence[str], problems: Sequence[str], workers: Sequence[int]
    ) -> Figures:
        """Sort what is stored by optimiser, problem and number of workers."""
        outcomes: dict[str, dict[str, dict[int, list[Outcome]]]] = {}
        for optimiser in shown:
            sorted_out = outcomes.setdefault(optimiser, {})
            for run, outcome in sorted(
                results.of(optimiser).items(), key=lambda item: item[0].seed
            ):
                of_problem = sorted_out.setdefault(run.problem, {})
                of_problem.setdefault(run.n_workers, []).append(outcome)
        known = tuple(name for name in problems if name in outcomes[RANDOM])
        return Figures(tuple(shown), known, tuple(workers), outcomes)

    def of(self, optimiser: str, name: str, n_workers: int) -> Sequence[Outcome]:
        """The outcomes of all seeds; random search serves for any number of workers."""
        by_workers = self.outcomes[optimiser].get(name, {})
        return by_workers.get(1 if optimiser == RANDOM else n_workers, [])

    def regret(self, optimiser: str, name: str, n_workers: int, budget: int) -> Regret | None:
        """Normalised regret on one problem; None where nothing was run."""
        mine = self._losses(optimiser, name, n_workers, budget)
        if not len(mine):
            return None
        least = problem(name).least
        unit = float(np.mean(self._losses(RANDOM, name, 1, budget))) - least
        error = float(np.std(mine, ddof=1)) / math.sqrt(len(mine)) if len(mine) > 1 else math.nan
        return Regret((float(np.mean(mine)) - least) / unit, error / unit)

    def _losses(self, optimiser: str, name: str, n_workers: int, budget: int) -> Any:
        return np.array([o.recommended[budget] for o in self.of(optimiser, name, n_workers)])

    def group(
        self, optimiser: str, names: Iterable[str], n_workers: int, budget: int
    ) -> Regret | None:
        """Mean over problems; None unless all of them were run."""
        regrets = [self.regret(optimiser, name, n_workers, budget) for name in names]
        found = [regret for regret in regrets if regret is not None]
        if not found or len(found) < len(regrets):
            return None
        errors = np.array([regret.error for regret in found])
        mean = float(np.mean([regret.mean for regret in found]))
        return Regret(mean, float(np.sqrt(np.sum(errors**2))) / len(found))

    def mean_ranks(
        self, contestants: Sequence[str], n_workers: int, budget: int
    ) -> dict[str, float]:
        """Mean over problems of the rank by mean regret, 1 the best; empty if runs are missing."""
        ranks: list[list[float]] = []
        for name in self.problems:
            regrets = [self.regret(o, name, n_workers, budget) for o in contestants]
            means = [regret.mean for regret in regrets if regret is not None]
            if len(means) < len(contestants):
                return {}
            ranks.append(rank(means))
        return dict(zip(contestants, np.mean(ranks, axis=0).tolist(), strict=True))

    def groups(self) -> dict[str, tuple[str, ...]]:
        """All problems, the halves, the kinds: those that are not empty."""
        of_half = {h: tuple(n for n in self.problems if problem(n).half == h) for h in HALVES}
        of_kind = {k: tuple(n for n in self.problems if problem(n).kind == k) for k in KINDS}
        found = {ALL: self.problems, **of_half, **of_kind}
        return {title: names for title, names in found.items() if names}

    def best_peer(self, names: Sequence[str], n_workers: int, budget: int) -> float | None:
        """The least regret of the TPE peers on a group; None until one has been run."""
        regrets = [self.group(peer, names, n_workers, budget) for peer in TPE_PEERS]
        return min((regret.mean for regret in regrets if regret is not None), default=None)


def rank(values: Sequence[float]) -> list[float]:
    """1 for the least; equal values share the mean of their ranks."""
    return [
        1 + sum(other < value for other in values) + (values.count(value) - 1) / 2
        for value in values
    ]


def ratio_to(unit: float, value: float) -> float:
    """value / unit, where an optimum that both have found counts as 1."""
    if unit > _FOUND:
        return value / unit
    return 1.0 if value <= _FOUND else math.inf


# --- targets ---


@dataclass(frozen=True)
class Target:
    """A statement, the figures behind it, and whether it holds (None: not yet known)."""

    statement: str
    figures: str
    holds: bool | None

    def __str__(self) -> str:
        verdict = {True: "yes", False: "NO", None: "?"}[self.holds]
        return f"{verdict:<4}{self.statement:<66} {self.figures}"


AT_MOST_OF_BEST_PEER = 0.8
AT_MOST_OF_BEST_PEER_IN_TREES = 0.7
AT_MOST_WITH_EIGHT_WORKERS = 1.15


def targets(figures: Figures, ours: str) -> Iterator[Target]:
    """What one of our algorithms is measured by."""
    groups = figures.groups()
    if not groups:
        return
    for n_workers in figures.workers:
        for budget in BUDGETS:
            yield _ranks_first(figures, ours, n_workers, budget)
    if 1 in figures.workers:
        for budget in BUDGETS[1:]:
            yield _against_best_peer(figures, ours, ALL, budget, AT_MOST_OF_BEST_PEER)
        if CONDITIONAL in groups:
            for budget in BUDGETS[1:]:
                yield _against_best_peer(
                    figures, ours, CONDITIONAL, budget, AT_MOST_OF_BEST_PEER_IN_TREES
                )
    if {1, 8} <= set(figures.workers):
        for budget in BUDGETS[1:]:
            yield _with_eight_workers(figures, ours, budget)
    for n_workers in figures.workers:
        yield from _shapes(figures, ours, n_workers)


def _ranks_first(figures: Figures, ours: str, n_workers: int, budget: int) -> Target:
    ranks = figures.mean_ranks([ours, *TPE_PEERS, RANDOM], n_workers, budget)
    statement = f"ranks first, {budget} evaluations, {_workers(n_workers)}"
    if not ranks:
        return Target(statement, "runs are missing", None)
    best_other = min(value for name, value in ranks.items() if name != ours)
    text = f"mean rank {ranks[ours]:.2f}; best other {best_other:.2f}"
    return Target(statement, text, ranks[ours] < best_other)


def _against_best_peer(
    figures: Figures, ours: str, group: str, budget: int, at_most: float
) -> Target:
    def ratio(names: Sequence[str]) -> float:
        mine, peer = figures.group(ours, names, 1, budget), figures.best_peer(names, 1, budget)
        return math.nan if mine is None or peer is None else ratio_to(peer, mine.mean)

    groups = figures.groups()
    value = ratio(groups[group])
    statement = f"{group} problems, {budget} evaluations: at most {at_most} of the best peer"
    if math.isnan(value):
        return Target(statement, "runs are missing", None)
    halves = [
        f"{half} {ratio(names):.2f}"
        for half in HALVES
        if (names := tuple(n for n in groups[group] if problem(n).half == half))
    ]
    text = f"{value:.2f} ({', '.join(halves)})"
    if any(figures.group(peer, groups[group], 1, budget) is None for peer in TPE_PEERS):
        return Target(statement, f"{text} of the peers run so far", None)
    return Target(statement, text, value <= at_most)


def _with_eight_workers(figures: Figures, ours: str, budget: int) -> Target:
    statement = f"8 workers, {budget} evaluations: at most {AT_MOST_WITH_EIGHT_WORKERS} of one's"
    one = figures.group(ours, figures.problems, 1, budget)
    eight = figures.group(ours, figures.problems, 8, budget)
    if one is None or eight is None:
        return Target(statement, "runs are missing", None)
    ratio = ratio_to(one.mean, eight.mean)
    return Target(statement, f"{ratio:.2f}", ratio <= AT_MOST_WITH_EIGHT_WORKERS)


@dataclass(frozen=True)
class Shape:
    """One measure of how points lie, with the problems that it is looked at on."""

    title: str
    of: Callable[[Outcome], float | None]
    kinds: tuple[str, ...]
    better_is_less: bool


SHAPES = (
    Shape("border", lambda outcome: outcome.border, KINDS, True),
    Shape("duplicates", lambda outcome: outcome.duplicates, (DISCRETE,), True),
    Shape("clump", lambda outcome: outcome.clump, (CONTINUOUS, NOISY), False),
)


def mean_shape(
    figures: Figures, shape: Shape, optimiser: str, names: Iterable[str], n_workers: int
) -> float | None:
    """Mean over seeds, then over the problems that have it; None unless all were run."""
    means = []
    for name in names:
        outcomes = figures.of(optimiser, name, n_workers)
        if not outcomes:
            return None
        values = [value for outcome in outcomes if (value := shape.of(outcome)) is not None]
        if values:
            means.append(np.mean(values))
    return float(np.mean(means)) if means else None


def _shapes(figures: Figures, ours: str, n_workers: int) -> Iterator[Target]:
    for shape in SHAPES:
        names = [n for n in figures.problems if problem(n).kind in shape.kinds]
        mine = mean_shape(figures, shape, ours, names, n_workers)
        peer = mean_shape(figures, shape, OPTUNA_TPE, names, n_workers)
        wanted = "at most" if shape.better_is_less else "at least"
        statement = f"{shape.title}, {_workers(n_workers)}: {wanted} Optuna's"
        if mine is None or peer is None:
            if names:
                yield Target(statement, "runs are missing", None)
            continue
        holds = mine <= peer if shape.better_is_less else mine >= peer
        yield Target(statement, f"{mine:.3f}; Optuna's {peer:.3f}", holds)


def _workers(n_workers: int) -> str:
    return "one at a time" if n_workers == 1 else f"{n_workers} workers"


# --- text ---


def as_text(figures: Figures, *, per_problem: bool = False) -> str:
    """The whole report."""
    if not figures.problems:
        return "Random search, the unit of every figure, has not been run; leave out --cached."
    parts = [_seeds_line(figures)]
    for n_workers in figures.workers:
        parts.append(_regret_table(figures, n_workers))
        parts.append(_rank_table(figures, n_workers))
        parts.append(_shape_table(figures, n_workers))
        if per_problem:
            parts += [_problem_table(figures, n_workers, budget) for budget in BUDGETS[1:]]
    for ours in _ours(figures):
        lines = [str(target) for target in targets(figures, ours)]
        parts.append("\n".join([f"Targets of {ours}", *lines]))
    return "\n\n".join(parts)


def _ours(figures: Figures) -> list[str]:
    return [o for o in figures.shown if Name.parse(o).house == HPO]


def _seeds_line(figures: Figures) -> str:
    counts = []
    for optimiser in figures.shown:
        numbers = [
            len(figures.of(optimiser, name, n_workers))
            for n_workers in figures.workers
            for name in figures.problems
        ]
        fewest, most = min(numbers, default=0), max(numbers, default=0)
        counts.append(f"{optimiser}: {fewest if fewest == most else f'{fewest} to {most}'}")
    return f"{len(figures.problems)} problems. Seeds of each: {'; '.join(counts)}."


def _regret_table(figures: Figures, n_workers: int) -> str:
    """Groups along the rows, optimisers along the columns, a block for each budget."""
    lines = [
        f"Normalised regret, {_workers(n_workers)}: 0 = optimum, 1 = random search "
        "(± standard error; in brackets, ratio to the best TPE peer)"
    ]
    lines += [*_legend(figures), ""]
    for budget in BUDGETS:
        lines.append(_row(f"{budget} evaluations", (f"[{i}]" for i in _columns(figures))))
        for title, names in figures.groups().items():
            peer = figures.best_peer(names, n_workers, budget)
            cells = [
                _regret_cell(figures.group(optimiser, names, n_workers, budget), peer)
                for optimiser in figures.shown
            ]
            lines.append(_row(f"  {title} ({len(names)})", cells))
    return "\n".join(lines)


def _columns(figures: Figures) -> range:
    return range(1, len(figures.shown) + 1)


def _legend(figures: Figures) -> list[str]:
    return [f"  [{i}] {name}" for i, name in zip(_columns(figures), figures.shown, strict=True)]


def _row(title: str, cells: Iterable[str]) -> str:
    return f"{title:<22}" + "".join(f"{cell:>24}" for cell in cells)


def _regret_cell(regret: Regret | None, peer: float | None) -> str:
    if regret is None:
        return "-"
    ratio = "" if peer is None else f" [{min(ratio_to(peer, regret.mean), 999.0):6.2f}]"
    error = "  -  " if math.isnan(regret.error) else f"{regret.error:.3f}"
    return f"{regret.mean:.3f} ± {error}{ratio}"


def _rank_table(figures: Figures, n_workers: int) -> str:
    lines = [f"Mean rank over the problems, {_workers(n_workers)}"]
    for budget in BUDGETS:
        there = [o for o in figures.shown if figures.group(o, figures.problems, n_workers, budget)]
        ranks = figures.mean_ranks(there, n_workers, budget)
        cells = [f"{ranks[o]:.2f}" if o in ranks else "-" for o in figures.shown]
        lines.append(_row(f"{budget} evaluations", cells))
    return "\n".join(lines)


def _shape_table(figures: Figures, n_workers: int) -> str:
    lines = [f"How the points of a run lie, {_workers(n_workers)}"]
    for shape in SHAPES:
        of_kinds = [n for n in figures.problems if problem(n).kind in shape.kinds]
        rows = {shape.title: of_kinds} if of_kinds else {}
        if "heart2" in of_kinds:
            rows[f"{shape.title}, heart"] = ["heart2"]
        for title, names in rows.items():
            values = [mean_shape(figures, shape, o, names, n_workers) for o in figures.shown]
            lines.append(_row(f"  {title}", ("-" if v is None else f"{v:.3f}" for v in values)))
    return "\n".join(lines)


def _problem_table(figures: Figures, n_workers: int, budget: int) -> str:
    lines = [f"Each problem, {budget} evaluations, {_workers(n_workers)}"]
    for name in figures.problems:
        peer = figures.best_peer([name], n_workers, budget)
        cells = [
            _regret_cell(figures.regret(o, name, n_workers, budget), peer) for o in figures.shown
        ]
        lines.append(_row(f"  {name}", cells))
    return "\n".join(lines)


def as_json(figures: Figures) -> dict[str, Any]:
    """Every figure of the report, for other programs."""

    def regrets(n_workers: int, budget: int, names: Sequence[str]) -> dict[str, Any]:
        found = {o: figures.group(o, names, n_workers, budget) for o in figures.shown}
        return {o: [r.mean, r.error] for o, r in found.items() if r is not None}

    tables = []
    for n_workers in figures.workers:
        for budget in BUDGETS:
            tables.append(
                {
                    "n_workers": n_workers,
                    "evaluations": budget,
                    "groups": {
                        title: regrets(n_workers, budget, names)
                        for title, names in figures.groups().items()
                    },
                    "problems": {n: regrets(n_workers, budget, [n]) for n in figures.problems},
                    "mean_ranks": figures.mean_ranks(figures.shown, n_workers, budget),
                }
            )
    judged = {
        ours: [[t.statement, t.figures, t.holds] for t in targets(figures, ours)]
        for ours in _ours(figures)
    }
    return {"regrets": tables, "targets": judged}
