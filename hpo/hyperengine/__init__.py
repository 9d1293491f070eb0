"""Hyper-Engine's names: tune hyperparameters by Gaussian processes, and MAXIMISE.

    from hpo import hyperengine as hype

    tuner = hype.HyperTuner(
        hype.spec.new(rate=10 ** hype.spec.uniform(-3, -1), depth=hype.spec.choice([2, 4, 8])),
        solver_generator,                 # params -> an object whose train() gives an accuracy
        strategy="portfolio",
        methods=["ucb", "pi", "rand"],
        max_points=100,
        io_save_dir="session",
    )
    best_params = tuner.tune()

With trials="mongodb://…" the points are trials of an experiment, and workers train.

    hyper_tuner    HyperTuner: propose, train, learn, again
    strategy       which point is next: one utility, or a portfolio of them; saved and loaded
    utility        what a point promises: PI, EI, UCB, or nothing; and the kernel
    sampler        random points of the unit cube, and the best of them
    parsed_spec    from a point to hyperparameters

Source: the names, arguments and rules are those of hyperengine, but for what each module
says. Its bindings to TensorFlow 1 (TensorflowRunner, TensorflowSolver, TensorflowModelIO) and
the training loop around them (BaseRunner, BaseSolver, Data, DataSet, ModelIO, …) are not
here: a solver is whatever has a method train().
"""

from __future__ import annotations

from typing import Any

from hpo import spec
from hpo.hyperengine.hyper_tuner import HyperTuner
from hpo.hyperengine.parsed_spec import ParsedSpec, get_instance
from hpo.hyperengine.sampler import (
    BaseSampler,
    BaseUtilityMaximizer,
    DefaultSampler,
    MonteCarloUtilityMaximizer,
)
from hpo.hyperengine.strategy import (
    BaseBayesianStrategy,
    BaseStrategy,
    BayesianPortfolioStrategy,
    BayesianStrategy,
)
from hpo.hyperengine.utility import (
    BaseGaussianUtility,
    BaseKernel,
    BaseUtility,
    ExpectedImprovement,
    ProbabilityOfImprovement,
    RadialBasisFunction,
    RandomPoint,
    UpperConfidenceBound,
)
from hpo.spec import NamedDict
from hpo.surrogate.learning_curve import BaseCurvePredictor, LinearCurvePredictor

__all__ = [
    "BaseBayesianStrategy",
    "BaseCurvePredictor",
    "BaseGaussianUtility",
    "BaseKernel",
    "BaseSampler",
    "BaseStrategy",
    "BaseUtility",
    "BaseUtilityMaximizer",
    "BayesianPortfolioStrategy",
    "BayesianStrategy",
    "DefaultSampler",
    "ExpectedImprovement",
    "HyperTuner",
    "LinearCurvePredictor",
    "MonteCarloUtilityMaximizer",
    "NamedDict",
    "ParsedSpec",
    "ProbabilityOfImprovement",
    "RadialBasisFunction",
    "RandomPoint",
    "UpperConfidenceBound",
    "get_instance",
    "spec",
]

_LEFT_OUT = frozenset(
    {
        "BaseRunner",
        "BaseSolver",
        "Data",
        "DataProvider",
        "DataSet",
        "IterableDataProvider",
        "ModelIO",
        "TensorflowModelIO",
        "TensorflowRunner",
        "TensorflowSolver",
        "merge_data_sets",
    }
)


def __getattr__(name: str) -> Any:
    if name in _LEFT_OUT:
        # `from … import …` would put a text of its own in place of an AttributeError's.
        raise ImportError(
            f"hyperengine's {name} trains with TensorFlow 1 and is not part of hpo; write a "
            "class with train(), which returns the value to maximise, and give "
            "HyperTuner a function that makes one from hyperparameters"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
