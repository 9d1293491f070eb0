"""Pictures of a search.

    plot_history(trials, "history.png")

draws the loss of every trial that has ended, in the order in which they were
suggested, and the best loss so far. It writes to the file and needs neither a
display nor pyplot. `main_plot_history` is hyperopt's name for the same picture.

Needs matplotlib: pip install "hpo[plot]".
"""

from __future__ import annotations

import os
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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

# Positive losses that span more than this ratio are shown on a logarithmic axis.
_LOG_SCALE_RATIO = 10.0


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


def plot_history(
    trials: Trials,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    status_colors: Mapping[str, str] | None = None,
) -> Figure:
    """Draw every trial's loss and the best loss so far.

    Trials without a loss are crosses at the upper edge, so that they are not
    forgotten. The loss axis is logarithmic when the losses ask for it.

    Args:
        trials: the experiment.
        path: write the picture there as well; its ending says in which format.
        title: default the experiment's name.
        status_colors: {status: colour} instead of `default_status_colors`.

    Returns:
        The figure, not attached to any window.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    _draw(figure.add_subplot(), History.of(trials), status_colors or default_status_colors)
    figure.axes[0].set_title(_title(trials) if title is None else title, loc="left")
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def main_plot_history(
    trials: Trials,
    do_show: bool = True,
    status_colors: Mapping[str, str] | None = None,
    title: str = "Loss History",
) -> None:
    """Draw `plot_history` into pyplot's current axes, and show them with `do_show`.

    Source: hyperopt.plotting.main_plot_history.
    """
    import matplotlib.pyplot as plt

    _draw(plt.gca(), History.of(trials), status_colors or default_status_colors)
    plt.title(title, loc="left")
    if do_show:
        plt.show()


def _draw(axes: Axes, history: History, status_colors: Mapping[str, str]) -> None:
    for status in dict.fromkeys(history.statuses):
        color = status_colors.get(status, _UNKNOWN_STATUS_COLOR)
        _draw_status(axes, history, status, color)
    if history.is_ok.any():
        _draw_best(axes, history)
    if _wants_log_scale(history.losses):
        axes.set_yscale("log")
    axes.set_xlabel("trial number")
    axes.set_ylabel("loss")
    axes.margins(x=0.02)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if history.statuses:
        # Above the axes, where it hides no trial.
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)


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
        axes.scatter(
            history.numbers[has_none],
            np.full(has_none.sum(), 0.985),
            marker="x",
            color=color,
            label=label,
            # Horizontally at the trial's number, vertically at a part of the axis.
            transform=axes.get_xaxis_transform(),
        )


def _draw_best(axes: Axes, history: History) -> None:
    best = history.best_so_far
    label = f"best so far: {np.nanmin(best):.6g}"
    axes.step(history.numbers, best, where="post", color=_BEST_COLOR, label=label, zorder=3)


def _wants_log_scale(losses: npt.NDArray[np.float64]) -> bool:
    finite = losses[np.isfinite(losses)]
    return bool(
        finite.size and finite.min() > 0 and finite.max() > _LOG_SCALE_RATIO * finite.min()
    )


def _title(trials: Trials) -> str:
    return "Loss history" if trials.exp_key is None else f"Loss history of {trials.exp_key}"


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
