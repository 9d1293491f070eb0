"""spec: operators on nodes, and functions of numbers."""

from __future__ import annotations

import math
import operator

import pytest
import scipy.stats

from hpo import spec
from hpo.space import Space
from tests.spec.nodes import constant, fixed_value, samples, value_of

# --- operators ------------------------------------------------------------------------


BINARY = [
    *((operator.add, 7, 2), (operator.sub, 7, 2), (operator.mul, 7, 2), (operator.truediv, 7, 2)),
    *((operator.floordiv, 7, 2), (operator.mod, 7, 2), (operator.pow, 7, 2)),
    *((operator.and_, 6, 3), (operator.or_, 6, 3), (operator.xor, 6, 3)),
    *((operator.lshift, 6, 3), (operator.rshift, 60, 3)),
    *((operator.lt, 2, 7), (operator.le, 7, 7), (operator.gt, 2, 7), (operator.ge, 2, 7)),
    *((operator.add, "foo", "bar"), (operator.mul, "foo", 3), (operator.add, (1,), (2, 3))),
]


@pytest.mark.parametrize(("operation", "left", "right"), BINARY)
def test_binary_operators_compute_what_python_computes_from_either_side(operation, left, right):
    truth = operation(left, right)

    for value in (
        fixed_value(operation(constant(left), right)),
        fixed_value(operation(left, constant(right))),
        fixed_value(operation(constant(left), constant(right))),
    ):
        assert (type(value), value) == (type(truth), truth)


@pytest.mark.parametrize("operation", [operator.neg, operator.pos, operator.abs, operator.invert])
def test_unary_operators_compute_what_python_computes(operation):
    assert value_of(operation(spec.choice([-5, 3])), 0) == operation(-5)


def test_texts_and_choices_of_texts_are_joined():
    node = "opt=" + spec.choice(["sgd", "adam"]) + "-" + spec.choice(["a", "b"])

    assert set(samples(node)) == {"opt=sgd-a", "opt=sgd-b", "opt=adam-a", "opt=adam-b"}


def test_a_node_has_items_and_can_be_called():
    pair = spec.frexp(spec.uniform(3, 5))
    function = spec.choice([min, max])

    assert (value_of(pair[0], 3.0), value_of(pair[1], 3.0)) == (0.75, 2)
    assert value_of(function(3, 4), 1) == 4


# --- functions of numbers -------------------------------------------------------------


FUNCTIONS = {
    **{name: (0.3,) for name in ("exp", "expm1", "frexp", "sqrt", "log", "log1p", "log10")},
    **{name: (0.3,) for name in ("sin", "cos", "tan", "asin", "acos", "atan")},
    **{name: (0.3,) for name in ("sinh", "cosh", "tanh", "asinh", "atanh")},
    **{"acosh": (1.3,), "ldexp": (0.3, 4), "atan2": (0.3, -0.2), "pow": (0.3, 2.5)},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_compute_what_the_math_module_computes(name):
    numbers = FUNCTIONS[name]
    truth = getattr(math, name)(*numbers)
    function = getattr(spec, name)

    assert fixed_value(function(*map(constant, numbers))) == truth
    assert function(*numbers) == truth, "of plain numbers it is a plain number"


@pytest.mark.parametrize("base", [2, 10, math.e])
def test_log_takes_a_base(base):
    node = spec.log(constant(8.0), constant(base))

    assert fixed_value(node) == spec.log(8.0, base) == math.log(8.0, base)


@pytest.mark.parametrize(("ours", "pythons"), [(spec.min, min), (spec.max, max)])
def test_min_and_max_mix_nodes_and_constants(ours, pythons):
    three, five = constant(3), constant(5)

    assert fixed_value(ours(4, three)) == pythons(4, 3)
    assert fixed_value(ours(three, five, 4)) == pythons(3, 5, 4)
    assert fixed_value(ours([three, 4, five])) == pythons(3, 4, 5)
    assert ours(2, 7) == ours([2, 7]) == pythons(2, 7)
    assert ours(three) is three
    assert ours(0.5) == 0.5


def test_functions_take_scipys_distributions():
    assert value_of(spec.exp(scipy.stats.norm(0, 1)), 0.0) == 1.0
    assert value_of(spec.max(scipy.stats.uniform(0, 9), 2), 1.5) == 2


def test_a_value_outside_of_a_functions_domain_is_the_objectives_error():
    with pytest.raises(ValueError):
        value_of(spec.sqrt(spec.uniform(-1, 1)), -0.5)


def test_what_an_option_computes_is_shown_as_its_value():
    space = Space({"a": spec.choice([{"lr": spec.exp(spec.uniform(0, 1))}, "none"])})

    assert space.params({"a": 0, "a-0-lr": 0.0})["a"] == {"lr": 1.0}
