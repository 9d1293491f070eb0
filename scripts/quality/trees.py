"""Problems over trees: which model, and with which hyperparameters.

Within a branch the loss is its own floor plus a bowl over its own parameters, in
the units of their ranges (0 at low, 1 at high), so that learning about one branch
says nothing of another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scripts.quality.problem import CONDITIONAL, NOISY, Problem, rng_of
from scripts.quality.spaces import (
    Branch,
    Choice,
    Integer,
    Parameter,
    Point,
    Real,
    Value,
    from_unit,
    parameters_of,
    to_unit,
    walk,
)

Tree = tuple[Parameter, ...]

FLOOR_OF_BEST = "no floor and no bowl is below zero"


def which_model(name: str, half: str, *, deceptive: bool = True, noise_sd: float = 0.0) -> Problem:
    """Three learners with hyperparameters of their own: 2, 3 and 4 of them.

    Args:
        deceptive: the best learner needs most care, so that at random it looks worst.
    """
    space = (
        Choice(
            "model",
            (
                Branch("svm", (
                    Real("svm_c", 1e-3, 1e3, log=True),
                    Real("svm_gamma", 1e-5, 1e1, log=True),
                )),
                Branch("forest", (
                    Integer("forest_depth", 1, 30),
                    Real("forest_features", 0.05, 1.0),
                    Choice("forest_criterion", ("gini", "entropy", "log_loss")),
                )),
                Branch("boosting", (
                    Real("boosting_rate", 1e-3, 1.0, log=True),
                    Real("boosting_subsample", 0.3, 1.0),
                    Integer("boosting_leaves", 2, 128),
                    Real("boosting_penalty", 1e-6, 1e2, log=True),
                )),
            ),
        ),
    )  # fmt: skip
    floors = {"svm": 0.12, "forest": 0.10, "boosting": 0.0}
    steepness = {"svm": 0.6, "forest": 0.5, "boosting": 2.0 if deceptive else 0.5}
    penalties = {"gini": 0.03, "entropy": 0.0, "log_loss": 0.08}
    best_u = _best_units(name, space)

    def loss(point: Point) -> float:
        model = str(point["model"])
        bowl = _bowl(space, point, best_u)
        return (
            floors[model]
            + steepness[model] * bowl
            + penalties.get(str(point.get("forest_criterion")), 0.0)
        )

    return _tree(name, half, space, loss, _at(space, best_u, "boosting"), noise_sd)


def five_models(name: str, half: str) -> Problem:
    """Five learners of which two hold a choice of their own, with parameters below it."""
    space = (
        Real("features", 0.1, 1.0),
        Choice(
            "model",
            (
                Branch("linear", (
                    Choice("penalty", (
                        Branch("l2", (Real("l2_c", 1e-4, 1e4, log=True),)),
                        Branch("elastic", (
                            Real("elastic_c", 1e-4, 1e4, log=True),
                            Real("elastic_ratio", 0.0, 1.0),
                        )),
                    )),
                )),
                Branch("neighbours", (
                    Integer("k", 1, 50),
                    Choice("weights", ("uniform", "distance")),
                )),
                Branch("kernel", (
                    Choice("shape", (
                        Branch("rbf", (Real("rbf_gamma", 1e-5, 1e1, log=True),)),
                        Branch("poly", (Integer("degree", 2, 6), Real("coef0", -1.0, 1.0))),
                    )),
                    Real("kernel_c", 1e-3, 1e3, log=True),
                )),
                Branch("tree", (Integer("depth", 1, 30), Integer("leaf", 1, 50))),
                Branch("net", (
                    Real("net_rate", 1e-5, 1.0, log=True),
                    Real("decay", 1e-7, 1e-1, log=True),
                    Integer("width", 8, 256),
                )),
            ),
        ),
    )  # fmt: skip
    floors = {"linear": 0.25, "neighbours": 0.2, "kernel": 0.0, "tree": 0.3, "net": 0.06}
    extra = {"elastic": 0.02, "uniform": 0.05, "poly": 0.1}
    best_u = _best_units(name, space)

    def loss(point: Point) -> float:
        choices = sum(extra.get(str(value), 0.0) for value in point.values())
        return floors[str(point["model"])] + choices + _bowl(space, point, best_u)

    return _tree(name, half, space, loss, _at(space, best_u, "kernel", "rbf"))


def shared_rate(name: str, half: str, *, noise_sd: float = 0.0) -> Problem:
    """One learning rate for four optimisers, each with its own best rate (and a parameter)."""
    methods = ("sgd", "momentum", "adam", "rmsprop")
    space = (
        Real("rate", 1e-6, 1.0, log=True),
        Real("decay", 1e-8, 1e-1, log=True),
        Choice(
            "method",
            (
                Branch("sgd", (Real("sgd_power", 0.0, 1.0),)),
                Branch("momentum", (Real("momentum", 0.0, 0.99),)),
                Branch("adam", (Real("beta1", 0.5, 0.99), Real("beta2", 0.9, 0.9999))),
                Branch("rmsprop", (Real("rho", 0.5, 0.99),)),
            ),
        ),
    )
    best_rate_u = dict(zip(methods, (0.9, 0.75, 0.4, 0.5), strict=True))
    floors = dict(zip(methods, (0.15, 0.05, 0.0, 0.1), strict=True))
    best_u = _best_units(name, space)

    def loss(point: Point) -> float:
        method = str(point["method"])
        bowl = _bowl(space, point, {**best_u, "rate": best_rate_u[method]})
        # The rate matters most, as it does in life.
        off = to_unit(space[0], float(point["rate"])) - best_rate_u[method]
        return floors[method] + bowl + 4 * off**2

    return _tree(
        name,
        half,
        space,
        loss,
        _at(space, {**best_u, "rate": best_rate_u["adam"]}, "adam"),
        noise_sd,
    )


def layers(name: str, half: str) -> Problem:
    """One to four layers; each has a width and a dropout, and the rate goes with the depth."""
    widths = [Real(f"width{i}", 8, 1024, log=True) for i in range(4)]
    dropouts = [Real(f"dropout{i}", 0.0, 0.9) for i in range(4)]
    rate = Real("rate", 1e-5, 1.0, log=True)
    depths = tuple(
        # The same parameter in several branches: layer 0 exists in all of them.
        Branch(f"{n} layers", tuple(p for i in range(n) for p in (widths[i], dropouts[i])))
        for n in range(1, 5)
    )
    space = (rate, Choice("depth", depths))
    floors = dict(zip((b.name for b in depths), (0.2, 0.08, 0.0, 0.04), strict=True))
    best_rate_u = dict(zip((b.name for b in depths), (0.8, 0.65, 0.5, 0.35), strict=True))
    best_u = _best_units(name, space)

    def loss(point: Point) -> float:
        depth = str(point["depth"])
        return floors[depth] + _bowl(space, point, {**best_u, "rate": best_rate_u[depth]})

    return _tree(
        name,
        half,
        space,
        loss,
        _at(space, {**best_u, "rate": best_rate_u["3 layers"]}, "3 layers"),
    )


def follow_the_other(name: str, half: str) -> Problem:
    """A shared number that must follow the branch's own one, and both a best place.

    Source: the example of optuna/optuna issue #5299, which has a whole line of best
    places; distances instead of squares, and a slight slope along the line, leave one.
    """
    space = (
        Choice("x", (Branch("A", (Real("y", 1.0, 2.0),)), Branch("B", (Real("z", -2.0, 1.0),)))),
        Real("t", -2.0, 2.0),
    )

    def loss(point: Point) -> float:
        other, t = point["y"] if point["x"] == "A" else point["z"], float(point["t"])
        return abs(float(other) - t) + 0.3 * abs(t - 1.37)

    best: Point = {"x": "A", "y": 1.37, "t": 1.37}
    return Problem(name, half, CONDITIONAL, space, loss, best, 0.0, "a sum of distances")


def _tree(
    name: str,
    half: str,
    space: Tree,
    loss: Callable[[Point], float],
    best: Point,
    noise_sd: float = 0.0,
) -> Problem:
    kind = NOISY if noise_sd else CONDITIONAL
    return Problem(name, half, kind, space, loss, best, 0.0, FLOOR_OF_BEST, noise_sd)


def _at(space: Tree, best_u: Mapping[str, float], *options: str) -> Point:
    """The bottom of the bowl below these options."""

    def decide(parameter: Parameter) -> Value:
        if isinstance(parameter, Choice):
            return next(value for value in parameter.values if value in options)
        return from_unit(parameter, best_u[parameter.label])

    return walk(space, decide)


def _bowl(space: Tree, point: Point, best_u: Mapping[str, float]) -> float:
    """Sum of the squared distances from the best places, over the point's numbers."""
    known = parameters_of(space)
    distances = [
        to_unit(parameter, float(value)) - best_u[label]
        for label, value in point.items()
        if not isinstance(parameter := known[label], Choice)
    ]
    return float(np.sum(np.square(distances)))


def _best_units(name: str, space: Tree) -> dict[str, float]:
    """The best place of every number, drawn from the middle 70 % and put on its grid."""
    rng = rng_of(name)
    return {
        label: to_unit(parameter, from_unit(parameter, float(rng.uniform(0.15, 0.85))))
        for label, parameter in parameters_of(space).items()
        if not isinstance(parameter, Choice)
    }
