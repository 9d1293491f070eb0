"""A process that runs one optimiser: a task a line comes in, an outcome a line goes out.

    python -m scripts.quality.worker 'optuna tpe'

in:  {"problem": "branin2", "seed": 3, "n_workers": 8, "n_evaluations": 200}
out: the same with "digest" (the problem's), "outcome" and "secs", or with "error"

It runs under the Python of the optimiser's house, and says first, on a line of
its own, which version of it that is.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from scripts.quality import optimisers
from scripts.quality.measures import BUDGETS, measure
from scripts.quality.optimisers import Make, Name
from scripts.quality.simulation import simulate
from scripts.quality.suite import problem

_ROOT = Path(__file__).resolve().parent.parent.parent
# Our own algorithms change between releases: these files decide what they suggest.
_OUR_SOURCES = ("hpo/*.py", "hpo/space/*.py", "hpo/surrogate/*.py")


def main(name_text: str) -> None:
    """Answer tasks until standard input ends."""
    name = Name.parse(name_text)
    make = optimisers.maker(name)
    print(json.dumps({"version": version(name)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(make, json.loads(line))), flush=True)


def answer(make: Make, task: dict[str, Any]) -> dict[str, Any]:
    """Run one task; what went wrong becomes part of the answer."""
    began = time.perf_counter()
    try:
        posed = problem(task["problem"])
        run = simulate(
            make(posed.space, task["seed"], posed.noise_sd > 0),
            posed,
            budgets=BUDGETS,
            n_evaluations=task["n_evaluations"],
            n_workers=task["n_workers"],
            seed=task["seed"],
        )
        outcome = measure(posed, run).as_json()
    except Exception:  # Whatever an optimiser raises is its result on this task.
        return {**task, "error": traceback.format_exc()}
    secs = round(time.perf_counter() - began, 3)
    return {**task, "digest": posed.digest, "outcome": outcome, "secs": secs}


def version(name: Name) -> str:
    """What else decides the outcome: the library's version, or a digest of our sources."""
    if name.house == optimisers.RANDOM:
        return "1"
    if name.house == optimisers.HPO:
        return sources_digest()
    return importlib.metadata.version(optimisers.REQUIREMENTS[name.house][0].partition("==")[0])


@functools.cache
def sources_digest() -> str:
    """A digest of the files that decide what our own algorithms suggest."""
    digest = hashlib.sha256()
    for pattern in _OUR_SOURCES:
        for path in sorted(_ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    main(sys.argv[1])
