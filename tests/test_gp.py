"""The Gaussian process finds good configurations in few trials, in any kind of space."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest

from hpo import Trials, fmin, gp, hp, trials_from_docs
from hpo.document import new_trial
from hpo.domain import Domain
from hpo.exceptions import SpaceExhausted
from hpo.gp_model import MOST_TRIALS, History, Model, anchor_of, fit_sizes
from hpo.observations import Observations
from hpo.replay import replay
from hpo.space import Space
from hpo.surrogate.portfolio import MEMBERS
from tests.searches import at_random, failed, finished, observe, search
from tests.test_replay import DISCRETE, SPACE, searched

BOX = Space({name: hp.uniform(name, -5.0, 5.0) for name in "abc"})

# Source: the values in the literature on test functions; the least is -3.32237.
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
HARTMANN_SPACE = Space({f"x{i}": hp.uniform(f"x{i}", 0.0, 1.0) for i in range(6)})


def hartmann6(values):
    x = np.array([values[f"x{i}"] for i in range(6)])
    exponents = (HARTMANN_SCALES * (x - HARTMANN_CENTRES) ** 2).sum(axis=1)
    return -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-exponents))


def bowl(values):
    return sum((values[name] - 1.0) ** 2 for name in "abc")


# Enough for the few hyperparameters of these spaces.
QUICK = {"n_candidates": 256, "n_starts": 2}


def by(**options):
    return partial(gp.suggest_values, options=gp.Options(**QUICK, **options))


def median_least(algorithm, space, loss_of, n_trials, n_seeds=5):
    return np.median(
        [search(algorithm, space, loss_of, n_trials, s).losses.min() for s in range(n_seeds)]
    )


# --- how well it searches -----------------------------------------------------------------


def test_the_median_of_seeds_beats_random_search_on_hartmann6():
    ours = median_least(by(), HARTMANN_SPACE, hartmann6, 40, n_seeds=3)
    random = median_least(at_random, HARTMANN_SPACE, hartmann6, 200)

    assert ours < random - 0.3


@pytest.mark.parametrize("acquisition", gp.ACQUISITIONS)
def test_every_acquisition_finds_the_bottom_of_a_bowl(acquisition):
    ours = median_least(by(acquisition=acquisition), BOX, bowl, 25, n_seeds=3)

    assert ours < 0.1
    assert ours < 0.05 * median_least(at_random, BOX, bowl, 30)


@pytest.mark.parametrize("kernel", ["matern52", "matern32", "rbf", "rational_quadratic"])
def test_so_does_every_kernel(kernel):
    assert median_least(by(kernel=kernel), BOX, bowl, 22, n_seeds=3) < 0.05


def test_it_finds_the_branch_and_what_is_best_inside():
    space = Space(
        hp.choice(
            "model",
            [
                {"a": hp.uniform("a", 0.0, 1.0), "k": hp.randint("k", 10)},
                {"b": hp.loguniform("b", -5, 1), "c": hp.choice("c", ["p", "q"])},
                hp.normal("n", 0.0, 1.0),
            ],
        )
    )

    def loss_of(values):
        if values["model"] == 0:
            return (values["a"] - 0.3) ** 2 + 0.1 * abs(values["k"] - 7)
        if values["model"] == 1:
            return 0.1 + (math.log(values["b"]) + 2.0) ** 2 + values["c"]
        return values["n"] ** 2 + 0.5

    assert median_least(by(), space, loss_of, 35, n_seeds=3) < 0.01


def test_it_finds_the_best_of_many_combinations_of_options():
    space = Space({name: hp.choice(name, list(range(6))) for name in "abcd"})
    gains = np.random.default_rng(0).permuted(np.tile(np.arange(6.0), (4, 1)), axis=1)

    def loss_of(values):
        return sum(gains[row][values[name]] for row, name in enumerate("abcd"))

    assert median_least(by(), space, loss_of, 40, n_seeds=3) == 0.0
    assert median_least(at_random, space, loss_of, 40) >= 2.0


def test_it_finds_the_best_whole_numbers():
    space = Space(
        {
            "i": hp.randint("i", 40),
            "q": hp.quniform("q", 0.0, 10.0, 0.5),
            "n": hp.qloguniform("n", 0.0, 7.0, 1.0),
        }
    )

    def loss_of(values):
        return (
            abs(values["i"] - 29) / 10 + abs(values["q"] - 3.5) + abs(math.log(values["n"] / 60.0))
        )

    assert median_least(by(), space, loss_of, 40, n_seeds=3) < 0.15


def test_noise_does_not_lead_it_away():
    rng = np.random.default_rng(0)
    found = []
    for seed in range(3):
        observations = search(
            by(noisy=True),
            BOX,
            lambda values: bowl(values) + 2.0 * rng.standard_normal(),
            60,
            seed,
        )
        last = {name: np.median(observations.column(name)[-15:]) for name in "abc"}
        found.append(bowl(last))

    assert np.median(found) < 1.0


def test_failing_regions_are_left():
    """Where a > 0 everything fails; at random, 0.45 of the trials would be beyond 0.5."""
    shares, least = [], []
    for seed in range(7):
        observations = Observations()
        for tid in range(50):
            values = by()(BOX, observations, tid, seed)
            observations.update(
                failed(tid, values) if values["a"] > 0.0 else finished(tid, values, bowl(values))
            )
        shares.append((observations.column("a")[25:] > 0.5).mean())
        least.append(observations.losses[observations.is_ok].min())

    assert np.median(shares) < 0.3
    # The least is 1, at the border of what fails.
    assert np.median(least) < 2.0


def test_a_trial_that_was_stopped_stands_behind_the_complete_ones():
    documents = history_of(10)
    values = {name: 1.0 for name in "abc"}
    stopped = {**finished(10, values, -100.0), "result": {"status": "stopped", "loss": -100.0}}

    history = History(BOX, observe(*documents, stopped))

    assert history.n_ended == 11
    assert history.losses[10] == history.losses[:10].max()


# --- trials in flight ----------------------------------------------------------------------


def history_of(n, space=BOX, loss_of=bowl, seed=0):
    observations = search(at_random, space, loss_of, n, seed)
    return [
        finished(
            tid,
            {name: observations.column(name)[tid].item() for name in space.hyperparameters},
            observations.losses[tid].item(),
        )
        for tid in range(n)
    ]


def suggested(n_at_once, documents, space=BOX, seed=1, **options):
    trials = Trials()
    trials.insert_trial_docs(documents)
    trials.refresh()
    new_ids = trials.new_trial_ids(n_at_once)
    domain = Domain(abs, space.expr)
    found = gp.suggest(new_ids, domain, trials, seed, **options)
    values = [{k: v[0] for k, v in doc["misc"]["vals"].items() if v} for doc in found]
    return found, values


def test_a_batch_keeps_apart():
    least, usual = [], []
    for seed in range(10, 20):
        documents = history_of(25, HARTMANN_SPACE, hartmann6, seed)
        _, values = suggested(12, documents, HARTMANN_SPACE, seed)
        points = np.array([list(each.values()) for each in values])
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        np.fill_diagonal(distances, np.inf)
        least.append(distances.min())
        usual.append(np.median(distances.min(axis=1)))

    assert np.median(least) > 0.03
    assert np.median(usual) > 0.15


def test_suggestions_keep_out_of_the_way_of_running_trials():
    documents = history_of(25)
    alone = gp.suggest_values(BOX, observe(*documents), 100, 1)

    running = new_trial(60, values=alone)
    beside = gp.suggest_values(BOX, observe(*documents, running), 100, 1)

    assert np.linalg.norm([alone[name] - beside[name] for name in "abc"]) > 0.05


def test_a_batch_is_what_comes_one_by_one_while_trials_run():
    documents = history_of(25)
    _, at_once = suggested(3, documents)
    observations = observe(*documents)

    one_by_one = []
    for tid in range(25, 28):
        values = gp.suggest_values(BOX, observations, tid, 1)
        observations.update(new_trial(tid, values=values))
        one_by_one.append(values)

    for ours, theirs in zip(at_once, one_by_one, strict=True):
        assert [ours[n] for n in "abc"] == pytest.approx([theirs[n] for n in "abc"], abs=1e-3)


def test_no_configuration_of_a_discrete_space_comes_twice():
    space = Space({"a": hp.randint("a", 5), "b": hp.choice("b", ["p", "q", "r"])})
    observations, seen = Observations(), set()

    for tid in range(15):
        values = gp.suggest_values(space, observations, tid, 0)
        seen.add((values["a"], values["b"]))
        observations.update(finished(tid, values, float(values["a"])))

    assert len(seen) == 15
    with pytest.raises(SpaceExhausted):
        gp.suggest_values(space, observations, 15, 0)


def test_of_an_exhausted_space_a_batch_has_what_is_left():
    space = Space({"a": hp.randint("a", 12)})
    documents = [finished(tid, {"a": tid}, float(tid)) for tid in range(10)]

    found, values = suggested(5, documents, space)

    assert len(found) == 2
    assert {each["a"] for each in values} == {10, 11}


# --- the same trials, the same suggestion ---------------------------------------------------


def test_a_fresh_process_suggests_what_the_running_one_does():
    documents = history_of(40)
    running = Observations()
    for document in documents:
        running.update(document)
        if len(running) % 7 == 0:
            gp.suggest_values(BOX, running, 100, 5)

    fresh = observe(*documents[::-1])

    assert gp.suggest_values(BOX, running, 100, 5) == gp.suggest_values(BOX, fresh, 100, 5)


def test_another_seed_or_tid_looks_elsewhere_first():
    observations = observe(*history_of(20))

    found = {
        gp.suggest_values(BOX, observations, tid, seed)["a"] for tid in (1, 2) for seed in (3, 4)
    }

    assert len(found) == 4


@pytest.mark.parametrize("acquisition", ["logei", "portfolio", "hedge"])
@pytest.mark.parametrize("space", [SPACE, DISCRETE], ids=["tree", "discrete"])
def test_every_suggestion_can_be_computed_again(space, acquisition):
    def algorithm(*arguments):
        return gp.suggest(*arguments, acquisition=acquisition, n_candidates=64, n_starts=1)

    trials = searched(algorithm, space, n_trials=17 if space is DISCRETE else 25, n_at_once=3)

    assert all(replay(trials, tid, space).is_same for tid in trials.tids)


def test_the_hyperparameters_are_learnt_at_numbers_that_grow():
    sizes = fit_sizes(1000)

    assert sizes[:39] == list(range(1, 40))
    assert all(b - a <= max(1, a // 20) for a, b in itertools.pairwise(sizes))
    assert len(sizes) < 120
    assert fit_sizes(1) == [1]


@pytest.mark.parametrize("size", fit_sizes(600))
def test_a_fit_starts_from_the_last_power_of_two(size):
    anchor = anchor_of(size)

    assert anchor in fit_sizes(size)
    assert size / 2 < anchor * 1.05 and anchor <= size


# --- where little is left to gain -----------------------------------------------------------


def searched_out():
    """Trials of a bowl whose bottom, at (1, 1, 1), was found."""
    bottom = dict.fromkeys("abc", 1.0)
    return [*history_of(100), finished(100, bottom, bowl(bottom))]


def test_where_little_is_to_be_gained_half_of_the_trials_look_far():
    observations = observe(*searched_out())
    names, distances = [], []
    for tid in range(1000, 1016):
        (pick,) = gp.suggest_in_turn(
            BOX, observations, [tid], 0, gp.Options(**QUICK), search_seed=None
        )
        names.append(pick.acquisition)
        distances.append(max(abs(value - 1.0) for value in pick.values.values()))

    is_far = np.array([name == "far" for name in names])
    assert set(names) == {"far", "logei"}
    assert 2 <= is_far.sum() <= 14
    assert min(np.array(distances)[is_far]) > 1.0


def test_while_there_is_much_to_gain_none_does():
    records = records_of("logei", 20)

    assert {each.get("acquisition") for each in records} <= {None, "logei"}


# --- acquisitions in turn ---------------------------------------------------------------------


def records_of(acquisition, n=30, **options):
    trials = Trials()
    fmin(
        bowl, {name: hp.uniform(name, -5, 5) for name in "abc"}, max_evals=n, rstate=0,
        algo=partial(gp.suggest, acquisition=acquisition, **options), trials=trials, verbose=False,
    )  # fmt: skip
    return [document["suggested_by"] for document in trials.trials]


def test_a_portfolio_explores_first():
    by_model = [each for each in records_of("portfolio", 60, halfway=15) if "start" not in each]

    names = [each["acquisition"] for each in by_model]
    assert set(names) <= set(MEMBERS)
    assert names[:15].count("ucb") > names[-15:].count("ucb")
    assert names[-15:].count("pi") > 0


def test_a_hedge_keeps_every_nominee_and_which_was_chosen():
    records = records_of("hedge", 18, n_startup_jobs=10)
    by_model = [each for each in records if "start" not in each]

    assert len(by_model) == 8
    for each in by_model:
        assert set(each["nominees"]) == set(MEMBERS)
        assert each["acquisition"] in MEMBERS


def test_a_hedge_goes_on_from_the_documents_alone():
    """Its choices depend on the nominees of earlier trials, which nothing else remembers."""
    trials = Trials()

    def algorithm(*arguments):
        return gp.suggest(*arguments, acquisition="hedge", n_startup_jobs=10, **QUICK)

    space = {name: hp.uniform(name, -5, 5) for name in "abc"}
    fmin(bowl, space, max_evals=16, rstate=0, algo=algorithm, trials=trials, verbose=False)

    restarted = trials_from_docs(trials.trials)

    domain, new_ids = Domain(bowl, space), trials.new_trial_ids(3)
    running, again = (algorithm(new_ids, domain, each, 7) for each in (trials, restarted))
    assert [doc["misc"]["vals"] for doc in running] == [doc["misc"]["vals"] for doc in again]
    observations = trials.observations()
    assert len(list(gp.nominated(restarted, observations))) == 6


def test_the_first_trials_come_from_a_sequence():
    records = records_of("logei", 14, n_startup_jobs=12)

    assert [each.get("start") for each in records] == [*range(12), None, None]


# --- many trials --------------------------------------------------------------------------------


def test_two_thousand_trials_are_answered_and_it_is_said_how_many_were_modelled(caplog):
    documents = history_of(2000)
    caplog.set_level("INFO", logger="hpo.gp")

    (document,), (values,) = suggested(1, documents)

    assert BOX.hyperparameters.keys() == values.keys()
    assert all(-5.0 <= value <= 5.0 for value in values.values())
    assert bowl(values) < 2.0
    assert MOST_TRIALS <= document["suggested_by"]["n_modelled"] < 1.1 * MOST_TRIALS
    assert f"models {MOST_TRIALS} of 2000 trials" in caplog.text


def test_the_model_knows_every_trial_while_they_are_few():
    observations = observe(*history_of(60))

    model = Model(History(BOX, observations), "matern52", is_noisy=False)

    assert len(model.places) == len(model.posterior) == 60
    mean, std = model.posterior.predict(model.posterior.X)
    np.testing.assert_allclose(mean, model.posterior.y, atol=0.05)
    assert std.max() < 0.05


# --- losses that say how much they vary -----------------------------------------------------


def observed(results, loss_variance):
    """Trials along an axis, with these losses, each with what is said of its variance."""
    documents = []
    for tid, loss in enumerate(results):
        document = finished(tid, {"a": tid / 2.0 - 5.0, "b": 1.0, "c": 1.0}, loss)
        document["result"] |= loss_variance(tid)
        documents.append(document)
    return observe(*documents)


def test_a_loss_that_varies_moves_the_model_less():
    smooth = [(tid / 20 - 0.5) ** 2 for tid in range(21)]
    spoilt = [loss - (0.3 if tid == 4 else 0.0) for tid, loss in enumerate(smooth)]

    def modelled(loss_variance):
        model = Model(History(BOX, observed(spoilt, loss_variance)), "matern52", False)
        dent = model.means[4] - (model.means[3] + model.means[5]) / 2
        return dent, model.hyperparameters.noise_variance

    dent, noise = modelled(lambda tid: {"loss_variance": 0.09 if tid == 4 else 0.0})
    dent_untold, noise_untold = modelled(lambda tid: {})
    assert dent_untold < -0.05
    assert abs(dent) < 0.5 * abs(dent_untold)
    # Nor are the others taken for noisy because of this one.
    assert noise < 0.01 * noise_untold


@pytest.mark.parametrize("variance", [0.0, 1e-300, 1e300, math.inf, -1.0, math.nan, "0.1"])
def test_whatever_is_said_of_a_variance_the_model_is_finite(variance):
    losses = [(tid / 20 - 0.5) ** 2 for tid in range(21)]
    history = History(BOX, observed(losses, lambda tid: {"loss_variance": variance}))

    model = Model(history, "matern52", False)

    assert np.isfinite(model.means).all()


def test_a_search_whose_losses_say_their_variance_can_be_computed_again():
    rng = np.random.default_rng(5)

    def noisy_bowl(values):
        return {
            "status": "ok",
            "loss": bowl(values) + 0.1 * rng.standard_normal(),
            "loss_variance": 0.01,
        }

    space = {name: hp.uniform(name, -5.0, 5.0) for name in "abc"}
    algo = partial(gp.suggest, **QUICK)
    trials = Trials()
    fmin(noisy_bowl, space, algo=algo, max_evals=16, trials=trials, rstate=0, verbose=False)

    assert all(replay(trials, tid, space).is_same for tid in range(16))
