"""Compiled spaces: the hyperparameters they find, the values they draw and evaluate."""

from __future__ import annotations

import math
import pickle
from typing import Any

import cloudpickle
import numpy as np
import pytest
import scipy.stats

from hpo import hp
from hpo.exceptions import BadSearchSpace, DuplicateLabel, InvalidConfiguration
from hpo.pyll import as_apply, scope, stochastic
from hpo.space import ALWAYS, Integers, Space, Uniform
from tests.space.spaces import conditional_space, rng

# --- hyperparameters ---------------------------------------------------------------------


def test_labels_come_parents_first_in_the_order_of_the_graph():
    space = Space(conditional_space())

    assert list(space.hyperparameters) == ["model", "c", "depth", "levels", "seed"]
    assert len(space) == 5


def test_parents_come_first_even_when_a_child_stands_before_them():
    child = hp.uniform("child", 0, 1)

    space = Space([hp.choice("a", [child, 0]), hp.choice("b", [0, child])])

    assert list(space.hyperparameters) == ["a", "b", "child"]
    assert space.hyperparameters["child"].parents == {"a", "b"}


def test_each_hyperparameter_has_its_nodes_and_prior():
    node = hp.uniform("x", 0, 1)
    found = Space({"a": node}).hyperparameters["x"]

    assert found.node is node.pos_args[0]
    assert found.distribution is node.pos_args[0].arg["obj"]
    assert found.prior == Uniform(0, 1)
    assert (found.kind, found.options, found.conditions) == ("uniform", None, ALWAYS)
    assert found.is_always_active


def test_a_choice_has_options():
    found = Space(conditional_space()).hyperparameters["model"]

    assert [option.name for option in found.options] == ["dict", "dict"]
    assert found.prior == Integers(0, 2)


@pytest.mark.parametrize(
    "build",
    [
        lambda: scope.int(hp.quniform("n", 1, 9, 2)),
        lambda: scope.int(hp.qloguniform("n", 0, 3, 1)),
        lambda: scope.int(hp.qnormal("n", 5, 2, 1.0)),
        lambda: hp.uniformint("n", 1, 9),
        lambda: hp.randint("n", 9),
    ],
)
def test_what_is_only_used_as_int_is_stored_as_int(build):
    space = Space({"n": build()})

    values = space.sample(rng())

    assert type(values["n"]) is int
    assert space.evaluate(values) == {"n": values["n"]}


@pytest.mark.parametrize(
    "build",
    [
        lambda: hp.quniform("n", 1, 9, 1),
        lambda: scope.int(hp.quniform("n", 1, 9, 0.5)),
        lambda: scope.int(hp.uniform("n", 1, 9)),
        lambda: (lambda n: (n, scope.int(n)))(hp.quniform("n", 1, 9, 1)),
    ],
)
def test_what_is_used_as_float_is_stored_as_float(build):
    assert type(Space({"n": build()}).sample(rng())["n"]) is float


def test_two_hyperparameters_with_one_label_are_refused():
    with pytest.raises(DuplicateLabel, match="'x': a uniform and a normal"):
        Space([hp.uniform("x", 0, 1), hp.normal("x", 0, 1)])


def test_two_with_one_label_are_refused_even_in_different_branches():
    with pytest.raises(DuplicateLabel, match="'x'"):
        Space(hp.choice("c", [hp.uniform("x", 0, 1), hp.uniform("x", 0, 1)]))


def test_one_node_in_two_places_is_one_hyperparameter():
    x = hp.uniform("x", 0, 1)
    space = Space({"a": x, "b": [x, x * 2]})

    assert space.evaluate({"x": 0.5}) == {"a": 0.5, "b": (0.5, 1.0)}


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        (scope.hyperopt_param("x", scope.uniform(5, 0)), "'x'.*low is 5"),
        (scope.hyperopt_param("x", scope.uniform(5)), "'x'.*high"),
        (scope.hyperopt_param("x", scope.add(1, 2)), "'x' is labelled on 'add'.*one of uniform"),
        (scope.hyperopt_param(scope.add("a", "b"), scope.uniform(0, 1)), "has no label"),
        (scope.switch(hp.randint("n", 5), "a", "b"), "'n' has the values 0 to 4.*branches 0 to 1"),
    ],
)
def test_a_graph_that_cannot_mean_anything_is_refused(expr, complaint):
    with pytest.raises(BadSearchSpace, match=complaint):
        Space(expr)


