"""What algorithms share: seeds of every form, and algorithms written label by label."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hpo import anneal, fmin, gp, hp, qmc, rand, tpe
from hpo.algobase import SuggestAlgo, suggestion_rng
from hpo.domain import Domain
from hpo.exceptions import InvalidConfiguration, InvalidOption
from hpo.trials import Trials, trials_from_docs

SPACE = {
    "model": hp.choice(
        "model", [{"depth": hp.randint("depth", 9)}, hp.normal("degree", 3.0, 1.0)]
    ),
    "lr": hp.uniform("lr", 0.0, 1.0),
    "width": hp.uniformint("width", 1, 64),
}


class Prior(SuggestAlgo):
    """Random search, label by label."""

    def on_node_hyperparameter(self, memo, node, label):
        return self.on_node_prior(memo, node)


# --- values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "algorithm",
    [anneal.suggest, gp.suggest, qmc.suggest, rand.suggest, tpe.suggest, tpe.hyperopt_suggest],
)
def test_whole_numbers_are_stored_as_such_also_at_their_bounds(algorithm):
    # scipy's bounds are floats.
    space = {"seen": stats.poisson(1.0), "n": hp.randint("n", 3, 6), "u": hp.uniformint("u", 0, 2)}
    trials = Trials()

    fmin(
        lambda configuration: float(sum(configuration.values())), space, algo=algorithm,
        max_evals=30, trials=trials, rstate=0, verbose=False,
    )  # fmt: skip

    values = [value for each in trials.miscs for (value,) in each["vals"].values()]
    assert {type(value) for value in values} == {int}
    assert {0, 3} <= set(values)


# --- seeds ------------------------------------------------------------------------------


def first_number(seed, tid=0):
    return float(suggestion_rng(seed, tid).random())


@pytest.mark.parametrize(
    "make",
    [
        lambda: 7,
        lambda: -7,
        lambda: [1, 2, 3],
        lambda: (1, 2, 3),
        lambda: np.arange(3),
        lambda: np.random.SeedSequence(7),
        lambda: np.random.SeedSequence(7).spawn(2)[1],
        lambda: np.random.PCG64(7),
        lambda: np.random.default_rng(7),
        lambda: np.random.RandomState(7),
    ],
)
def test_equal_seeds_of_any_form_give_equal_numbers_and_other_trials_others(make):
    assert first_number(make()) == first_number(make())
    assert first_number(make(), tid=1) != first_number(make(), tid=0)


def test_a_seed_sequence_is_the_integer_it_was_made_of():
    assert first_number(np.random.SeedSequence(7)) == first_number(7)
    assert first_number((1, 2)) == first_number([1, 2]) != first_number([2, 1])


def test_a_suggestions_generator_has_children_that_can_be_repeated():
    first, second, again = (
        [float(child.random()) for child in suggestion_rng(seed, 3).spawn(2)] for seed in (7, 8, 7)
    )

    assert first == again
    assert len({*first, *second, suggestion_rng(7, 3).random()}) == 5


def test_children_of_a_seed_sequence_are_independent():
    children = np.random.SeedSequence(7).spawn(3)

    assert len({first_number(child) for child in [np.random.SeedSequence(7), *children]}) == 4


def test_a_generator_goes_on_from_suggestion_to_suggestion():
    rng = np.random.default_rng(7)

    assert first_number(rng) != first_number(rng)


@pytest.mark.parametrize("seed", ["7", 1.5, b"7", object(), [], [1.5], [-1], ["7"]])
def test_anything_else_is_refused_by_its_value(seed):
    with pytest.raises(InvalidOption, match="integer") as error:
        suggestion_rng(seed, 0)

    assert repr(seed) in str(error.value)


# --- label by label ---------------------------------------------------------------------


def test_it_returns_one_new_document_with_everything_that_people_read():
    domain = Domain(len, SPACE)

    (document,) = Prior(domain, Trials(), 3)(5)

    values = {label: vals[0] for label, vals in document["misc"]["vals"].items() if vals}
    assert document["tid"] == document["misc"]["tid"] == 5
    assert set(values) == set(domain.space.active_labels(values))
    assert document["params"] == domain.space.params(values)
    assert type(values["width"]) is int and type(values["lr"]) is float


def test_a_suggestion_depends_on_the_seed_and_the_tid_alone():
    domain, trials = Domain(len, SPACE), Trials()
    algorithm = Prior(domain, trials, 3)

    assert algorithm(5) == algorithm(5) == Prior(domain, trials, 3)(5)
    assert algorithm(5) != algorithm(6)
    assert algorithm(5) != Prior(domain, trials, 4)(5)


def test_a_batch_has_a_column_for_each_label():
    ids = list(range(40))

    idxs, vals = Prior(Domain(len, SPACE), Trials(), 3).batch(ids)

    assert list(idxs["lr"]) == ids
    assert sorted([*idxs["depth"], *idxs["degree"]]) == ids
    assert {label: len(tids) for label, tids in idxs.items()} == {
        label: len(values) for label, values in vals.items()
    }


def test_the_node_tells_the_distribution_its_arguments_and_how_many_values():
    seen = {}

    class Curious(Prior):
        def on_node_hyperparameter(self, memo, node, label):
            arguments = [memo.get(node.arg.get(name)) for name in ("low", "high")]
            seen[label] = (node.name, arguments, memo[node.arg["size"]])
            return super().on_node_hyperparameter(memo, node, label)

    Curious(Domain(len, SPACE), Trials(), 3)(0)

    assert seen["lr"] == ("uniform", [0.0, 1.0], 1)
    assert {seen["depth"][2], seen["degree"][2]} == {0, 1}


def test_what_is_decided_for_a_choice_decides_what_is_active():
    class Second(Prior):
        def on_node_hyperparameter(self, memo, node, label):
            return [1] if label == "model" else super().on_node_hyperparameter(memo, node, label)

    (document,) = Second(Domain(len, SPACE), Trials(), 3)(0)

    assert document["misc"]["vals"]["model"] == [1]
    assert document["misc"]["vals"]["depth"] == [] != document["misc"]["vals"]["degree"]


def test_fmin_searches_by_a_users_own_algorithm():
    class NearTheBest(Prior):
        def on_node_hyperparameter(self, memo, node, label):
            done = [(loss, i) for i, loss in enumerate(self.trials.losses()) if loss is not None]
            if label != "lr" or len(done) < 10:
                return super().on_node_hyperparameter(memo, node, label)
            _, best = min(done)
            near = self.trials.trials[best]["misc"]["vals"]["lr"][0] + self.rng.normal(0, 0.05)
            return [min(max(near, 0.0), 1.0)]

    def suggest(new_ids, domain, trials, seed):
        return [document for tid in new_ids for document in NearTheBest(domain, trials, seed)(tid)]

    best = fmin(
        lambda c: (c["lr"] - 0.7) ** 2,
        SPACE,
        algo=suggest,
        max_evals=60,
        rstate=1,
        show_progressbar=False,
    )

    assert abs(best["lr"] - 0.7) < 0.02


def test_a_value_that_is_none_of_the_labels_is_refused():
    class Wrong(Prior):
        def on_node_hyperparameter(self, memo, node, label):
            return [0.5] if label == "width" else super().on_node_hyperparameter(memo, node, label)

    with pytest.raises(
        InvalidConfiguration, match=r"'width' has the value 0\.5, which is not whole"
    ):
        Wrong(Domain(len, SPACE), Trials(), 3)(0)


def test_a_subclass_without_the_method_is_told_what_to_define():
    with pytest.raises(NotImplementedError, match="SuggestAlgo must define on_node_hyperparam"):
        SuggestAlgo(Domain(len, SPACE), Trials(), 3)(0)


def test_its_documents_make_trials():
    algorithm = Prior(Domain(len, SPACE), Trials(), 3)

    trials = trials_from_docs([document for tid in range(4) for document in algorithm(tid)])

    assert trials.tids == [0, 1, 2, 3]
