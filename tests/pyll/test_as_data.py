"""Expressions as plain data: what comes back, and what cannot travel."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hpo import hp
from hpo.exceptions import BadSearchSpace
from hpo.pyll import as_apply, scope
from hpo.pyll.as_data import graph_as_data, graph_from_data
from hpo.space import Space

SPACES = {
    "flat": {"x": hp.uniform("x", 0, 1), "n": hp.randint("n", 3, 9), "name": "svm", "none": None},
    "nested": [
        hp.choice(
            "model",
            [
                {"kind": "svm", "C": hp.loguniform("C", -5, 5)},
                {"kind": "tree", "depth": hp.quniform("depth", 1, 9, 1)},
                {"kind": "deep", "layers": [{"n": hp.randint(f"n{i}", 8)} for i in range(3)]},
            ],
        ),
        (1, 2.5, True),
    ],
    "arithmetic": 2 ** (1 - hp.normal("z", 0, 1)) + scope.exp(hp.uniform("u", 0, 1)),
    "weighted": hp.pchoice("p", [(0.25, "a"), (0.75, {"b": hp.lognormal("l", 0, 1)})]),
    "numpy": {"x": hp.uniform("x", np.float64(0), np.int64(2)), "c": np.float32(0.5)},
    "keys": {1: hp.uniform("x", 0, 1), (2, 3): "tuple"},
}


def through_json(expr):
    return graph_from_data(json.loads(json.dumps(graph_as_data(as_apply(expr)))))


@pytest.mark.parametrize("name", list(SPACES))
def test_a_space_comes_back_as_the_same_space(name):
    original = Space(as_apply(SPACES[name]))

    rebuilt = Space(through_json(SPACES[name]))

    assert rebuilt.digest == original.digest
    for seed in range(20):
        values = original.sample(np.random.default_rng(seed))
        assert rebuilt.sample(np.random.default_rng(seed)) == values
        assert rebuilt.evaluate(values) == original.evaluate(values)


def test_a_hyperparameter_used_twice_is_still_one():
    x = hp.uniform("x", 0, 1)

    rebuilt = Space(through_json([x, x + 1]))

    assert rebuilt.evaluate({"x": 0.5}) == (0.5, 1.5)


def test_a_space_of_a_thousand_levels_travels():
    expr = hp.uniform("x", 0, 1)
    for _ in range(1000):
        expr = expr + 1

    assert len(graph_as_data(through_json(expr))) == len(graph_as_data(expr))


@pytest.mark.parametrize(
    "constant", [b"bytes", object, np.zeros(2), 1j, {1, 2}, len], ids=lambda c: type(c).__name__
)
def test_a_constant_that_is_not_plain_is_named(constant):
    with pytest.raises(BadSearchSpace, match="neither a number nor text"):
        graph_as_data(as_apply({"c": constant}))


def test_an_operation_of_the_users_own_is_named():
    @scope.define
    def my_operation(x):
        return x

    try:
        with pytest.raises(BadSearchSpace, match="'my_operation' is not one of hpo's own"):
            graph_as_data(scope.my_operation(hp.uniform("x", 0, 1)))
    finally:
        scope.undefine("my_operation")


@pytest.mark.parametrize(
    "data",
    [
        [],
        [["no_such_operation", [], {}, None, True]],
        [["pos_args", [0], {}, None, True]],
        [["pos_args"]],
        [["literal"]],
        [7],
        [["pos_args", [0], 3, None, True]],
    ],
    ids=str,
)
def test_what_is_no_graph_is_refused(data):
    with pytest.raises(BadSearchSpace, match="no search space as data"):
        graph_from_data(data)
