"""Who adds trials behind the last one it has seen adds nothing to what it does not know."""

from __future__ import annotations

import pytest

from hpo.document import new_trial
from hpo.exceptions import Overtaken
from hpo.store.mongo import queries
from hpo.trials import Trials


def trials_for(store, n, exp_key="digits"):
    return [new_trial(tid, exp_key=exp_key) for tid in store.allocate_tids(n)]


def numbers(store, exp_key="digits"):
    return [trial["number"] for trial in store.find(exp_key)]


def test_trials_get_the_numbers_that_were_expected(store):
    store.insert(trials_for(store, 2), first_number=0)
    store.insert(trials_for(store, 1), first_number=2)

    assert numbers(store) == [0, 1, 2]


def test_nothing_is_added_behind_what_another_one_added(store, another):
    another.insert(trials_for(another, 2))

    with pytest.raises(Overtaken) as raised:
        store.insert(trials_for(store, 3), first_number=1)

    assert (raised.value.exp_key, raised.value.number) == ("digits", 1)
    assert numbers(store) == [0, 1]


def test_after_being_overtaken_one_may_look_and_add(store, another):
    another.insert(trials_for(another, 1))
    with pytest.raises(Overtaken):
        store.insert(trials_for(store, 1), first_number=0)

    store.insert(trials_for(store, 1), first_number=1)
    store.insert(trials_for(store, 1))

    assert numbers(store) == [0, 1, 2]


def test_other_experiments_overtake_nobody(store, another):
    another.insert(trials_for(another, 3, exp_key="iris"))

    store.insert(trials_for(store, 1), first_number=0)

    assert numbers(store) == [0]


def test_trials_know_what_they_have_seen(store, another):
    mine, others = Trials("digits", store=store), Trials("digits", store=another)
    mine.insert_unless_overtaken(trials_for(store, 1))
    others.refresh()
    others.insert_unless_overtaken(trials_for(another, 1))

    with pytest.raises(Overtaken):
        mine.insert_unless_overtaken(trials_for(store, 1))
    mine.refresh()
    mine.insert_unless_overtaken(trials_for(store, 1))

    assert numbers(store) == [0, 1, 2]


@pytest.fixture
def fresh_indexes(store):
    """An index that has seen a list never sorts again; the tests share their databases."""
    yield
    store.jobs.delete_many({})
    store.jobs.drop_indexes()
    store.jobs.create_indexes(queries.JOBS_INDEXES)


@pytest.mark.parametrize("backend", ["replica set", "standalone"], indirect=True)
@pytest.mark.usefixtures("fresh_indexes")
def test_a_number_that_no_trial_has_is_passed_by(store):
    # given something that holds the number 1, as a list does, and does not show
    store.insert(trials_for(store, 1))
    store.jobs.insert_one({"exp_key": "digits", "number": [1], "tid": "?"})
    trials = Trials("digits", store=store)
    with pytest.raises(Overtaken) as raised:
        trials.insert_unless_overtaken(trials_for(store, 1))

    trials.pass_by(raised.value)
    trials.insert_unless_overtaken(trials_for(store, 1))

    assert numbers(store) == [0, 2]
