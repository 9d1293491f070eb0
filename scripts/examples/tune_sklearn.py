"""Tune a scikit-learn model with Hyper-Engine's names, and stop hopeless trainings early.

    python -m scripts.examples.tune_sklearn [--points N] [--epochs N] [--session DIRECTORY]

A solver trains one network epoch by epoch and watches its accuracy on held-out images.
The curve predictor learns from complete trainings what the first epochs tell, and ends those
that will not reach the best. With --session, both go on where the last run ended.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from hpo import hyperengine as hype

SPACE = hype.spec.new(
    rate=10 ** hype.spec.uniform(-4, -1),
    penalty=10 ** hype.spec.uniform(-6, 0),
    width=hype.spec.choice([16, 32, 64]),
    activation=hype.spec.choice(["relu", "tanh"]),
)

BATCH_SIZE = 100
N_TRAIN = 1200


class Solver:
    """Trains one network.

    Args:
        params: an instance of SPACE.
        images, digits: all examples, shapes (n, 64) and (n,); the first N_TRAIN to learn from.
        n_epochs: of a training that is not stopped.
        should_stop: asked with the accuracies so far after each epoch.
        value_of: makes one number of them.
    """

    def __init__(
        self,
        params: Any,
        images: np.ndarray,
        digits: np.ndarray,
        *,
        n_epochs: int,
        should_stop: Callable[[Sequence[float]], bool],
        value_of: Callable[[Sequence[float]], float],
    ) -> None:
        self.network = MLPClassifier(
            (params.width,),
            activation=params.activation,
            learning_rate_init=params.rate,
            alpha=params.penalty,
            random_state=0,
        )
        self.images, self.digits = images, digits
        self.n_epochs, self.should_stop, self.value_of = n_epochs, should_stop, value_of

    def train(self) -> float:
        """The value of the accuracies, after all epochs or until it is hopeless."""
        rng = np.random.default_rng(0)
        accuracies: list[float] = []
        for _ in range(self.n_epochs):
            for batch in np.array_split(rng.permutation(N_TRAIN), N_TRAIN // BATCH_SIZE):
                self.network.partial_fit(
                    self.images[batch], self.digits[batch], classes=np.arange(10)
                )
            accuracy = self.network.score(self.images[N_TRAIN:], self.digits[N_TRAIN:])
            accuracies.append(float(accuracy))
            if self.should_stop(accuracies):
                break
        print(f"{len(accuracies):3} epochs, accuracy {max(accuracies):.3f}", flush=True)
        return self.value_of(accuracies)


def tuner(n_points: int, n_epochs: int, session: str | None = None) -> hype.HyperTuner:
    """A tuner of networks for scikit-learn's digits."""
    predictor = hype.LinearCurvePredictor(
        burn_in=5, min_input_size=3, io_load_dir=session, io_save_dir=session
    )
    images, digits = load_digits(return_X_y=True)

    def solver_generator(params: Any) -> Solver:
        return Solver(
            params,
            images / 16.0,
            digits,
            n_epochs=n_epochs,
            should_stop=predictor.stop_condition(),
            value_of=predictor.result_metric(),
        )

    return hype.HyperTuner(
        SPACE,
        solver_generator,
        strategy="portfolio",
        methods=["ucb", "ei", "rand"],
        probabilities=[0.6, 0.3, 0.1],
        max_points=n_points,
        seed=0,
        io_load_dir=session,
        io_save_dir=session,
    )


def main() -> None:
    """Tune, and print the best."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=25, metavar="N")
    parser.add_argument("--epochs", type=int, default=15, metavar="N")
    parser.add_argument("--session", metavar="DIRECTORY")
    options = parser.parse_args()
    tuning = tuner(options.points, options.epochs, options.session)
    best = tuning.tune()
    print(f"best: {best}, accuracy {tuning.best_value:.3f}")


if __name__ == "__main__":
    main()
