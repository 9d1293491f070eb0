"""When a hyperparameter is active: the algebra of conditions.

A condition is in disjunctive normal form: a tuple of alternatives, each a set of
pairs (label, value) that must all hold.

    ALWAYS = (frozenset(),)                 one alternative that asks for nothing
    NEVER  = ()                             no alternative
    ({("model", 0)}, {("model", 2)})        in branches 0 and 2 of "model"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["ALWAYS", "NEVER", "Alternative", "Condition", "all_of", "any_of"]

Pair = tuple[str, int]
Alternative = frozenset[Pair]
Condition = tuple[Alternative, ...]

ALWAYS: Condition = (frozenset(),)
NEVER: Condition = ()

# Shared nodes under many choices can have exponentially many alternatives.
MAX_ALTERNATIVES = 256


def all_of(first: Condition, second: Condition) -> Condition:
    """Both hold. Alternatives that ask one label for two values cannot hold, and go."""
    return tuple(a | b for a in first for b in second if _is_possible(a | b))


def _is_possible(alternative: Alternative) -> bool:
    return len({label for label, _ in alternative}) == len(alternative)


def any_of(conditions: Iterable[Condition], values_of: Mapping[str, range]) -> Condition:
    """At least one holds, in as few alternatives as simple rules find.

    A choice all of whose branches are covered is dropped, and so is an
    alternative that asks for more than another one.

    Args:
        values_of: {label: all of its values}, for labels with finitely many.

    Returns:
        Alternatives in a canonical order. When more than `MAX_ALTERNATIVES` are
        left, a single one: the pairs that all of them share. Such a condition is
        necessary, but no longer sufficient.
    """
    alternatives = {alternative for condition in conditions for alternative in condition}
    while len(alternatives) > 1:
        merged = _merged(alternatives, values_of)
        if len(merged) > MAX_ALTERNATIVES:
            return (frozenset.intersection(*merged),)
        simplified = _absorbed(merged)
        if simplified == alternatives:
            break
        alternatives = simplified
    return tuple(sorted(alternatives, key=lambda a: (len(a), sorted(a))))


def _merged(alternatives: set[Alternative], values_of: Mapping[str, range]) -> set[Alternative]:
    """Replace those that differ in one label's value alone, and cover all its values."""
    same_but_for: dict[tuple[str, Alternative], set[Alternative]] = {}
    for alternative in alternatives:
        for label, value in alternative:
            rest = alternative - {(label, value)}
            same_but_for.setdefault((label, rest), set()).add(alternative)
    merged = set(alternatives)
    for (label, rest), group in same_but_for.items():
        if len(group) == len(values_of.get(label, ())):
            merged = (merged - group) | {rest}
    return merged


def _absorbed(alternatives: set[Alternative]) -> set[Alternative]:
    """Without those that ask for more than another one does."""
    kept: set[Alternative] = set()
    for alternative in sorted(alternatives, key=len):
        if not any(other <= alternative for other in kept):
            kept.add(alternative)
    return kept
