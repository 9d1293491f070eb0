"""scikit-optimize's Gaussian process behind ask and tell; set up as `gp_minimize` does."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from skopt import Optimizer
from skopt.space import Categorical, Integer, Real
from skopt.utils import cook_estimator, normalize_dimensions

from scripts.quality import spaces
from scripts.quality.optimisers import Make
from scripts.quality.spaces import Parameter, Point, Space, parameters_of

_N_INITIAL_POINTS = 10


def maker(algorithm: str, options: dict[str, Any]) -> Make:
    """How to make the search.

    Raises:
        ValueError: there is no such algorithm.
    """
    if algorithm != "gp":
        raise ValueError(f"of scikit-optimize there is gp, not {algorithm!r}")
    # It says that a point was evaluated before, wherever it has converged.
    warnings.simplefilter("ignore")
    return functools.partial(SkoptSearch, options)


class SkoptSearch:
    """An Optimizer of scikit-optimize, on spaces without conditions."""

    def __init__(self, options: dict[str, Any], space: Space, seed: int, is_noisy: bool) -> None:
        if len(parameters_of(space)) > len(space):
            raise ValueError("scikit-optimize knows no conditions")
        self._labels = [parameter.label for parameter in space]
        dimensions = normalize_dimensions([_dimension(parameter) for parameter in space])
        noise = {"noise": "gaussian"}
        self._optimizer = Optimizer(
            dimensions,
            cook_estimator("GP", space=dimensions, random_state=seed, **noise),
            **{
                "n_initial_points": _N_INITIAL_POINTS,
                "acq_func": "gp_hedge",
                "random_state": seed,
                **options,
            },
        )
        self._asked: list[list[Any]] = []

    def ask(self) -> Point:
        """The next point."""
        values = self._optimizer.ask()
        self._asked.append(values)
        return dict(zip(self._labels, map(_plain, values), strict=True))

    def tell(self, number: int, loss: float) -> None:
        """Take in a loss, and fit again."""
        self._optimizer.tell(self._asked[number], loss)

    def tell_all(self, points: list[Point], losses: list[float]) -> None:
        """Take in points that were evaluated, and fit once."""
        self._optimizer.tell([list(point.values()) for point in points], losses)

    def recommend(self) -> None:
        """The trial seen to be best."""


def _dimension(parameter: Parameter) -> Any:
    if isinstance(parameter, spaces.Choice):
        return Categorical(parameter.values)
    if isinstance(parameter, spaces.Integer):
        return Integer(parameter.low, parameter.high)
    if parameter.step is not None:
        raise ValueError(f"{parameter.label}: scikit-optimize knows no steps")
    return Real(parameter.low, parameter.high, prior="log-uniform" if parameter.log else "uniform")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
