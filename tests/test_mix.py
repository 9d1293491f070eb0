"""A mixture hands each trial to one of its algorithms, drawn with the given probabilities."""

from __future__ import annotations

from functools import partial

import pytest
from scipy import stats

from hpo import hp, mix, rand, tpe
from hpo.domain import Domain
from hpo.exceptions import InvalidOption
from hpo.trials import Trials


@pytest.fixture
def domain():
    return Domain(abs, hp.uniform("x", 0.0, 1.0))


class Recorder:
    """An algorithm that proposes at random and keeps the ids it was asked for."""

    def __init__(self):
        self.calls: list[list[int]] = []

    def __call__(self, new_ids, domain, trials, seed):
        self.calls.append(list(new_ids))
        return rand.suggest(new_ids, domain, trials, seed)


def test_each_algorithm_is_chosen_as_often_as_its_probability_says(domain):
    first, second = Recorder(), Recorder()

    for tid in range(500):
        mix.suggest([tid], domain, Trials(), 0, p_suggest=[(0.3, first), (0.7, second)])

    assert stats.binomtest(len(first.calls), 500, 0.3).pvalue > 0.001
    assert len(first.calls) + len(second.calls) == 500


def test_several_ids_come_back_in_their_order_from_one_call_each(domain):
    first, second = Recorder(), Recorder()
    new_ids = list(range(20))

    documents = mix.suggest(new_ids, domain, Trials(), 0, p_suggest=[(0.5, first), (0.5, second)])

    assert [document["tid"] for document in documents] == new_ids
    assert len(first.calls) == len(second.calls) == 1
    assert sorted(first.calls[0] + second.calls[0]) == new_ids


def test_the_choice_does_not_colour_what_is_proposed(domain):
    chosen_first = Recorder()
    p_suggest = [(0.1, chosen_first), (0.9, Recorder())]

    documents = [mix.suggest([tid], domain, Trials(), 0, p_suggest)[0] for tid in range(400)]

    # Were the same number to choose the algorithm and to make x, the first one
    # would only ever propose x < 0.1.
    ids = {tid for (tid,) in chosen_first.calls}
    values = [d["misc"]["vals"]["x"][0] for d in documents if d["tid"] in ids]
    assert stats.kstest(values, "uniform").pvalue > 0.001


def test_seed_and_tid_decide(domain):
    algorithm = partial(mix.suggest, p_suggest=[(0.5, rand.suggest), (0.5, tpe.suggest)])

    once, again = (algorithm([1, 2, 3], domain, Trials(), 4) for _ in range(2))

    assert [d["misc"] for d in once] == [d["misc"] for d in again]


def test_an_algorithm_that_proposes_nothing_leaves_nothing(domain):
    assert mix.suggest([1], domain, Trials(), 0, [(1.0, lambda *_: [])]) == []


@pytest.mark.parametrize(
    "p_suggest", [[], [(0.5, rand.suggest)], [(1.5, rand.suggest), (-0.5, tpe.suggest)]]
)
def test_probabilities_that_are_no_distribution_are_a_value_error(domain, p_suggest):
    with pytest.raises(ValueError, match="sum to 1"):
        mix.suggest([0], domain, Trials(), 0, p_suggest)


@pytest.mark.parametrize("p_suggest", [rand.suggest, [rand.suggest], [(rand.suggest, 1.0)]])
def test_anything_but_pairs_is_refused(domain, p_suggest):
    with pytest.raises(InvalidOption, match="p_suggest"):
        mix.suggest([0], domain, Trials(), 0, p_suggest)


def test_a_misspelt_option_is_refused_with_a_suggestion(domain):
    with pytest.raises(InvalidOption, match="did you mean 'p_suggest'"):
        mix.suggest([0], domain, Trials(), 0, p_suggest=[(1.0, rand.suggest)], p_sugest=[])
