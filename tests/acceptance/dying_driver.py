"""A search whose driver is killed again and again, at chosen moments, until it is through.

    python -m tests.acceptance.dying_driver URL SEED N_KILLS
    python -m tests.acceptance.dying_driver URL before|after COMMAND

The first form kills at moments drawn from SEED; the second at the first moment
before or after such a command, then at the second, and so on, six times.
"""

from __future__ import annotations

import sys

import numpy as np

from hpo import fmin, hp, rand
from tests.dying import die_at, in_a_child

EXP_KEY = "dying"
MAX_EVALS = 24
BATCH = 4
SPACE = {"x": hp.uniform("x", -5, 5)}


def objective(config):
    return (config["x"] - 3.0) ** 2


def search(url):
    fmin(
        objective,
        SPACE,
        algo=rand.suggest,
        max_evals=MAX_EVALS,
        max_queue_len=BATCH,
        trials=url,
        exp_key=EXP_KEY,
        rstate=np.random.default_rng(7),
        verbose=False,
    )


def search_until(url, n, moment=None, command=None):
    """Search, and die at the n-th moment (of the wanted kind)."""
    if moment is None:
        die_at(n)
    else:
        die_at(n, lambda at, name: (at, name) == (moment, command))
    search(url)


def kill_often(url, seed, n_kills):
    rng = np.random.default_rng(seed)
    return sum(in_a_child(search_until, url, int(rng.integers(1, 90))) < 0 for _ in range(n_kills))


def kill_at(url, moment, command):
    return sum(in_a_child(search_until, url, n, moment, command) < 0 for n in range(1, 7))


def main():
    url, *rest = sys.argv[1:]
    is_drawn = rest[0].isdigit()
    n_killed = kill_often(url, int(rest[0]), int(rest[1])) if is_drawn else kill_at(url, *rest)
    code = in_a_child(search, url)
    print(n_killed)
    return code


if __name__ == "__main__":
    sys.exit(main())
