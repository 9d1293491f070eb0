"""The driver of a soak: a search like any other, which can be killed and started again."""

from __future__ import annotations

import os
import sys

from hpo import fmin, rand
from scripts.soaking.objective import EXP_KEY, SPACE, evaluate


def main(max_evals: int, seed: int) -> None:
    fmin(
        evaluate,
        SPACE,
        algo=rand.suggest,
        max_evals=max_evals,
        trials=os.environ["HPO_MONGO_URL"],
        exp_key=EXP_KEY,
        rstate=seed,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
