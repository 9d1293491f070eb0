"""Pictures of a search.

    plot_history(trials, "history.png")               losses and the best so far
    plot_estimators(trials, space, "x", tid=57)       why TPE chose this value of x
    plot_search_path(trials, "x", "y", fn=loss)       where the search went

Each returns a matplotlib figure and writes it to a file if given one; neither a
display nor pyplot is needed. The names that start with `main_` are hyperopt's:
they draw with pyplot and show it.

Needs matplotlib: pip install "hpo[plot]".

    scale        how a hyperparameter's values lie along an axis
    history      losses over time, and how often each occurred
    estimators   the two densities of TPE and their ratio
    search_path  trials over two hyperparameters
    variables    every hyperparameter by itself
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo import tpe
from hpo.plotting.estimators import draw_explanation, explain
from hpo.plotting.history import History, default_status_colors, draw_histogram, draw_history
from hpo.plotting.search_path import SearchPath, draw_path, scales_of
from hpo.plotting.variables import draw_curves, draw_variables, shape_of_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hpo.trials import Trials

__all__ = [
    "History",
    "default_status_colors",
    "explain",
    "main_plot_1D_attachment",
    "main_plot_histogram",
    "main_plot_history",
    "main_plot_vars",
    "plot_estimators",
    "plot_history",
    "plot_search_path",
]

Path = str | os.PathLike[str]

# Above so many lines a legend would hide them.
_MAX_LEGEND_LINES = 10


def plot_history(
    trials: Trials,
    path: Path | None = None,
    *,
    title: str | None = None,
    status_colors: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw every trial's loss and the best loss so far.

    Trials without a loss are crosses at the upper edge, so that they are not
    forgotten. The loss axis is logarithmic when the losses ask for it.

    Args:
        trials: the experiment.
        path: write the picture there as well; its ending says in which format.
        title: default the experiment's name.
        status_colors: {status: colour} instead of `default_status_colors`.
        ax: draw into these axes instead of a new figure.

    Returns:
        The figure, not attached to any window.

    Raises:
        ImportError: matplotlib is not installed.
    """
    axes = _new_axes((8, 4.5)) if ax is None else ax
    draw_history(axes, History.of(trials), status_colors or default_status_colors)
    axes.set_title(_history_title(trials) if title is None else title, loc="left")
    return _finished(axes, path)


def plot_estimators(
    trials: Trials,
    space: Any,
    label: str,
    tid: Any = None,
    path: Path | None = None,
    *,
    gamma: float | None = None,
    prior_weight: float = 1.0,
    n_startup_jobs: int = 10,
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw what TPE made of one hyperparameter when it suggested a trial.

    Above, the trials that it had seen, with their losses: the good ones and the
    others. In the middle the estimators l and g that are fitted to the two. Below,
    their log ratio, and the value that was chosen.

    A search with several workers may have known fewer of the losses at that time.

    Args:
        trials: the experiment, as it is after any number of trials.
        space: what was searched: the argument of `fmin`, a Space or a Domain.
        label: the hyperparameter.
        tid: the trial whose choice is explained; None: the next one, from all trials.
        path: write the picture there as well; its ending says in which format.
        gamma, prior_weight, n_startup_jobs: as the search had them; see `tpe.suggest`.
        title: default the label and the number of trials.
        axes: draw into these three axes instead of a new figure.

    Returns:
        The figure, not attached to any window.

    Raises:
        ValueError: there is no such hyperparameter or trial.
        ImportError: matplotlib is not installed.
    """
    options = tpe.Options(prior_weight, n_startup_jobs, gamma=gamma)
    explanation = explain(trials, space, label, tid, options)
    upper, middle, lower = _new_panels() if axes is None else axes
    draw_explanation((upper, middle, lower), explanation)
    upper.set_title(explanation.title if title is None else title, loc="left")
    return _finished(upper, path)


def plot_search_path(
    trials: Trials,
    label_x: str,
    label_y: str,
    fn: Callable[[float, float], float] | None = None,
    path: Path | None = None,
    *,
    space: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the trials over two hyperparameters, in the order in which they were suggested.

    Args:
        trials: the experiment.
        label_x, label_y: the two hyperparameters; a choice by its index.
        fn: the true function, called as fn(x, y) with plain numbers; its contours
            divide the picture into equal areas, low ones dark.
        path: write the picture there as well; its ending says in which format.
        space: what was searched; it gives the axes their range, logarithmic ones for log
            kinds, and the names of options. Without it they show the trials.
        title: default the two labels.
        ax: draw into these axes instead of a new figure.

    Returns:
        The figure, not attached to any window.

    Raises:
        ValueError: no trial has a value for one of the labels, or the space lacks it.
        ImportError: matplotlib is not installed.
    """
    walked = SearchPath.of(trials, label_x, label_y)
    scales = scales_of(walked, space)
    axes = _new_axes((7, 5.5)) if ax is None else ax
    dots = draw_path(axes, walked, scales, fn)
    figure = _finished(axes, None)
    figure.colorbar(dots, ax=axes, label="trial", pad=0.02)
    axes.set_title(f"{label_y} over {label_x}" if title is None else title, loc="left")
    return _finished(axes, path)


# --- figures --------------------------------------------------------------------


def _new_axes(size_inches: tuple[float, float]) -> Axes:
    from matplotlib.figure import Figure

    return Figure(figsize=size_inches, layout="constrained").add_subplot()


def _new_panels() -> Sequence[Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7.5), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2)).tolist()
    return panels


