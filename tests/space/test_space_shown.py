"""A space and its values as people, databases and other processes see them."""

from __future__ import annotations

import copy
import datetime
import math
import pickle
import subprocess
import sys
from typing import Any

import cloudpickle
import numpy as np
import pytest
import scipy.stats

from hpo import hp
from hpo.exceptions import InvalidConfiguration
from hpo.pyll import as_apply, scope
from hpo.space import Space
from tests.space.spaces import conditional_space, rng

# --- showing -------------------------------------------------------------------------------------


class Estimator:
    pass


def train():
    raise AssertionError("was run")


def params_of(option, **values):
    """What `params` shows for a choice that chose `option`."""
    return Space(hp.choice("c", [option, "other"])).params({"c": 0, **values})["c"]


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        ("rbf", "rbf"),
        (b"raw", b"raw"),
        (datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 2)),
        ([1, (2, "x")], [1, [2, "x"]]),
        ({"a": {"b": 1}}, {"a": {"b": 1}}),
        ({1: "one", None: 2}, {"1": "one", "None": 2}),
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        (2**70, str(2**70)),
        (math, "module"),
        (train, "train"),
        (Estimator, "Estimator"),
        (Estimator(), "Estimator"),
        (math.log, "log"),
        ({"model": Estimator, "c": 1}, {"model": "Estimator", "c": 1}),
        (list(range(300)), "option 0"),
        ("x" * 2000, "option 0"),
        (np.zeros(1000), "option 0"),
        (as_apply(train)(), "train"),
        ({"model": as_apply(Estimator)(), "c": 1}, {"model": "Estimator", "c": 1}),
        (scope.truediv(1, 0), "option 0"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_choice_shows_its_option_as_plain_data(option, shown):
    found = params_of(option)

    assert found == shown
    assert type(found) is type(shown)


def test_an_option_too_deep_is_shown_by_its_number():
    option: Any = "bottom"
    for _ in range(9):
        option = [option]

    assert params_of(option) == "option 0"
    assert params_of(option[0]) == [[[[[[[["bottom"]]]]]]]]


def test_hyperparameters_inside_an_option_appear_by_their_values():
    option = {"c": hp.loguniform("c2", 0, 1), "n": hp.randint("n", 5) * 2}

    assert params_of(option, c2=1.5, n=3) == {"c": 1.5, "n": 6}


def test_a_users_symbol_is_shown_by_name_and_not_run():
    @scope.define
    def build_for_test(**kwargs):
        raise AssertionError("was run")

    try:
        node = scope.build_for_test(c=hp.uniform("c2", 0, 1))
        assert params_of(node, c2=0.5) == "build_for_test"
        assert params_of({"m": node["part"], "k": 1}, c2=0.5) == {"m": "build_for_test", "k": 1}
        assert params_of(scope.switch(0, [node]), c2=0.5) == ["build_for_test"]
    finally:
        scope.undefine("build_for_test")


def test_params_has_every_active_label_as_pythons_numbers():
    space = Space(conditional_space())

    params = space.params({"model": np.int64(1), "depth": 1.0, "levels": 4.0, "seed": 7})

    assert params == {
        "model": {"kind": "forest", "depth": 4},
        "depth": 4,
        "levels": 4,
        "seed": 7,
    }
    assert type(params["levels"]) is int


def test_params_names_a_missing_value():
    with pytest.raises(InvalidConfiguration, match="lacks a value for 'c'"):
        Space(conditional_space()).params({"model": 0, "seed": 7})


# --- the same in every process -----------------------------------------------------------------


def test_the_description_is_plain_data_sorted_by_label():
    rows = Space(conditional_space()).describe()

    assert [row["label"] for row in rows] == ["c", "depth", "levels", "model", "seed"]
    assert rows[0] == {
        "label": "c",
        "kind": "loguniform",
        "arguments": {"low": -3.0, "high": 3.0},
        "integer": False,
        "options": None,
        "conditions": [{"model": 0}],
    }
    assert rows[3]["options"] == [
        "{c: float(c), kind: 'svm'}",
        "{depth: switch(depth, None, int(levels)), kind: 'forest'}",
    ]


def test_the_digest_is_the_same_in_another_process():
    script = (
        "from hpo import hp\n"
        "from hpo.space import Space\n"
        "print(Space({'a': hp.choice('a', [print, object(), hp.uniform('x', 0, 1)])}).digest)"
    )
    here = Space({"a": hp.choice("a", [print, object(), hp.uniform("x", 0, 1)])}).digest

    there = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.strip()

    assert there == here
    assert len(here) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"x": hp.uniform("x", 0, 2), "c": hp.choice("c", ["a", "b"])},
        {"x": hp.normal("x", 0, 1), "c": hp.choice("c", ["a", "b"])},
        {"x": hp.uniform("y", 0, 1), "c": hp.choice("c", ["a", "b"])},
        {"x": hp.uniform("x", 0, 1), "c": hp.choice("c", ["a", "b", "c"])},
        {"x": hp.uniform("x", 0, 1), "c": hp.choice("c", ["b", "a"])},
        {"c": hp.choice("c", ["a", hp.uniform("x", 0, 1)])},
        {"x": scope.int(hp.quniform("x", 0, 1, 1)), "c": hp.choice("c", ["a", "b"])},
    ],
)
def test_the_digest_tells_different_spaces_apart(changed):
    original = {"x": hp.uniform("x", 0, 1), "c": hp.choice("c", ["a", "b"])}

    assert Space(changed).digest != Space(original).digest


def test_the_digest_does_not_depend_on_how_numbers_are_written():
    assert Space(hp.uniform("x", 0, 1)).digest == Space(hp.uniform("x", 0.0, np.float64(1))).digest


@pytest.mark.parametrize(
    "copied",
    [
        lambda bundle: pickle.loads(pickle.dumps(bundle)),
        lambda bundle: pickle.loads(cloudpickle.dumps(bundle)),
        copy.deepcopy,
    ],
    ids=["pickle", "cloudpickle", "deepcopy"],
)
def test_a_space_travels_together_with_its_nodes(copied):
    space = Space(conditional_space() | {"lr": scipy.stats.loguniform(1e-5, 1)})

    twin, expr, node = copied((space, space.expr, space.hyperparameters["c"].node))

    assert twin.digest == space.digest
    assert twin.expr is expr
    assert twin.hyperparameters["c"].node is node
    assert twin.sample(rng(5)) == space.sample(rng(5))
