"""Every hyperparameter by itself: its values over time, or against the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpo.plotting.history import tidy
from hpo.plotting.scale import Axes, wants_log_scale

if TYPE_CHECKING:
    from hpo.observations import Observations

Floats = npt.NDArray[np.float64]

_BEST_COLOR = "#009e73"
_NO_LOSS_COLOR = "#bbbbbb"
# Positive values that span more than this ratio get a logarithmic axis.
_LOG_SCALE_RATIO = 100.0


def shape_of_panels(n_panels: int, n_columns: int) -> tuple[int, int]:
    """(rows, columns) that hold so many panels."""
    columns = max(1, min(n_columns, n_panels))
    return max(1, math.ceil(n_panels / columns)), columns


def draw_variables(
    new_panel: Callable[[int], Axes],
    observations: Observations,
    *,
    fontsize: int,
    n_best: int | None,
    by_loss: bool,
) -> None:
    """One panel for each label, sorted; dark dots have low losses, grey crosses none.

    Args:
        new_panel: makes the axes of panel 0, 1, ...
        fontsize: of the panels' titles, in points.
        n_best: colour so many trials with the least losses; None: none.
        by_loss: whether the horizontal axis is the loss instead of the trial's place.
    """
    order = observations.order
    losses = observations.losses[order]
    shown = np.where(np.isfinite(losses), losses, np.nan)
    horizontal = shown if by_loss else np.arange(len(order), dtype=np.float64)
    is_best = _is_among_best(shown, n_best)
    for place, label in enumerate(sorted(observations.labels)):
        axes = new_panel(place)
        values = observations.column(label)[order]
        _draw_variable(axes, horizontal, values, shown, is_best)
        axes.set_title(label, fontsize=fontsize)
        axes.set_xlabel("loss" if by_loss else "trial")
        if wants_log_scale(values, _LOG_SCALE_RATIO):
            axes.set_yscale("log")


def _is_among_best(losses: Floats, n_best: int | None) -> npt.NDArray[np.bool_]:
    """Which trials are the `n_best` with the least losses, shape (n,)."""
    is_best = np.zeros(losses.size, dtype=np.bool_)
    if n_best is not None:
        # NaN sorts last.
        best = np.argsort(losses, kind="stable")[:n_best]
        is_best[best[np.isfinite(losses[best])]] = True
    return is_best


def _draw_variable(
    axes: Axes,
    horizontal: Floats,
    values: Floats,
    losses: Floats,
    is_best: npt.NDArray[np.bool_],
) -> None:
    is_active = np.isfinite(values)
    has_loss = is_active & np.isfinite(losses)
    rank = np.argsort(np.argsort(losses, kind="stable"), kind="stable")
    axes.scatter(
        horizontal[has_loss],
        values[has_loss],
        # By rank: one huge loss would leave all others the same colour.
        c=rank[has_loss],
        cmap="cividis",
        s=16,
        linewidth=0,
    )
    is_marked = has_loss & is_best
    axes.scatter(horizontal[is_marked], values[is_marked], s=40, color=_BEST_COLOR, zorder=3)
    has_none = is_active & ~has_loss & np.isfinite(horizontal)
    axes.scatter(horizontal[has_none], values[has_none], marker="x", s=16, color=_NO_LOSS_COLOR)
    tidy(axes)


def draw_curves(
    axes: Axes,
    curves: list[tuple[float, Any]],
    *,
    by_loss: bool,
    max_darkness: float,
    line_width: float,
) -> None:
    """One line for each (loss, 1-D array); with `by_loss` high losses are dark."""
    losses = [loss for loss, _ in curves]
    least, spread = min(losses, default=0.0), float(np.ptp(losses)) if losses else 0.0
    for loss, curve in curves:
        darkness = max_darkness * (loss - least) / spread if spread else max_darkness
        color = (0.0, 0.0, 0.0, darkness) if by_loss else None
        axes.plot(curve, color=color, linewidth=line_width, label=f"loss: {loss:.5}")
