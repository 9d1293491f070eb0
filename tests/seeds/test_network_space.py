"""Hyper-Engine's way to write a space: the structure of the parameters, nodes where they vary.

Its page tunes a convolutional network. Here the network is a formula, and the
tuner is `fmin`; the space is the page's: nested dictionaries and lists, a
learning rate under arithmetic, constants among the rest, and no label anywhere.
"""

from __future__ import annotations

import math

from hpo import Trials, fmin, hp, rand, space_eval, spec

NETWORK = {
    "optimizer": {
        "learning_rate": 10 ** spec.uniform(-3, -1),
        "epsilon": 1e-8,
    },
    "conv": {
        "filters": [
            [3, 3, spec.choice(range(32, 48))],
            [3, 3, spec.choice(range(64, 96))],
            [3, 3, spec.choice(range(128, 192))],
        ],
        "activation": spec.choice(["relu", "prelu", "elu"]),
        "down_sample": {"size": [2, 2], "pooling": spec.choice(["max_pool", "avg_pool"])},
        "residual": spec.random_bool(),
        "dropout": spec.uniform(0.75, 1.0),
    },
    "fully_connected": {"size": 1024, "dropout": spec.uniform(0.5, 1.0)},
}


def error_rate(network):
    """Least for a learning rate of 0.01, many filters, elu, and little dropout."""
    n_filters = sum(layer[-1] for layer in network["conv"]["filters"])
    return (
        abs(math.log10(network["optimizer"]["learning_rate"]) + 2.0)
        + (333 - n_filters) / 333
        + (network["conv"]["activation"] != "elu")
        + (1.0 - network["conv"]["dropout"])
    )


def search(space, max_evals=40, **options):
    trials = Trials()
    fmin(error_rate, space, max_evals=max_evals, trials=trials, rstate=1, verbose=False, **options)
    return trials


def test_the_objective_gets_the_structure_with_values_in_it():
    seen = []

    fmin(
        lambda network: seen.append(network) or error_rate(network),
        NETWORK,
        rand.suggest,
        max_evals=30,
        verbose=False,
    )

    for network in seen:
        assert 1e-3 <= network["optimizer"]["learning_rate"] <= 1e-1
        assert network["optimizer"]["epsilon"] == 1e-8
        assert [type(layer[-1]) for layer in network["conv"]["filters"]] == [int] * 3
        assert network["conv"]["filters"][1][:2] == (3, 3)
        assert type(network["conv"]["residual"]) is bool
        assert network["conv"]["down_sample"]["pooling"] in ("max_pool", "avg_pool")


def test_labels_are_the_places_in_the_structure():
    trials = search(NETWORK, algo=rand.suggest, max_evals=1)

    assert set(trials.vals) == {
        "optimizer-learning_rate",
        "conv-filters-0-2",
        "conv-filters-1-2",
        "conv-filters-2-2",
        "conv-activation",
        "conv-down_sample-pooling",
        "conv-residual",
        "conv-dropout",
        "fully_connected-dropout",
    }


def test_the_best_trial_shows_values_and_gives_the_network_back():
    trials = search(NETWORK)

    best = trials.best_trial
    assert best["params"]["conv-activation"] in ("relu", "prelu", "elu")
    assert error_rate(space_eval(NETWORK, trials.argmin)) == best["result"]["loss"]


def test_labelled_parameters_mix_with_unlabelled_ones():
    labelled = {**NETWORK, "optimizer": {"learning_rate": hp.loguniform("lr", -7.0, -2.0)}}

    trials = search(labelled)

    assert "lr" in trials.vals and "conv-dropout" in trials.vals
    assert trials.best_trial["params"]["lr"] == trials.vals["lr"][trials.best_trial["tid"]]
