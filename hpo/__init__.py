"""Hyper-parameter optimisation on MongoDB.

    from hpo import fmin, hp

    best = fmin(objective, {"x": hp.uniform("x", -5, 5)}, max_evals=100)

`fmin` minimises a function over a search space, in this process, on a few
local workers (`workers=4`), or on `hpo-worker` processes anywhere that share a
MongoDB database (`trials="mongodb://…"`). The names are those of hyperopt.
"""

import importlib
from typing import TYPE_CHECKING

from hpo import (
    anneal,
    auto,
    cma,
    early_stop,
    exceptions,
    gp,
    grid,
    hp,
    mix,
    pyll,
    qmc,
    rand,
    spec,
    stopping,
    tpe,
)
from hpo.ctrl import Ctrl
from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    JOB_STATES,
    STATUS_FAIL,
    STATUS_NEW,
    STATUS_OK,
    STATUS_RUNNING,
    STATUS_STOPPED,
    STATUS_STRINGS,
    STATUS_SUSPENDED,
)
from hpo.domain import Domain
from hpo.explain import explain
from hpo.fmin import (
    FMinIter,
    fmin,
    fmin_pass_expr_memo_ctrl,
    generate_trials_to_calculate,
    partial,
    space_eval,
)
from hpo.mongo_trials import MongoTrials
from hpo.replay import replay
from hpo.robust import robust_trial
from hpo.trials import Trials, trials_from_docs

if TYPE_CHECKING:
    from types import ModuleType

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022  (grouped by theme)
    # searching
    "fmin",
    "space_eval",
    "FMinIter",
    "partial",
    "fmin_pass_expr_memo_ctrl",
    "generate_trials_to_calculate",
    "early_stop",
    "stopping",
    # spaces
    "hp",
    "spec",
    "pyll",
    # algorithms
    "rand",
    "tpe",
    "anneal",
    "qmc",
    "grid",
    "cma",
    "gp",
    "mix",
    "auto",
    # trials
    "Trials",
    "MongoTrials",
    "trials_from_docs",
    "robust_trial",
    "explain",
    "replay",
    "Domain",
    "Ctrl",
    # what a trial says of itself
    "STATUS_NEW",
    "STATUS_RUNNING",
    "STATUS_SUSPENDED",
    "STATUS_OK",
    "STATUS_FAIL",
    "STATUS_STOPPED",
    "STATUS_STRINGS",
    "JOB_STATE_NEW",
    "JOB_STATE_RUNNING",
    "JOB_STATE_DONE",
    "JOB_STATE_ERROR",
    "JOB_STATE_CANCEL",
    "JOB_STATES",
    # errors
    "exceptions",
    "__version__",
]

# Modules that `import hpo` leaves out to stay quick: `hpo.plotting` loads when it is asked for.
_MODULES_ON_DEMAND = frozenset(
    "algobase atpe base compat criteria gmm graph_viz mongoexp plotting pyll_utils rdists utils "
    "vectorize".split()
)


def __getattr__(name: str) -> "ModuleType":
    if name in _MODULES_ON_DEMAND:
        return importlib.import_module(f"hpo.{name}")
    raise AttributeError(f"module 'hpo' has no attribute {name!r}")
