"""The examples run; that of PyTorch where it is installed."""

from __future__ import annotations

import importlib.util

from hpo.surrogate.learning_curve import LinearCurvePredictor
from scripts.examples import tune_sklearn


def test_the_scikit_learn_example_tunes_and_continues(tmp_path, capsys):
    first = tune_sklearn.tuner(n_points=7, n_epochs=6, session=tmp_path)
    best = first.tune()

    assert first.best_value > 0.85
    assert best.activation in ("relu", "tanh")
    n_complete = LinearCurvePredictor(io_load_dir=tmp_path).curves_number
    assert n_complete == capsys.readouterr().out.count("  6 epochs, accuracy")

    second = tune_sklearn.tuner(n_points=8, n_epochs=6, session=tmp_path)
    second.tune()

    assert second.strategy.iteration == 8
    assert capsys.readouterr().out.count("epochs, accuracy") == 1


if importlib.util.find_spec("torch") is not None:

    def test_the_pytorch_example_tunes():
        from scripts.examples import tune_torch

        best = tune_torch.tune(n_trials=4, n_epochs=9)

        assert set(best) == {"rate", "width", "dropout"}
