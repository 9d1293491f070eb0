"""Defects: what is a trial, what is none, and how it is called."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from bson import Decimal128, Int64, ObjectId, Regex

from hpo.defects import MAX_COUNT, MAX_LABELS, MAX_SHOWN_CHARS, defect
from hpo.document import JOB_STATE_DONE, JOB_STATE_NEW, new_trial
from tests.store.old_trials import hyperopt_trial


def trial_with(**fields):
    return new_trial(7, exp_key="digits", values={"x": 1.0}) | {"number": 0} | fields


def without(trial, *names):
    return {name: value for name, value in trial.items() if name not in names}


def misc_with(**fields):
    return {"misc": trial_with()["misc"] | fields}


@pytest.mark.parametrize(
    "trial",
    [
        trial_with(),
        trial_with(tid="seven", misc={"tid": "seven", "vals": {}}),
        trial_with(tid=Int64(7)),
        trial_with(exp_key=None),
        trial_with(state=2.0, result={"status": "ok", "loss": Decimal128("1.5")}),
        trial_with(result={"status": "ok", "loss": "text"}, book_time=datetime(2030, 1, 1)),
        trial_with(**misc_with(vals={"x": ["$where"]}, from_tid=3)),
        trial_with(**{"$where": "1", "a.b": {"$gt": 0}}),
        trial_with(version="1", attempt={}),
        without(trial_with(), "number", "version", "params", "attempt"),
        trial_with(tid=np.int64(7), state=np.int64(0), lost_attempts=np.int32(1)),
        trial_with(**misc_with(vals={"x": np.array([1.0]), "y": (2.0,), "z": ()})),
        trial_with(**misc_with(workdir=Path("runs"))),
        hyperopt_trial(0),
        hyperopt_trial(0, JOB_STATE_DONE, {"status": "ok", "loss": 1.0}),
    ],
    ids=range(15),
)
def test_a_trial_has_no_defect(trial):
    assert defect(trial) is None


DEFECTS = [
    (trial_with(tid={"$gt": ""}), "tid is a document of 1"),
    (trial_with(tid=Regex(".*")), "tid is Regex"),
    (trial_with(tid=[1]), "tid is a list of 1"),
    (trial_with(tid=None), "tid is None"),
    (trial_with(tid=True), "tid is True"),
    (trial_with(tid=2**60), "tid is 1152921504606846976"),
    (without(trial_with(), "tid"), "no tid"),
    (trial_with(state=17), "state is 17 instead of one of"),
    (trial_with(state="new"), "state is 'new'"),
    (trial_with(state=[0]), "state is a list"),
    (trial_with(state=0.5), "state is 0.5"),
    (without(trial_with(), "state"), "no state"),
    (trial_with(exp_key=["digits"]), "exp_key is a list"),
    (trial_with(exp_key={"$ne": 1}), "exp_key is a document"),
    (trial_with(number=MAX_COUNT), "number is"),
    (trial_with(number=-1), "number is -1"),
    (trial_with(number=float("nan")), "number is nan"),
    (trial_with(number=float("inf")), "number is inf"),
    (trial_with(lost_attempts="abc"), "lost_attempts is 'abc'"),
    (trial_with(max_attempts=[]), "max_attempts is a list"),
    (trial_with(misc=None), "misc is None"),
    (trial_with(misc=[]), "misc is a list"),
    (without(trial_with(), "misc"), "no misc"),
    (trial_with(misc={"tid": 7}), r"no misc\.vals"),
    (trial_with(**misc_with(tid=8)), r"tid is 7 but misc\.tid is 8"),
    (trial_with(**misc_with(vals=[1])), r"misc\.vals is a list of 1"),
    (trial_with(**misc_with(vals={"x": 1.0})), r"misc\.vals\['x'\] is 1.0"),
    (trial_with(**misc_with(vals={"x": [1, 2]})), r"misc\.vals\['x'\] is a list of 2"),
    (
        trial_with(**misc_with(vals={str(i): [] for i in range(MAX_LABELS + 1)})),
        f"{MAX_LABELS + 1} labels",
    ),
    (trial_with(**misc_with(from_tid={"$ref": 7})), r"misc\.from_tid is a document"),
    (trial_with(**misc_with(workdir=5)), r"misc\.workdir is 5"),
    (trial_with(**misc_with(workdir="a\0b")), r"misc\.workdir is"),
    (trial_with(result="x" * 10**6), "result is 'xxx"),
    (trial_with(result={"status": "ok", "loss": [1]}), "result is a document"),
    (trial_with(result={"status": ["ok"], "loss": 1}), "result is a document"),
    (without(trial_with(state=JOB_STATE_DONE), "result"), "done and has no result"),
    (trial_with(objective={"$ne": None}), "objective is a document"),
    (trial_with(objective="a b"), "objective is 'a b' instead of a hash"),
    (trial_with(params=[("x", 1)]), "params is a list"),
    (trial_with(book_time="yesterday"), "book_time is 'yesterday'"),
    (trial_with(error="text"), "error is 'text'"),
]


@pytest.mark.parametrize(("trial", "why"), DEFECTS, ids=[why for _, why in DEFECTS])
def test_a_defect_is_named_with_its_value(trial, why):
    found = defect(trial)

    assert found is not None and re.search(why, found), found
    assert len(found) < 4 * MAX_SHOWN_CHARS


def test_what_was_not_fetched_is_not_missed():
    fetched = {"tid": 1, "number": 0, "state": JOB_STATE_DONE, "version": 3}

    assert defect(fetched, ["owner"]) is None
    assert defect(fetched, ["misc.vals"]) == "it has no misc"
    assert defect(fetched, ["result.loss"]) == "it is done and has no result"


def test_results_may_come_from_one_another_in_a_circle():
    first = trial_with(**misc_with(from_tid=8))
    second = trial_with(tid=8, misc={"tid": 8, "vals": {}, "from_tid": 7})

    assert defect(first) is None and defect(second) is None


def test_an_object_id_is_a_tid():
    tid = ObjectId()

    assert defect({"tid": tid, "state": JOB_STATE_NEW}, []) is None
