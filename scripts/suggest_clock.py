"""A process that times the suggestions of one library: a command a line in, an answer a line out.

    python -m scripts.suggest_clock 'hpo tpe'

    {"load": "mixed10", "n": 1000}    start over with n finished trials of a space
    {"ask": 1, "times": 3}            suggest one more, three times; the answer:
                                      {"ms": [0.42, 0.41, 0.44]}
    {"ask": 64, "times": 1}           64 at once; the time of all of them

It runs under the Python of the library's house. The finished trials are the same in
every library. After each answer the suggested trials are finished with a loss, which
is not timed, so the next suggestion has to take new results in.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from scripts.quality.dialects import in_hp_words, suggest_in_optuna, value_of
from scripts.quality.optimisers import Name
from scripts.quality.spaces import (
    Branch,
    Choice,
    Integer,
    Number,
    Parameter,
    Point,
    Real,
    Space,
    draw,
    parameters_of,
    to_unit,
    walk,
)

_SEED = 7


class Library(Protocol):
    """One library's search, in the hands of the clock."""

    def ask(self, n: int) -> Any:
        """Suggest n configurations: what is timed. Returns what `tell` needs."""

    def tell(self, asked: Any) -> None:
        """Finish what was suggested."""


def main(name_text: str) -> None:
    """Answer commands until standard input ends."""
    name = Name.parse(name_text)
    library: Library | None = None
    for line in sys.stdin:
        command = json.loads(line)
        if "load" in command:
            library = _loaded(name, SPACES[command["load"]], command["n"])
            answer: dict[str, Any] = {"loaded": command["n"]}
        else:
            if library is None:
                raise SystemExit("load trials before asking")
            answer = {"ms": [_timed(library, command["ask"]) for _ in range(command["times"])]}
        print(json.dumps(answer), flush=True)


def _loaded(name: Name, space: Space, n: int) -> Library:
    rng = np.random.default_rng(_SEED)
    return LIBRARIES[name.house](name, space, [draw(space, rng) for _ in range(n)])


def _timed(library: Library, n: int) -> float:
    began = time.perf_counter()
    asked = library.ask(n)
    elapsed_ms = 1e3 * (time.perf_counter() - began)
    library.tell(asked)
    return elapsed_ms


# --- what is searched -------------------------------------------------------------


def _mixed(n_labels: int) -> Space:
    """uniform, loguniform, quniform and choice in turn."""
    kinds = (
        lambda label: Real(label, -5.0, 5.0),
        lambda label: Real(label, 1e-5, 1.0, log=True),
        lambda label: Real(label, 0.0, 100.0, step=5.0),
        lambda label: Choice(label, ("a", "b", "c", "d")),
    )
    return [kinds[i % 4](f"x{i:02d}") for i in range(n_labels)]


def _conditional() -> Space:
    """19 labels: which model, each one's own hyperparameters, and shared ones."""
    rate = Real("learning_rate", 1e-4, 1.0, log=True)
    models = Choice(
        "model",
        (
            Branch(
                "svm",
                (
                    Real("svm_c", 1e-3, 1e3, log=True),
                    Choice("svm_kernel", ("linear", "poly", "rbf")),
                    Real("svm_gamma", 1e-4, 10.0, log=True),
                    Real("svm_coef0", -1.0, 1.0),
                ),
            ),
            Branch(
                "forest",
                (
                    Integer("forest_trees", 10, 500),
                    Integer("forest_depth", 2, 30),
                    Real("forest_features", 0.1, 1.0),
                    Integer("forest_leaf", 1, 20),
                ),
            ),
            Branch(
                "boosting",
                (
                    rate,
                    Integer("boosting_trees", 10, 500),
                    Integer("boosting_depth", 2, 12),
                    Real("boosting_subsample", 0.3, 1.0),
                ),
            ),
            Branch(
                "network",
                (
                    rate,
                    Choice("network_activation", ("relu", "tanh", "elu")),
                    Integer("network_width", 8, 512),
                    Real("network_dropout", 0.0, 0.8),
                ),
            ),
        ),
    )
    scaling = Choice("scaling", ("none", "unit", "robust"))
    selected = Real("selected_percent", 10.0, 100.0, step=10.0)
    return [models, scaling, selected, Real("weight_of_rare_class", 0.1, 10.0, log=True)]


