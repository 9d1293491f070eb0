"""Errors keep their data, survive pickling, and say what to do next."""

from __future__ import annotations

import inspect
import pickle

import pytest

from hpo import exceptions
from hpo.exceptions import (
    DuplicateTrial,
    HistoryChanged,
    HpoError,
    LeaseLost,
    Overtaken,
    SpaceChanged,
    UnreadableSession,
    UntrustedObjective,
    did_you_mean,
)

ALL = [
    member
    for _, member in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(member, Exception)
]
EXAMPLES = {
    HistoryChanged: HistoryChanged("7:00ff", "6:00aa"),
    LeaseLost: LeaseLost(7, "node1:10", 2),
    DuplicateTrial: DuplicateTrial([3]),
    Overtaken: Overtaken("digits", 5),
    SpaceChanged: SpaceChanged("digits", ["lr: removed"]),
    UntrustedObjective: UntrustedObjective("digits", "it is not signed"),
    UnreadableSession: UnreadableSession("curve-data.json", "it is damaged"),
}


@pytest.mark.parametrize("error_type", ALL, ids=lambda t: t.__name__)
def test_every_error_derives_from_one_base_and_survives_pickling(error_type):
    error = EXAMPLES.get(error_type) or error_type("text")

    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(copy, HpoError)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_the_tree_in_the_docstring_names_every_error():
    missing = [t.__name__ for t in ALL if t.__name__ not in (exceptions.__doc__ or "")]

    assert missing == []
    assert set(exceptions.__all__) == {t.__name__ for t in ALL} | {"did_you_mean"}


def test_a_misspelt_word_gets_the_closest_known_one():
    assert did_you_mean("gama", ["gamma", "seed"]) == "; did you mean 'gamma'?"
    assert did_you_mean("zzz", ["gamma", "seed"]) == ""
