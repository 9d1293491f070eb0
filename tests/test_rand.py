"""Random search draws each trial from the priors, by seed and tid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpo import hp, rand
from hpo.algobase import suggestion_rng
from hpo.document import JOB_STATE_NEW
from hpo.domain import Domain
from hpo.exceptions import InvalidOption
from hpo.space import Space
from hpo.trials import Trials, miscs_to_idxs_vals

SPACE = {
    "lr": hp.loguniform("lr", math.log(1e-4), 0.0),
    "model": hp.choice("model", ["linear", {"depth": hp.uniformint("depth", 1, 9)}]),
}


def test_each_id_gets_a_new_document_with_its_active_values():
    documents = rand.suggest([4, 9], Domain(len, SPACE), Trials(), seed=3)

    assert [document["tid"] for document in documents] == [4, 9]
    for document in documents:
        vals = {label: vals for label, vals in document["misc"]["vals"].items() if vals}
        assert document["state"] == JOB_STATE_NEW
        assert 1e-4 <= vals["lr"][0] <= 1.0
        assert ("depth" in vals) == (vals["model"][0] == 1)


def test_draws_follow_the_prior():
    space = Space(SPACE)

    drawn = [rand.suggest_values(space, tid, 0)["lr"] for tid in range(1000)]

    assert stats.kstest(drawn, stats.loguniform(1e-4, 1.0).cdf).pvalue > 0.001


def test_a_tid_is_given_the_same_configuration_in_any_company():
    domain, trials = Domain(len, SPACE), Trials()

    alone = [rand.suggest([tid], domain, trials, 5)[0]["misc"]["vals"] for tid in range(4)]
    together = [d["misc"]["vals"] for d in rand.suggest([3, 2, 1, 0], domain, trials, 5)]

    assert alone == together[::-1]
    assert alone != [rand.suggest([tid], domain, trials, 6)[0]["misc"]["vals"] for tid in range(4)]


def test_a_batch_is_the_same_configurations_as_columns():
    domain, trials = Domain(len, SPACE), Trials()

    idxs, vals = rand.suggest_batch([0, 1, 2, 3, 4, 5], domain, trials, 5)

    assert (idxs, vals) == miscs_to_idxs_vals(
        [document["misc"] for document in rand.suggest(range(6), domain, trials, 5)]
    )


def test_an_empty_batch_names_every_label():
    idxs, vals = rand.suggest_batch([], domain := Domain(len, SPACE), Trials(), 5)

    assert idxs == vals == {label: [] for label in domain.params}


def test_an_option_is_refused_because_there_is_none():
    with pytest.raises(InvalidOption, match=r"no option 'gamma' \(it takes none\)"):
        rand.suggest([0], Domain(len, SPACE), Trials(), 1, gamma=0.25)
    with pytest.raises(InvalidOption, match=r"rand.suggest_batch has no option 'gamma'"):
        rand.suggest_batch([0], Domain(len, SPACE), Trials(), 1, gamma=0.25)


def test_generators_of_different_trials_seeds_and_purposes_are_independent():
    keys = [(0, 0, ""), (0, 1, ""), (1, 0, ""), (0, 0, "mix"), (0, "0", ""), (0, -1, "")]

    first_numbers = {float(suggestion_rng(*key).random()) for key in keys}

    assert len(first_numbers) == len(keys)


def test_a_generator_is_the_same_for_equal_keys_of_any_integer_type():
    expected = suggestion_rng(7, 3).random()

    assert suggestion_rng(np.int64(7), np.int32(3)).random() == expected
    assert suggestion_rng(None, 3).random() != expected
