"""Nodes: how objects become them, what operators on them mean, how they are shown and edited."""

from __future__ import annotations

import io
import operator

import numpy as np
import pytest

from hpo.pyll import Apply, Literal, MissingArgument, as_apply, rec_eval, scope


def test_a_node_stays_itself():
    node = as_apply(4)

    assert as_apply(node) is node


@pytest.mark.parametrize("constant", [7, 2.5, "text", None, True, {1, 2}, object(), int])
def test_any_other_object_is_a_literal(constant):
    node = as_apply(constant)

    assert isinstance(node, Literal)
    assert node.name == "literal"
    assert node.obj is constant
    assert node.eval() is constant


def test_lists_and_tuples_become_pos_args_and_come_out_as_tuples():
    listed, tupled = as_apply([1, [2]]), as_apply((1, (2,)))

    assert (listed.name, tupled.name) == ("pos_args", "pos_args")
    assert rec_eval(listed) == rec_eval(tupled) == (1, (2,))
    assert len(tupled) == 2
    with pytest.raises(TypeError, match="not known before it is evaluated"):
        len(listed)


def test_a_dictionary_becomes_a_node_with_sorted_keywords():
    node = as_apply({"b": 10, "a": {"c": 11}})

    assert node.name == "dict"
    assert [keyword for keyword, _ in node.named_args] == ["a", "b"]
    assert len(node) == 2
    assert rec_eval(node) == {"a": {"c": 11}, "b": 10}


@pytest.mark.parametrize("keys", [(1, 2), (1, "a"), (None, 2.5, "b"), ((1, 2), (3, 4))])
def test_keys_that_are_not_text_survive(keys):
    dictionary = {key: position for position, key in enumerate(keys)}

    assert rec_eval(as_apply(dictionary)) == dictionary


def test_evaluating_twice_gives_two_dictionaries():
    node = as_apply({"a": {"b": 1}})

    first = rec_eval(node)
    first["a"]["b"] = 2

    assert rec_eval(node) == {"a": {"b": 1}}


BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.and_,
    operator.or_,
    operator.xor,
    operator.lshift,
    operator.rshift,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]


@pytest.mark.parametrize("operation", BINARY, ids=lambda f: f.__name__)
def test_an_operator_computes_what_python_does_from_either_side(operation):
    expected = operation(7, 3)

    assert operation(as_apply(7), as_apply(3)).eval() == expected
    assert operation(as_apply(7), 3).eval() == expected
    assert operation(7, as_apply(3)).eval() == expected


@pytest.mark.parametrize("operation", [operator.neg, operator.pos, operator.invert, abs])
def test_a_sign_computes_what_python_does(operation):
    assert operation(as_apply(-7)).eval() == operation(-7)


def test_operators_work_on_text_and_lists():
    assert ("foo" + as_apply("bar")).eval() == "foobar"
    assert (as_apply((1, 2)) * 2).eval() == (1, 2, 1, 2)


def test_an_array_meets_a_node_as_a_whole():
    product = np.array([1.0, 2.0]) * as_apply(3)

    assert isinstance(product, Apply)
    np.testing.assert_array_equal(product.eval(), [3.0, 6.0])
    assert isinstance(np.float64(2) * as_apply(3), Apply)


def test_nodes_are_compared_by_identity():
    one, other = as_apply(1), as_apply(1)

    assert one != other
    assert len({one, other, one}) == 2
    assert scope.eq(one, other).eval() is True


def test_items_are_nodes_and_known_lengths_unpack():
    first, second = as_apply((5, 6))

    assert (first.name, second.name) == ("getitem", "getitem")
    assert first.eval() + second.eval() == 11
    assert as_apply({"k": 3})["k"].eval() == 3
    assert as_apply([1, 2, 3])[-1].eval() == 3


def test_an_item_past_the_end_is_refused_when_the_length_is_known():
    with pytest.raises(IndexError, match="has 2 items, so there is no item 2"):
        as_apply((5, 6))[2]


