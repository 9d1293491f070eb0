"""Record learning curves: train every configuration to its end, one loss an epoch.

    python -m scripts.stopping.make_curves [TABLE ...]

Needs scikit-learn and some forty minutes of one core. A loss is the log loss of a held-out
third of the data: the share of wrong classes has too few values to tell good configurations
apart. Where a third of the data is small, every third is held out in turn, after several
shuffles if need be, and the loss is the mean; else which configuration is best would be an
accident. Configurations are drawn at random, as an algorithm without a model would.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.stopping.curves import N_EPOCHS, WORST, path_of

Draw = Callable[[np.random.Generator], Any]
Batches = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Examples = tuple[Floats, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Task:
    """A data set, and how to draw a learner for it.

    Attributes:
        data: the set's name, as scikit-learn has it.
        n_folds: how many of the thirds are held out in turn.
        n_shuffles: how often, each time after another shuffle.
    """

    name: str
    data: str
    draw: Draw
    n_configurations: int
    batch_size: int
    n_folds: int = 1
    n_shuffles: int = 1


def draw_net(rng: np.random.Generator) -> Any:
    """A multi-layer perceptron with random hyperparameters."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=(int(2 ** rng.uniform(2, 6)),) * int(rng.integers(1, 3)),
        learning_rate_init=10 ** rng.uniform(-4, -0.5),
        alpha=10 ** rng.uniform(-6, 0.5),
        activation=str(rng.choice(["relu", "tanh", "logistic"])),
        solver=str(rng.choice(["adam", "sgd"])),
        momentum=rng.uniform(0.0, 0.95),
        random_state=int(rng.integers(2**31)),
    )


def draw_linear(rng: np.random.Generator) -> Any:
    """A linear classifier, trained by gradient descent, with random hyperparameters."""
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss=str(rng.choice(["log_loss", "modified_huber"])),
        penalty=str(rng.choice(["l2", "l1", "elasticnet"])),
        alpha=10 ** rng.uniform(-6, 0),
        learning_rate=str(rng.choice(["constant", "invscaling", "optimal"])),
        eta0=10 ** rng.uniform(-4, 0.5),
        average=bool(rng.integers(2)),
        random_state=int(rng.integers(2**31)),
    )


TASKS = (
    Task("net_digits", "digits", draw_net, 240, 100),
    Task("net_breast_cancer", "breast_cancer", draw_net, 240, 64),
    Task("linear_breast_cancer", "breast_cancer", draw_linear, 160, 128, n_folds=3),
    Task("net_wine", "wine", draw_net, 160, 32, n_folds=3, n_shuffles=4),
)


def record(task: Task) -> Floats:
    """Losses after every epoch, shape (n_configurations, N_EPOCHS)."""
    rng = np.random.default_rng(list(task.name.encode()))
    folds = [fold for shuffle in range(task.n_shuffles) for fold in _folds(task, shuffle)]
    curves = []
    for _ in range(task.n_configurations):
        learner = task.draw(rng)
        of_folds = [list(_losses(learner, *fold, task.batch_size, rng)) for fold in folds]
        curves.append(np.mean(of_folds, axis=0))
    return np.array(curves)


def _losses(
    drawn: Any, train: Examples, held_out: Examples, batch_size: int, rng: np.random.Generator
) -> Iterator[float]:
    from sklearn.base import clone

    learner = clone(drawn)
    x, y = train
    for _ in range(N_EPOCHS):
        for batch in _batches(len(y), batch_size, rng):
            # Every third has all classes, but not every batch.
            learner.partial_fit(x[batch], y[batch], classes=np.unique(y))
        yield loss_of(learner, *held_out)


def _batches(n: int, size: int, rng: np.random.Generator) -> list[Batches]:
    order = rng.permutation(n)
    return [order[start : start + size] for start in range(0, n, size)]


def loss_of(learner: Any, x: Any, y: Any) -> float:
    """The log loss; at most `WORST`, which is that of a learner that diverged, too."""
    from sklearn.metrics import log_loss

    try:
        probabilities = learner.predict_proba(x)
    except ValueError:
        return WORST
    if not np.isfinite(probabilities).all():
        return WORST
    # The guesses of a linear classifier may be 0 where they are wrong.
    likely = np.clip(probabilities, 1e-6, 1.0)
    likely /= likely.sum(axis=1, keepdims=True)
    return float(min(log_loss(y, likely, labels=learner.classes_), WORST))


def _folds(task: Task, shuffle: int) -> Iterator[tuple[Examples, Examples]]:
    """Training and held-out examples; scaled by the former, in the order of a shuffle."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{task.data}")(return_X_y=True)
    order = np.random.default_rng(shuffle).permutation(len(y))[:900]
    x, y = x[order], y[order]
    # The last third first.
    for part in np.array_split(np.arange(len(y)), 3)[: -task.n_folds - 1 : -1]:
        is_held_out = np.isin(np.arange(len(y)), part)
        train = x[~is_held_out]
        scaled = (x - train.mean(axis=0)) / (train.std(axis=0) + 1e-9)
        yield (scaled[~is_held_out], y[~is_held_out]), (scaled[is_held_out], y[is_held_out])


def main(names: Sequence[str]) -> None:
    """Write the named tables, or all."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    for task in TASKS:
        if names and task.name not in names:
            continue
        losses = record(task)
        path = path_of(task.name)
        path.parent.mkdir(exist_ok=True)
        # Three digits tell losses apart; more would only make the file large.
        np.savez_compressed(path, losses=losses.astype(np.float16))
        print(f"{path.name}: {losses.shape}, best {losses[:, -1].min():.4f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
