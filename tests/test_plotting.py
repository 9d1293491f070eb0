"""Pictures: losses over time, what TPE thought, where a search went, and hyperopt's names."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from scipy import integrate

from hpo import hp, tpe
from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_RUNNING,
    STATUS_FAIL,
    STATUS_OK,
    new_trial,
)
from hpo.domain import Domain
from hpo.plotting import (
    History,
    explain,
    main_plot_1D_attachment,
    main_plot_histogram,
    main_plot_history,
    main_plot_vars,
    plot_estimators,
    plot_history,
    plot_search_path,
)
from hpo.plotting.search_path import SearchPath, Surface
from hpo.space import Space
from hpo.trials import Trials
from tests.searches import EVERY_KIND, failed, finished

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


def test_the_history_can_be_drawn_into_given_axes():
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)

    assert plot_history(trials_of(1.0, 2.0), ax=right) is figure
    assert not left.has_data()
    assert right.get_ylabel() == "loss"


# --- the two estimators ---

SPACE = {
    "x": hp.uniform("x", -1.0, 3.0),
    "lr": hp.loguniform("lr", math.log(1e-5), 0.0),
    "model": hp.choice(
        "model",
        [
            "svm",
            {"kind": "boost", "depth": hp.uniformint("depth", 1, 20)},
            ("net", hp.normal("w", 0, 1)),
        ],
    ),
}


def loss_of(values):
    return (values["x"] - 1.0) ** 2 + abs(math.log10(values["lr"]) + 3.0) + values["model"]


def searched(n_trials=40, space=SPACE, loss_of=loss_of, seed=0, **options):
    """Trials of a search by TPE; every seventh fails."""
    domain, trials = Domain(loss_of, space), Trials()
    for tid in range(n_trials):
        values = tpe.suggest_values(
            domain.space, trials.observations(), tid, seed, tpe.Options(**options)
        )
        ended = failed(tid, values) if tid % 7 == 6 else finished(tid, values, loss_of(values))
        trials.store.insert([ended])
        trials.refresh()
    return trials


def panel_labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_estimators_are_those_that_tpe_had_when_it_chose():
    trials = searched(n_trials=40)

    for tid in (20, 27, 39):
        seen = explain(trials, SPACE, "x", tid)

        earlier = searched(n_trials=tid)
        then = explain(earlier, SPACE, "x")
        np.testing.assert_array_equal(seen.log_ratio, then.log_ratio)
        np.testing.assert_array_equal(seen.values, trials.observations().column("x")[:tid])
        assert seen.chosen == trials.trial(tid)["misc"]["vals"]["x"][0]
        n_losses = np.count_nonzero(earlier.observations().is_ok)
        assert (seen.n_trials, seen.n_good) == (tid, math.ceil(0.1 * n_losses))


def test_the_value_that_tpe_chose_has_the_largest_ratio_of_many_candidates():
    space = {"x": SPACE["x"]}
    trials = searched(60, space, lambda values: (values["x"] - 1.0) ** 2, n_EI_candidates=2000)

    seen = explain(trials, space, "x", 59)

    at_choice = np.interp(seen.chosen, seen.scale.grid, seen.log_ratio)
    assert at_choice == pytest.approx(seen.log_ratio.max(), abs=0.05)


def test_the_good_trials_are_the_ones_with_the_least_losses():
    seen = explain(searched(), SPACE, "x")

    assert seen.losses[seen.is_good].max() < np.nanmin(seen.losses[~seen.is_good])
    assert np.isnan(seen.losses[~seen.is_good]).sum() == 5


@pytest.mark.parametrize("label", ["x", "lr", "w"])
def test_the_areas_under_both_densities_are_one(label):
    seen = explain(searched(), SPACE, label)

    along = np.log(seen.scale.grid) if seen.scale.is_log else seen.scale.grid
    for density in (seen.good, seen.rest):
        # Of an unbounded one some lies outside of the picture: half of a kernel at its edge.
        outside = 0.3 if label == "w" else 0.0
        assert 0.99 - outside < integrate.trapezoid(density, along) < 1.01


@pytest.mark.parametrize("label", ["model", "depth"])
def test_the_probabilities_of_few_values_add_up_to_one(label):
    seen = explain(searched(), SPACE, label)

    assert seen.good.sum() == pytest.approx(1.0)
    assert seen.rest.sum() == pytest.approx(1.0)


def test_options_of_the_search_change_the_split():
    trials = searched()

    assert explain(trials, SPACE, "x", options=tpe.Options(gamma=1.0)).n_good == 7
    assert explain(trials, SPACE, "x", 30, tpe.Options(n_startup_jobs=31)).is_startup
    assert not explain(trials, SPACE, "x", 30, tpe.Options(n_startup_jobs=30)).is_startup


def test_the_picture_of_the_estimators_explains_itself(tmp_path):
    path = tmp_path / "x.png"

    figure = plot_estimators(searched(), SPACE, "x", 25, path)

    losses, densities, ratio = figure.axes
    assert losses.get_title(loc="left") == "x before trial 25\n3 good of 25 trials"
    names = [axes.get_ylabel() for axes in figure.axes]
    assert names == ["loss", "density", "log l / g"]
    assert ratio.get_xlabel() == "x"
    assert panel_labels(losses) == ["good (3)", "others (22)", "without a loss (3)"]
    assert panel_labels(densities) == ["l: good", "g: others"]
    assert panel_labels(ratio)[0].startswith("chosen: ")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_next_trial_and_the_start_up_are_named():
    trials = searched(n_trials=8)

    title = plot_estimators(trials, SPACE, "x").axes[0].get_title(loc="left")
    longer = plot_estimators(trials, SPACE, "x", 5, n_startup_jobs=3).axes[0]

    assert title == "x before the next trial, one of the first\n1 good of 8 trials"
    assert longer.get_title(loc="left") == "x before trial 5\n1 good of 5 trials"


def test_log_kinds_have_a_logarithmic_axis_and_choices_the_names_of_options():
    trials = searched()

    assert plot_estimators(trials, SPACE, "lr").axes[2].get_xscale() == "log"
    of_choice = plot_estimators(trials, SPACE, "model").axes[2]
    assert [tick.get_text() for tick in of_choice.get_xticklabels()] == [
        "svm",
        "kind: boost",
        "net",
    ]


def test_options_with_the_same_name_are_told_apart():
    space = {"c": hp.choice("c", [{"p": "l2", "x": hp.uniform("x", 0, 1)}, {"p": "l2"}])}
    trials = searched(5, space, lambda values: values["c"])

    ticks = plot_estimators(trials, space, "c").axes[2].get_xticklabels()

    assert [tick.get_text() for tick in ticks] == ["0: p: l2", "1: p: l2"]


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("n_trials", [0, 1, 25])
def test_every_kind_can_be_drawn_after_any_number_of_trials(kind, n_trials, tmp_path):
    space = EVERY_KIND[kind]
    [label] = Space(space).hyperparameters
    trials = searched(n_trials, space, lambda values: float(values[label]), noisy=True)

    # Rendering is what takes the time.
    plot_estimators(trials, space, label, path=tmp_path / "kind.png" if n_trials > 1 else None)
    seen = explain(trials, space, label)

    assert np.isfinite(seen.log_ratio).all()
    assert seen.scale.grid[0] <= seen.chosen <= seen.scale.grid[-1]


def test_an_estimator_without_a_prior_can_be_drawn(tmp_path):
    plot_estimators(searched(), SPACE, "model", path=tmp_path / "m.png", prior_weight=0.0)


def test_a_domain_and_a_compiled_space_will_do():
    trials = searched(5)

    for space in (SPACE, Space(SPACE), Domain(loss_of, SPACE)):
        assert plot_estimators(trials, space, "x").axes[0].get_ylabel() == "loss"


def test_the_three_panels_can_be_given():
    from matplotlib.figure import Figure

    figure = Figure()
    grid = figure.subplots(3, 2)

    assert plot_estimators(searched(), SPACE, "x", axes=grid[:, 1]) is figure
    assert [axes.has_data() for axes in grid[:, 0]] == [False, False, False]


def test_a_trial_in_which_the_hyperparameter_is_inactive_has_no_chosen_value():
    trials = searched()
    tid = next(t["tid"] for t in trials if t["misc"]["vals"]["model"] == [0])

    seen = explain(trials, SPACE, "depth", tid)

    assert seen.chosen is None
    plot_estimators(trials, SPACE, "depth", tid)


def test_an_unknown_label_or_trial_is_named():
    trials = searched(5)

    with pytest.raises(ValueError, match="no hyperparameter 'lrr'; did you mean 'lr'"):
        plot_estimators(trials, SPACE, "lrr")
    with pytest.raises(ValueError, match="no trial 99"):
        plot_estimators(trials, SPACE, "x", 99)
    with pytest.raises(ValueError, match="there are no trials yet"):
        plot_estimators(Trials(), SPACE, "x", 0)


def test_a_hyperparameter_that_depends_on_another_has_no_estimator():
    low = hp.uniform("low", 0, 1)
    space = {"low": low, "x": hp.uniform("x", low, 2)}

    with pytest.raises(ValueError, match="'x' has no distribution of its own"):
        plot_estimators(Trials(), space, "x")


# --- the search path ---


def test_the_path_visits_the_trials_in_order():
    trials = searched()

    path = SearchPath.of(trials, "x", "lr")

    np.testing.assert_array_equal(path.x, trials.observations().column("x"))
    np.testing.assert_array_equal(path.places, np.arange(40))
    assert path.losses[path.best] == trials.best_loss


def test_the_path_skips_trials_in_which_a_label_is_inactive():
    trials = searched()

    path = SearchPath.of(trials, "x", "depth")

    active = [
        trial["tid"] for trial in trials.store.find(None) if trial["misc"]["vals"].get("depth")
    ]
    assert path.places.tolist() == active


def test_the_picture_of_the_path_explains_itself(tmp_path):
    path = tmp_path / "path.png"

    figure = plot_search_path(searched(), "x", "lr", path=path, space=SPACE)

    axes, colour_bar = figure.axes
    assert axes.get_title(loc="left") == "lr over x"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("x", "lr", "log")
    assert colour_bar.get_ylabel() == "trial"
    assert labels(figure)[0].startswith("best: ")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_contours_are_drawn_inside_the_space_only():
    asked = []

    def fn(x, lr):
        asked.append((x, lr))
        return math.sqrt(x + 1.0) + math.log(lr)

    plot_search_path(searched(), "x", "lr", fn, space=SPACE)

    x, lr = np.array(asked).T
    assert -1.0 <= x.min() < x.max() <= 3.0
    assert 0.99e-5 <= lr.min() < lr.max() <= 1.01


def test_the_height_of_a_surface_is_that_of_the_function():
    surface = Surface.of(lambda x, y: 10 * x + y, np.array([0.0, 1.0, 2.0]), np.array([0.0, 5.0]))

    np.testing.assert_array_equal(surface.z, [[0, 10, 20], [5, 15, 25]])


def test_contours_divide_the_area_equally_however_steep_the_function():
    grid = np.linspace(0.0, 1.0, 50)

    ranks = Surface.of(lambda x, y: math.exp(50 * x), grid, grid).ranks

    counts, _ = np.histogram(ranks, bins=np.arange(ranks.max() + 1))
    assert len(counts) == 13
    assert counts.max() < 1.5 * counts.min()


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, y: 1.0,
        lambda x, y: math.nan,
        lambda x, y: math.inf if x < 0 else x + y,
    ],
)
def test_functions_that_are_constant_or_not_finite_can_be_drawn(fn, tmp_path):
    plot_search_path(searched(8), "x", "lr", fn, tmp_path / "path.png")


def test_without_a_space_the_axes_show_the_trials():
    trials = searched()

    axes = plot_search_path(trials, "lr", "model").axes[0]

    low, high = axes.get_xlim()
    column = trials.observations().column("lr")
    assert axes.get_xscale() == "log"
    assert low < column.min() < column.max() < high


def test_a_path_without_any_trials_on_it_is_refused():
    trials = searched()

    with pytest.raises(ValueError, match="no trial has a value for 'dept'; did you mean 'depth'"):
        plot_search_path(trials, "x", "dept")
    with pytest.raises(ValueError, match="never active together"):
        plot_search_path(trials, "depth", "w")
    with pytest.raises(ValueError, match="no values at all"):
        plot_search_path(Trials(), "x", "y")


# --- hyperopt's names ---


@pytest.fixture
def pyplot():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_hyperopts_history_is_drawn_into_the_current_axes(pyplot):
    figure = pyplot.figure()

    main_plot_history(trials_of(1.0, 0.5), do_show=False, title="mine")

    assert figure.axes[0].get_title(loc="left") == "mine"


def test_hyperopts_histogram_counts_every_ok_trial(pyplot):
    figure = pyplot.figure()

    main_plot_histogram(trials_of(1.0, 0.5, "fail", 0.5, "raised", 3.0), do_show=False)

    [axes] = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 4
    assert axes.get_title(loc="left") == "Loss Histogram"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("loss", "number of trials")
    assert labels(figure) == ["ok (4)", "best: 0.5"]


@pytest.mark.parametrize("ends", [(), ("raised",), (2.0,), (2.0, 2.0)])
def test_hyperopts_histogram_of_few_trials_can_be_drawn(ends, pyplot):
    main_plot_histogram(trials_of(*ends), do_show=False)


def test_hyperopts_variables_have_a_panel_each(pyplot):
    figure = pyplot.figure()

    main_plot_vars(searched(), do_show=False, columns=3, colorize_best=4)

    assert [axes.get_title() for axes in figure.axes] == ["depth", "lr", "model", "w", "x"]
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (2, 3)
    of_lr = figure.axes[1]
    assert (of_lr.get_xlabel(), of_lr.get_yscale()) == ("trial", "log")
    everything, best, no_loss = (dots.get_offsets() for dots in of_lr.collections)
    assert (len(everything), len(best), len(no_loss)) == (35, 4, 5)


def test_hyperopts_variables_can_be_arranged_by_loss(pyplot):
    figure, trials = pyplot.figure(), searched()

    main_plot_vars(trials, do_show=False, arrange_by_loss=True)

    of_x = figure.axes[4]
    known = trials.observations().is_ok
    horizontal = of_x.collections[0].get_offsets()[:, 0]
    assert of_x.get_xlabel() == "loss"
    np.testing.assert_array_equal(horizontal, trials.observations().losses[known])


@pytest.mark.parametrize("n_trials", [0, 1])
def test_hyperopts_variables_of_few_trials_can_be_drawn(n_trials, pyplot):
    main_plot_vars(searched(n_trials), do_show=False, colorize_best=5)


def with_curves(n_trials):
    trials = searched(n_trials)
    for trial in trials.trials:
        trials.trial_attachments(trial)["curve"] = pickle.dumps(np.full((1, 5), trial["tid"]))
    return trials


def test_hyperopts_attachments_are_one_line_each(pyplot):
    figure = pyplot.figure()

    main_plot_1D_attachment(with_curves(5), "curve", False, preprocessing_fn=lambda y: 2 * y)

    [axes] = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[2 * i] * 5 for i in range(5)]
    assert axes.get_title(loc="left") == "curve"
    assert labels(figure)[0].startswith("loss: ")


def test_hyperopts_attachments_can_be_thinned_out_evenly_by_loss(pyplot):
    figure, trials = pyplot.figure(), with_curves(20)

    main_plot_1D_attachment(trials, "curve", do_show=False, num_trails=4)

    ranked = sorted(trials.trials, key=lambda trial: trial["result"].get("loss", math.inf))
    drawn = [int(line.get_ydata()[0]) for line in figure.axes[0].lines]
    assert len(drawn) == 4
    assert drawn[0] == ranked[0]["tid"]


def test_trials_without_the_attachment_are_left_out(pyplot):
    figure = pyplot.figure()

    main_plot_1D_attachment(with_curves(5), "no such curve", do_show=False)

    assert not figure.axes[0].lines


def test_pictures_need_no_pyplot():
    import subprocess
    import sys

    code = (
        "import sys; from hpo import Trials; from hpo.plotting import plot_history; "
        "plot_history(Trials()); print('matplotlib.pyplot' in sys.modules)"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "False"