def _finished(axes: Axes, path: Path | None) -> Figure:
    """The figure that the axes lie in, written to `path` if that is given."""
    # Of axes in a subfigure, the figure around it.
    figure: Figure = axes.figure.figure
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _history_title(trials: Trials) -> str:
    return "Loss history" if trials.exp_key is None else f"Loss history of {trials.exp_key}"


# --- hyperopt's names -----------------------------------------------------------


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

    plot_history(trials, title=title, status_colors=status_colors, ax=plt.gca())
    _show(do_show)


def main_plot_histogram(
    trials: Trials, do_show: bool = True, title: str = "Loss Histogram"
) -> None:
    """Draw how often each loss occurred into pyplot's current axes, and show them.

    Source: hyperopt.plotting.main_plot_histogram.
    """
    import matplotlib.pyplot as plt

    draw_histogram(plt.gca(), History.of(trials))
    plt.title(title, loc="left")
    _show(do_show)


def main_plot_vars(
    trials: Trials,
    do_show: bool = True,
    fontsize: int = 10,
    colorize_best: int | None = None,
    columns: int = 5,
    arrange_by_loss: bool = False,
) -> None:
    """Draw every hyperparameter's values into panels of pyplot's current figure.

    Dark dots have low losses, grey crosses none. A vertical axis is logarithmic when
    the values ask for it.

    Args:
        fontsize: of the panels' titles, in points.
        colorize_best: mark so many trials with the least losses.
        columns: of panels, at most.
        arrange_by_loss: the horizontal axis is the loss instead of the time.

    Source: hyperopt.plotting.main_plot_vars.
    """
    import matplotlib.pyplot as plt

    observations = trials.observations()
    figure = plt.gcf()
    rows, shown_columns = shape_of_panels(len(observations.labels), columns)
    draw_variables(
        lambda place: figure.add_subplot(rows, shown_columns, place + 1),
        observations,
        fontsize=fontsize,
        n_best=colorize_best,
        by_loss=arrange_by_loss,
    )
    _show(do_show)


def main_plot_1D_attachment(
    trials: Trials,
    attachment_name: str,
    do_show: bool = True,
    colorize_by_loss: bool = True,
    max_darkness: float = 0.5,
    num_trails: int | None = None,
    preprocessing_fn: Callable[[Any], Any] = lambda x: x,
    line_width: float = 0.1,
) -> None:
    """Draw an attachment that is a pickled 1-D array, one line for each trial.

    Only open the attachments of trials whose writers you trust: unpickling runs code.

    Args:
        attachment_name: trials without such an attachment, or with one of more
            dimensions, are left out.
        colorize_by_loss: high losses are dark.
        max_darkness: of the highest, from 0 to 1.
        num_trails: draw only so many trials, evenly chosen by their losses.
        preprocessing_fn: applied to each array.
        line_width: in points.

    Source: hyperopt.plotting.main_plot_1D_attachment.
    """
    import matplotlib.pyplot as plt

    with_loss = [trial for trial in trials.trials if trial["result"].get("loss") is not None]
    chosen = with_loss
    if num_trails is not None:
        chosen = sorted(with_loss, key=lambda trial: float(trial["result"]["loss"]))
        places = np.linspace(0, len(chosen), num_trails, endpoint=False, dtype=int)
        chosen = [chosen[place] for place in dict.fromkeys(places.tolist()) if chosen]
    curves = []
    for trial in chosen:
        attachments = trials.trial_attachments(trial)
        if attachment_name not in attachments:
            continue
        curve = np.squeeze(np.asanyarray(pickle.loads(attachments[attachment_name])))
        if curve.ndim == 1:
            curves.append((float(trial["result"]["loss"]), preprocessing_fn(curve)))
    draw_curves(
        plt.gca(),
        curves,
        by_loss=colorize_by_loss,
        max_darkness=max_darkness,
        line_width=line_width,
    )
    plt.title(attachment_name, loc="left")
    if 0 < len(curves) < _MAX_LEGEND_LINES:
        plt.legend()
    _show(do_show)


def _show(do_show: bool) -> None:
    import matplotlib.pyplot as plt

    if do_show:
        plt.show()
