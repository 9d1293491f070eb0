"""hyperopt's view of a space's conditions."""

from __future__ import annotations

import pytest

from hpo import hp, pyll_utils
from hpo.exceptions import DuplicateLabel
from hpo.pyll_utils import EQ, expr_to_config


def test_every_hyperparameter_has_the_paths_on_which_it_is_active():
    z = hp.randint("z", 10)
    inner = hp.choice("d", [3 + hp.loguniform("c", 0, 1), 1 + hp.loguniform("e", 0, 1)])
    space = (hp.choice("a", [hp.uniform("b", -1, 1) + z, {"c": 1, "d": inner}]), z)

    hps = {}
    expr_to_config(space, (True,), hps)

    assert {label: config["conditions"] for label, config in hps.items()} == {
        "a": {(True,)},
        "b": {(True, EQ("a", 0))},
        "c": {(True, EQ("a", 1), EQ("d", 0))},
        "d": {(True, EQ("a", 1))},
        "e": {(True, EQ("a", 1), EQ("d", 1))},
        "z": {(True,), (True, EQ("a", 0))},
    }
    assert hps["c"]["node"].name == "loguniform"
    assert hps["c"]["label"] == "c"


def test_what_every_option_uses_is_not_conditional():
    z = hp.uniform("z", 0, 10)
    hps = {}

    expr_to_config(hp.choice("a", [z + 1, z - 1]), None, hps)

    assert hps["a"]["conditions"] == hps["z"]["conditions"] == {()}


def test_what_some_options_use_is_conditional():
    z = hp.uniform("z", 0, 10)
    hps = {}

    expr_to_config(hp.choice("a", [z + 1, z - 1, 0]), (), hps)

    assert hps["z"]["conditions"] == {(EQ("a", 0),), (EQ("a", 1),)}


def test_spaces_can_be_collected_one_after_the_other():
    z, hps = hp.uniform("z", 0, 10), {}

    expr_to_config({"z": z}, (EQ("solver", 0),), hps)
    expr_to_config({"z": z}, (EQ("solver", 1),), hps)

    assert hps["z"]["conditions"] == {(EQ("solver", 0),), (EQ("solver", 1),)}
    with pytest.raises(DuplicateLabel, match="'z'"):
        expr_to_config(hp.uniform("z", 0, 1), (), hps)


def test_a_condition_reads_as_an_equation():
    assert str(EQ("a", 1)) == "Cond{a = 1}"


def test_hps_functions_have_their_old_names():
    assert pyll_utils.hp_uniform is hp.uniform
    assert pyll_utils.hp_choice is hp.choice


@pytest.mark.parametrize(
    "bounds", [((1, 1), {}), ((1,), {"high": 1}), ((), {"low": 2, "high": 1})]
)
def test_validate_distribution_range_checks_bounds_however_they_are_given(bounds):
    @pyll_utils.validate_distribution_range
    def make(label, low, high):
        return (label, low, high)

    args, kwargs = bounds
    with pytest.raises(ValueError, match="'x'"):
        make("x", *args, **kwargs)
    assert make("x", 0, high=1) == ("x", 0, 1)


def test_validate_label_wants_text():
    @pyll_utils.validate_label
    def make(label):
        return label

    assert make("x") == "x"
    with pytest.raises(TypeError, match="3"):
        make(3)
