"""The pictures show every trial that ended, and the best so far."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_RUNNING,
    STATUS_FAIL,
    STATUS_OK,
    new_trial,
)
from hpo.plotting import History, main_plot_history, plot_history
from hpo.trials import Trials

pytestmark = pytest.mark.demo


def trials_of(*ends, exp_key=None):
    """One trial for each end: a loss, "fail", "raised" or "running"."""
    trials = Trials(exp_key)
    for tid, end in enumerate(ends):
        trial = new_trial(tid, exp_key=exp_key)
        trial["state"] = {"raised": JOB_STATE_ERROR, "running": JOB_STATE_RUNNING}.get(
            end, JOB_STATE_DONE
        )
        if isinstance(end, float):
            trial["result"] = {"status": STATUS_OK, "loss": end}
        elif end == "fail":
            trial["result"] = {"status": STATUS_FAIL}
        trials.store.insert([trial])
    trials.refresh()
    return trials


def labels(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_the_best_so_far_never_rises_and_skips_what_has_no_loss():
    history = History.of(trials_of(3.0, "fail", 4.0, "raised", 1.0, math.inf, 2.0))

    assert history.statuses == ("ok", "fail", "ok", "raised", "ok", "ok", "ok")
    np.testing.assert_array_equal(history.best_so_far, [3, 3, 3, 3, 1, 1, 1])


def test_before_the_first_loss_there_is_no_best():
    history = History.of(trials_of("raised", 2.0))

    np.testing.assert_array_equal(history.best_so_far, [math.nan, 2.0])


def test_trials_that_have_not_ended_are_left_out():
    history = History.of(trials_of(1.0, "running", 3.0))

    np.testing.assert_array_equal(history.numbers, [0, 2])


def test_the_picture_names_its_axes_statuses_and_the_best_loss():
    figure = plot_history(trials_of(3.0, "fail", 0.5, "raised", exp_key="digits"))

    [axes] = figure.axes
    assert axes.get_title(loc="left") == "Loss history of digits"
    assert axes.get_xlabel() == "trial number"
    assert axes.get_ylabel() == "loss"
    assert labels(figure) == ["ok (2)", "fail (1)", "raised (1)", "best so far: 0.5"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [((1.0, 2.0), "linear"), ((0.001, 5.0), "log"), ((-1.0, 500.0), "linear")],
)
def test_the_loss_axis_is_logarithmic_when_positive_losses_span_orders(losses, scale):
    [axes] = plot_history(trials_of(*losses)).axes

    assert axes.get_yscale() == scale


def test_the_picture_is_written_to_a_file(tmp_path):
    path = tmp_path / "history.png"

    plot_history(trials_of(3.0, 2.0), path)

    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("ends", [(), ("raised",), ("fail", "fail")])
def test_an_experiment_without_any_loss_can_be_drawn(ends, tmp_path):
    plot_history(trials_of(*ends), tmp_path / "history.png")


def test_hyperopts_name_draws_into_the_current_axes(monkeypatch):
    import matplotlib

    with monkeypatch.context():
        matplotlib.use("agg")
        import matplotlib.pyplot as plt

        figure = plt.figure()
        main_plot_history(trials_of(1.0, 0.5), do_show=False, title="mine")

        assert figure.axes[0].get_title(loc="left") == "mine"
        plt.close(figure)
