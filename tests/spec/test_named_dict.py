"""spec.new and the NamedDict that it gives the objective."""

from __future__ import annotations

import copy
import pickle

import cloudpickle
import pytest

from hpo import spec
from hpo.space import Space
from tests.spec.nodes import labels, value_of


def test_new_gives_the_objective_attributes_all_the_way_down():
    space = spec.new(
        learning_rate=10 ** spec.uniform(-2, -3),
        conv=spec.new(filters=[spec.choice([20, 32]), (1, 2)], more={"deep": [{"er": 1}]}),
    )

    params = value_of(space, 1, -2.0)

    assert type(params) is type(params.conv) is type(params.conv.more) is spec.NamedDict
    assert params.learning_rate == params["learning_rate"] == params.get("learning_rate") == 0.01
    assert params.conv.filters == [32, [1, 2]]
    assert params.conv.more.deep[0].er == 1
    assert params == {
        "learning_rate": 0.01,
        "conv": {"filters": [32, [1, 2]], "more": {"deep": [{"er": 1}]}},
    }


def test_new_takes_a_dictionary_keywords_or_both():
    assert value_of(spec.new({"a": 1, 2: "b"}, c=spec.random_bit()), 1) == {"a": 1, 2: "b", "c": 1}
    assert value_of(spec.new()) == {}
    assert labels(spec.new({2: spec.random_bit()})) == {"2"}


def test_each_evaluation_gives_its_own_named_dict():
    space = Space(spec.new(a={"b": 1}))

    space.evaluate({}).a.b = 2

    assert space.evaluate({}).a.b == 1


def test_an_attribute_that_is_no_key_is_none():
    params = spec.NamedDict(a=1)

    assert params.b is None
    assert params.get("b", 5) == 5
    assert "b" not in params
    with pytest.raises(KeyError):
        params["b"]
    with pytest.raises(AttributeError):
        params.__wrapped__  # noqa: B018


def test_attributes_can_be_set_and_deleted():
    params = spec.NamedDict({"a": 1})

    params.b = {"c": 2}
    params.update({"d": {"e": 3}})
    del params.a

    assert params == {"b": {"c": 2}, "d": {"e": 3}}
    assert (params.b.c, params.d.e, params.setdefault("f", {}).g) == (2, 3, None)
    assert {"b", "d", "keys"} <= set(dir(params))
    with pytest.raises(AttributeError, match="no item 'a'"):
        del params.a


def test_a_key_that_is_a_methods_name_is_reached_as_an_item():
    params = spec.NamedDict(items=[1])

    assert params["items"] == [1]
    assert list(params.items()) == [("items", [1])]


def test_a_named_dict_shows_its_keys_in_order_and_short_numbers():
    params = spec.NamedDict(b=0.5, a={"d": [1, 1 / 3]}, c="x")

    assert repr(params) == "{'a': {'d': [1, 0.333333]}, 'b': 0.500000, 'c': 'x'}"


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        spec.NamedDict.copy,
        lambda params: pickle.loads(pickle.dumps(params)),
        lambda params: cloudpickle.loads(cloudpickle.dumps(params)),
    ],
)
def test_a_named_dict_survives_copying_and_pickling(copied):
    params = spec.NamedDict(a={"b": [1, {"c": 2}]})

    twin = copied(params)

    assert type(twin) is type(twin.a.b[1]) is spec.NamedDict
    assert twin == params
