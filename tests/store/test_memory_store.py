"""What a store in memory does beyond the promises: it keeps the caller's own objects."""

from __future__ import annotations

import copy
import pickle
import time

import numpy as np
import pytest

from hpo.document import JOB_STATE_DONE, JOB_STATE_NEW, Claim, new_trial
from hpo.exceptions import LeaseLost
from hpo.store.base import Horizon
from hpo.store.memory import MemoryStore

OK = {"status": "ok", "loss": 0.5}


def test_the_documents_are_the_callers_own():
    store, trial = MemoryStore(), new_trial(0)
    store.insert([trial])

    store.claim("driver")

    [found], [changed] = store.find(None), store.changes(None, Horizon())
    assert found is trial and changed is trial
    assert trial["owner"] == "driver"


def test_a_trial_that_its_owner_ends_by_hand_is_noticed():
    store, horizon = MemoryStore(), Horizon()
    trial = new_trial(0)
    store.insert([trial])
    list(store.changes(None, horizon))

    trial["state"], trial["result"] = JOB_STATE_DONE, OK

    assert list(store.changes(None, horizon)) == [trial]
    assert store.claim("driver") is None
    assert store.count(None, [JOB_STATE_NEW]) == 0


def test_a_result_may_hold_anything():
    store, model = MemoryStore(), object()
    store.insert([new_trial(0)])

    store.finish(Claim.of(store.claim("driver")), {**OK, "model": model})

    [trial] = store.find(None)
    assert trial["result"]["model"] is model


def test_arrays_do_not_disturb_the_comparison_of_repeated_results():
    store = MemoryStore()
    store.insert([new_trial(0)])
    held = Claim.of(store.claim("driver"))
    result = {**OK, "curve": np.arange(3)}
    store.finish(held, result)

    store.finish(held, result)
    with pytest.raises(LeaseLost):
        store.finish(held, {**OK, "curve": np.arange(3) + 1})


@pytest.mark.parametrize(
    "duplicate", [lambda store: pickle.loads(pickle.dumps(store)), copy.deepcopy]
)
def test_a_copy_goes_on_by_itself(duplicate):
    store = MemoryStore()
    store.insert([new_trial(tid, exp_key="digits") for tid in store.allocate_tids(2)])
    store.finish(Claim.of(store.claim("driver")), OK)
    store.attachments("digits")["notes"] = b"n"

    other = duplicate(store)
    trial = other.claim("driver")

    assert trial["tid"] == 1 and store.claim("driver") is not trial
    assert other.attachments("digits")["notes"] == b"n"
    assert other.allocate_tids(1) == [2]


def test_any_hashable_thing_is_a_tid():
    store, tids = MemoryStore(), ["b", 3, ("x", 1), 1.5, "a"]
    store.insert([new_trial(tid) for tid in tids])

    claimed = [store.claim("driver")["tid"] for _ in tids]

    assert claimed == [1.5, 3, "a", "b", ("x", 1)]
    assert store.allocate_tids(1) == [4]


def test_claiming_does_not_get_slower_with_the_number_of_trials():
    def secs_for_a_thousand_claims(n_trials):
        store = MemoryStore()
        store.insert([new_trial(tid) for tid in range(n_trials)])
        started = time.perf_counter()
        for _ in range(1000):
            store.claim("driver")
        return time.perf_counter() - started

    few = min(secs_for_a_thousand_claims(1_000) for _ in range(3))
    many = min(secs_for_a_thousand_claims(20_000) for _ in range(3))

    # A claim that looked at every trial would take some twenty times as long.
    assert many < 5 * few


def test_a_reader_of_the_clock_gets_the_milliseconds_that_a_database_keeps():
    assert MemoryStore().now().microsecond % 1000 == 0
