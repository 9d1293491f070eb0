"""Show what a choice chose: its option as plain data.

Only hpo's own operations are evaluated for it. A part of an option that calls
the user's code is shown by the name of what it calls: looking at a trial must
not train a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpo.pyll import Apply, Evaluation, Literal, scope
from hpo.pyll.evaluate import as_branch
from hpo.space.readable import MAX_DEPTH, TooLarge, plain_value, short_name

__all__ = ["OptionReader"]


class OptionReader:
    """Reads options under the values of one configuration.

    Args:
        evaluation: knows the values of the active hyperparameters.
        harmless: the nodes that may be evaluated.
    """

    def __init__(self, evaluation: Evaluation, harmless: frozenset[Apply]) -> None:
        self._evaluation = evaluation
        self._harmless = harmless

    def read(self, options: Sequence[Apply], number: int) -> Any:
        """Option `number` as plain data; "option 2", say, if that is too large or fails."""
        try:
            return plain_value(self._outline(options[number], 0))
        except Exception:  # TooLarge; or one that the objective will meet, and report, too
            return f"option {number}"

    def _outline(self, node: Apply, depth: int) -> Any:
        """The node's value, with names in place of what must not be evaluated."""
        if isinstance(node, Literal):
            return node.obj
        if depth > MAX_DEPTH:
            raise TooLarge
        if node.name == "pos_args":
            return [self._outline(child, depth + 1) for child in node.pos_args]
        if node.name == "dict" and not node.pos_args:
            return {key: self._outline(child, depth + 1) for key, child in node.named_args}
        if node in self._harmless:
            return self._evaluation.value(node)
        if node.name == "switch" and node.pos_args[0] in self._harmless:
            branches = node.pos_args[1:]
            chosen = as_branch(self._evaluation.value(node.pos_args[0]), len(branches))
            return self._outline(branches[chosen], depth + 1)
        return self._name(node)

    def _name(self, node: Apply) -> str:
        """What the node calls, or, of hpo's own operations, what one of its inputs calls."""
        while scope.is_builtin(node.name):
            called = node.pos_args[0] if node.pos_args else None
            if node.name.startswith("call") and isinstance(called, Literal):
                return short_name(called.obj)
            foreign = [child for child in node.inputs() if child not in self._harmless]
            if not foreign:
                break
            node = foreign[0]
        return node.name
