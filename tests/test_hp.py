"""hp: the graphs it builds, the values it gives, the mistakes it catches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hpo import hp
from hpo.exceptions import BadSearchSpace, HpoError, InvalidLabel, InvalidOption
from hpo.pyll import Apply, Literal, as_apply, dfs, scope
from hpo.pyll.stochastic import sample
from hpo.space import Space

REAL = {
    "uniform": (-1, 2),
    "loguniform": (-1, 2),
    "normal": (0, 1),
    "lognormal": (0, 1),
    "quniform": (-1, 2, 0.5),
    "qloguniform": (-1, 2, 0.5),
    "qnormal": (0, 1, 0.5),
    "qlognormal": (0, 1, 0.5),
}
NOT_PAIRS: Any = ["a", "b"]
TRIPLES: Any = [(1, "a", "b")]
reals = pytest.mark.parametrize("kind", REAL)


# --- the graphs that hyperopt's clients walk through -----------------------------------


@reals
def test_a_real_hyperparameter_is_a_float_of_a_parameter_of_a_distribution(kind):
    node = getattr(hp, kind)("x", *REAL[kind])

    assert node.name == "float"
    parameter = node.pos_args[0]
    assert parameter.name == "hyperopt_param"
    assert parameter.pos_args[0].eval() == "x"
    distribution = parameter.pos_args[1]
    assert distribution.name == kind
    assert tuple(argument.eval() for argument in distribution.pos_args) == REAL[kind]


@pytest.mark.parametrize("bounds", [(5,), (2, 5)])
def test_randint_is_an_int_of_a_parameter(bounds):
    node = hp.randint("n", *bounds)

    assert (node.name, node.pos_args[0].name) == ("int", "hyperopt_param")
    distribution = node.pos_args[0].arg["obj"]
    assert distribution.name == "randint"
    assert tuple(argument.obj for argument in distribution.pos_args) == bounds


def test_uniformint_is_an_int_of_a_quniform_with_step_one():
    node = hp.uniformint("n", 1, 5)

    assert [node.name, node.pos_args[0].name] == ["int", "float"]
    distribution = node.pos_args[0].pos_args[0].arg["obj"]
    assert distribution.name == "quniform"
    assert [distribution.arg[name].obj for name in ("low", "high", "q")] == [1, 5, 1.0]


def test_a_choice_is_a_switch_on_a_parameter():
    node = hp.choice("c", ["a", {"b": 1}])

    assert node.name == "switch"
    selector, first, second = node.pos_args
    assert selector.name == "hyperopt_param"
    assert selector.arg["obj"].name == "randint"
    assert selector.arg["obj"].pos_args[0].eval() == 2
    assert (first.eval(), second.name) == ("a", "dict")


def test_a_pchoice_is_a_switch_on_a_categorical():
    node = hp.pchoice("c", [(0.25, "a"), (0.75, "b")])

    selector = node.pos_args[0]
    assert selector.arg["obj"].name == "categorical"
    assert selector.arg["obj"].arg["p"].eval() == (0.25, 0.75)
    assert [option.eval() for option in node.pos_args[1:]] == ["a", "b"]


# --- values --------------------------------------------------------------------------


@reals
def test_real_kinds_give_floats(kind):
    node = getattr(hp, kind)("x", *REAL[kind])

    assert type(sample(node, np.random.default_rng(1))) is float


@pytest.mark.parametrize(
    "node", [hp.randint("n", 5), hp.randint("n", 2, 5), hp.uniformint("n", 1, 5)]
)
def test_integer_kinds_give_ints(node):
    assert type(sample(node, np.random.default_rng(1))) is int


def test_uniformint_has_both_ends_at_half_the_probability():
    prior = Space(hp.uniformint("n", 1, 5)).hyperparameters["n"].prior

    assert np.diff([0, *prior.cdf([1, 2, 3, 4, 5])]) == pytest.approx([1 / 8, *[1 / 4] * 3, 1 / 8])


def test_uniformint_moves_bounds_that_are_not_whole_inwards():
    space = Space(hp.uniformint("n", 0.4, 3.6))

    drawn = {space.sample(np.random.default_rng(seed))["n"] for seed in range(50)}

    assert drawn == {1, 2, 3}


def test_the_options_of_an_array_are_pythons_numbers():
    options = hp.choice("c", np.arange(3)).pos_args[1:]

    assert [type(option.eval()) for option in options] == [int, int, int]


@pytest.mark.parametrize("options", [("a", "b"), range(2), iter(["a", "b"]), np.ones((2, 2))])
def test_options_may_come_in_any_order_keeping_collection(options):
    assert len(hp.choice("c", options).pos_args) == 3


def test_a_label_may_be_a_literal():
    assert list(Space(hp.uniform(Literal("x"), 0, 1)).hyperparameters) == ["x"]


def test_keywords_have_hyperopts_names():
    by_position = [
        hp.uniform("x", 0, 1),
        hp.quniform("x", 0, 1, 0.5),
        hp.normal("x", 0, 1),
        hp.randint("x", 2, 5),
        hp.uniformint("x", 1, 5),
        hp.choice("x", [1]),
        hp.pchoice("x", [(1, 1)]),
    ]
    by_name = [
        hp.uniform(label="x", low=0, high=1),
        hp.quniform(label="x", low=0, high=1, q=0.5),
        hp.normal(label="x", mu=0, sigma=1),
        hp.randint(label="x", low=2, high=5),
        hp.uniformint(label="x", low=1, high=5, q=1.0),
        hp.choice(label="x", options=[1]),
        hp.pchoice(label="x", p_options=[(1, 1)]),
    ]

    assert list(map(str, by_name)) == list(map(str, by_position))


# --- bounds that are expressions -------------------------------------------------------


def test_bounds_may_be_expressions_of_other_hyperparameters():
    low = hp.uniform("low", 0, 1)

    node = hp.uniform("x", low, low + 1)

    assert isinstance(node, Apply)
    assert len({parameter for parameter in dfs(node) if parameter.name == "hyperopt_param"}) == 2


def test_bounds_that_are_constant_expressions_are_checked():
    hp.loguniform("x", scope.log(1e-3), scope.log(1.0))

    with pytest.raises(BadSearchSpace, match="'x'"):
        hp.uniform("x", as_apply(3) + 1, 0)


# --- mistakes --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uniform", "loguniform"])
@pytest.mark.parametrize("bounds", [(1, 1), (5, 0), (0, -1), (0, 0)])
def test_low_must_be_less_than_high_even_when_one_of_them_is_zero(kind, bounds):
    with pytest.raises(ValueError) as error:
        getattr(hp, kind)("width", *bounds)

    assert str(error.value) == (
        f"hyperparameter 'width' ({kind}): low is {bounds[0]} and high is {bounds[1]}, "
        "but low must be less than high"
    )


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: hp.quniform("x", 3, 2, 1), "'x'.*low is 3 and high is 2"),
        (lambda: hp.quniform("x", 0, 1, 0), "'x'.*q is 0"),
        (lambda: hp.qloguniform("x", 0, 1, -2), "'x'.*q is -2"),
        (lambda: hp.qnormal("x", 0, 1, math.nan), "'x'.*q is nan"),
        (lambda: hp.uniform("x", -math.inf, 0), "'x'.*low is -inf"),
        (lambda: hp.uniform("x", [0], 1), r"'x'.*low is \(0,\)"),
        (lambda: hp.loguniform("x", 1, 1e4), "'x'.*bounds are logarithms"),
        (lambda: hp.normal("x", 0, 0), "'x'.*sigma is 0"),
        (lambda: hp.qlognormal("x", 0, -1, 1), "'x'.*sigma is -1"),
        (lambda: hp.lognormal("x", 1e4, 1), "'x'.*mu is 10000.0"),
        (lambda: hp.randint("x", 0), "'x'.*no integer from 0 to below 0"),
        (lambda: hp.randint("x", 5, 5), "'x'.*no integer from 5"),
        (lambda: hp.randint("x", 2.5), "'x'.*2.5.*whole number"),
        (lambda: hp.uniformint("x", 5, 5), "'x'.*low is 5 and high is 5"),
        (lambda: hp.uniformint("x", 0.2, 1.4), "'x'.*fewer than two integers from low = 0.2"),
        (lambda: hp.uniformint("x", 0, math.inf), "'x'.*high is inf"),
        (lambda: hp.uniformint("x", 1, 9, q=2), r"'x'.*not q = 2; .*scope.int\(hp.quniform"),
        (lambda: hp.choice("x", []), "'x' has no options"),
        (lambda: hp.choice("x", "abc"), "'x' are 'abc'; give a list"),
        (lambda: hp.choice("x", {"a": 1}), "'x' are .*give a list"),
        (lambda: hp.choice("x", {1, 2}), "'x' are .*give a list"),
        (lambda: hp.choice("x", 3), "'x' are 3; give a list"),
        (lambda: hp.pchoice("x", []), "'x' has no options"),
        (lambda: hp.pchoice("x", [(0.5, 1), (0.4, 2)]), "'x'.*add up to 0.9 instead of 1"),
        (lambda: hp.pchoice("x", [(1.5, 1), (-0.5, 2)]), "'x'.*-0.5 is negative"),
        (lambda: hp.pchoice("x", NOT_PAIRS), "'x'.* the item 'a'.*pairs"),
        (lambda: hp.pchoice("x", TRIPLES), "'x'.* the item .*pairs"),
    ],
)
def test_a_mistake_is_caught_at_once_and_names_label_and_value(build, complaint):
    with pytest.raises(ValueError, match=complaint) as error:
        build()

    assert isinstance(error.value, BadSearchSpace)


@reals
def test_an_argument_too_many_is_refused(kind):
    with pytest.raises(InvalidOption, match=rf"hp\.{kind}\('x'\) takes .* also given \[7\]"):
        getattr(hp, kind)("x", *REAL[kind], 7)


def test_a_forgotten_q_in_the_name_is_guessed():
    with pytest.raises(TypeError, match=r"did you mean hp\.quniform\?"):
        hp.uniform("x", 0, 10, 1)


@pytest.mark.parametrize("label", [3, None, b"x", ["x"], Literal(3), "", "a\0b", "\ud800"])
def test_a_label_must_be_text(label):
    with pytest.raises(InvalidLabel) as error:
        hp.uniform(label, 0, 1)

    assert isinstance(error.value, (TypeError, ValueError, HpoError))
    assert repr(getattr(label, "obj", label)) in str(error.value)


def test_every_function_checks_its_label():
    others: dict[str, Any] = {
        **REAL,
        "choice": ([1],),
        "pchoice": ([(1, 1)],),
        "randint": (3,),
        "uniformint": (1, 2),
    }
    for kind in hp.__all__:
        with pytest.raises(TypeError, match="label"):
            getattr(hp, kind)(5, *others[kind])
