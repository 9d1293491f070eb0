"""While trials run, suggestions keep apart; in a discrete space none comes twice."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from hpo import fmin, hp, tpe
from hpo.document import JOB_STATE_RUNNING, new_trial
from hpo.domain import Domain
from hpo.exceptions import SpaceExhausted
from hpo.observations import Observations
from hpo.space import Space
from hpo.trials import Trials
from tests.searches import at_random, failed, finished, observe, search

X = Space({"x": hp.uniform("x", -5.0, 5.0)})
SQUARE = Space({"a": hp.uniform("a", 0.0, 1.0), "b": hp.uniform("b", 0.0, 1.0)})


def bowl(values):
    return (values["a"] - 0.3) ** 2 + (values["b"] - 0.7) ** 2


def domain_and_trials(space, *documents) -> tuple[Domain, Trials]:
    trials = Trials()
    if documents:
        trials.insert_trial_docs(list(documents))
        trials.refresh()
    return Domain(abs, space.expr), trials


def values_of(document):
    return {label: vals[0] for label, vals in document["misc"]["vals"].items() if vals}


# --- keeping apart -----------------------------------------------------------------------


def median_distance_to_the_nearest(values):
    distances = squareform(pdist([[each["a"], each["b"]] for each in values]))
    np.fill_diagonal(distances, np.inf)
    return np.median(distances.min(axis=1))


def seen_in_the_square(seed):
    observations = search(at_random, SQUARE, bowl, 30, seed)
    columns = observations.column("a"), observations.column("b")
    return [
        finished(tid, {"a": a, "b": b}, loss)
        for tid, (a, b, loss) in enumerate(zip(*columns, observations.losses, strict=True))
    ]


def test_sixty_four_at_once_are_spread_like_sixty_four_one_by_one():
    at_once, one_by_one, unaware = [], [], []
    for seed in range(6):
        documents = seen_in_the_square(seed)
        new_ids = range(100, 164)
        domain, trials = domain_and_trials(SQUARE, *documents)
        suggested = tpe.suggest(new_ids, domain, trials, seed, verbose=False)
        at_once.append(median_distance_to_the_nearest(map(values_of, suggested)))

        observations = observe(*documents)
        alone = [tpe.suggest_values(SQUARE, observations, tid, seed) for tid in new_ids]
        unaware.append(median_distance_to_the_nearest(alone))
        chosen = []
        for tid in new_ids:
            chosen.append(tpe.suggest_values(SQUARE, observations, tid, seed))
            observations.add_pending(tid, chosen[-1])
        one_by_one.append(median_distance_to_the_nearest(chosen))

    assert np.median(at_once) > 0.7 * np.median(one_by_one)
    assert np.median(one_by_one) > np.median(unaware)
    assert np.median(at_once) > np.median(unaware)


def test_running_trials_push_the_next_ones_away():
    seen = [finished(tid, {"x": x}, x * x) for tid, x in enumerate(np.linspace(-5, 5, 25))]
    crowd = [new_trial(100 + i, values={"x": 0.0}) for i in range(30)]

    def distance(*documents):
        drawn = [tpe.suggest_values(X, observe(*documents), 500 + i, 0)["x"] for i in range(40)]
        return np.median(np.abs(drawn))

    assert distance(*seen, *crowd) > 1.5 * distance(*seen)


def test_trials_that_fail_push_the_next_ones_away():
    rng = np.random.default_rng(0)
    trials = [failed(tid, {"x": x}) for tid, x in enumerate(rng.uniform(0, 5, 30))]
    trials += [finished(100 + tid, {"x": x}, 1.0) for tid, x in enumerate([-4.0, -1.0])]
    observations = observe(*trials)

    proposed = [tpe.suggest_values(X, observations, 200 + i, 0)["x"] for i in range(50)]

    assert np.mean(np.array(proposed) < 0) > 0.9


def test_a_thousand_running_trials_are_no_hindrance():
    running = [
        {**new_trial(tid, values={"x": x}), "state": JOB_STATE_RUNNING}
        for tid, x in enumerate(np.random.default_rng(0).uniform(-5, 5, 1000))
    ]
    domain, trials = domain_and_trials(X, *running)

    suggested = tpe.suggest(range(1000, 1070), domain, trials, 0)

    assert len({values_of(document)["x"] for document in suggested}) == 70


# --- the regression -----------------------------------------------------------------------


def test_a_regression_has_a_say_while_other_trials_run_or_are_asked_for():
    documents = seen_in_the_square(0)
    running = new_trial(50, values={"a": 0.9, "b": 0.9})

    def suggested(new_ids, *more, **options):
        domain, trials = domain_and_trials(SQUARE, *documents, *more)
        return [values_of(each) for each in tpe.suggest(new_ids, domain, trials, 3, **options)]

    alone, several = [60], [60, 61]
    without, having = {"regression": False}, {"regression": True}
    assert suggested(alone) == suggested(alone, **without) != suggested(alone, **having)
    assert (
        suggested(alone, running)
        == suggested(alone, running, **having)
        != suggested(alone, running, **without)
    )
    assert suggested(several) == suggested(several, **having) != suggested(several, **without)
    # Of many at once each costs too much.
    many = range(60, 69)
    assert suggested(many) == suggested(many, **without) != suggested(many, **having)


def slope(values):
    """Downhill towards a corner, along a line on which hyperparameters go together."""
    x = np.array([values[f"x{i}"] for i in range(6)])
    return float(((x - 0.85) ** 2).sum() + 5.0 * (np.diff(x) ** 2).sum())


def best_with_eight_workers(seed, options):
    """The least loss of 80 trials, eight of which run at any time."""
    space = Space({f"x{i}": hp.uniform(f"x{i}", 0.0, 1.0) for i in range(6)})
    observations, running = Observations(), []
    for tid in range(87):
        running.append((tid, tpe.suggest_values(space, observations, tid, seed, options)))
        observations.add_pending(*running[-1])
        if len(running) == 8:
            first, values = running.pop(0)
            observations.update(finished(first, values, slope(values)))
    return float(np.nanmin(observations.losses))


def test_with_eight_workers_the_regression_leaves_less_of_the_way():
    having, without = (
        np.median(
            [best_with_eight_workers(seed, tpe.Options(regression=each)) for seed in range(20)]
        )
        for each in (None, False)
    )

    assert having < 0.7 * without


# --- spaces of discrete values -----------------------------------------------------------

TWELVE = {"a": hp.randint("a", 3), "b": hp.choice("b", ["p", hp.quniform("q", 0, 2, 1)])}


@pytest.mark.parametrize("seed", range(5))
def test_every_configuration_of_a_discrete_space_comes_once(seed):
    space, met = Space(TWELVE), []
    observations = Observations()

    with pytest.raises(SpaceExhausted, match="after 12 trials"):
        for tid in range(13):
            values = tpe.suggest_values(space, observations, tid, seed)
            met.append(tuple(values.items()))
            observations.update(finished(tid, values, float(values["a"])))

    assert len(met) == len(set(met)) == 12


def test_of_more_ids_than_configurations_only_some_get_a_document(caplog):
    domain, trials = domain_and_trials(Space(TWELVE))

    with caplog.at_level("INFO", logger="hpo.tpe"):
        suggested = tpe.suggest(range(40), domain, trials, 0)

    assert [document["tid"] for document in suggested] == list(range(12))
    assert len({str(values_of(document)) for document in suggested}) == 12
    assert "no configuration is left that was not tried" in caplog.text


def test_a_running_configuration_is_not_proposed_and_an_exhausted_space_gives_none():
    running = [new_trial(tid, values={"n": tid}) for tid in range(4)]
    space = Space({"n": hp.randint("n", 5)})

    (last,) = tpe.suggest([4, 5], *domain_and_trials(space, *running), 0)

    assert values_of(last) == {"n": 4}
    assert tpe.suggest([5], *domain_and_trials(space, *running, last), 0) == []


def test_a_failed_configuration_is_not_proposed_again():
    documents = [failed(0, {"n": 0}), *(finished(n, {"n": n}, 1.0) for n in range(1, 4))]
    space = Space({"n": hp.randint("n", 5)})

    assert tpe.suggest_values(space, observe(*documents), 9, 0) == {"n": 4}


def test_fmin_ends_and_says_so_when_everything_was_tried(capsys):
    trials, calls = Trials(), []

    best = fmin(
        lambda n: calls.append(n) or (n - 3) ** 2, hp.randint("n", 6), tpe.suggest, 50,
        trials=trials, rstate=0,
    )  # fmt: skip

    assert sorted(calls) == list(range(6))
    assert best == {"n": 3}
    assert "after 6 trials no configuration is left that was not tried" in "".join(
        capsys.readouterr()
    )


def test_of_a_noisy_objective_configurations_may_come_again():
    trials, rng = Trials(), np.random.default_rng(0)

    fmin(
        lambda n: (n - 3) ** 2 + rng.normal(), hp.randint("n", 6), tpe.suggest, 40,
        trials=trials, rstate=0, noisy=True, verbose=False,
    )  # fmt: skip

    assert len(trials) == 40


def test_the_algorithm_itself_can_be_told_that_the_objective_is_noisy():
    everything = [finished(n, {"n": n}, float(n)) for n in range(5)]
    noisy = partial(tpe.suggest, noisy=True)

    (document,) = noisy([5], *domain_and_trials(Space({"n": hp.randint("n", 5)}), *everything), 0)

    assert values_of(document)["n"] in range(5)


def test_a_space_with_anything_continuous_is_never_exhausted():
    space = Space({"n": hp.randint("n", 2), "x": hp.uniform("x", 0.0, 1.0)})

    suggested = tpe.suggest(range(80), *domain_and_trials(space), 0)

    assert len(suggested) == 80


def test_an_infinite_discrete_space_is_never_exhausted():
    space = Space({"n": hp.qnormal("n", 0.0, 0.3, 1.0)})

    observations = search(tpe.suggest_values, space, lambda values: abs(values["n"]), 30, 0)

    assert len(observations) == 30
    assert all(math.isfinite(value) for value in observations.column("n"))
