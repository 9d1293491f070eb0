"""What must not matter to a proposal: arrival, units, names, and what never varies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpo import hp, tpe
from hpo.space import Space
from tests.searches import failed, finished, observe

N_SEEN = 25
few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31)
# With and without a regression of the losses.
options = st.sampled_from([tpe.Options(regression=False), tpe.Options(regression=True)])


def model_space(name=lambda label: label):
    """A conditional space whose labels can be renamed."""
    return Space(
        {
            "shared": hp.uniform(name("shared"), 0.0, 1.0),
            "model": hp.choice(
                name("model"),
                [
                    {"C": hp.loguniform(name("C"), -5.0, 5.0)},
                    {"depth": hp.uniformint(name("depth"), 1, 20)},
                ],
            ),
        }
    )


def history(space, seed):
    """Documents of trials that ended, some without a loss."""
    rng = np.random.default_rng(seed)
    documents = []
    for tid in range(N_SEEN):
        values = space.sample(rng)
        ended = finished(tid, values, rng.normal()) if rng.random() < 0.9 else failed(tid, values)
        documents.append(ended)
    return documents


@few
@given(seeds, options, st.randoms())
def test_the_order_of_arrival(seed, options, random):
    space = model_space()
    documents = history(space, seed)
    shuffled = random.sample(documents, len(documents))

    there, back = (
        [tpe.suggest_values(space, observe(*each), tid, seed, options) for tid in (40, 41)]
        for each in (documents, shuffled)
    )

    assert there == back


@few
@given(seeds, options)
def test_the_labels(seed, options):
    space, renamed = model_space(), model_space(lambda label: f"a new name of {label}")

    def renamed_trial(document):
        values = {
            f"a new name of {label}": vals[0]
            for label, vals in document["misc"]["vals"].items()
            if vals
        }
        if document["result"]["status"] == "ok":
            return finished(document["tid"], values, document["result"]["loss"])
        return failed(document["tid"], values)

    documents = history(space, seed)

    renamed_trials = observe(*map(renamed_trial, documents))
    there = tpe.suggest_values(space, observe(*documents), 40, seed, options)
    back = tpe.suggest_values(renamed, renamed_trials, 40, seed, options)

    assert {f"a new name of {label}": value for label, value in there.items()} == back


def proposal(prior, to_value, seed, n_known, options):
    """What is proposed for {"x": prior, "y": uniform}, with x at to_value(u) in the trials."""
    space = Space({"x": prior("x"), "y": hp.uniform("y", 0.0, 1.0)})
    rng = np.random.default_rng(seed)
    u, y, losses = rng.random((3, n_known))
    documents = [
        finished(tid, {"x": to_value(u[tid]), "y": y[tid]}, losses[tid]) for tid in range(n_known)
    ]
    return tpe.suggest_values(space, observe(*documents), 40, seed, options)


@few
@given(seeds, st.sampled_from([3, N_SEEN]), options, st.floats(-1e3, 1e3), st.floats(0.1, 1e3))
def test_the_origin_and_the_unit_of_a_linear_hyperparameter(seed, n_known, options, origin, unit):
    plain = proposal(lambda label: hp.uniform(label, 0.0, 1.0), float, seed, n_known, options)

    moved = proposal(
        lambda label: hp.uniform(label, origin, origin + unit),
        lambda u: origin + unit * u, seed, n_known, options,
    )  # fmt: skip

    assert (moved["x"] - origin) / unit == pytest.approx(plain["x"], abs=1e-6)
    assert moved["y"] == pytest.approx(plain["y"], abs=1e-6)


@few
@given(seeds, st.sampled_from([3, N_SEEN]), options)
def test_whether_a_log_scaled_hyperparameter_is_given_by_its_log(seed, n_known, options):
    by_log = proposal(
        lambda label: hp.uniform(label, -9.0, 2.0),
        lambda u: -9.0 + 11.0 * u, seed, n_known, options,
    )  # fmt: skip

    by_value = proposal(
        lambda label: hp.loguniform(label, -9.0, 2.0),
        lambda u: math.exp(-9.0 + 11.0 * u), seed, n_known, options,
    )  # fmt: skip

    assert math.log(by_value["x"]) == pytest.approx(by_log["x"], abs=1e-6)
    assert by_value["y"] == pytest.approx(by_log["y"], abs=1e-6)


@few
@given(seeds, st.sampled_from([3, N_SEEN]), options, st.floats(-1e3, 1e3), st.floats(0.1, 1e3))
def test_the_mean_and_the_deviation_of_a_normal_one(seed, n_known, options, mu, sigma):
    standard = proposal(
        lambda label: hp.normal(label, 0.0, 1.0), stats.norm.ppf, seed, n_known, options
    )

    moved = proposal(
        lambda label: hp.normal(label, mu, sigma),
        lambda u: mu + sigma * stats.norm.ppf(u), seed, n_known, options,
    )  # fmt: skip

    assert (moved["x"] - mu) / sigma == pytest.approx(standard["x"], abs=1e-6)


@few
@given(seeds, options)
def test_the_unit_and_the_origin_of_the_losses(seed, options):
    space = model_space()
    documents = history(space, seed)

    def in_other_units(document):
        if document["result"]["status"] != "ok":
            return document
        return {**document, "result": {"status": "ok", "loss": 4.0 * document["result"]["loss"]}}

    others = observe(*map(in_other_units, documents))
    there = tpe.suggest_values(space, observe(*documents), 40, seed, options)
    back = tpe.suggest_values(space, others, 40, seed, options)

    assert there == back


@few
@given(seeds, options)
def test_a_constant_beside_the_hyperparameters(seed, options):
    space = model_space()
    documents = history(space, seed)
    beside = Space({"constant": 3.0, "space": space.expr, "text": "more"})

    there = tpe.suggest_values(space, observe(*documents), 40, seed, options)

    assert tpe.suggest_values(beside, observe(*documents), 40, seed, options) == there


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize(
    "constant",
    [hp.choice("z", ["only"]), hp.randint("z", 1), hp.quniform("z", 0.0, 1.0, 10.0)],
    ids=["choice", "integer", "step"],
)
def test_a_hyperparameter_with_one_value_leaves_the_distribution_of_the_others(
    constant, regression
):
    options = tpe.Options(regression=regression)
    alone = Space({"x": hp.uniform("x", 0.0, 1.0)})
    beside = Space({"x": hp.uniform("x", 0.0, 1.0), "z": constant})
    x = np.random.default_rng(0).random(N_SEEN)
    (only,) = {beside.sample(np.random.default_rng(seed))["z"] for seed in range(5)}

    def drawn(space, **others):
        known = [finished(tid, {"x": u, **others}, abs(u - 0.7)) for tid, u in enumerate(x)]
        observations = observe(*known)
        return [
            tpe.suggest_values(space, observations, tid, 0, options)["x"]
            for tid in range(100, 400)
        ]

    assert stats.ks_2samp(drawn(alone), drawn(beside, z=only)).pvalue > 0.001
