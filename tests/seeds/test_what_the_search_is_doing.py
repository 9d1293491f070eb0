"""The questions of "what on earth is hyperopt doing?", each answered by a call.

Its author minimised a heart-shaped function, found that the first twenty points
were random, looped over `fmin` to be able to pickle the trials, cast floats to
ints by hand, and took a page of private names to plot the two estimators.
"""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest

from hpo import STATUS_OK, Trials, fmin, hp, rand, tpe
from hpo.pyll import scope

SPACE = {"x": hp.uniform("x", -1.5, 1.5), "y": hp.uniform("y", -1.5, 1.5)}


def heart(x, y):
    """Zero on a heart's outline, negative inside; least in its lobes and belly."""
    return (x**2 + y**2 - 1) ** 3 - x**2 * y**3


def objective(params):
    return {"loss": heart(params["x"], params["y"]), "status": STATUS_OK}


def search(max_evals=60, seed=0, algo=tpe.suggest, **options):
    trials = options.pop("trials", Trials())
    fmin(
        objective,
        SPACE,
        algo=algo,
        max_evals=max_evals,
        trials=trials,
        rstate=np.random.default_rng(seed),
        show_progressbar=False,
        **options,
    )
    return trials


def points(trials):
    """(x, y) of each trial, as the post read them from the documents."""
    return [(t["misc"]["vals"]["x"][0], t["misc"]["vals"]["y"][0]) for t in trials.trials]


def n_start(trials):
    """How many trials were not chosen by a model, as their documents tell."""
    return sum("start" in trial["suggested_by"] for trial in trials)


def test_the_first_points_fill_the_square_and_their_number_can_be_read():
    trials = search(40)

    first = np.array(points(trials)[:10])
    n_in_each_half = (first < 0).sum(axis=0)
    assert n_start(trials) == trials.trials[0]["suggested_by"]["options"]["n_startup_jobs"] == 10
    assert np.all((n_in_each_half >= 4) & (n_in_each_half <= 6)), first


@pytest.mark.parametrize("n_startup_jobs", [1, 5, 30])
def test_the_length_of_the_start_can_be_chosen(n_startup_jobs):
    algo = partial(tpe.suggest, n_startup_jobs=n_startup_jobs)

    assert n_start(search(40, algo=algo)) == n_startup_jobs


def test_it_finds_the_inside_of_the_heart_sooner_than_random_search():
    def share_inside(algo, seed):
        losses = search(60, seed, algo).losses()[20:]
        return np.mean(np.array(losses) < -0.5)

    searched = [share_inside(tpe.suggest, seed) for seed in range(8)]
    at_random = [share_inside(rand.suggest, seed) for seed in range(8)]

    assert np.median(searched) > 1.3 * np.median(at_random), (searched, at_random)


def test_points_do_not_pile_up_at_the_border():
    def share_at_the_border(seed):
        proposed = np.array(points(search(60, seed))[20:])
        return np.mean(np.abs(proposed).max(axis=1) > 0.99 * 1.5)

    shares = [share_at_the_border(seed) for seed in range(8)]

    assert np.median(shares) < 0.1, shares


def test_trials_pickled_after_every_point_are_continued(tmp_path):
    path = tmp_path / "trials.pkl"

    for n_evals in range(1, 6):
        trials = pickle.loads(path.read_bytes()) if path.exists() else Trials()
        assert len(trials) == n_evals - 1
        search(n_evals, seed=n_evals, trials=trials)
        path.write_bytes(pickle.dumps(trials))

    continued = pickle.loads(path.read_bytes())
    assert len(continued) == 5
    assert len(set(points(continued))) == 5


def test_the_loop_and_the_pickling_can_be_left_to_fmin(tmp_path):
    path = tmp_path / "trials.pkl"

    for max_evals in (3, 25):
        fmin(
            objective,
            SPACE,
            max_evals=max_evals,
            trials_save_file=path,
            rstate=0,
            show_progressbar=False,
        )

    assert len(pickle.loads(path.read_bytes())) == 25


def test_the_bounds_can_be_read_from_the_space_as_the_post_did():
    low, high = SPACE["x"].pos_args[0].pos_args[1].pos_args

    assert (low.eval(), high.eval()) == (-1.5, 1.5)


def test_whole_numbers_need_no_cast():
    space = {
        "n_layers": hp.uniformint("n_layers", 1, 5),
        "n_neurons": scope.int(hp.qloguniform("n_neurons", np.log(8), np.log(512), 8)),
        "memory_size": hp.randint("memory_size", 100, 10_000),
        "learning_rate": hp.loguniform("learning_rate", np.log(1e-5), np.log(1e-1)),
    }
    seen = []

    def agent(params):
        seen.append(params)
        return abs(params["n_layers"] - 2) + params["learning_rate"]

    fmin(agent, space, max_evals=30, rstate=0, show_progressbar=False)

    names = ("n_layers", "n_neurons", "memory_size")
    assert all(type(params[name]) is int for params in seen for name in names)


@pytest.mark.demo
@pytest.mark.parametrize("n_trials", [1, 21, 60])
def test_the_two_estimators_and_their_ratio_are_one_call(n_trials, tmp_path):
    from hpo.plotting import plot_estimators

    trials = search(n_trials)

    figure = plot_estimators(trials, SPACE, "x", tid=n_trials - 1, path=tmp_path / "x.png")

    losses, densities, ratio = figure.axes
    chosen = points(trials)[-1][0]
    for axes in (losses, densities, ratio):
        assert any(
            set(line.get_xdata()) == {chosen} for line in axes.lines if len(line.get_xdata())
        )
    is_start = "one of the first" in losses.get_title(loc="left")
    assert is_start == (n_trials <= 10)


@pytest.mark.demo
def test_the_path_over_the_true_function_is_one_call(tmp_path):
    from hpo.plotting import plot_search_path

    figure = plot_search_path(search(30), "x", "y", heart, tmp_path / "path.png", space=SPACE)

    dots = figure.axes[0].collections[-2].get_offsets()
    np.testing.assert_allclose(dots, points(search(30)))
