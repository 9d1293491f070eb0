"""Evaluation: lazy, iterative, and honest about what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.exceptions import BadSearchSpace, InvalidOption, MissingValue
from hpo.pyll import (
    Apply,
    Evaluation,
    GarbageCollected,
    Literal,
    as_apply,
    hyperopt_param,
    rec_eval,
    scope,
)


def counting(calls):
    """A node that appends to `calls` each time it is evaluated."""
    return as_apply(lambda: calls.append(None) or len(calls))()


def test_only_the_chosen_branch_of_a_switch_is_evaluated():
    selector = Literal()
    node = scope.switch(selector, "a", "b", scope.Raise(RuntimeError, "taken"))

    assert rec_eval(node, memo={selector: 0}) == "a"
    assert rec_eval(node, memo={selector: 1}) == "b"
    with pytest.raises(RuntimeError, match="taken"):
        rec_eval(node, memo={selector: 2}, print_node_on_error=False)


def test_a_node_in_two_places_is_evaluated_once():
    calls = []
    shared = counting(calls)

    assert rec_eval(as_apply([shared, shared])) == (1, 1)


def test_inputs_are_evaluated_from_left_to_right():
    order = []
    node = as_apply([as_apply(order.append)(i) for i in range(5)])

    rec_eval(node)

    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("selector", [1, 1.0, True, np.int64(1), np.array([1]), np.bool_(True)])
def test_a_branch_number_may_come_in_many_types(selector):
    assert rec_eval(scope.switch(selector, "no", "yes")) == "yes"


@pytest.mark.parametrize("selector", [-1, 2, 0.5, "1", None, float("nan")])
def test_other_selectors_are_refused_with_the_possible_ones(selector):
    with pytest.raises(BadSearchSpace, match="0 to 1"):
        rec_eval(scope.switch(selector, "no", "yes"))


def test_a_memo_overrides_any_node_and_stays_as_it_was():
    inner = as_apply(2)
    node = inner * 10
    memo = {inner: 3}

    assert rec_eval(node, memo=memo) == 30
    assert rec_eval(node + 1, memo={node: 5}) == 6
    assert memo == {inner: 3}


def test_needing_a_value_that_is_missing_names_the_hyperparameter():
    node = scope.hyperopt_param("lr", scope.uniform(0, 1))

    with pytest.raises(
        MissingValue, match=r"hyperparameter 'lr' is needed.*GarbageCollected"
    ) as e:
        rec_eval(node + 1, memo={node: GarbageCollected})

    assert e.value.label == "lr"
    assert isinstance(e.value, AssertionError)  # what hyperopt's clients catch


def test_a_missing_value_in_a_branch_not_taken_does_not_matter():
    missing = as_apply(1)

    assert rec_eval(scope.switch(0, "a", missing + 1), memo={missing: GarbageCollected}) == "a"


def test_a_missing_selector_or_result_is_found_as_well():
    node = as_apply(1)
    for wanted in (node, scope.switch(node, 1, 2), scope.switch(0, node)):
        with pytest.raises(MissingValue):
            rec_eval(wanted, memo={node: GarbageCollected})


def test_an_expression_returned_by_an_operation_is_evaluated_too():
    node = as_apply(lambda x: scope.add(x, 1) * 2)(3)

    assert rec_eval(node) == 8


def test_expressions_can_return_expressions_deeper_than_the_stack():
    def countdown(n):
        return as_apply(countdown)(n - 1) + 1 if n else 0

    assert rec_eval(as_apply(countdown)(3000)) == 3000


def test_endless_recursion_is_noticed():
    def forever(n):
        return as_apply(forever)(n) + 1

    with pytest.raises(BadSearchSpace, match="did not end: more than 500 nodes"):
        rec_eval(as_apply(forever)(0), max_program_len=500)


def test_plain_objects_can_be_evaluated():
    assert rec_eval({"a": [1, 2]}) == {"a": (1, 2)}


def test_deepcopy_inputs_protects_arguments_from_operations():
    original = [3, 1, 2]
    node = scope.call_method(Literal(original), "sort")

    rec_eval(node, deepcopy_inputs=True)
    assert original == [3, 1, 2]
    rec_eval(node)
    assert original == [1, 2, 3]


def test_a_memo_in_the_wrong_place_is_noticed():
    with pytest.raises(InvalidOption, match="memo="):
        rec_eval(as_apply(1), {})


def test_the_failing_node_is_printed_on_demand(capsys):
    node = scope.truediv(1, 0)

    with pytest.raises(ZeroDivisionError):
        rec_eval(node)
    assert "'truediv' failed in\n0 truediv\n1   Literal{1}" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        node.eval()
    assert capsys.readouterr().err == ""


def test_print_trace_prints_each_call(capsys):
    rec_eval(as_apply(1) + 2, print_trace=True)

    assert capsys.readouterr().out == "rec_eval: add\n"


def test_an_evaluation_keeps_what_it_has_computed():
    calls = []
    node = counting(calls)
    evaluation = Evaluation()

    assert (evaluation.value(node), evaluation.value(node * 10)) == (1, 10)
    assert len(calls) == 1


def test_nested_choices_a_thousand_deep_are_evaluated():
    node = as_apply("bottom")
    for _ in range(1000):
        node = scope.switch(1, scope.Raise(RuntimeError), {"k": node})

    for _ in range(1000):
        node = node["k"]
    assert rec_eval(node) == "bottom"


def test_hyperopt_param_is_the_value_of_its_distribution():
    assert hyperopt_param("label", 3) == 3
    assert isinstance(scope.hyperopt_param("label", 3), Apply)
