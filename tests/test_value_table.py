"""The table of values against a plain list of dictionaries."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpo.value_table import ValueTable

LABELS = ["a", "b", "c", "d"]
VALUES = st.dictionaries(st.sampled_from(LABELS), st.floats(-1e9, 1e9))


@given(st.lists(st.tuples(st.integers(0, 12), VALUES), max_size=30), st.integers(1, 9))
def test_it_holds_what_was_put_last(puts, capacity):
    table, expected = ValueTable(capacity), []
    for place, values in puts:
        # One more trial, or one of those that are there.
        trial = min(place, len(expected))
        if trial == len(expected):
            expected.append(values)
        expected[trial] = values
        if len(expected) > capacity:
            capacity = len(expected) + 2
            table.reserve(capacity)
        table.put(trial, values, len(expected))

    seen = [label for _, values in puts for label in values]
    assert table.labels == tuple(dict.fromkeys(seen))
    trials = np.arange(len(expected))[::-2]
    for own in (table, table.only(slice(len(expected))), table.only(np.arange(len(expected)))):
        for label in LABELS:
            column = [values.get(label, math.nan) for values in expected]
            np.testing.assert_array_equal(own.column(label, len(expected)), column)
        rows = [[expected[trial].get(label, math.nan) for trial in trials] for label in "cda"]
        np.testing.assert_array_equal(own.take("cda", trials), np.reshape(rows, (3, len(trials))))


def test_a_copy_of_some_trials_goes_its_own_way():
    table = ValueTable(2)
    table.put(0, {"a": 1.0}, 1)
    table.put(1, {"a": 2.0}, 2)

    twin = table.only(np.array([1]))
    twin.put(0, {"b": 3.0}, 1)

    assert (table.labels, twin.labels) == (("a",), ("a", "b"))
    assert table.column("a", 2).tolist() == [1.0, 2.0]
    assert twin.take(["a", "b"], np.array([0])).tolist()[1] == [3.0]
