"""Compute the tables of `tables`: cross-validated losses of real learners.

    python -m scripts.quality.make_tables [FILE_STEM ...]

Needs scikit-learn and some ten minutes of one core. The losses are 1 - R² for
regression, 1 - ROC AUC for two classes, and the log loss for more: smooth ones,
or random search would find an optimum on a plateau.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from scripts.quality.spaces import Value
from scripts.quality.tables import (
    DIRECTORY,
    LINEAR,
    LOGARITHMIC,
    OPTIONS,
    WHOLE,
    Axis,
)

_WORST = 3.0

Learner = tuple[list[Axis], Callable[..., Any]]

_SCORES = {
    "diabetes": ("r2", 1.0),
    "breast_cancer": ("roc_auc", 1.0),
    "digits": ("neg_log_loss", 0.0),
    "digits by parity": ("r2", 1.0),
    "wine": ("neg_log_loss", 0.0),
}


def powers(label: str, low: float, high: float, n: int) -> Axis:
    """`n` powers between low and high."""
    return Axis(label, LOGARITHMIC, tuple(float(f"{v:.6g}") for v in np.geomspace(low, high, n)))


def steps(label: str, low: float, high: float, n: int) -> Axis:
    """`n` evenly spaced numbers."""
    return Axis(label, LINEAR, tuple(float(f"{v:.6g}") for v in np.linspace(low, high, n)))


def whole(label: str, *grid: int) -> Axis:
    """Some whole numbers; those between are interpolated."""
    return Axis(label, WHOLE, grid)


def options(label: str, *grid: Value) -> Axis:
    """Options without an order."""
    return Axis(label, OPTIONS, grid)


def svm_on_digits() -> tuple[str, dict[str, Learner]]:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVR

    def make(c: float, gamma: float, kernel: str) -> Any:
        return make_pipeline(MinMaxScaler(), SVR(C=c, gamma=gamma, kernel=kernel, max_iter=20_000))

    axes = [
        powers("c", 1e-3, 1e2, 11),
        powers("gamma", 1e-5, 1e1, 13),
        options("kernel", "rbf", "poly", "sigmoid"),
    ]
    return "digits by parity", {"svm": (axes, make)}


def forest_on_digits() -> tuple[str, dict[str, Learner]]:
    from sklearn.ensemble import RandomForestClassifier

    def make(max_features: float, min_samples_leaf: int, max_depth: int) -> Any:
        return RandomForestClassifier(
            40, max_features=max_features, min_samples_leaf=min_samples_leaf,
            max_depth=max_depth, random_state=0,
        )  # fmt: skip

    axes = [
        steps("max_features", 0.02, 0.82, 6),
        whole("min_samples_leaf", 1, 2, 4, 8, 16, 32),
        whole("max_depth", 2, 4, 6, 8, 12, 20),
    ]
    return "digits", {"forest": (axes, make)}


def boosting_on_diabetes() -> tuple[str, dict[str, Learner]]:
    from sklearn.ensemble import GradientBoostingRegressor

    def make(rate: float, n_estimators: int, max_depth: int, subsample: float) -> Any:
        return GradientBoostingRegressor(
            learning_rate=rate, n_estimators=n_estimators, max_depth=max_depth,
            subsample=subsample, random_state=0,
        )  # fmt: skip

    axes = [
        powers("rate", 1e-3, 1.0, 7),
        whole("n_estimators", 10, 30, 90, 200),
        whole("max_depth", 1, 2, 3, 5, 8),
        steps("subsample", 0.2, 1.0, 4),
    ]
    return "diabetes", {"boosting": (axes, make)}


def net_on_wine() -> tuple[str, dict[str, Learner]]:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def make(rate: float, penalty: float, width: int, activation: str) -> Any:
        net = MLPClassifier(
            (width,), learning_rate_init=rate, alpha=penalty, activation=activation,
            max_iter=60, random_state=0,
        )  # fmt: skip
        return make_pipeline(StandardScaler(), net)

    axes = [
        powers("rate", 1e-4, 1.0, 9),
        powers("penalty", 1e-5, 1e1, 6),
        whole("width", 2, 6, 16, 48, 128),
        options("activation", "relu", "tanh"),
    ]
    return "wine", {"net": (axes, make)}


def learners_on_breast_cancer() -> tuple[str, dict[str, Learner]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    def scaled(model: Any) -> Any:
        return make_pipeline(StandardScaler(), model)

    return "breast_cancer", {
        "logistic": (
            [powers("logistic_c", 1e-5, 1e4, 19), options("balance", "none", "balanced")],
            lambda logistic_c, balance: scaled(LogisticRegression(
                C=logistic_c, class_weight=None if balance == "none" else balance, max_iter=500)),
        ),
        "svm": (
            [powers("svm_c", 1e-2, 1e4, 13), powers("svm_gamma", 1e-6, 1e1, 15)],
            lambda svm_c, svm_gamma: scaled(SVC(C=svm_c, gamma=svm_gamma)),
        ),
        "neighbours": (
            [
                whole("k", 1, 2, 3, 5, 8, 12, 18, 27, 40, 60),
                options("weights", "uniform", "distance"),
                options("power", 1, 2),
            ],
            lambda k, weights, power: scaled(KNeighborsClassifier(k, weights=weights, p=power)),
        ),
        "tree": (
            [
                whole("depth", 1, 2, 3, 4, 6, 8, 12),
                whole("leaf", 1, 2, 4, 8, 16, 32, 64),
                options("criterion", "gini", "entropy"),
            ],
            lambda depth, leaf, criterion: DecisionTreeClassifier(
                max_depth=depth, min_samples_leaf=leaf, criterion=criterion, random_state=0),
        ),
    }  # fmt: skip


def learners_on_diabetes() -> tuple[str, dict[str, Learner]]:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import ElasticNet
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    def scaled(model: Any) -> Any:
        return make_pipeline(StandardScaler(), model)

    return "diabetes", {
        "elastic": (
            [powers("strength", 1e-3, 1e2, 11), steps("l1_ratio", 0.0, 1.0, 6)],
            lambda strength, l1_ratio: scaled(ElasticNet(
                alpha=strength, l1_ratio=l1_ratio, max_iter=2000)),
        ),
        "svm": (
            [
                powers("svm_c", 1e-1, 1e5, 9),
                powers("svm_gamma", 1e-6, 1.0, 9),
                powers("epsilon", 1.0, 100.0, 4),
            ],
            lambda svm_c, svm_gamma, epsilon: scaled(
                SVR(C=svm_c, gamma=svm_gamma, epsilon=epsilon, max_iter=50_000)),
        ),
        "neighbours": (
            [whole("k", 1, 2, 4, 8, 14, 22, 35, 60), options("weights", "uniform", "distance")],
            lambda k, weights: scaled(KNeighborsRegressor(k, weights=weights)),
        ),
        "forest": (
            [whole("leaf", 1, 2, 5, 12, 30, 70), steps("max_features", 0.1, 1.0, 4)],
            lambda leaf, max_features: RandomForestRegressor(
                60, min_samples_leaf=leaf, max_features=max_features, random_state=0),
        ),
    }  # fmt: skip


RECIPES: dict[str, Callable[[], tuple[str, dict[str, Learner]]]] = {
    "svm_digits": svm_on_digits,
    "forest_digits": forest_on_digits,
    "boosting_diabetes": boosting_on_diabetes,
    "net_wine": net_on_wine,
    "learners_breast_cancer": learners_on_breast_cancer,
    "learners_diabetes": learners_on_diabetes,
}


def compute(file_stem: str) -> dict[str, Any]:
    """The content of one file."""
    scored_on, learners = RECIPES[file_stem]()
    return {
        "scored_on": scored_on,
        "learners": {
            name: {
                "axes": [{"label": a.label, "scale": a.scale, "grid": a.grid} for a in axes],
                "losses": list(_losses(scored_on, axes, make)),
            }
            for name, (axes, make) in learners.items()
        },
    }


def _losses(scored_on: str, axes: Sequence[Axis], make: Callable[..., Any]) -> Iterator[float]:
    """Losses at every crossing, the last axis running fastest; four digits."""
    from sklearn.model_selection import cross_val_score

    x, y = _data(scored_on)
    scoring, best_score = _SCORES[scored_on]
    for crossing in product(*(axis.grid for axis in axes)):
        model = make(**{axis.label: v for axis, v in zip(axes, crossing, strict=True)})
        scores = cross_val_score(model, x, y, scoring=scoring, cv=4)
        # A learner that diverged is bad; how bad would only spoil the interpolation.
        yield float(f"{min(best_score - np.mean(scores), _WORST):.4g}")


def _data(scored_on: str) -> tuple[Any, Any]:
    from sklearn import datasets

    name, by_parity, _ = scored_on.partition(" by parity")
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    # Enough to tell hyperparameters apart.
    kept = np.random.default_rng(0).permutation(len(y))[:600]
    return x[kept], y[kept] % 2 if by_parity else y[kept]


def main(file_stems: Sequence[str]) -> None:
    """Write the named files, or all."""
    warnings.simplefilter("ignore")
    DIRECTORY.mkdir(exist_ok=True)
    for file_stem in file_stems or RECIPES:
        content = compute(file_stem)
        path = DIRECTORY / f"{file_stem}.json"
        path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
        n = sum(len(learner["losses"]) for learner in content["learners"].values())
        print(f"{path.name}: {n} losses", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