def _continuous(n_labels: int) -> Space:
    """uniform and loguniform in turn."""
    kinds = (
        lambda label: Real(label, -5.0, 5.0),
        lambda label: Real(label, 1e-5, 1.0, log=True),
    )
    return [kinds[i % 2](f"x{i:02d}") for i in range(n_labels)]


SPACES: dict[str, Space] = {
    "mixed10": _mixed(10),
    "mixed50": _mixed(50),
    "cond19": _conditional(),
    "continuous10": _continuous(10),
}


def loss_of(space: Space, point: Point) -> float:
    """A bowl in unit coordinates; the first option of a choice is the best."""
    known = parameters_of(space)
    return sum(_distance(known[label], value) ** 2 for label, value in point.items())


def _distance(parameter: Parameter, value: Any) -> float:
    if isinstance(parameter, Choice):
        return parameter.values.index(value) / len(parameter.values)
    number: Number = parameter
    return to_unit(number, value) - 0.6


# --- the libraries ----------------------------------------------------------------


def _stored(space: Space, point: Point) -> dict[str, Any]:
    """A point as hpo and hyperopt store it: choices by index."""
    known = parameters_of(space)
    return {
        label: p.values.index(value) if isinstance(p := known[label], Choice) else value
        for label, value in point.items()
    }


def _point(space: Space, stored: dict[str, Any]) -> Point:
    known = parameters_of(space)
    return {label: value_of(known[label], value) for label, value in stored.items()}


class InHpo:
    """hpo's algorithm as its driver calls it."""

    def __init__(self, name: Name, space: Space, points: list[Point]) -> None:
        from hpo import Domain, Trials, hp
        from hpo.document import JOB_STATE_DONE, new_trial

        self._space, self._options = space, dict(name.options)
        self._suggest = importlib.import_module(f"hpo.{name.algorithm}").suggest
        self._domain = Domain(lambda config: 0.0, in_hp_words(space, hp))
        self._domain.search_seed = _SEED
        self._trials = Trials()
        self._rng = np.random.default_rng(_SEED)
        self._trials.insert_trial_docs(
            {
                **new_trial(tid, values=_stored(space, point)),
                "state": JOB_STATE_DONE,
                "result": {"status": "ok", "loss": loss_of(space, point)},
            }
            for tid, point in zip(self._trials.new_trial_ids(len(points)), points, strict=True)
        )
        self._trials.refresh()

    def ask(self, n: int) -> Any:
        seed = int(self._rng.integers(2**31 - 1))
        new_ids = self._trials.new_trial_ids(n)
        return self._suggest(new_ids, self._domain, self._trials, seed, **self._options)

    def tell(self, asked: Any) -> None:
        from hpo.document import JOB_STATE_DONE, active_values

        for document in asked:
            point = _point(self._space, active_values(document))
            document["state"] = JOB_STATE_DONE
            document["result"] = {"status": "ok", "loss": loss_of(self._space, point)}
        self._trials.insert_trial_docs(asked)
        self._trials.follow()


