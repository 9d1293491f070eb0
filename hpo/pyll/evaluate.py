"""Evaluate an expression graph.

Evaluation starts at the wanted node and asks only for what it needs: of a
"switch", the chosen branch alone. It keeps its own stack, so graphs may be
deeper than Python's. A memo gives nodes values beforehand, which is how a
configuration's hyperparameters enter the graph.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from hpo.exceptions import BadSearchSpace, InvalidOption, MissingValue
from hpo.pyll.graph import Apply, Literal, as_apply
from hpo.pyll.symbols import scope

__all__ = ["Evaluation", "GarbageCollected", "as_branch", "missing_value", "rec_eval"]

DEFAULT_MAX_PROGRAM_LEN = 100_000


class GarbageCollected:
    """As a node's value in a memo: it has none, and needing it is an error."""


def rec_eval(
    expr: Any,
    deepcopy_inputs: bool = False,
    memo: Mapping[Apply, Any] | None = None,
    max_program_len: int | None = None,
    memo_gc: bool = True,
    print_trace: bool = False,
    print_node_on_error: bool = True,
) -> Any:
    """Evaluate an expression.

    Args:
        expr: a node, or anything that `as_apply` takes.
        deepcopy_inputs: copy each operation's inputs first; a different result
            then means that an operation changes its inputs.
        memo: {node: value}; it is not changed.
        max_program_len: how many nodes may wait for others at once before the
            expression is taken to be endless. Default 100,000.
        memo_gc: accepted for hyperopt's sake; values always live until the end.
        print_trace: print each operation that is called.
        print_node_on_error: print the node whose operation raised, to stderr.

    Raises:
        InvalidOption: `deepcopy_inputs` is not a bool.
        MissingValue: a node is needed whose value in `memo` is `GarbageCollected`.
        BadSearchSpace: the expression seems endless, or a switch has no such branch.
        PyllImportError: an operation is not defined in this process.

    Source: hyperopt.pyll.base.rec_eval.
    """
    if not isinstance(deepcopy_inputs, int):
        raise InvalidOption(
            f"deepcopy_inputs must be a bool, not {deepcopy_inputs!r}; give values as memo=…"
        )
    evaluation = Evaluation(
        memo,
        deepcopy_inputs=bool(deepcopy_inputs),
        max_program_len=max_program_len or DEFAULT_MAX_PROGRAM_LEN,
        print_trace=print_trace,
        print_node_on_error=print_node_on_error,
    )
    return evaluation.value(as_apply(expr))


class Evaluation:
    """Values of nodes, computed when asked for and kept.

    Args:
        memo: values that are known already; see `rec_eval` for the other options.
    """

    def __init__(
        self,
        memo: Mapping[Apply, Any] | None = None,
        *,
        deepcopy_inputs: bool = False,
        max_program_len: int = DEFAULT_MAX_PROGRAM_LEN,
        print_trace: bool = False,
        print_node_on_error: bool = False,
    ) -> None:
        self._values: dict[Apply, Any] = dict(memo) if memo else {}
        # What operations returned instead of a value: expressions, still to be evaluated.
        self._results: dict[Apply, Apply] = {}
        self._deepcopy_inputs = deepcopy_inputs
        self._max_program_len = max_program_len
        self._print_trace = print_trace
        self._print_node_on_error = print_node_on_error

    def value(self, wanted: Apply) -> Any:
        """The value of a node.

        Raises:
            MissingValue: it needs a node whose value is `GarbageCollected`.
        """
        values = self._values
        stack = [wanted]
        while stack:
            node = stack[-1]
            if node in values:
                stack.pop()
                continue
            missing = self._step(node)
            if missing:
                stack.extend(missing)
                if len(stack) > self._max_program_len:
                    raise BadSearchSpace(
                        f"evaluation did not end: more than {self._max_program_len} nodes wait "
                        f"for each other, lastly {node.name!r}; look for an endless recursion, "
                        "or raise max_program_len"
                    )
        return self._present(wanted)

    def _step(self, node: Apply) -> list[Apply] | None:
        """Compute the node's value if all it needs is known; else return what is missing."""
        if isinstance(node, Literal):
            self._values[node] = node.obj
            return None
        if node in self._results:
            return self._pass_on(node, self._results[node])
        if node.name == "switch":
            return self._step_switch(node)
        missing = [child for child in node.inputs() if self._is_missing(child)]
        if missing:
            return missing[::-1]  # the first is wanted first, so it goes on top of the stack
        result = self._call(node)
        if isinstance(result, Apply):
            self._results[node] = result
            return [result]
        self._values[node] = result
        return None

    def _step_switch(self, node: Apply) -> list[Apply] | None:
        selector, *branches = node.pos_args
        if selector not in self._values:
            return [selector]
        return self._pass_on(node, branches[as_branch(self._present(selector), len(branches))])

    def _pass_on(self, node: Apply, source: Apply) -> list[Apply] | None:
        """Give the node the value of `source`."""
        if self._is_missing(source):
            return [source]
        self._values[node] = self._present(source)
        return None

    def _is_missing(self, node: Apply) -> bool:
        if node in self._values:
            return False
        if isinstance(node, Literal):
            # Most inputs are constants: taking their value here saves the detour by the stack.
            self._values[node] = node.obj
            return False
        return True

    def _present(self, node: Apply) -> Any:
        value = self._values[node]
        if value is GarbageCollected:
            raise missing_value(node)
        return value

    def _call(self, node: Apply) -> Any:
        args = [self._present(child) for child in node.pos_args]
        kwargs = {keyword: self._present(child) for keyword, child in node.named_args}
        if self._deepcopy_inputs:
            args, kwargs = copy.deepcopy((args, kwargs))
        if self._print_trace:
            print("rec_eval:", node.name)
        try:
            return scope.implementation(node.name)(*args, **kwargs)
        except Exception:
            if self._print_node_on_error:
                print(f"the operation {node.name!r} failed in\n{node}", file=sys.stderr)
            raise


def as_branch(selector: Any, n_branches: int) -> int:
    """The number of the branch that a switch takes.

    Args:
        selector: a whole number; a float is accepted because a JavaScript shell
            stores every number as one, an array if it has one element.

    Raises:
        BadSearchSpace: it is not a whole number, or there is no such branch.
    """
    value = selector.item() if isinstance(selector, (np.ndarray, np.generic)) else selector
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise BadSearchSpace(
            f"a switch needs the number of a branch, 0 to {n_branches - 1}, not {selector!r}"
        )
    if not 0 <= value < n_branches:
        raise BadSearchSpace(
            f"a switch has the branches 0 to {n_branches - 1}, but was asked for {value}"
        )
    return int(value)


def missing_value(node: Apply) -> MissingValue:
    """The error for a node that is needed but whose value is `GarbageCollected`."""
    label = None
    if node.name == "hyperopt_param" and isinstance(node.pos_args[0], Literal):
        label = str(node.pos_args[0].obj)
    what = f"the node {node.name!r}" if label is None else f"the hyperparameter {label!r}"
    # hyperopt's clients look for the word "GarbageCollected".
    return MissingValue(
        f"{what} is needed but has no value (GarbageCollected): the configuration lacks it, "
        "or takes a branch in which it is not active",
        label,
    )
