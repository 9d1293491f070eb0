"""Learning curves that somebody wrote by hand: they stop neither a rule nor a worker."""

from __future__ import annotations

import pytest

from hpo.document import new_trial
from hpo.stopping import ASHA, History
from hpo.stopping.base import Curve
from hpo.store.mongo import MongoStore

SOUND = [{"step": 1, "loss": 0.5}]


@pytest.fixture
def store(mongo_url):
    store = MongoStore.connect(mongo_url)
    yield store
    store.close()


def insert(store, tid, **fields):
    store.insert([new_trial(tid, exp_key="digits")])
    store.jobs.update_one({"tid": tid}, {"$set": fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"reports": "none", "last_report": SOUND[0]},
        {"reports": {"step": 1}, "last_report": SOUND[0]},
        {"reports": [], "last_report": SOUND[0]},
        {"reports": [1, 2], "last_report": SOUND[0]},
        {"reports": [{"step": 1, "loss": "$secret"}], "last_report": SOUND[0]},
        {"reports": [{"step": "$ne", "loss": 0.5}], "last_report": {"step": 1, "loss": 0.5}},
        {"reports": SOUND, "last_report": {"step": 1, "loss": None}},
        {"reports": SOUND, "last_report": {"step": [1, 3]}},
        {"reports": SOUND, "last_report": SOUND[0], "line": "first"},
        {"reports": SOUND, "last_report": SOUND[0], "continues": {"$gt": 0}},
    ],
)
def test_a_curve_that_is_none_is_passed_by(store, fields):
    insert(store, 0, reports=SOUND, last_report=SOUND[0])
    insert(store, 1, **fields)
    history = History(lambda step: store.reported("digits", step=step))

    assert [curve.tid for curve in history.at(1)] == [0]
    assert [curve.tid for curve in history.curves()] == [0]
    assert ASHA(1, 9).promotions(history) == []
    own = Curve(tid=2, line=2, steps=(1,), losses=(0.9,), last_step=1)
    assert ASHA(1, 9).should_stop(own, history)


def test_a_document_without_a_number_is_passed_by(store):
    insert(store, 0, reports=SOUND, last_report=SOUND[0])
    store.jobs.update_one({"tid": 0}, {"$unset": {"number": 1}})

    assert list(store.reported("digits")) == []


def test_reading_at_a_rung_uses_the_index(store):
    for tid in range(20):
        reports = [{"step": tid, "loss": 0.5}]
        insert(store, tid, reports=reports, last_report=reports[0])
    from hpo.store.mongo import queries

    plan = store.jobs.find(queries.reported("digits", 15)).explain()

    assert plan["executionStats"]["totalDocsExamined"] == 5