def test_a_space_without_hyperparameters_compiles():
    space = Space({"a": 1})

    assert len(space) == 0
    assert space.sample(rng()) == {}
    assert space.evaluate({}) == {"a": 1}
    assert space.describe() == []


# --- sampling ----------------------------------------------------------------------------------


def test_a_sample_has_the_active_labels_and_only_those():
    space = Space(conditional_space())

    for seed in range(50):
        values = space.sample(rng(seed))
        assert tuple(values) == space.active_labels(values)


def test_a_seed_determines_the_sample():
    space = Space(conditional_space())

    assert space.sample(rng(3)) == space.sample(rng(3)) != space.sample(rng(4))


def test_a_label_draws_the_same_whatever_branch_another_takes():
    with_branch = Space([hp.choice("c", [hp.normal("n", 0, 1), 0]), hp.uniform("x", 0, 1)])

    drawn = [with_branch.sample(rng(seed)) for seed in range(30)]
    forced = [with_branch.sample(rng(seed)) for seed in range(30)]

    assert {value["c"] for value in drawn} == {0, 1}
    assert [value["x"] for value in drawn] == [value["x"] for value in forced]


def test_bounds_that_depend_on_other_hyperparameters_are_kept():
    low = hp.uniform("low", 0, 10)
    space = Space({"low": low, "x": hp.uniform("x", low, low + 1)})

    assert space.hyperparameters["x"].prior is None
    for seed in range(20):
        values = space.sample(rng(seed))
        assert values["low"] <= values["x"] <= values["low"] + 1


def test_bounds_that_make_no_sense_when_inactive_do_no_harm():
    n = hp.randint("n", 3)
    space = Space(scope.switch(n > 0, 0, hp.randint("x", n)))

    for seed in range(20):
        values = space.sample(rng(seed))
        assert ("x" in values) == (values["n"] > 0)
        assert values.get("x", -1) < values["n"]


def test_bounds_that_make_no_sense_when_active_name_the_label():
    space = Space(hp.uniform("x", 1, hp.uniform("high", 0, 0.5)))

    with pytest.raises(BadSearchSpace, match=r"'x'.*low is 1"):
        space.sample(rng())


def test_a_users_distribution_is_drawn_from():
    @stochastic.implicit_stochastic
    @scope.define
    def die_for_test(sides, rng=None, size=()):
        return int(rng.integers(1, sides + 1))

    try:
        space = Space({"die": scope.hyperopt_param("die", scope.die_for_test(6))})
        found = space.hyperparameters["die"]
        values = [space.sample(rng(seed))["die"] for seed in range(60)]
    finally:
        stochastic.implicit_stochastic_symbols.discard("die_for_test")
        scope.undefine("die_for_test")

    assert (found.prior, found.kind) == (None, "die_for_test")
    assert set(values) == {1, 2, 3, 4, 5, 6}


def test_draw_draws_one_label_given_its_parents():
    space = Space(hp.uniform("x", hp.uniform("low", 0, 1), 2))

    assert 0.5 <= space.draw("x", {"low": 0.5}, rng()) <= 2


# --- evaluating ----------------------------------------------------------------------------------


def test_the_configuration_has_the_shape_of_the_space():
    space = Space(conditional_space())

    assert space.evaluate({"model": 0, "c": 0.5, "seed": 7}) == {
        "model": {"kind": "svm", "c": 0.5},
        "seed": 7,
    }
    assert space.evaluate({"model": 1, "depth": 0, "seed": 7})["model"] == {
        "kind": "forest",
        "depth": None,
    }


def test_each_evaluation_gives_new_dictionaries():
    space = Space({"a": {"x": hp.uniform("x", 0, 1), "constant": {"k": 1}}})

    space.evaluate({"x": 0.5})["a"]["constant"].clear()

    assert space.evaluate({"x": 0.5})["a"]["constant"] == {"k": 1}


