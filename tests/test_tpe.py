"""The tree-structured Parzen estimator: how well it searches, and what a proposal depends on.

What happens while trials run, and in discrete spaces, is in `test_tpe_in_flight`, what does
not matter to a proposal in `test_tpe_invariances`, and what nobody should ask for in
`test_tpe_bad_input`.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hpo import hp, tpe, univariate
from hpo.candidates import Way, draw_lots
from hpo.document import JOB_STATE_CANCEL, JOB_STATE_NEW, new_trial
from hpo.domain import Domain
from hpo.sequence import unit_points
from hpo.space import Space
from hpo.surrogate.joint import Points
from hpo.surrogate.joint_fit import fit as fit_joint
from hpo.surrogate.split import count_below, fraction_below, split_by_loss
from hpo.surrogate.weights import improvement_weights
from hpo.tree_model import History, Model, axes_of
from hpo.trials import Trials
from tests.searches import at_random, failed, finished, observe, search
from tests.surrogate.joint_slowly import slow_log_density

ROOT = Path(__file__).resolve().parent.parent
N_SEEDS = 20

X = Space({"x": hp.uniform("x", -5.0, 5.0)})

BRANCHES = Space(
    hp.choice(
        "model",
        [
            {"kind": "svm", "C": hp.loguniform("C", -5, 5)},
            {"kind": "forest", "depth": hp.uniformint("depth", 1, 20)},
        ],
    )
)


# --- searching ---------------------------------------------------------------------------

CUBE = Space({f"x{i}": hp.uniform(f"x{i}", 0.0, 1.0) for i in range(6)})
# Source: Dixon and Szegö, "Towards Global Optimisation 2", 1978; minimum -3.32237.
HARTMANN_HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_SCALES = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
HARTMANN_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann_6(values):
    x = np.array([values[f"x{i}"] for i in range(6)])
    exponents = (HARTMANN_SCALES * (x - HARTMANN_CENTRES) ** 2).sum(axis=1)
    return -float(HARTMANN_HEIGHTS @ np.exp(-exponents))


LINE = Space({f"x{i}": hp.uniform(f"x{i}", -5.0, 5.0) for i in range(5)})


def valley(values):
    """Narrow around the line on which all five are equal."""
    x = np.array([values[f"x{i}"] for i in range(5)])
    return float((x.mean() - 1.0) ** 2 + 10.0 * (np.diff(x) ** 2).sum())


def median_best(algorithm, space, loss_of, n_trials):
    bests = [
        search(algorithm, space, loss_of, n_trials, seed).losses.min() for seed in range(N_SEEDS)
    ]
    return float(np.median(bests))


def test_it_beats_random_search_and_hyperopts_on_hartmann_6():
    ours, hyperopts, random = (
        median_best(algorithm, CUBE, hartmann_6, 60)
        for algorithm in (tpe.suggest_values, univariate.suggest_values, at_random)
    )

    assert ours < hyperopts < random
    # Of what hyperopt leaves of the way to the minimum, at least half is gone.
    assert ours + 3.32237 < 0.5 * (hyperopts + 3.32237)


def test_it_beats_random_search_and_hyperopts_where_hyperparameters_go_together():
    ours, hyperopts, random = (
        median_best(algorithm, LINE, valley, 80)
        for algorithm in (tpe.suggest_values, univariate.suggest_values, at_random)
    )

    assert ours < 0.3 * hyperopts < 0.3 * random


WHICH_MODEL = Space(
    hp.choice(
        "model",
        [
            {"kind": "plain", "a": hp.uniform("a", 0.0, 1.0)},
            {
                "kind": "touchy",
                "x": hp.uniform("x", 0.0, 1.0),
                "y": hp.uniform("y", 0.0, 1.0),
                "rate": hp.loguniform("rate", -9.0, 0.0),
            },
            {"kind": "also plain", "b": hp.uniform("b", 0.0, 1.0)},
        ],
    )
)


def loss_of_model(values):
    """Model 1 is the worst with most of its settings, and by far the best with a few."""
    if values["model"] == 1:
        distance = (values["x"] - 0.8) ** 2 + (values["y"] - 0.2) ** 2
        return 8.0 * distance + (math.log(values["rate"]) + 6.0) ** 2 / 4.0
    return 0.3 + 0.1 * values["a"] if values["model"] == 0 else 0.4 + 0.1 * values["b"]


def test_the_best_model_is_found_more_often_than_by_hyperopts_when_it_needs_tuning():
    def ends_in_the_best(algorithm, seed):
        observations = search(algorithm, WHICH_MODEL, loss_of_model, 100, seed)
        return observations.column("model")[np.argmin(observations.losses)] == 1

    ours, hyperopts = (
        sum(ends_in_the_best(algorithm, seed) for seed in range(N_SEEDS))
        for algorithm in (tpe.suggest_values, univariate.suggest_values)
    )

    assert ours >= 0.8 * N_SEEDS
    assert ours > hyperopts


def test_it_searches_in_the_better_branch():
    def loss_of(values):
        return 5.0 if values["model"] == 0 else abs(values["depth"] - 7)

    shares = []
    for seed in range(10):
        observations = search(tpe.suggest_values, BRANCHES, loss_of, 60, seed)
        shares.append((observations.column("model")[20:] == 1).mean())

    assert np.median(shares) > 0.6, shares


# --- what a proposal depends on ----------------------------------------------------------


def test_a_proposal_depends_on_seed_and_tid_alone():
    observations = search(at_random, BRANCHES, lambda values: float(values["model"]), 30, seed=1)

    def propose(tid, seed):
        return tpe.suggest_values(BRANCHES, observations, tid, seed)

    assert propose(50, 1) == propose(50, 1)
    different = {str(propose(tid, seed)) for tid in range(50, 55) for seed in range(3)}
    assert len(different) > 10


def seen(space, n_trials, loss_of=lambda tid: math.sin(tid)):
    """A Domain over a space, and Trials with random configurations that have ended."""
    domain, trials = Domain(abs, space.expr), Trials()
    observations = search(at_random, space, lambda values: 0.0, n_trials, seed=0)
    documents = []
    for tid in range(n_trials):
        columns = {label: observations.column(label)[tid] for label in space.hyperparameters}
        values = {label: value for label, value in columns.items() if not math.isnan(value)}
        documents.append(finished(tid, values, loss_of(tid)))
    if documents:
        trials.insert_trial_docs(documents)
        trials.refresh()
    return domain, trials


def test_another_process_makes_the_same_documents():
    program = """
        import json
        from hpo import hp, tpe
        from tests.test_tpe import BRANCHES, seen
        documents = tpe.suggest([30, 31, 32], *seen(BRANCHES, 30), 7)
        kept = "tid", "misc", "params", "suggested_by"
        print(json.dumps([{name: each[name] for name in kept} for each in documents], default=str))
        """

    def answer(hash_seed):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            cwd=ROOT, check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout  # fmt: skip

    assert answer("1") == answer("2") != ""


def test_every_document_says_where_it_came_from():
    domain, trials = seen(X, 12)
    options = {"gamma": 0.5, "n_startup_jobs": 14, "n_EI_candidates": 8}

    documents = tpe.suggest([12, 13, 14], domain, trials, 7, **options)

    origins = [document["suggested_by"] for document in documents]
    for place, origin in enumerate(origins):
        assert (origin["algorithm"], origin["seed"]) == ("tpe", 7)
        assert origin["options"].items() >= options.items()
        assert origin["seen"] == {
            "last": 11, "pending": "", "digest": trials.observations().digest
        }  # fmt: skip
        assert origin["batch"] == {"first": 12, "place": place, "size": len(documents)}
    assert [origin.get("start") for origin in origins] == [12, 13, 14]


def test_asking_changes_nothing_that_the_caller_knows():
    domain, trials = seen(BRANCHES, 25)
    before = trials.observations().digest

    documents = tpe.suggest([100, 101, 102], domain, trials, 7)

    assert [document["tid"] for document in documents] == [100, 101, 102]
    assert all(document["state"] == JOB_STATE_NEW for document in documents)
    assert len(trials.observations()) == 25
    assert trials.observations().digest == before
    assert len(trials) == 25


# --- the start ---------------------------------------------------------------------------


def test_the_first_trials_are_a_sobol_sequence_through_the_quantiles():
    space = Space({"a": hp.normal("a", 3.0, 2.0), "b": hp.loguniform("b", -4.0, 2.0)})

    drawn = search(tpe.suggest_values, space, lambda values: 0.0, 8, seed=5)

    points = unit_points(2, 5, range(8))
    quantiles = stats.norm.ppf(points[:, 0], 3.0, 2.0), stats.uniform.ppf(points[:, 1], -4.0, 6.0)
    np.testing.assert_allclose(drawn.column("a"), quantiles[0], rtol=1e-9)
    np.testing.assert_allclose(np.log(drawn.column("b")), quantiles[1], rtol=1e-9, atol=1e-12)


def test_the_start_fills_the_space_more_evenly_than_chance():
    square = Space({name: hp.uniform(name, 0.0, 1.0) for name in "ab"})

    def discrepancy(algorithm, seed):
        drawn = search(algorithm, square, lambda values: 0.0, 10, seed)
        return stats.qmc.discrepancy(np.stack([drawn.column("a"), drawn.column("b")], axis=1))

    ours, random = (
        np.median([discrepancy(algorithm, seed) for seed in range(N_SEEDS)])
        for algorithm in (tpe.suggest_values, at_random)
    )

    assert ours < 0.5 * random


@pytest.mark.parametrize("n_known", [0, 1, 9])
def test_below_the_start_up_length_losses_do_not_matter(n_known):
    def propose(loss):
        known = [finished(tid, {"x": 1.0}, loss * tid) for tid in range(n_known)]
        return tpe.suggest_values(X, observe(*known), 99, 3)["x"]

    assert propose(1.0) == propose(-1.0) == 10.0 * unit_points(1, 3, [n_known])[0, 0] - 5.0


def test_the_start_ends_when_enough_trials_have_ended_known_points_and_failures_too():
    history = [
        finished(0, {"x": 1.0}, 1.0),
        failed(1, {"x": 2.0}),
        new_trial(2, values={"x": 3.0}),
    ]
    start = 10.0 * unit_points(1, 3, [3])[0, 0] - 5.0

    def propose(n_startup_jobs):
        options = tpe.Options(n_startup_jobs=n_startup_jobs)
        return tpe.suggest_values(X, observe(*history), 9, 3, options)["x"]

    assert propose(3) == start
    assert propose(2) != start


def test_cancelled_and_lost_trials_say_nothing():
    cancelled = {**new_trial(1, values={"x": 1.0}), "state": JOB_STATE_CANCEL}
    lost = {**failed(2, {"x": 1.0}), "error": ["LostWorker", "gone"]}
    known = [finished(tid, {"x": 0.1 * tid}, abs(tid - 13)) for tid in range(10, 40)]

    def propose(*documents):
        return [tpe.suggest_values(X, observe(*documents), tid, 3) for tid in range(50, 60)]

    assert propose(cancelled, lost) == propose()
    assert propose(cancelled, lost, *known) == propose(*known)


# --- agreement with the definition -------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "n_good"),
    [({}, 4), ({"below_fraction": 0.25}, 10), ({"gamma": 0.25}, 2), ({"gamma": 2.0}, 13)],
)
def test_the_good_trials_are_a_tenth_or_what_hyperopts_gamma_says(options, n_good):
    observations = search(at_random, X, lambda values: values["x"] ** 2, 40, seed=0)

    model = Model(History(X, observations, tpe.Options(**options)), {})

    assert len(model.good) == n_good
    assert observations.losses[model.good].max() < observations.losses[model.rest].min()
    if "gamma" in options:
        assert n_good == count_below(40, options["gamma"])


@pytest.mark.parametrize(
    ("n_trials", "n_running", "n_taken"), [(30, 0, 0), (300, 0, 0), (300, 20, 20), (90, 80, 32)]
)
def test_g_has_a_bounded_number_of_kernels_half_of_them_for_running_trials(
    n_trials, n_running, n_taken
):
    observations = search(at_random, LINE, valley, n_trials, seed=0)
    for tid in range(n_trials, n_trials + n_running):
        observations.add_pending(tid, dict.fromkeys(LINE.hyperparameters, 0.5))
    model = Model(History(LINE, observations, tpe.Options(max_kernels=64)), {})

    kernels = model.kernels_of_rest

    assert len(kernels) <= 64
    assert len(kernels) >= min(32, len(model.rest))
    assert set(kernels) <= set(model.rest)
    assert sum(kernels >= n_trials) == n_taken


def test_another_trial_seldom_changes_the_kernels_of_many():
    observations = search(at_random, LINE, valley, 400, seed=0)
    seen = set()
    for tid in range(400, 416):
        observations.update(finished(tid, dict.fromkeys(LINE.hyperparameters, 0.5), 1e6))
        model = Model(History(LINE, observations, tpe.Options(max_kernels=64)), {})
        seen.add(tuple(model.kernels_of_rest))

    assert len(seen) <= 1 + 16 / 8


def badness_slowly(losses):
    """One by one: how many losses are less, and half of the equal ones."""
    n = len(losses)
    ranks = [sum(losses < each) + 0.5 * (sum(losses == each) - 1) for each in losses]
    return np.array([1.0 + 1.8 * min(1.0, 50 / n) * (rank / (n - 1) - 0.5) for rank in ranks])


def log_ratio(observations, xs):
    """log l - log g of points of LINE, both densities fitted anew."""
    coordinates, n_good = LINE.coordinates, fraction_below(len(observations), 0.1)
    is_good = split_by_loss(observations.losses, n_good)
    rest = observations.losses[~is_good]
    threshold = rest.min()
    weights = improvement_weights(observations.losses[is_good], threshold)
    badness = badness_slowly(rest)
    seen = np.stack([observations.column(label) for label in coordinates.numeric])
    columns = np.array([[x[label] for x in xs] for label in coordinates.numeric])

    def as_points(x):
        nothing = np.empty((0, x.shape[1]), dtype=np.int64)
        return Points(coordinates.to_unit(x), nothing, nothing)

    log_l, log_g = (
        fit_joint(axes_of(LINE, 0.03), as_points(seen[:, own]), w).log_density(as_points(columns))
        for own, w in [(is_good, weights), (~is_good, badness)]
    )
    return log_l - log_g


def test_an_axis_of_narrow_cells_is_as_good_as_continuous():
    space = Space(hp.uniformint("n", 1, 500))
    fine, exact = axes_of(space, 0.03), axes_of(space, 0.003)
    assert (fine.n_continuous, exact.n_continuous) == (1, 0)
    coordinates, nothing = space.coordinates, np.empty((0, 500), dtype=np.int64)
    x = np.arange(1.0, 501.0)[None]

    def points(x):
        own = slice(0, x.shape[1])
        return Points(coordinates.to_unit(x), nothing[:, own], nothing[:, own])

    trials = np.array([[1.0, 2.0, 30.0, 250.0, 260.0, 499.0, 500.0]])
    density = fit_joint(fine, points(trials), np.ones(7)).log_density(points(x))
    lower, upper = coordinates.cells(x)

    # The definition: the mass of each cell.
    expected = slow_log_density(exact, points(trials), np.ones(7), points(x))
    masses = np.exp(density) * (upper - lower)[0]
    assert masses.sum() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(masses, np.exp(expected), rtol=0.003)


def test_more_candidates_find_a_larger_ratio():
    observations = search(at_random, LINE, valley, 40, seed=0)

    def median_ratio(n_candidates):
        options = tpe.Options(n_EI_candidates=n_candidates)
        proposed = [
            tpe.suggest_values(LINE, observations, tid, 0, options) for tid in range(40, 100)
        ]
        return np.median(log_ratio(observations, proposed))

    assert median_ratio(200) > median_ratio(20) > median_ratio(2) > median_ratio(1)


# --- options -----------------------------------------------------------------------------


def test_hyperopts_options_come_through_partial():
    algorithm = partial(
        tpe.suggest,
        prior_weight=0.5,
        n_startup_jobs=0,
        gamma=0.5,
        n_EI_candidates=8,
        verbose=False,
    )

    (document,) = algorithm([3], Domain(abs, hp.uniform("x", 0, 1)), Trials(), 1)

    assert 0 <= document["misc"]["vals"]["x"][0] <= 1
    assert document["misc"]["idxs"] == {"x": [3]}


def test_it_says_what_it_used(caplog):
    domain, trials = seen(X, 2, loss_of=lambda tid: tid + 0.5)

    with caplog.at_level("INFO", logger="hpo.tpe"):
        tpe.suggest([2], domain, trials, 1)
        tpe.suggest([2], domain, trials, 1, verbose=False)
        tpe.suggest([0], domain, Trials(), 1)

    assert caplog.messages == [
        "TPE using 2 trials, 2 with a loss, best loss 0.5",
        "TPE using 0 trials, 0 with a loss, no loss yet",
    ]


# --- bounds ------------------------------------------------------------------------------


def test_where_trials_lie_evenly_no_place_scores_better_for_being_next_to_a_bound():
    xs = -5.0 + 10.0 * (np.arange(200) + 0.5) / 200
    # One trial in ten is good, evenly spread as well.
    seen = observe(*[finished(i, {"x": x}, 0.0 if i % 10 == 5 else 1.0) for i, x in enumerate(xs)])
    model = Model(History(X, seen, tpe.Options()), {})
    lots = list(draw_lots(model, np.random.default_rng(0), Way.WIDE, n_lots=100))

    x = np.array([lot.values(c, None)["x"] for lot in lots for c in range(24)])
    # l has 20 wide kernels, so it is thin at the bounds for other reasons.
    scores = np.concatenate([lot.score - lot.log_l for lot in lots])
    uncorrected = np.concatenate([-lot.log_g for lot in lots])

    def advantage(values):
        return values[np.abs(x) > 4.97].mean() - values[np.abs(x) < 4.0].mean()

    assert advantage(uncorrected) > 0.2
    assert abs(advantage(scores)) < 0.05
