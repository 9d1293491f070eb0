"""spec: what varies, the labels it gets, and searches over it."""

from __future__ import annotations

import math
import pickle

import cloudpickle
import numpy as np
import pytest
import scipy.stats

from hpo import fmin, hp, rand, space_eval, spec, tpe
from hpo.exceptions import BadSearchSpace, InvalidLabel, InvalidOption
from hpo.space import Space
from tests.spec.nodes import labels, only_prior, samples, value_of

# --- what varies ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "truth"),
    [
        (spec.uniform(), scipy.stats.uniform(0, 1)),
        (spec.uniform(-4, -2), scipy.stats.uniform(-4, 2)),
        (spec.uniform(4, 0), scipy.stats.uniform(0, 4)),
        (spec.uniform(np.float64(1), np.int64(3)), scipy.stats.uniform(1, 2)),
        (spec.normal(), scipy.stats.norm(0, 1)),
        (spec.normal(-3, 0.5), scipy.stats.norm(-3, 0.5)),
    ],
    ids=["unit", "negative", "reversed", "numpy", "standard normal", "normal"],
)
def test_real_ones_are_floats_of_their_distribution(node, truth):
    u = np.linspace(0.01, 0.99, 15)

    np.testing.assert_allclose(only_prior(node).ppf(u), truth.ppf(u), rtol=1e-9, atol=1e-12)
    drawn = samples(node)
    assert {type(value) for value in drawn} == {float}
    assert scipy.stats.kstest(drawn, truth.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("node", "values"),
    [
        (spec.random_bit(), [0, 1]),
        (spec.random_bool(), [False, True]),
        (spec.random_int(3), [0, 1, 2]),
        (spec.choice(["a", None, 2.5]), ["a", None, 2.5]),
        (spec.choice(range(5, 8)), [5, 6, 7]),
        (spec.choice(np.array([0.1, 0.2])), [0.1, 0.2]),
        (spec.choice(("only",)), ["only"]),
    ],
)
def test_finite_ones_take_each_of_their_values_and_keep_its_type(node, values):
    drawn = samples(node)

    assert {(type(value), value) for value in drawn} == {(type(value), value) for value in values}
    counts = [drawn.count(value) for value in values]
    assert scipy.stats.chisquare(counts).pvalue > 1e-3 or len(values) == 1


def test_a_choice_holds_nodes_that_are_active_while_they_are_chosen():
    space = Space({"a": spec.choice([spec.uniform(0, 1), {"b": spec.random_int(5)}, "c"])})

    assert space.hyperparameters["a-0"].conditions == (frozenset({("a", 0)}),)
    assert space.hyperparameters["a-1-b"].conditions == (frozenset({("a", 1)}),)
    assert space.evaluate({"a": 0, "a-0": 0.25}) == {"a": 0.25}
    assert space.evaluate({"a": 1, "a-1-b": 4}) == {"a": {"b": 4}}
    assert space.evaluate({"a": 2}) == {"a": "c"}


def test_arguments_may_be_nodes():
    space = Space({"x": spec.uniform(0, spec.uniform(1, 2)), "n": spec.random_int(3)})

    assert space.hyperparameters["x"].parents == {"x-high"}
    values = space.sample(np.random.default_rng(0))
    assert 0 <= values["x"] <= values["x-high"]


def test_a_transform_is_applied_to_the_value():
    assert value_of(spec.uniform(0, 4, lambda x: x * x), 3.0) == 9.0
    assert value_of(spec.choice(["a", "b"], transform=str.upper), 1) == "B"


# --- labels ---------------------------------------------------------------------------


def test_the_path_is_the_label():
    space = spec.new(
        learning_rate=10 ** spec.uniform(-3, -1),
        conv={"filters": [spec.choice([20, 32]), spec.choice([64, 96])]},
        layers=[{"size": spec.random_int(9)}, {"size": 4 * (1 + spec.random_int(9))}],
    )

    assert labels(space) == {
        "learning_rate",
        "conv-filters-0",
        "conv-filters-1",
        "layers-0-size",
        "layers-1-size",
    }


def test_functions_of_one_node_keep_its_path_and_several_are_numbered():
    u = spec.uniform
    space = {
        "wrapped": spec.wrap(spec.exp(u()), round),
        "floor": spec.max(0.5, u()),
        "base": spec.log(u(1, 2), u(3, 4)),
        "sum": spec.merge([u(), 3, u()], lambda x, y, z: x + y + z),
    }

    assert labels(space) == {"wrapped", "floor", "base-0", "base-1", "sum-0", "sum-1"}


def test_labels_do_not_depend_on_what_else_is_in_the_space():
    part = {"b": [spec.uniform(), spec.normal()]}

    alone, together = labels({"a": part}), labels({"a": part, "0": spec.uniform(), "z": [part]})

    assert alone == {"a-b-0", "a-b-1"}
    assert together == alone | {"0"}


def test_a_name_is_the_label_wherever_the_node_stands():
    space = [
        spec.uniform(name="lr"),
        {"deep": spec.normal(name="a.b c")},
        spec.choice([1, 2], name="pick"),
        [spec.random_bit("bit"), spec.random_bool("bool"), spec.random_int(3, "int")],
    ]

    assert labels(space) == {"lr", "a.b c", "pick", "bit", "bool", "int"}


def test_a_node_used_twice_is_one_hyperparameter():
    node = spec.uniform()
    space = Space({"a": node, "b": [node, 1 - node]})

    assert space.evaluate({"a": 0.25}) == {"a": 0.25, "b": (0.25, 0.75)}