@pytest.mark.parametrize("index", [1, 1.0, np.int64(1), np.float64(1), np.array(1)])
def test_numbers_may_come_as_databases_and_numpy_hold_them(index):
    space = Space({"c": hp.choice("c", ["a", "b"]), "n": hp.randint("n", 5)})

    configuration = space.evaluate({"c": index, "n": np.float64(3)})

    assert configuration == {"c": "b", "n": 3}
    assert type(configuration["n"]) is int


def test_values_of_inactive_labels_are_not_used():
    space = Space(conditional_space())
    everything = {"model": 0, "c": 0.5, "depth": 1, "levels": 3, "seed": 7}

    assert space.evaluate(everything)["model"] == {"kind": "svm", "c": 0.5}


def test_a_missing_value_is_named():
    with pytest.raises(InvalidConfiguration, match=r"lacks a value for 'c'.*'model', 'seed'"):
        Space(conditional_space()).evaluate({"model": 0, "seed": 7})


def test_an_unknown_label_gets_the_closest_one():
    with pytest.raises(
        InvalidConfiguration, match=r"no hyperparameter 'sead'; did you mean 'seed'"
    ):
        Space(conditional_space()).evaluate({"model": 0, "c": 0.5, "sead": 7})


@pytest.mark.parametrize("value", [[0.5], (0.5,), np.array([0.5])])
def test_a_list_of_one_value_says_what_to_do(value):
    with pytest.raises(InvalidConfiguration, match=r"'x' has the value .*take its only element"):
        Space(hp.uniform("x", 0, 1)).evaluate({"x": value})


@pytest.mark.parametrize("value", [2.5, math.nan, math.inf])
def test_an_integer_must_be_whole(value):
    with pytest.raises(
        InvalidConfiguration, match=f"'n' has the value {value}, which is not whole"
    ):
        Space(hp.randint("n", 5)).evaluate({"n": value})


@pytest.mark.parametrize("value", ["0.5", None, {}])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(InvalidConfiguration, match="which is not a number"):
        Space(hp.uniform("x", 0, 1)).evaluate({"x": value})


def test_only_the_chosen_option_is_built():
    def boom():
        raise AssertionError("was run")

    space = Space(hp.choice("c", ["plain", as_apply(boom)()]))

    assert space.evaluate({"c": 0}) == "plain"


def test_scipys_distributions_are_leaves():
    space = Space({"lr": scipy.stats.loguniform(1e-5, 1), "n": scipy.stats.poisson(3)})

    values = space.sample(rng())

    assert space.evaluate(values) == values
    assert 1e-5 <= values["lr"] <= 1
    assert type(values["n"]) is int


# --- size --------------------------------------------------------------------------------------


def test_a_thousand_labels_and_more_work():
    space = Space({f"x{i}": hp.uniform(f"x{i}", 0, 1) for i in range(1000)})

    values = space.sample(rng())

    assert space.evaluate(values) == space.params(values) == values
    assert pickle.loads(pickle.dumps(space)).digest == space.digest


def test_choices_nested_a_hundred_deep_work():
    expr: Any = hp.uniform("leaf", 0, 1)
    for level in range(100):
        expr = {"next": hp.choice(f"c{level}", [0, expr]), "x": hp.normal(f"n{level}", 0, 1)}
    space = Space(expr)
    taken = {f"c{level}": 1 for level in range(100)} | {f"n{level}": 0.0 for level in range(100)}

    assert len(space.hyperparameters["leaf"].conditions[0]) == 100
    assert len(space.active_labels(taken)) == 201
    configuration = space.evaluate(taken | {"leaf": 0.25})
    for _ in range(100):
        configuration = configuration["next"]
    assert configuration == 0.25
    assert pickle.loads(cloudpickle.dumps(space)).digest == space.digest


def test_shared_branches_do_not_multiply():
    expr = hp.uniform("leaf", 0, 1)
    for level in range(60):
        expr = hp.choice(f"c{level}", [[expr], {"again": expr}, 0])

    leaf = Space(expr).hyperparameters["leaf"]

    # 2 ** 60 combinations of branches lead there.
    assert leaf.conditions == ALWAYS or len(leaf.conditions) <= 256
    assert len(leaf.parents) == 60
