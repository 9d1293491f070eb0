"""An evaluator whose steps a subclass can take over.

`rec_eval` is the quick way to a value. `ExprEvaluator` is the open one: it visits
the nodes that a value needs, inputs first, and computes each in a method, so a
subclass decides what the nodes it cares about are worth.

    class Doubling(ExprEvaluator):
        def on_node(self, memo, node):
            return 2 * super().on_node(memo, node)
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from hpo.exceptions import BadSearchSpace, InvalidOption
from hpo.pyll.evaluate import DEFAULT_MAX_PROGRAM_LEN, GarbageCollected, as_branch, missing_value
from hpo.pyll.graph import Apply, Literal, as_apply
from hpo.pyll.symbols import scope

__all__ = ["ExprEvaluator"]

Memo = dict[Apply, Any]


class ExprEvaluator:
    """Evaluates one expression, through methods that subclasses may override.

    Args:
        expr: a node, or anything that `as_apply` takes.
        deepcopy_inputs: copy each operation's inputs first.
        max_program_len: how many nodes may wait for others at once before the
            expression is taken to be endless. Default 100,000.
        memo_gc: accepted for hyperopt's sake; values always live until the end.

    Raises:
        InvalidOption: `deepcopy_inputs` is not a bool.

    Source: hyperopt.algobase.ExprEvaluator.
    """

    def __init__(
        self,
        expr: Any,
        deepcopy_inputs: bool = False,
        max_program_len: int | None = None,
        memo_gc: bool = True,
    ) -> None:
        if not isinstance(deepcopy_inputs, int):
            raise InvalidOption(
                f"deepcopy_inputs must be a bool, not {deepcopy_inputs!r}; give values to "
                "eval_nodes(memo=…)"
            )
        self.expr = as_apply(expr)
        self.deepcopy_inputs = bool(deepcopy_inputs)
        self.max_program_len = max_program_len or DEFAULT_MAX_PROGRAM_LEN
        self.memo_gc = memo_gc

    def eval_nodes(self, memo: Mapping[Apply, Any] | None = None) -> Memo:
        """Evaluate the expression.

        Args:
            memo: {node: value} that is known already; it is not changed.

        Returns:
            {node: value} of all nodes that were needed; `result[self.expr]` is the
            expression's value.

        Raises:
            BadSearchSpace: the expression seems endless, or a switch has no such branch.
            MissingValue: a node is needed whose value in `memo` is `GarbageCollected`.
        """
        known: Memo = dict(memo or {})
        stack = [self.expr]
        while stack:
            if len(stack) > self.max_program_len:
                raise BadSearchSpace(
                    f"evaluation did not end: more than {self.max_program_len} nodes wait for "
                    "each other; look for an endless recursion, or raise max_program_len"
                )
            node = stack[-1]
            if node in known:
                stack.pop()
            else:
                stack.extend(self._step(known, node))
        return known

    def _step(self, memo: Memo, node: Apply) -> list[Apply]:
        """Compute the node if all it needs is known; else return what is missing."""
        if isinstance(node, Literal):
            self.set_in_memo(memo, node, node.obj)
            return []
        if node.name == "switch":
            return self.on_switch(memo, node) or []
        missing = [child for child in node.inputs() if child not in memo]
        if missing:
            return missing[::-1]  # the first is wanted first, so it goes on top of the stack
        result = self.on_node(memo, node)
        if isinstance(result, Apply):  # an operation may answer with an expression
            inner = copy.copy(self)
            inner.expr = result
            result = inner.eval_nodes(memo)[result]
        self.set_in_memo(memo, node, result)
        return []

    def on_node(self, memo: Memo, node: Apply) -> Any:
        """The value of a node, of which all inputs are in `memo`; or an expression of it."""
        args = [_present(memo, child) for child in node.pos_args]
        kwargs = {keyword: _present(memo, child) for keyword, child in node.named_args}
        if self.deepcopy_inputs:
            args, kwargs = copy.deepcopy((args, kwargs))
        return scope.implementation(node.name)(*args, **kwargs)

    def on_switch(self, memo: Memo, node: Apply) -> list[Apply] | None:
        """Pass the value of the chosen branch on; or return the nodes needed before that."""
        selector, *branches = node.pos_args
        if selector not in memo:
            return [selector]
        branch = branches[as_branch(_present(memo, selector), len(branches))]
        if branch not in memo:
            return [branch]
        self.set_in_memo(memo, node, _present(memo, branch))
        return None

    def set_in_memo(self, memo: Memo, k: Apply, v: Any) -> None:
        """Keep the value `v` of the node `k`."""
        memo[k] = v


def _present(memo: Memo, node: Apply) -> Any:
    value = memo[node]
    if value is GarbageCollected:
        raise missing_value(node)
    return value
