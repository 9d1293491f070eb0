"""Where a search went: its trials over two hyperparameters, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOptionValue, did_you_mean
from hpo.plotting.scale import Axes, Scale, as_space, hyperparameter_of, wants_log_scale

if TYPE_CHECKING:
    from hpo.trials import Trials

Floats = npt.NDArray[np.float64]

_N_CONTOURS = 14
# Without a space, positive values that span more than this ratio get a logarithmic axis.
_LOG_SCALE_RATIO = 100.0
# The function is evaluated on a grid of so many values each way.
N_ACROSS = 60


@dataclass(frozen=True, eq=False)
class SearchPath:
    """Trials in the order in which they were suggested, where both labels are active.

    Attributes:
        label_x, label_y: the two hyperparameters.
        x, y: their values, shape (n,).
        losses: NaN where there is none, shape (n,).
        places: each trial's place among all trials, from 0; shape (n,).
    """

    label_x: str
    label_y: str
    x: Floats
    y: Floats
    losses: Floats
    places: npt.NDArray[np.int64]

    @classmethod
    def of(cls, trials: Trials, label_x: str, label_y: str) -> SearchPath:
        """Read the path from the trials.

        Raises:
            InvalidOptionValue: no trial has values for both labels.
        """
        observations = trials.observations()
        for label in (label_x, label_y):
            if label not in observations.labels:
                raise InvalidOptionValue(
                    f"no trial has a value for {label!r}"
                    f"{did_you_mean(str(label), observations.labels)}; the trials have "
                    f"{', '.join(map(repr, observations.labels)) or 'no values at all'}"
                )
        order = observations.order
        x, y = observations.column(label_x)[order], observations.column(label_y)[order]
        places = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if not places.size:
            raise InvalidOptionValue(
                f"no trial has values for both {label_x!r} and {label_y!r}: they are never "
                "active together"
            )
        losses = observations.losses[order][places]
        return cls(label_x, label_y, x[places], y[places], losses, places)

    @property
    def best(self) -> int | None:
        """Index of the trial with the least loss, or None."""
        return None if np.isnan(self.losses).all() else int(np.nanargmin(self.losses))


@dataclass(frozen=True, eq=False)
class Surface:
    """A function of two values on a grid.

    Attributes:
        x, y: ascending, shapes (n,) and (m,).
        z: NaN where the function has no finite value, shape (m, n).
    """

    x: Floats
    y: Floats
    z: Floats

    @classmethod
    def of(cls, fn: Callable[[float, float], float], x: Floats, y: Floats) -> Surface:
        """Evaluate `fn(x, y)`, which takes plain numbers, everywhere on the grid."""
        rows = [[float(fn(across, up)) for across in x.tolist()] for up in y.tolist()]
        z = np.array(rows, dtype=np.float64)
        return cls(x, y, np.where(np.isfinite(z), z, np.nan))

    @property
    def ranks(self) -> Floats:
        """`z` by rank: between two whole numbers lie equal areas, so a narrow valley shows.

        Shape (m, n), NaN as in `z`; all 0 if `z` is constant.
        """
        is_finite = np.isfinite(self.z)
        shares = np.linspace(0.0, 1.0, _N_CONTOURS)
        ranks = np.full(self.z.shape, np.nan)
        if is_finite.any():
            levels = np.unique(np.quantile(self.z[is_finite], shares))
            ranks[is_finite] = np.interp(self.z[is_finite], levels, np.arange(len(levels)))
        return ranks


# --- drawing ---


def scales_of(path: SearchPath, space: Any) -> tuple[Scale | None, Scale | None]:
    """Both axes as the space has them, or None without a space."""
    if space is None:
        return None, None
    compiled = as_space(space)
    return (
        Scale.of(hyperparameter_of(compiled, path.label_x), path.x),
        Scale.of(hyperparameter_of(compiled, path.label_y), path.y),
    )


def draw_path(
    axes: Axes,
    path: SearchPath,
    scales: tuple[Scale | None, Scale | None],
    fn: Callable[[float, float], float] | None,
) -> Any:
    """The trials, joined in order, over the contours of `fn`. Returns what a colour bar shows."""
    sides = (("x", scales[0], path.label_x, path.x), ("y", scales[1], path.label_y, path.y))
    for direction, scale, label, values in sides:
        if scale is not None:
            scale.show_on(axes, direction)
        else:
            _show_values(axes, direction, label, values)
    if fn is not None:
        _draw_contours(axes, Surface.of(fn, *(_grid(axes, *side) for side in sides)))
    axes.plot(path.x, path.y, color="#222222", linewidth=0.6, alpha=0.35, zorder=2)
    dots = axes.scatter(
        path.x,
        path.y,
        c=path.places,
        cmap="plasma",
        s=34,
        edgecolor="white",
        linewidth=0.7,
        zorder=3,
    )
    if path.best is not None:
        _draw_best(axes, path, path.best)
    axes.spines[["top", "right"]].set_visible(False)
    return dots


def _draw_contours(axes: Axes, surface: Surface) -> None:
    ranks = np.ma.masked_invalid(surface.ranks)
    # A function that is constant, or nowhere finite, has no contours.
    if not ranks.count() or not ranks.max():
        return
    levels = np.arange(ranks.max() + 1)
    axes.contourf(surface.x, surface.y, ranks, levels, cmap="Greys_r", alpha=0.5, zorder=0)
    # The least and the highest value themselves are points, not lines.
    between = levels[1:-1]
    if between.size:
        axes.contour(
            surface.x, surface.y, ranks, between, colors="white", linewidths=0.7, zorder=1
        )


def _draw_best(axes: Axes, path: SearchPath, best: int) -> None:
    axes.scatter(
        path.x[best],
        path.y[best],
        marker="*",
        s=260,
        color="#009e73",
        edgecolor="white",
        label=f"best: {path.losses[best]:.6g} (trial {path.places[best]})",
        zorder=4,
    )
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)


def _show_values(axes: Axes, direction: str, label: str, values: Floats) -> None:
    """Set up an axis of which only the values are known."""
    is_log = wants_log_scale(values, _LOG_SCALE_RATIO)
    shown = np.log(values) if is_log else values
    low, high = float(shown.min()), float(shown.max())
    room = 0.06 * (high - low) or 0.5
    limits = np.array([low - room, high + room])
    axes.set(
        **{
            f"{direction}label": label,
            f"{direction}scale": "log" if is_log else "linear",
            f"{direction}lim": tuple(np.exp(limits) if is_log else limits),
        }
    )


def _grid(axes: Axes, direction: str, scale: Scale | None, label: str, values: Floats) -> Floats:
    """Values of one side at which the function is evaluated; shape (n,)."""
    if scale is None:
        low, high = getattr(axes, f"get_{direction}lim")()
        is_log = getattr(axes, f"get_{direction}scale")() == "log"
    elif scale.is_separate:
        return scale.grid
    else:
        # Not in the axis's margins, where the function need not be defined.
        low, high, is_log = scale.low, scale.high, scale.is_log
    between = np.geomspace if is_log else np.linspace
    return np.asarray(between(low, high, N_ACROSS), dtype=np.float64)
