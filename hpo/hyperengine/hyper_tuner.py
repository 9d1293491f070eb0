"""The tuning loop: propose hyperparameters, train, learn from the value. It MAXIMISES.

In this process, a strategy proposes one point after the other. On a queue, which a URL or a
`MongoTrials` names, every point is a trial whose loss is the value with its sign changed;
`hpo.gp` proposes, and as many trainings run at once as there are workers.

Source: hyperengine.HyperTuner. There, tuning ends only by an error, and returns nothing.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hpo import gp, mix, rand
from hpo.algobase import as_integer, as_real
from hpo.document import STATUS_FAIL, STATUS_OK
from hpo.exceptions import (
    AllTrialsFailed,
    InvalidLoss,
    InvalidOption,
    UnreadableSession,
    did_you_mean,
)
from hpo.fmin import fmin
from hpo.hyperengine.parsed_spec import ParsedSpec
from hpo.hyperengine.sampler import DefaultSampler
from hpo.hyperengine.strategy import (
    BaseStrategy,
    BayesianPortfolioStrategy,
    BayesianStrategy,
    checked,
    generator_of,
)
from hpo.mongo_trials import MongoTrials

__all__ = ["HyperTuner"]

logger = logging.getLogger(__name__)

STRATEGIES: dict[str, Callable[..., BaseStrategy]] = {
    "bayesian": lambda sampler, params: BayesianStrategy(sampler, **params),
    "portfolio": lambda sampler, params: BayesianPortfolioStrategy(sampler, **params),
}

# On the queue, by Hyper-Engine's names of utilities.
_ON_QUEUE: dict[str, Callable[..., Any]] = {
    "ucb": partial(gp.suggest, acquisition="ucb", kernel="rbf"),
    "ei": partial(gp.suggest, acquisition="ei", kernel="rbf"),
    "pi": partial(gp.suggest, acquisition="pi", kernel="rbf"),
    "rand": rand.suggest,
}


class HyperTuner:
    """Looks for the hyperparameters with the largest value.

    Args:
        hyper_params_spec: any nest around nodes of `hpo.spec`.
        solver_generator: called with hyperparameters; returns an object whose `train()`
            gives the value, and whose `terminate()`, if it has one, is called afterwards,
            come what may. It may return the value itself.
        strategy: "bayesian", "portfolio", or a function (sampler, options) that gives one.
        max_points: how many points there shall be in all, loaded ones included; None: no end.
        timeout: seconds to rest after each point.
        trials: a queue: "mongodb://…", "embedded:DIRECTORY" or a Trials; see `fmin`. Workers
            must be able to import what `solver_generator` refers to, or to unpickle it.
        exp_key: the experiment's name at a URL; default: solver_generator's.
        workers: how many to start on this machine, if its queue is a URL; see `fmin`.
        seed: makes the search repeatable.
        **strategy_params: see `BayesianStrategy` and `BayesianPortfolioStrategy`. On a queue:
            utility_gen, or methods and probabilities, by name; the kernel's width, the noise
            and the mean are learnt there, and the experiment is the session.

    Attributes:
        parsed: the specification as a `ParsedSpec`.
        strategy: the strategy; None on a queue.
        best_params, best_value: the best so far; None before there is one.

    Raises:
        InvalidOption: an argument makes no sense.
        UnreadableSession: the session in io_load_dir is damaged, or of another specification.
    """

    def __init__(
        self,
        hyper_params_spec: Any,
        solver_generator: Callable[[Any], Any],
        strategy: Any = "bayesian",
        *,
        max_points: int | None = None,
        timeout: float = 0,
        trials: Any = None,
        exp_key: str | None = None,
        workers: int | None = None,
        seed: int | None = None,
        **strategy_params: Any,
    ) -> None:
        if not callable(solver_generator):
            raise InvalidOption(
                f"solver_generator must be a function of hyperparameters, not {solver_generator!r}"
            )
        self.solver_generator = solver_generator
        self.parsed = ParsedSpec(hyper_params_spec)
        self.max_points = (
            None if max_points is None else as_integer("max_points", max_points, at_least=0)
        )
        self.timeout = as_real("timeout", timeout, at_least=0.0)
        self.best_params: Any = None
        self.best_value: float | None = None
        self._seed, self._trials = seed, trials
        self._exp_key, self._workers = exp_key, workers
        self.strategy: BaseStrategy | None = None
        if exp_key is not None and not isinstance(trials, str):
            raise InvalidOption(
                f"exp_key={exp_key!r} names an experiment in a database; give trials=URL with it"
            )
        if trials is not None:
            self._algo = algorithm_of(strategy, strategy_params)
        else:
            self.strategy = self._own_strategy(strategy, strategy_params)

    def _own_strategy(self, strategy: Any, params: dict[str, Any]) -> BaseStrategy:
        if self._workers is not None:
            raise InvalidOption("workers= needs a queue; give its URL as trials=")
        sampler = DefaultSampler(self._seed)
        sampler.add_uniform(self.parsed.size())
        made: BaseStrategy = generator_of("strategy", strategy, STRATEGIES)(sampler, params)
        self._check_session(made)
        for point, value in zip(made.points, made.values, strict=True):
            self._note(self.parsed.instantiate(point), float(value))
        return made

    def _check_session(self, strategy: Any) -> None:
        loaded_from = getattr(strategy, "loaded_from", None)
        if loaded_from is None:
            return
        n_loaded, size = strategy.points.shape[-1], self.parsed.size()
        if strategy.iteration and n_loaded != size:
            raise UnreadableSession(
                loaded_from,
                f"its points have {n_loaded} coordinates, but the specification {size}",
            )
        if loaded_from.endswith(".xjson") and size > 1:
            raise UnreadableSession(
                loaded_from,
                "in a session of Hyper-Engine the coordinates stand in the order in which the "
                "specification's keys were written, which cannot be known here",
            )

    def tune(self) -> Any:
        """Look for the best hyperparameters until there are `max_points`.

        Returns:
            The best hyperparameters; None if there are none.

        Raises:
            InvalidLoss: a training gave no number.
        """
        if self.strategy is None:
            return self._tune_on_queue()
        return self._tune_here(self.strategy)

    # --- in this process ---

    def _tune_here(self, strategy: BaseStrategy) -> Any:
        while self.max_points is None or strategy.iteration < self.max_points:
            point = strategy.next_proposal()
            params = self.parsed.instantiate(point)
            value = trained_value(self.solver_generator, params)
            strategy.add_point(point, value)
            is_best = self._note(params, value)
            marker = "!" if is_best else " "
            logger.info(
                "%s [%d] value=%.4f, params: %r", marker, strategy.iteration, value, params
            )
            if self.timeout:
                time.sleep(self.timeout)
        return self.best_params

    def _note(self, params: Any, value: float) -> bool:
        """Whether it is the best so far, which is remembered."""
        if math.isnan(value) or (self.best_value is not None and value <= self.best_value):
            return False
        self.best_params, self.best_value = params, value
        return True

    # --- on a queue ---

    def _tune_on_queue(self) -> Any:
        with contextlib.ExitStack() as stack:
            trials = self._trials
            if isinstance(trials, str):
                exp_key = self._exp_key or _name_of(self.solver_generator)
                trials = stack.enter_context(
                    contextlib.closing(MongoTrials(trials, exp_key=exp_key))
                )
            with contextlib.suppress(AllTrialsFailed):
                fmin(
                    _Training(self.solver_generator, self.timeout),
                    self.parsed.space.expr,
                    algo=self._algo,
                    max_evals=self.max_points,
                    trials=trials,
                    rstate=None if self._seed is None else np.random.default_rng(self._seed),
                    workers=self._workers,
                    show_progressbar=False,
                )
                best = trials.best_trial
                self.best_params = self.parsed.space.evaluate(trials.argmin)
                self.best_value = -float(best["result"]["loss"])
        return self.best_params


class _Training:
    """A training as an objective; a class, so that it can be pickled for workers."""

    def __init__(self, solver_generator: Callable[[Any], Any], rest_secs: float) -> None:
        self.solver_generator, self.rest_secs = solver_generator, rest_secs

    def __call__(self, params: Any) -> dict[str, Any]:
        value = trained_value(self.solver_generator, params)
        if self.rest_secs:
            time.sleep(self.rest_secs)
        if math.isnan(value):
            return {"status": STATUS_FAIL, "value": value}
        return {"status": STATUS_OK, "loss": -value, "value": value}


def _name_of(solver_generator: Callable[[Any], Any]) -> str:
    """The name of an experiment that is given none: "train.make_solver" for train.py."""
    module = str(getattr(solver_generator, "__module__", ""))
    if module == "__main__":
        module = Path(getattr(sys.modules[module], "__file__", None) or "interactive").stem
    name = getattr(solver_generator, "__qualname__", type(solver_generator).__name__)
    return f"{module}.{name}".lstrip(".")


def trained_value(solver_generator: Callable[[Any], Any], params: Any) -> float:
    """The value of one training; its solver is terminated, come what may.

    Raises:
        InvalidLoss: it is no number.
    """
    solver = solver_generator(params)
    try:
        returned = solver.train() if hasattr(solver, "train") else solver
        try:
            return float(returned)
        except (TypeError, ValueError):
            raise InvalidLoss(
                f"the training of {params!r} gave {returned!r}; train() must return the value "
                "to maximise"
            ) from None
    finally:
        if hasattr(solver, "terminate"):
            solver.terminate()


def algorithm_of(strategy: Any, params: dict[str, Any]) -> Callable[..., Any]:
    """The algorithm that is a strategy's like on a queue.

    Raises:
        InvalidOption: there is none, or an option has no meaning there.
    """
    known = {"bayesian": ("utility_gen",), "portfolio": ("methods", "probabilities")}
    if not isinstance(strategy, str) or strategy not in known:
        raise InvalidOption(
            f"on a queue, strategy must be one of {', '.join(known)}, not {strategy!r}; for "
            "another algorithm, call hpo.fmin with it"
        )
    for name in params:
        if name not in known[strategy]:
            hint = did_you_mean(name, known[strategy])
            raise InvalidOption(
                f"on a queue, {strategy!r} has no option {name!r}{hint}; the experiment is kept "
                "by its exp_key, and the model learns its own parameters"
            )
    if strategy == "bayesian":
        return _algorithm_named(params.get("utility_gen", "ucb"))
    return _portfolio_algorithm(**params)


def _portfolio_algorithm(
    methods: Any = ("ucb", "ei", "pi"), probabilities: Any = None
) -> Callable[..., Any]:
    if probabilities is not None:
        p = checked(probabilities, len(methods)).tolist()
        pairs = [(share, _algorithm_named(name)) for share, name in zip(p, methods, strict=True)]
        return partial(mix.suggest, p_suggest=pairs)
    if set(methods) == {"ucb", "ei", "pi"}:
        return partial(gp.suggest, acquisition="hedge", kernel="rbf")
    even = [1.0 / len(methods)] * len(methods)
    return _portfolio_algorithm(methods, even)


def _algorithm_named(name: Any) -> Callable[..., Any]:
    if not isinstance(name, str) or name not in _ON_QUEUE:
        hint = did_you_mean(str(name), _ON_QUEUE)
        raise InvalidOption(
            f"on a queue, a method must be one of {', '.join(_ON_QUEUE)}, not {name!r}{hint}"
        )
    return _ON_QUEUE[name]
