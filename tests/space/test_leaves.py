"""Distributions without a label are labelled by their path."""

from __future__ import annotations

import numpy as np
import scipy.stats

from hpo import hp
from hpo.pyll import as_apply, dfs, scope
from hpo.space import Space
from hpo.space.leaves import label_leaves

U = scipy.stats.uniform(0, 1)


def labels(space):
    return list(Space(space).hyperparameters)


def test_keys_and_positions_make_the_label():
    space = {"optimizer": {"lr": U, "betas": [U, (U, 0.5)]}}

    assert sorted(labels(space)) == ["optimizer-betas-0", "optimizer-betas-1-0", "optimizer-lr"]


def test_a_lone_distribution_is_x():
    assert labels(U) == labels(scope.uniform(0, 1)) == ["x"]


def test_keys_that_are_not_text_are_written_out():
    assert labels({1: U, (2, 3): {"a": U}}) == ["1", "[2, 3]-a"]


def test_dictionaries_made_of_expressions_have_no_keys_to_speak_of():
    pairs = hp.choice("c", [(("a", U),), (("b", 1), ("c", 2))])

    assert labels({"made": scope.dict(pairs)}) == ["c", "made-0-0-1"]


def test_options_of_a_choice_are_numbered():
    space = {"model": hp.choice("kind", [{"c": U}, {"c": U}])}

    assert labels(space) == ["kind", "model-0-c", "model-1-c"]


def test_an_unlabelled_choice_has_the_path_of_its_place():
    space = {"model": scope.one_of("svm", {"depth": scope.randint(5)})}

    found = Space(space).hyperparameters

    assert list(found) == ["model", "model-1-depth"]
    assert found["model"].options is not None
    assert found["model-1-depth"].conditions == (frozenset({("model", 1)}),)


def test_arithmetic_keeps_the_path():
    space = {"lr": 10 ** scope.uniform(-3, -1), "width": scope.int(scope.exp(scope.normal(3, 1)))}

    assert labels(space) == ["lr", "width"]


def test_several_in_one_operation_are_numbered():
    assert labels({"sum": scope.uniform(0, 1) + scope.uniform(0, 1)}) == ["sum-0", "sum-1"]
    assert labels({"c": scope.call_method(dict, "get", a=U, b=U)}) == ["c-a", "c-b"]


def test_a_node_in_two_places_is_one_hyperparameter():
    node = scope.uniform(0, 1)

    assert labels({"first": node, "second": node}) == ["first"]


def test_a_distribution_of_a_distribution_is_labelled_too():
    space = Space({"x": scope.uniform(0, scope.uniform(1, 2))})

    assert list(space.hyperparameters) == ["x-high", "x"]
    assert space.hyperparameters["x"].parents == {"x-high"}


def test_they_mix_with_labelled_ones():
    space = Space({"a": hp.uniform("lr", 0, 1), "b": U, "c": hp.choice("c", [U, 0])})

    values = space.sample(np.random.default_rng(1))

    assert set(space.hyperparameters) == {"lr", "b", "c", "c-0"}
    assert space.evaluate(values)["b"] == values["b"]


def test_a_path_that_is_somebodys_label_gets_a_number():
    assert set(labels({"a": {"b": U}, "c": hp.uniform("a-b", 0, 1)})) == {"a-b-2", "a-b"}


def test_two_paths_that_read_alike_are_told_apart_by_a_number():
    assert labels({"a": {"b": U, "b-2": U}, "a-b": U}) == ["a-b", "a-b-2", "a-b-3"]


def test_a_number_is_never_the_path_of_another():
    selector = scope.randint(2) + scope.randint(2)

    assert labels({"s": scope.switch(selector, U, U, U)}) == [
        "s-0",
        "s-1",
        "s-0-2",
        "s-1-2",
        "s-2",
    ]


def test_keys_with_dots_and_dollar_signs_make_labels_that_a_query_can_name():
    assert labels({"$set": U, "model.fc1": U, "a\0b": U}) == ["_set", "a_b", "model-fc1"]


def test_keys_that_are_no_unicode_are_written_out():
    assert labels({"\ud800": U}) == ["\\ud800"]


def test_the_arguments_of_a_call_are_numbered_as_those_of_an_operation():
    assert labels({"a": scope.call(max, (scope.uniform(0, 1), 0.5))}) == ["a"]
    assert labels({"a": scope.call(max, (U, 0.5, U))}) == ["a-0", "a-1"]
    assert labels({"a": scope.call(dict, (), {"first": U, "second": U})}) == [
        "a-first",
        "a-second",
    ]


def test_what_has_a_generator_is_left_alone():
    space = Space({"noise": scope.uniform(0, 1, rng=scope.rng_from_seed(1))})

    assert len(space) == 0
    assert 0 < space.evaluate({})["noise"] < 1


def test_a_labelled_space_is_not_copied():
    space = as_apply({"a": hp.uniform("lr", 0, 1)})

    assert label_leaves(space) is space
    assert Space(space).expr is space


def test_only_what_holds_an_unlabelled_distribution_is_copied():
    labelled = as_apply({"lr": hp.uniform("lr", 0, 1)})
    space = as_apply({"a": labelled, "b": U})
    before = str(space)

    result = label_leaves(space)

    assert labelled in dfs(result)
    assert str(space) == before


def test_labelling_twice_changes_nothing():
    once = label_leaves(as_apply({"a": U}))

    assert label_leaves(once) is once
