"""Losses in the order of the trials, with the best one so far; and how often each occurred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    STATUS_FAIL,
    STATUS_OK,
    STATUS_SUSPENDED,
)
from hpo.plotting.scale import Axes, wants_log_scale

if TYPE_CHECKING:
    from hpo.trials import Trials

# How a trial ended whose objective raised; it has no status of its own.
RAISED = "raised"

# Told apart in greyscale and by colour-blind readers (Okabe and Ito's palette).
default_status_colors: dict[str, str] = {
    STATUS_OK: "#56b4e9",
    STATUS_FAIL: "#d55e00",
    STATUS_SUSPENDED: "#999999",
    RAISED: "#d55e00",
}
_BEST_COLOR = "#222222"
_UNKNOWN_STATUS_COLOR = "#999999"


@dataclass(frozen=True)
class History:
    """The trials that have ended, in the order of their numbers.

    Attributes:
        numbers: each trial's number within its experiment, shape (n,).
        losses: NaN where a trial has no finite loss, shape (n,).
        statuses: what the objective said, or "raised", length n.
    """

    numbers: npt.NDArray[np.int64]
    losses: npt.NDArray[np.float64]
    statuses: tuple[str, ...]

    @classmethod
    def of(cls, trials: Trials) -> History:
        """Read the history from the store; only numbers, losses and statuses are fetched."""
        found = trials.store.find(
            trials.exp_key,
            states=(JOB_STATE_DONE, JOB_STATE_ERROR),
            fields=("number", "state", "result.loss", "result.status"),
            all_experiments=trials.exp_key is None,
        )
        ended = sorted(found, key=lambda trial: trial["number"])
        return cls(
            numbers=np.array([trial["number"] for trial in ended], dtype=np.int64),
            losses=np.array([_loss(trial) for trial in ended], dtype=np.float64),
            statuses=tuple(_status(trial) for trial in ended),
        )

    @property
    def is_ok(self) -> npt.NDArray[np.bool_]:
        """Which trials count for the best loss, shape (n,)."""
        said_ok = np.array([status == STATUS_OK for status in self.statuses], dtype=np.bool_)
        return said_ok & np.isfinite(self.losses)

    @property
    def best_so_far(self) -> npt.NDArray[np.float64]:
        """The least ok loss up to each trial; NaN before the first one, shape (n,)."""
        return np.fmin.accumulate(np.where(self.is_ok, self.losses, np.nan))


def _loss(trial: Mapping[str, Any]) -> float:
    try:
        loss = float(trial["result"]["loss"])
    except (KeyError, TypeError, ValueError):
        return float("nan")
    return loss if np.isfinite(loss) else float("nan")


def _status(trial: Mapping[str, Any]) -> str:
    if trial["state"] == JOB_STATE_ERROR:
        return RAISED
    return str(trial["result"].get("status"))


# --- drawing ---


def draw_history(axes: Axes, history: History, status_colors: Mapping[str, str]) -> None:
    """Every trial's loss, and the best loss so far as a line."""
    for status in dict.fromkeys(history.statuses):
        color = status_colors.get(status, _UNKNOWN_STATUS_COLOR)
        _draw_status(axes, history, status, color)
    if history.is_ok.any():
        _draw_best(axes, history)
    if wants_log_scale(history.losses):
        axes.set_yscale("log")
    axes.set_xlabel("trial number")
    axes.set_ylabel("loss")
    axes.margins(x=0.02)
    tidy(axes)
    if history.statuses:
        legend_above(axes)


def _draw_status(axes: Axes, history: History, status: str, color: str) -> None:
    """Dots at the losses of the trials with one status; crosses for those without a loss."""
    chosen = np.array([found == status for found in history.statuses], dtype=np.bool_)
    has_loss = chosen & np.isfinite(history.losses)
    has_none = chosen & ~has_loss
    label = f"{status} ({chosen.sum()})"
    if has_loss.any():
        numbers, losses = history.numbers[has_loss], history.losses[has_loss]
        axes.scatter(numbers, losses, s=28, color=color, edgecolor="white", label=label, zorder=2)
        label = "_nolegend_"
    if has_none.any():
        crosses_at_the_top(axes, history.numbers[has_none], color, label)


def _draw_best(axes: Axes, history: History) -> None:
    best = history.best_so_far
    label = f"best so far: {np.nanmin(best):.6g}"
    axes.step(history.numbers, best, where="post", color=_BEST_COLOR, label=label, zorder=3)


def draw_histogram(axes: Axes, history: History) -> None:
    """How many trials had which loss, and where the best one is."""
    losses = history.losses[history.is_ok]
    if losses.size:
        edges = np.histogram_bin_edges(losses, bins=_n_bins(losses.size))
        if wants_log_scale(losses):
            edges = np.geomspace(losses.min(), losses.max(), len(edges))
            axes.set_xscale("log")
        color = default_status_colors[STATUS_OK]
        axes.hist(losses, edges, color=color, edgecolor="white", label=f"ok ({losses.size})")
        best = f"best: {losses.min():.6g}"
        axes.axvline(losses.min(), color=_BEST_COLOR, linestyle="--", label=best)
        legend_above(axes)
    axes.set_xlabel("loss")
    axes.set_ylabel("number of trials")
    tidy(axes)


def _n_bins(n_values: int) -> int:
    # Enough to see a shape in few trials, and not a comb in many.
    return int(np.clip(2.0 * np.sqrt(n_values), 5, 60))


def crosses_at_the_top(axes: Axes, positions: npt.ArrayLike, color: str, label: str) -> None:
    """Mark trials without a loss, which have no height of their own."""
    axes.scatter(
        positions,
        np.full(np.size(positions), 0.985),
        marker="x",
        color=color,
        label=label,
        # Horizontally at the position, vertically at a part of the axis.
        transform=axes.get_xaxis_transform(),
    )


def legend_above(axes: Axes) -> None:
    """A legend above the axes, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)


def tidy(axes: Axes) -> None:
    """A faint grid and no frame."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
