"""The post on tuning gradient descent: which learning rate and which start for y = x^2?

Its author had to keep the best so far in global variables to see anything at all, to save
it and to stop early, and got indexes where values were wanted.
"""

from __future__ import annotations

import pickle
import random

import pytest

from hpo import STATUS_OK, Trials, early_stop, fmin, hp, space_eval, tpe

SPACE = [
    hp.choice("learning_rate", [1.0, 0.1, 0.01]),
    hp.choice("max_init_x", [10.0, 1.0]),
]


def loss(x):
    return x**2


def loss_grad(x):
    return 2 * x


def graddesc(learning_rate, max_init_x):
    x = random.Random(7).uniform(-max_init_x, max_init_x)
    for _ in range(10):
        x = x - learning_rate * loss_grad(x)
    return x


def objective(hyperparams):
    learning_rate, max_init_x = hyperparams
    return {"loss": loss(graddesc(learning_rate, max_init_x)), "status": STATUS_OK}


def tune(**options):
    options = {"algo": tpe.suggest, "max_evals": 30, "rstate": 0, **options}
    return fmin(objective, SPACE, **options)


# 1.0 jumps from x to -x for ever, 0.01 hardly moves.
BEST = {"learning_rate": 0.1, "max_init_x": 1.0}


def test_it_finds_the_best_of_the_six_combinations():
    combinations = [(rate, start) for rate in (1.0, 0.1, 0.01) for start in (10.0, 1.0)]
    expected = min(combinations, key=lambda pair: objective(pair)["loss"])

    found = [space_eval(SPACE, tune(rstate=seed, show_progressbar=False)) for seed in range(5)]

    assert expected == tuple(BEST.values())
    assert found == [expected] * 5


def test_the_answer_can_be_values_instead_of_indexes():
    assert tune(show_progressbar=False) == {"learning_rate": 1, "max_init_x": 1}
    assert tune(show_progressbar=False, return_values=True) == BEST
    assert tune(show_progressbar=False, return_argmin=False) == tuple(BEST.values())


def test_every_trial_shows_its_values():
    trials = Trials()

    tune(trials=trials, show_progressbar=False)

    assert trials.best_trial["params"] == BEST
    assert {trial["params"]["learning_rate"] for trial in trials} == {1.0, 0.1, 0.01}


def test_progress_and_the_best_so_far_show_without_any_code(capfd):
    tune()

    shown = "".join(capfd.readouterr())
    least = objective(tuple(BEST.values()))["loss"]
    assert "after 6 trials no configuration is left" in shown
    assert f"best loss: {least:.6g}" in shown


def test_the_best_so_far_is_saved_while_the_search_runs(tmp_path):
    path = tmp_path / "trials.pkl"
    saved = []

    def watch(trials, *state):
        if path.exists():
            saved.append(pickle.loads(path.read_bytes()).best_trial["params"])
        return False, state

    tune(trials_save_file=path, early_stop_fn=watch, show_progressbar=False)

    # One look after each of the six combinations.
    assert len(saved) >= 5
    assert saved[-1] == BEST


def test_a_search_can_stop_when_it_is_good_enough_or_gets_no_better():
    least = objective(tuple(BEST.values()))["loss"]
    good_enough, no_better = Trials(), Trials()

    tune(max_evals=500, trials=good_enough, loss_threshold=least, show_progressbar=False)
    tune(
        max_evals=500,
        trials=no_better,
        early_stop_fn=early_stop.no_progress_loss(15),
        show_progressbar=False,
    )

    assert good_enough.losses()[-1] == pytest.approx(least)
    assert len(good_enough) < 30
    assert len(no_better) < 60