def test_a_space_of_one_node_calls_it_x():
    assert labels(spec.uniform()) == labels(spec.wrap(spec.random_bool(), int)) == {"x"}


def test_labels_and_paths_mix():
    space = {
        "a": hp.uniform("lr", 0, 1) * spec.uniform(),
        "b": hp.choice("c", [spec.normal(), spec.choice([hp.randint("d", 3), 0])]),
        "lr": spec.exp(scipy.stats.norm(0, 1)),
    }

    assert labels(space) == {"lr", "a", "c", "b-0", "b-1", "d", "lr-2"}


# --- the user's functions -------------------------------------------------------------


def test_merge_calls_the_function_with_the_values_in_either_order_of_arguments():
    nodes = [spec.uniform(0, 1), 10, [spec.uniform(0, 1)]]

    def combine(x, y, z):
        return x, y, z

    assert value_of(spec.merge(nodes, combine), 0.25, 0.5) == (0.25, 10, (0.5,))
    assert value_of(spec.merge(combine, nodes), 0.25, 0.5) == (0.25, 10, (0.5,))
    assert value_of(spec.merge(lambda x: -x, spec.uniform()), 0.5) == -0.5
    assert value_of(spec.merge(spec.uniform(), math.floor), 0.5) == 0


def test_wrap_without_a_function_is_the_node_itself():
    node = spec.uniform()

    assert spec.wrap(node, None) is node
    assert value_of(spec.wrap(node, lambda x: x + 1), 0.5) == 1.5


def test_a_users_function_does_not_run_when_a_trial_is_looked_at():
    def train(x):
        raise AssertionError("ran")

    space = Space({"a": spec.choice([spec.wrap(spec.uniform(), train), 0])})

    assert "train" in space.params({"a": 0, "a-0": 0.5})["a"]


# --- mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "complaint"),
    [
        (lambda: spec.uniform(1, 1), BadSearchSpace, r"spec.uniform\(1, 1\).*less than high"),
        (lambda: spec.uniform(0, "1"), BadSearchSpace, r"high is '1'.*finite number"),
        (lambda: spec.uniform(0, math.inf), BadSearchSpace, "high is inf"),
        (lambda: spec.uniform(math.nan), BadSearchSpace, "low is nan"),
        (lambda: spec.normal(0, -1), BadSearchSpace, r"spec.normal\(0, -1\).*sigma is -1"),
        (lambda: spec.normal(0, 0, name="n"), BadSearchSpace, "'n'.*sigma is 0"),
        (lambda: spec.random_int(0), BadSearchSpace, r"spec.random_int\(0\)"),
        (lambda: spec.random_int(2.5), BadSearchSpace, "2.5"),
        (lambda: spec.choice([]), BadSearchSpace, "at least one"),
        (lambda: spec.choice("abc"), BadSearchSpace, "'abc'; give a list"),
        (lambda: spec.choice({"a": 1}), BadSearchSpace, "give a list"),
        (lambda: spec.choice({1, 2}), BadSearchSpace, "give a list"),
        (lambda: spec.choice(5), BadSearchSpace, "5; give a list"),
        (lambda: spec.choice(spec.uniform()), BadSearchSpace, "give a list"),
        (lambda: spec.uniform(name=3), InvalidLabel, "must be text, not 3"),
        (lambda: spec.uniform(name=""), InvalidLabel, "'' is no usable name"),
        (lambda: spec.uniform(name="a\0b"), InvalidLabel, "no usable name"),
        (lambda: spec.random_bit("\ud800"), InvalidLabel, "no usable name"),
        (lambda: spec.uniform(0, 1, "name"), InvalidOption, "transform.*not 'name'"),
        (lambda: spec.merge([1], spec.uniform()), InvalidOption, "neither of which"),
        (lambda: spec.merge([1, 2], 3), InvalidOption, "neither of which"),
        (lambda: spec.wrap(spec.uniform(), 3), InvalidOption, "transform.*not 3"),
        (lambda: spec.new([1]), BadSearchSpace, r"\[1\]; give a dictionary"),
    ],
)
def test_a_mistake_is_found_while_the_space_is_built(build, error, complaint):
    with pytest.raises(error, match=complaint):
        build()


# --- in searches ----------------------------------------------------------------------


def search_space():
    return spec.new(
        x=spec.uniform(-5, 5),
        model=spec.choice([{"lr": 10 ** spec.uniform(-3, -1)}, {"depth": 1 + spec.random_int(5)}]),
        scale=hp.lognormal("scale", 0, 1),
    )


def loss(params):
    return params.x**2 + (0.0 if params.model.depth is None else params.model.depth)


@pytest.mark.parametrize("algorithm", [rand, tpe])
def test_a_search_finds_values_that_space_eval_turns_into_the_configuration(algorithm):
    space = search_space()

    best = fmin(
        loss, space, algo=algorithm.suggest, max_evals=40, rstate=0, show_progressbar=False
    )

    configuration = space_eval(space, best)
    assert abs(best["x"]) < 1
    assert configuration.x == best["x"]
    assert configuration.scale == best["scale"]
    assert configuration.model.lr == pytest.approx(10 ** best["model-0-lr"])


def test_a_sample_of_a_space_has_its_shape():
    drawn = samples(search_space(), 30)

    assert all(type(params) is spec.NamedDict for params in drawn)
    assert {tuple(params.model) for params in drawn} == {("lr",), ("depth",)}


def test_the_space_travels_to_workers_with_its_labels():
    space = Space(search_space())

    twin = pickle.loads(cloudpickle.dumps(space))

    assert twin.digest == space.digest
    values = space.sample(np.random.default_rng(3))
    assert twin.evaluate(values) == space.evaluate(values)
