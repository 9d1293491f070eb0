"""Arbitrary spaces on the whole road: sample, document, store, read back, evaluate.

What must come out is known from the recipe that the space was built from.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo import Domain, MongoTrials, Trials, fmin, hp, rand, space_eval, spec, tpe
from hpo.document import STATUS_OK, Claim, active_values
from hpo.exceptions import InvalidLabel
from hpo.space import Space
from hpo.store.memory import MemoryStore
from hpo.store.mongo import MongoStore
from tests.servers import fresh_database
from tests.space.recipes import by_number, recipes

seeds = st.integers(0, 2**31 - 1)
many = settings(max_examples=60, deadline=None)
few = settings(many, max_examples=15)


# --- stores ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["memory", "mongo"])
def store(request) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryStore()
        return
    server = request.getfixturevalue("mongo_server")
    with (
        fresh_database(server) as url,
        contextlib.closing(MongoStore.connect(url)) as mongo_store,
    ):
        yield mongo_store


def with_types(value):
    """Equal only for values of equal types, all the way down: 1 is not 1.0 here."""
    if isinstance(value, dict):
        inside: Any = {(type(key), key): with_types(item) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        inside = [with_types(item) for item in value]
    else:
        inside = value
    return type(value), inside


_names = (f"experiment {number}" for number in itertools.count())


def new_trials(store):
    """The Trials of an experiment that nobody used before."""
    exp_key = next(_names)
    is_mongo = isinstance(store, MongoStore)
    return MongoTrials(store, exp_key) if is_mongo else Trials(exp_key, store=store)


def suggest_and_insert(algorithm, domain, trials, seed, **options):
    """One suggestion on its way into the store; return it as the next reader finds it."""
    tids = trials.new_trial_ids(1)
    documents = algorithm.suggest(tids, domain, trials, seed, **options)
    trials.insert_trial_docs(documents)
    (read,) = trials.store.find(trials.exp_key, tids=tids)
    return documents[0], read


# --- the road -------------------------------------------------------------------------


@many
@given(recipe=recipes(), seed=seeds)
def test_a_stored_trial_evaluates_to_the_configuration_that_was_sampled(store, recipe, seed):
    domain = Domain(None, recipe.build())
    written, read = suggest_and_insert(rand, domain, new_trials(store), seed)

    values = active_values(read)
    expected, met = recipe.expect(by_number(domain.space, values))

    assert with_types(domain.space.evaluate(values)) == with_types(expected)
    assert set(by_number(domain.space, values)) == met, "exactly what was met is active"
    assert read["params"] == written["params"]
    assert read["params"].keys() == values.keys()
    assert list(read["misc"]["vals"]) == list(domain.space.hyperparameters)


@many
@given(recipe=recipes())
def test_spaces_built_twice_or_pickled_have_the_same_labels_and_digest(recipe):
    space = Space(recipe.build())

    for twin in (
        Space(recipe.build()),
        pickle.loads(pickle.dumps(space)),
        pickle.loads(cloudpickle.dumps(space)),
    ):
        assert list(twin.hyperparameters) == list(space.hyperparameters)
        assert twin.digest == space.digest


@many
@given(recipe=recipes())
def test_labels_from_paths_can_be_named_in_a_query(recipe):
    own = {
        hyperparameter.label.format(i)
        for i, hyperparameter in enumerate(recipe.hyperparameters)
        if hyperparameter.kind.startswith(("hp", "named"))
    }

    from_paths = Space(recipe.build()).hyperparameters.keys() - own

    assert all(label and not set(label) & set(".$\0") for label in from_paths)


@few
@given(recipe=recipes(), seed=seeds)
def test_tpe_learns_from_stored_trials_of_any_space(store, recipe, seed):
    domain, trials = Domain(None, recipe.build()), new_trials(store)

    for n_done in range(4):
        # As for a noisy objective, because some spaces have fewer than four configurations.
        _, read = suggest_and_insert(tpe, domain, trials, seed, n_startup_jobs=2, noisy=True)
        expected, _ = recipe.expect(by_number(domain.space, active_values(read)))
        assert with_types(domain.space.evaluate(active_values(read))) == with_types(expected)
        held = store.claim("worker", exp_key=trials.exp_key)
        store.finish(Claim.of(held), {"status": STATUS_OK, "loss": float(n_done)})
        trials.refresh()

    if len(domain.space):
        assert space_eval(domain.expr, trials.argmin) == domain.space.evaluate(trials.argmin)
    assert trials.losses() == [0.0, 1.0, 2.0, 3.0]


# --- where people and other processes look --------------------------------------------


def test_a_query_finds_trials_by_labels_from_paths(mongo_url):
    space = spec.new({"conv.1": [spec.random_int(9)], "$a": {"b c": spec.choice(["x", "y"])}})
    with contextlib.closing(MongoStore.connect(mongo_url)) as mongo_store:
        trials = new_trials(mongo_store)
        _, read = suggest_and_insert(rand, Domain(None, space), trials, 0)

        for label in ("conv-1-0", "_a-b c"):
            value = read["params"][label]
            assert mongo_store.jobs.count_documents({f"params.{label}": value}) == 1
            assert mongo_store.jobs.count_documents({f"params.{label}": {"$ne": value}}) == 0
            shown = mongo_store.jobs.aggregate([{"$project": {"shown": f"$params.{label}"}}])
            assert [row["shown"] for row in shown] == [value]


def test_workers_evaluate_a_space_written_without_labels(mongo_url):
    space = spec.new(
        rate=spec.wrap(10 ** spec.uniform(-3, -1), lambda rate: round(rate, 6)),
        model={"name": "net-" + spec.choice(["a", "b"]), "depth": spec.exp(spec.normal())},
    )

    def objective(params):
        assert type(params.model) is spec.NamedDict
        assert params.model.name in ("net-a", "net-b")
        return {"status": STATUS_OK, "loss": params.rate, "seen": dict(params)}

    best = fmin(
        objective,
        space,
        algo=rand.suggest,
        trials=mongo_url,
        exp_key="unlabelled",
        workers=1,
        max_evals=5,
        rstate=0,
        show_progressbar=False,
    )

    trials = MongoTrials(mongo_url, "unlabelled")
    assert best.keys() == {"rate", "model-name", "model-depth"}
    for trial in trials.trials:
        configuration = space_eval(space, active_values(trial))
        assert trial["result"]["seen"] == configuration
        assert trial["params"]["model-name"] in ("a", "b")
    trials.store.close()


# --- odd labels -----------------------------------------------------------------------


ODD_LABELS = {
    "a dot": "a.b",
    "only dots": "..",
    "a dollar sign": "$x",
    "an operator": "$set",
    "a blank": "a b",
    "only a blank": " ",
    "a line break": "a\nb",
    "another script": "学習率",
    "beyond 16 bits": "😀",
    "accents": "größe",
    "a field of documents": "_id",
    "a number": "0",
    "very long": "x" * 10_000,
    "quotes": "\"'`",
}


@pytest.mark.parametrize("label", ODD_LABELS.values(), ids=ODD_LABELS)
def test_a_search_over_an_odd_label_works_from_end_to_end(store, label):
    space = {"a": hp.choice(label, [hp.uniform(label + "2", 0, 1), 5]), "b": spec.random_bit()}
    domain, trials = Domain(None, space), new_trials(store)

    for n_done in range(3):
        _, read = suggest_and_insert(tpe, domain, trials, n_done, n_startup_jobs=1, verbose=False)
        held = store.claim("worker", exp_key=trials.exp_key)
        store.finish(Claim.of(held), {"status": STATUS_OK, "loss": float(n_done)})
        trials.refresh()

    assert label in read["params"]
    assert trials.vals[label] == [active_values(trial)[label] for trial in trials.trials]
    assert space_eval(space, trials.argmin)["a"] in (5, trials.argmin.get(label + "2"))


@pytest.mark.parametrize("label", ["", "a\0b", None, 3, b"x"])
def test_a_label_that_no_database_can_hold_is_refused_when_it_is_written(label):
    for build in (
        lambda: hp.uniform(label, 0, 1),
        lambda: hp.choice(label, [1, 2]),
        lambda: hp.randint(label, 5),
    ):
        with pytest.raises(InvalidLabel):
            build()
