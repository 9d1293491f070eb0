"""The algebra of conditions, against truth tables."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hpo.space import ALWAYS, NEVER
from hpo.space.conditions import MAX_ALTERNATIVES, all_of, any_of

VALUES = {"a": range(2), "b": range(3), "c": range(2)}
pairs = st.one_of(
    [st.tuples(st.just(label), st.sampled_from(values)) for label, values in VALUES.items()]
)
alternatives = st.frozensets(pairs, max_size=3).filter(
    lambda found: len({label for label, _ in found}) == len(found)
)
conditions = st.lists(alternatives, max_size=6).map(tuple)


def holds(condition, assignment):
    return any(alternative <= assignment for alternative in condition)


def truth(condition):
    """The condition's value for every assignment of values."""
    everything = itertools.product(*[[(k, v) for v in values] for k, values in VALUES.items()])
    return [holds(condition, set(assignment)) for assignment in everything]


@given(st.lists(conditions, max_size=3))
def test_any_of_holds_where_one_holds(several):
    expected = [any(row) for row in zip(*map(truth, several), strict=True)]

    found = any_of(several, VALUES)

    assert truth(found) == (expected or truth(NEVER))


@given(conditions, conditions)
def test_all_of_holds_where_both_hold(first, second):
    expected = [a and b for a, b in zip(truth(first), truth(second), strict=True)]

    assert truth(all_of(first, second)) == expected


@given(conditions)
def test_simplifying_again_changes_nothing(condition):
    once = any_of([condition], VALUES)

    assert any_of([once], VALUES) == once


@given(st.permutations([({("a", 0)},), ({("b", 1)},), ({("c", 1), ("a", 1)},)]))
def test_the_order_of_alternatives_does_not_matter(shuffled):
    as_conditions = [tuple(map(frozenset, condition)) for condition in shuffled]

    assert any_of(as_conditions, VALUES) == (
        frozenset({("a", 0)}),
        frozenset({("b", 1)}),
        frozenset({("a", 1), ("c", 1)}),
    )


def test_covering_every_branch_asks_for_nothing():
    every_branch = [(frozenset({("b", value)}),) for value in VALUES["b"]]

    assert any_of(every_branch, VALUES) == ALWAYS
    assert any_of(every_branch[:2], VALUES) != ALWAYS


def test_asking_one_label_for_two_values_is_impossible():
    assert all_of((frozenset({("a", 0)}),), (frozenset({("a", 1)}),)) == NEVER


def test_too_many_alternatives_are_replaced_by_what_they_share():
    many = [(frozenset({("root", 1), ("x", value)}),) for value in range(MAX_ALTERNATIVES + 1)]

    assert any_of(many, {"x": range(10_000)}) == (frozenset({("root", 1)}),)