class InHyperopt:
    """hyperopt's algorithm as its driver calls it, one trial at a time."""

    def __init__(self, name: Name, space: Space, points: list[Point]) -> None:
        from hyperopt import JOB_STATE_DONE, STATUS_OK, Trials, hp, tpe
        from hyperopt.base import Domain

        self._space, self._suggest, self._done = space, tpe.suggest, JOB_STATE_DONE
        self._domain = Domain(lambda config: 0.0, in_hp_words(space, hp))
        self._trials = Trials()
        self._rng = np.random.default_rng(_SEED)
        tids = self._trials.new_trial_ids(len(points))
        for tid, point in zip(tids, points, strict=True):
            stored = _stored(space, point)
            misc = {
                "tid": tid,
                "cmd": self._domain.cmd,
                "workdir": None,
                "idxs": {label: [tid] * (label in stored) for label in self._domain.params},
                "vals": {
                    label: [stored[label]] if label in stored else []
                    for label in self._domain.params
                },
            }
            result = {"status": STATUS_OK, "loss": loss_of(space, point)}
            (document,) = self._trials.new_trial_docs([tid], [None], [result], [misc])
            document["state"] = JOB_STATE_DONE
            self._trials.insert_trial_docs([document])
        self._trials.refresh()

    def ask(self, n: int) -> Any:
        documents = []
        for tid in self._trials.new_trial_ids(n):
            seed = int(self._rng.integers(2**31 - 1))
            documents += self._suggest([tid], self._domain, self._trials, seed, verbose=False)
        return documents

    def tell(self, asked: Any) -> None:
        for document in asked:
            stored = {
                label: values[0] for label, values in document["misc"]["vals"].items() if values
            }
            point = _point(self._space, stored)
            document["state"] = self._done
            document["result"] = {"status": "ok", "loss": loss_of(self._space, point)}
        self._trials.insert_trial_docs(asked)
        self._trials.refresh()


class InOptuna:
    """A study of Optuna's: asking for a trial and for each of its parameters."""

    def __init__(self, name: Name, space: Space, points: list[Point]) -> None:
        import warnings

        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # `group` is called experimental.
        warnings.simplefilter("ignore")
        self._space = space
        samplers = {"tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler}
        sampler = samplers[name.algorithm](seed=_SEED, **name.options)
        self._study = optuna.create_study(sampler=sampler)
        known = parameters_of(space)
        distributions = {label: _optuna_distribution(p) for label, p in known.items()}
        self._study.add_trials(
            [
                optuna.trial.create_trial(
                    params=point,
                    distributions={label: distributions[label] for label in point},
                    value=loss_of(space, point),
                )
                for point in points
            ]
        )

    def ask(self, n: int) -> Any:
        return list(self._ask_one_by_one(n))

    def _ask_one_by_one(self, n: int) -> Iterator[tuple[Any, Point]]:
        for _ in range(n):
            trial = self._study.ask()
            yield trial, walk(self._space, functools.partial(suggest_in_optuna, trial))

    def tell(self, asked: Any) -> None:
        for trial, point in asked:
            self._study.tell(trial, loss_of(self._space, point))


class InSkopt:
    """An Optimizer of scikit-optimize's, which fits when it is told, not when it is asked."""

    def __init__(self, name: Name, space: Space, points: list[Point]) -> None:
        from scripts.quality.in_skopt import SkoptSearch

        self._space = space
        self._search = SkoptSearch(dict(name.options), space, _SEED, is_noisy=False)
        self._untold = points

    def ask(self, n: int) -> Any:
        self._search.tell_all(self._untold, [loss_of(self._space, each) for each in self._untold])
        self._untold = []
        return [self._search.ask() for _ in range(n)]

    def tell(self, asked: Any) -> None:
        self._untold = asked


def _optuna_distribution(parameter: Parameter) -> Any:
    from optuna import distributions

    if isinstance(parameter, Choice):
        return distributions.CategoricalDistribution(parameter.values)
    if isinstance(parameter, Integer):
        return distributions.IntDistribution(parameter.low, parameter.high)
    return distributions.FloatDistribution(
        parameter.low, parameter.high, log=parameter.log, step=parameter.step
    )


LIBRARIES: dict[str, Callable[[Name, Space, list[Point]], Library]] = {
    "hpo": InHpo,
    "hyperopt": InHyperopt,
    "optuna": InOptuna,
    "skopt": InSkopt,
}
"""house -> (name, space, points of the finished trials) -> its search."""


if __name__ == "__main__":
    main(sys.argv[1])
