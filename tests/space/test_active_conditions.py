"""When a hyperparameter is active: its conditions, and the labels that values activate."""

from __future__ import annotations

import pytest

from hpo import hp
from hpo.exceptions import InvalidConfiguration
from hpo.pyll import as_apply, scope
from hpo.space import ALWAYS, NEVER, Space
from tests.space.spaces import conditional_space

# --- conditions ----------------------------------------------------------------------------


def conditions(space, label):
    return Space(space).hyperparameters[label].conditions


def test_nested_choices_ask_for_all_choices_above():
    levels = Space(conditional_space()).hyperparameters["levels"]

    assert levels.conditions == (frozenset({("model", 1), ("depth", 1)}),)
    assert levels.parents == {"model", "depth"}
    assert not levels.is_always_active


def test_what_several_branches_share_has_an_alternative_for_each():
    x = hp.uniform("x", 0, 1)

    assert conditions(hp.choice("c", [x, 0, x]), "x") == (
        frozenset({("c", 0)}),
        frozenset({("c", 2)}),
    )


def test_what_all_branches_share_is_always_active():
    x = hp.uniform("x", 0, 1)

    assert conditions(hp.choice("c", [x, x + 1]), "x") == ALWAYS
    assert conditions(hp.choice("c", [x]), "x") == ALWAYS


def test_a_switch_on_a_randint_counts_from_its_values():
    x, y = hp.uniform("x", 0, 1), hp.uniform("y", 0, 1)
    space = scope.switch(hp.randint("n", 1, 3), x, 0, y)

    assert conditions(space, "x") == NEVER
    assert conditions(space, "y") == (frozenset({("n", 2)}),)


def test_a_computed_selector_is_tried_out():
    x, y = hp.uniform("x", 0, 1), hp.uniform("y", 0, 1)
    n, m = hp.randint("n", 4), hp.randint("m", 2)

    assert conditions(scope.switch(n // 2, x, y), "y") == (
        frozenset({("n", 2)}),
        frozenset({("n", 3)}),
    )
    assert conditions(scope.switch(n * m > 2, x, y), "y") == (frozenset({("m", 1), ("n", 3)}),)


def test_a_switch_by_name_follows_a_choice_of_names():
    x, y = hp.uniform("x", 0, 1), hp.uniform("y", 0, 1)
    space = scope.kwswitch(hp.choice("name", ["b", "a"]), a=x, b=y)

    assert conditions(space, "x") == (frozenset({("name", 1)}),)
    assert conditions(space, "y") == (frozenset({("name", 0)}),)


def test_a_choice_of_a_selector_asks_for_what_it_needs_only():
    selector = hp.choice("outer", [0, hp.randint("inner", 2)])
    space = scope.switch(selector, hp.uniform("x", 0, 1), hp.uniform("y", 0, 1))

    assert conditions(space, "y") == (frozenset({("outer", 1), ("inner", 1)}),)
    assert conditions(space, "x") == (
        frozenset({("outer", 0)}),
        frozenset({("inner", 0)}),
    ) or conditions(space, "x") == (
        frozenset({("outer", 0)}),
        frozenset({("outer", 1), ("inner", 0)}),
    )


def test_a_continuous_selector_leaves_the_condition_of_the_switch():
    inner = scope.switch(hp.uniform("u", 0, 1) > 0.5, 0, hp.uniform("x", 0, 1))
    found = Space(hp.choice("c", [0, inner])).hyperparameters["x"]

    assert found.conditions == (frozenset({("c", 1)}),)
    assert found.parents == {"c", "u"}


def test_users_code_in_a_selector_is_not_run_to_find_conditions():
    def never(n):
        raise AssertionError("was run")

    space = Space(scope.switch(as_apply(never)(hp.randint("n", 2)), 0, hp.uniform("x", 0, 1)))

    assert space.hyperparameters["x"].conditions == ALWAYS


# --- active labels ---------------------------------------------------------------------------


def test_active_labels_follow_the_choices():
    space = Space(conditional_space())

    assert space.active_labels({"model": 0}) == ("model", "c", "seed")
    assert space.active_labels({"model": 1, "depth": 0}) == ("model", "depth", "seed")
    assert space.active_labels({"model": 1, "depth": 1}) == ("model", "depth", "levels", "seed")


def test_branches_of_an_unknown_choice_are_not_active():
    space = Space(conditional_space())

    assert space.active_labels({}) == ("model", "seed")
    assert space.active_labels({"model": 1}) == ("model", "depth", "seed")


def test_active_labels_follow_computed_selectors():
    space = Space(scope.switch(hp.uniform("u", 0, 1) > 0.5, 0, hp.uniform("x", 0, 1)))

    assert space.active_labels({"u": 0.7}) == ("u", "x")
    assert space.active_labels({"u": 0.3}) == ("u",)
    assert space.active_labels({}) == ("u",)


def test_an_impossible_branch_names_the_hyperparameter():
    space = Space(conditional_space())

    with pytest.raises(InvalidConfiguration, match=r"'model' is a choice of 2 options.*not 2"):
        space.active_labels({"model": 2})
    with pytest.raises(InvalidConfiguration, match="'n' selects no branch"):
        Space(scope.switch(hp.randint("n", 2), 0, hp.uniform("x", 0, 1))).active_labels({"n": 7})
