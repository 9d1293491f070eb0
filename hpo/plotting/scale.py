"""How the values of one hyperparameter lie along an axis.

Log kinds get a logarithmic axis, a choice the names of its options, and what has
only a few values a place for each of them.

This package draws into axes that it is handed; only its face, which makes them,
imports matplotlib.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOptionValue, did_you_mean
from hpo.pyll import Apply, Literal, as_apply
from hpo.space import Hyperparameter, Prior, Space
from hpo.space.readable import expression_text

Floats = npt.NDArray[np.float64]
# matplotlib's; see above.
Axes = Any

# Up to so many values each is shown by itself.
MAX_SEPARATE = 64
N_GRID = 512
_MAX_INTEGER_TICKS = 12
# What is shown of an unbounded distribution, at least.
_TAIL = 1e-3
_MAX_NAME_LENGTH = 24
# Positive numbers that span more than this ratio are shown on a logarithmic axis.
_LOG_SCALE_RATIO = 10.0


@dataclass(frozen=True, eq=False)
class Scale:
    """One hyperparameter's axis.

    Attributes:
        label: of the hyperparameter.
        low, high: what the axis shows.
        is_log: whether it is logarithmic.
        grid: ascending possible values along it, all of them if they are few; shape (n,).
        is_integer: whether every value is whole.
        is_discrete: whether values have probabilities instead of densities.
        is_separate: whether there are so few values that each has its own place.
        names: the options of a choice, in order, else None.
    """

    label: str
    low: float
    high: float
    is_log: bool
    grid: Floats
    is_integer: bool
    is_discrete: bool
    is_separate: bool
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, hyperparameter: Hyperparameter, observed: Floats) -> Scale:
        """The axis that shows a hyperparameter's range and everything observed; shape (n,)."""
        prior = prior_of(hyperparameter)
        low, high = _shown_range(prior, observed)
        is_log = prior.is_log and low > 0
        step = prior.q if prior.q is not None else 1.0 if prior.is_integer else None
        is_separate = step is not None and (high - low) / step < MAX_SEPARATE
        if step is None:
            grid = _spread(low, high, is_log)
        elif is_separate:
            grid = _steps(low, high, step)
        else:
            grid = _some_steps(low, high, step, is_log, observed)
        return cls(
            label=hyperparameter.label,
            low=low,
            high=high,
            is_log=is_log,
            grid=grid,
            is_integer=prior.is_integer,
            is_discrete=prior.is_discrete,
            is_separate=is_separate,
            names=_option_names(hyperparameter),
        )

    @property
    def margin(self) -> float:
        """Room beside the first and the last value, in units of a place of its own."""
        return 0.5 * float(np.diff(self.grid).min()) if len(self.grid) > 1 else 0.5

    def text(self, value: float) -> str:
        """One value as a reader knows it."""
        return f"{value:.4g}" if self.names is None else self.names[int(value)]

    def show_on(self, axes: Axes, direction: str) -> None:
        """Set an axis up.

        Args:
            direction: "x" or "y".
        """
        set_limits, set_ticks = (
            getattr(axes, f"set_{direction}{part}") for part in ("lim", "ticks")
        )
        axes.set(**{f"{direction}label": self.label})
        if self.is_log:
            axes.set(**{f"{direction}scale": "log"})
        elif self.is_separate:
            set_limits(self.low - self.margin, self.high + self.margin)
        else:
            room = 0.02 * (self.high - self.low)
            set_limits(self.low - room, self.high + room)
        if not self.is_separate:
            return
        if self.names is not None:
            is_crowded = direction == "x" and sum(map(len, self.names)) > 60
            slanted = {"rotation": 30, "ha": "right"} if is_crowded else {}
            set_ticks(range(len(self.names)), labels=self.names, **slanted)
        elif self.is_integer and not self.is_log:
            set_ticks(self.grid[:: math.ceil(len(self.grid) / _MAX_INTEGER_TICKS)])


def as_space(space: Any) -> Space:
    """The compiled space of a Space, a Domain, or anything that `fmin` takes as a space."""
    if isinstance(space, Space):
        return space
    compiled = getattr(space, "space", None)
    return compiled if isinstance(compiled, Space) else Space(as_apply(space))


def hyperparameter_of(space: Space, label: str) -> Hyperparameter:
    """The hyperparameter with this label, or an error that names those there are."""
    if label not in space.hyperparameters:
        raise InvalidOptionValue(
            f"the space has no hyperparameter {label!r}"
            f"{did_you_mean(str(label), space.hyperparameters)}; "
            f"it has {', '.join(map(repr, space.hyperparameters))}"
        )
    return space.hyperparameters[label]


def prior_of(hyperparameter: Hyperparameter) -> Prior:
    """Its prior, or an error if it has none by itself."""
    if hyperparameter.prior is None:
        raise InvalidOptionValue(
            f"{hyperparameter.label!r} has no distribution of its own: it depends on other "
            "hyperparameters, or is a sampler that only you know, so no model is fitted to it"
        )
    return hyperparameter.prior


def wants_log_scale(values: Floats, ratio: float = _LOG_SCALE_RATIO) -> bool:
    """Whether the finite values are positive, and the largest exceeds `ratio` times the least."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > ratio * finite.min())


def _shown_range(prior: Prior, observed: Floats) -> tuple[float, float]:
    low, high = prior.bounds
    if not (math.isfinite(low) and math.isfinite(high)) or (prior.is_log and low <= 0):
        low, high = prior.ppf(np.array([_TAIL, 1.0 - _TAIL])).tolist()
    return float(min([low, *observed])), float(max([high, *observed]))


def _steps(low: float, high: float, step: float) -> Floats:
    n_steps = round((high - low) / step)
    return np.asarray(low + step * np.arange(n_steps + 1), dtype=np.float64)


def _some_steps(low: float, high: float, step: float, is_log: bool, observed: Floats) -> Floats:
    """An even selection of steps, and every one that was observed."""
    n_steps = np.rint((np.append(_spread(low, high, is_log), observed) - low) / step)
    return np.asarray(low + step * np.unique(n_steps), dtype=np.float64)


def _spread(low: float, high: float, is_log: bool) -> Floats:
    if is_log:
        return np.asarray(np.geomspace(low, high, N_GRID), dtype=np.float64)
    u = np.linspace(0.0, 1.0, N_GRID)
    # Not low + u (high - low): the difference of huge bounds is infinite.
    return (1.0 - u) * low + u * high


def _option_names(hyperparameter: Hyperparameter) -> tuple[str, ...] | None:
    if hyperparameter.options is None:
        return None
    names = [_shortened(_option_name(option)) for option in hyperparameter.options]
    return tuple(
        name if names.count(name) == 1 else f"{index}: {name}" for index, name in enumerate(names)
    )


def _option_name(option: Apply) -> str:
    """What tells an option from the others: its constants, if it has any."""
    if option.name == "dict" and not option.pos_args:
        constants = [
            f"{key}: {_plain(child)}"
            for key, child in option.named_args
            if isinstance(child, Literal)
        ]
    elif option.name == "pos_args":
        constants = [_plain(child) for child in option.pos_args if isinstance(child, Literal)]
    else:
        constants = []
    return ", ".join(constants) or _plain(option)


def _plain(node: Apply) -> str:
    if isinstance(node, Literal) and isinstance(node.obj, str):
        return node.obj
    return expression_text(node)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_NAME_LENGTH else text[: _MAX_NAME_LENGTH - 1] + "…"
