"""Tune a PyTorch model, and let ASHA stop what lags behind.

    python -m scripts.examples.tune_torch [--trials N] [--epochs N] [--url mongodb://…]

The objective reports its loss after every epoch. With --url, workers train on as many
machines as there are, and a trial whose worker dies goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn

from hpo import Ctrl, fmin, gp, spec
from hpo.stopping import ASHA

N_TRAIN, BATCH_SIZE = 1200, 100


def space(n_epochs: int) -> dict[str, Any]:
    """What varies, and what the objective needs beside."""
    return {
        "rate": 10 ** spec.uniform(-4, -1),
        "width": spec.choice([16, 32, 64]),
        "dropout": spec.uniform(0.0, 0.5),
        "n_epochs": n_epochs,
        "ctrl": Ctrl,
    }


def objective(config: Mapping[str, Any]) -> float:
    """The cross entropy on held-out images after the last epoch."""
    ctrl = config["ctrl"]
    torch.manual_seed(0)
    pixels, digits = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels / 16.0, dtype=torch.float32), torch.tensor(digits)
    network = nn.Sequential(
        nn.Linear(64, config["width"]),
        nn.ReLU(),
        nn.Dropout(config["dropout"]),
        nn.Linear(config["width"], 10),
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=config["rate"])
    cross_entropy = nn.CrossEntropyLoss()

    loss, n_done = float("inf"), 0
    saved = ctrl.load_checkpoint()
    if saved is not None:
        states = torch.load(io.BytesIO(saved.state))
        network.load_state_dict(states["network"])
        optimiser.load_state_dict(states["optimiser"])
        loss, n_done = states["loss"], saved.step
    for epoch in range(n_done + 1, config["n_epochs"] + 1):
        network.train()
        for batch in torch.randperm(N_TRAIN).split(BATCH_SIZE):
            optimiser.zero_grad()
            cross_entropy(network(images[batch]), labels[batch]).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            loss = float(cross_entropy(network(images[N_TRAIN:]), labels[N_TRAIN:]))
        ctrl.report(epoch, loss)
        ctrl.save_checkpoint(_dumped(network, optimiser, loss))
        if ctrl.should_stop():
            break
    return loss


def _dumped(network: nn.Module, optimiser: torch.optim.Optimizer, loss: float) -> bytes:
    file = io.BytesIO()
    states = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "loss": loss}
    torch.save(states, file)
    return file.getvalue()


def tune(n_trials: int, n_epochs: int, url: str | None = None) -> dict[str, Any]:
    """The best values: {label: value}."""
    best: dict[str, Any] = fmin(
        objective,
        space(n_epochs),
        algo=gp.suggest,
        max_evals=n_trials,
        trials=url,
        exp_key=None if url is None else "tune-torch",
        stopper=ASHA(min_steps=max(1, n_epochs // 9), max_steps=n_epochs),
        return_values=True,
        rstate=0,
    )
    return best


def main() -> None:
    """Tune, and print the best."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=30, metavar="N")
    parser.add_argument("--epochs", type=int, default=27, metavar="N")
    parser.add_argument("--url")
    options = parser.parse_args()
    print(f"best: {tune(options.trials, options.epochs, options.url)}")


if __name__ == "__main__":
    main()