def test_a_node_of_unknown_length_is_neither_iterable_nor_a_condition():
    node = scope.uniform(0, 1)

    with pytest.raises(TypeError, match=r"scope\.len"):
        list(node)
    with pytest.raises(TypeError, match=r"scope\.switch"):
        if node > 0.5:
            pass


def test_calling_a_node_calls_its_value():
    assert as_apply(divmod)(17, 5).eval() == (3, 2)
    assert as_apply(dict)(a=as_apply(1) + 1).eval() == {"a": 2}


def test_arguments_must_be_nodes():
    with pytest.raises(TypeError, match=r"argument 3 of 'add' is not a node.*as_apply"):
        Apply("add", [3], [])  # type: ignore[list-item]


def test_arg_binds_arguments_as_a_call_would():
    node = scope.uniform(0, high=1)

    assert node.arg["low"].obj == 0
    assert node.arg["high"].obj == 1
    assert node.arg["rng"] is MissingArgument


def test_arg_collects_variable_arguments():
    node = scope.call_method("text", "replace", "t", "T", count=1)

    assert [child.obj for child in node.arg["args"]] == ["t", "T"]
    assert node.arg["kwargs"]["count"].obj == 1


def test_arg_says_when_parameters_have_no_names():
    with pytest.raises(TypeError, match="use pos_args and named_args"):
        _ = scope.dict(a=1).arg


def test_set_kwarg_adds_or_replaces_an_argument_wherever_it_was_given():
    positional, named, absent = scope.uniform(0, 1), scope.uniform(low=0, high=1), scope.uniform(0)

    for node in (positional, named, absent):
        node.set_kwarg("high", 5)

    assert [node.arg["high"].obj for node in (positional, named, absent)] == [5, 5, 5]


def test_replace_input_reports_the_places():
    old, new = as_apply(1), as_apply(2)
    node = scope.call(old, a=old, b=3)

    assert node.replace_input(old, new) == [0, 1]
    assert node.inputs()[:2] == [new, new]


def test_clone_from_inputs_keeps_everything_but_the_inputs():
    node = as_apply({"a": 1, "b": 2})

    copy = node.clone_from_inputs([as_apply(3), as_apply(4)])

    assert copy.eval() == {"a": 3, "b": 4}
    assert (copy.o_len, copy.pure) == (2, True)
    with pytest.raises(TypeError, match="has 2 inputs, but 1 were given"):
        node.clone_from_inputs([as_apply(3)])


def test_a_graph_is_shown_as_a_numbered_tree():
    shared = as_apply(1)

    assert str(as_apply({"a": shared, "b": [shared, "x"]})) == "\n".join(
        [
            "0 dict",
            "1  a =",
            "2   Literal{1}",
            "3  b =",
            "4   pos_args",
            "5     Literal{1}  [line:2]",
            "6     Literal{x}",
        ]
    )


def test_pprint_continues_a_numbering():
    text, line = io.StringIO(), [7]

    as_apply((1,)).pprint(text, lineno=line, indent=1)

    assert text.getvalue() == "7  pos_args\n8    Literal{1}\n"
    assert line == [9]


def test_arrays_are_shown_by_shape_and_bounds():
    assert str(Literal(np.array([[1.0, 2.0]]))) == (
        "0 Literal{np.ndarray,shape=(1, 2),min=1.000000,max=2.000000}"
    )
    assert str(Literal(np.array(["a"]))) == "0 Literal{['a']}"


def test_an_object_whose_len_fails_is_still_a_literal():
    class Unfitted:
        def __len__(self):
            raise AttributeError("call fit first")

    assert as_apply(Unfitted()).o_len is None


def test_very_deep_graphs_are_shown_evaluated_and_walked():
    node = as_apply(0)
    for _ in range(5000):
        node = node + 1

    assert rec_eval(node) == 5000
    assert str(node).startswith("0 add\n1   add")
