"""An evaluator whose steps a subclass takes over."""

from __future__ import annotations

import pytest

from hpo.exceptions import BadSearchSpace, InvalidOption, MissingValue
from hpo.pyll import GarbageCollected, Lambda, Literal, as_apply, rec_eval, scope
from hpo.pyll.base import p0
from hpo.pyll.evaluator import ExprEvaluator

HOLE = Literal("hole")
EXPRESSIONS = {
    "a constant": as_apply(3),
    "arithmetic": (as_apply(2) + 3) * 4,
    "a nest": as_apply({"a": [1, as_apply(2) ** 3], "b": (4, "five")}),
    "a switch": scope.switch(as_apply(1), "a", scope.len([1, 2]), scope.Raise(ValueError)),
    "an answer that is an expression": Lambda("f", [("a", p0)], p0 + 1)(41),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_it_agrees_with_rec_eval(name):
    expression = EXPRESSIONS[name]

    memo = ExprEvaluator(expression).eval_nodes()

    assert memo[expression] == rec_eval(expression)


def test_known_values_are_used_and_the_given_memo_stays_as_it_is():
    given = {HOLE: 5}

    memo = ExprEvaluator(HOLE + 1).eval_nodes(given)

    assert 6 in memo.values() and given == {HOLE: 5}


def test_a_subclass_computes_the_nodes_it_cares_about():
    class Doubling(ExprEvaluator):
        def on_node(self, memo, node):
            value = super().on_node(memo, node)
            return 2 * value if node.name == "add" else value

    expression = (as_apply(1) + 2) * 10

    assert Doubling(expression).eval_nodes()[expression] == 60


def test_a_subclass_decides_what_a_switch_does():
    class Last(ExprEvaluator):
        def on_switch(self, memo, node):
            if node.pos_args[-1] not in memo:
                return [node.pos_args[-1]]
            return self.set_in_memo(memo, node, memo[node.pos_args[-1]])

    expression = scope.switch(as_apply(0), "first", "last")

    assert Last(expression).eval_nodes()[expression] == "last"


def test_only_what_is_needed_is_evaluated():
    expression = scope.switch(HOLE, "a", scope.Raise(RuntimeError, "taken"))

    assert ExprEvaluator(expression).eval_nodes({HOLE: 0})[expression] == "a"
    with pytest.raises(RuntimeError, match="taken"):
        ExprEvaluator(expression).eval_nodes({HOLE: 1})


def test_inputs_are_copied_on_request():
    numbers = [3, 1, 2]
    changing = scope.call_method(as_apply(numbers.__class__)(Literal(numbers)), "sort")
    expression = as_apply((changing, scope.call_method(Literal(numbers), "append", 4)))

    ExprEvaluator(expression, deepcopy_inputs=True).eval_nodes()

    assert numbers == [3, 1, 2]


def test_a_graph_may_be_deeper_than_pythons_stack():
    expression = as_apply(0)
    for _ in range(5000):
        expression = expression + 1

    assert ExprEvaluator(expression).eval_nodes()[expression] == 5000


def test_what_cannot_be_evaluated_says_why():
    with pytest.raises(MissingValue, match="GarbageCollected"):
        ExprEvaluator(HOLE + 1).eval_nodes({HOLE: GarbageCollected})
    with pytest.raises(BadSearchSpace, match="branches 0 to 1"):
        ExprEvaluator(scope.switch(as_apply(7), 0, 1)).eval_nodes()
    with pytest.raises(BadSearchSpace, match="more than 2 nodes"):
        ExprEvaluator(((as_apply(1) + 2) + 3) + 4, max_program_len=2).eval_nodes()
    with pytest.raises(InvalidOption, match="deepcopy_inputs must be a bool"):
        ExprEvaluator(as_apply(1), {HOLE: 2})
