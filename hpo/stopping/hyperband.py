"""Hyperband: successive halving with several first rungs at once.

    symbol  meaning                                             here
    s       bracket; its first rung is min_steps · η^s          0 … s_max
    s_max   the last bracket, whose trials are never stopped    len(rungs)
    n_s     trials of bracket s in one round                    ⌈(s_max + 1) / (k + 1) · η^k⌉,
                                                                k = s_max - s

Bracket 0 stops most, and is right where early losses tell; the later ones stop
less. A line's bracket follows from its number alone, so that every worker knows
it: one round after the other, and within a round the bracket that lags furthest
behind its share comes next. Lines compete only within their bracket.

Source: Li et al., Hyperband, 2018, algorithm 1, whose s counts the other way.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from hpo.document import Tid
from hpo.exceptions import InvalidOptionValue
from hpo.stopping.asha import promotable, rungs_below, should_stop_at_rung
from hpo.stopping.base import Curve, History, Rule
from hpo.stopping.options import as_count, as_real


@dataclass(frozen=True)
class Hyperband(Rule):
    """ASHA in brackets, each of which gives its trials more steps before the first decision.

    Args:
        min_steps: the first rung of bracket 0.
        max_steps: steps of a trial that is never stopped.
        eta: reduction factor, above 1.
        promote: take up stopped trials that later belong to the best of their bracket.

    Raises:
        InvalidOption, InvalidOptionValue: an argument makes no sense.
    """

    min_steps: int = 1
    max_steps: int = 81
    eta: float = 3.0
    promote: bool = True

    def __post_init__(self) -> None:
        as_count("min_steps", self.min_steps)
        as_real("eta", self.eta, above=1.0)
        if as_count("max_steps", self.max_steps) < self.min_steps:
            raise InvalidOptionValue(
                f"max_steps={self.max_steps} is less than min_steps={self.min_steps}; give the "
                "steps of a whole training"
            )

    @property
    def rungs(self) -> tuple[int, ...]:
        """The rungs of bracket 0, among which are those of the others."""
        return rungs_below(self.min_steps, self.eta, self.max_steps)

    def bracket_of(self, line: int) -> int:
        """The bracket of the line with this number."""
        return _bracket_of(line, len(self.rungs), self.eta)

    def should_stop(self, curve: Curve, history: History) -> bool:
        """Whether the curve has just reached a rung and is not among its bracket's best there."""
        bracket = self.bracket_of(curve.line)
        rivals = self._in_bracket(bracket, history)
        return should_stop_at_rung(self.rungs[bracket:], self.eta, curve, rivals)

    def promotions(self, history: History) -> list[Tid]:
        """Trials stopped at a rung among whose best they are by now, in every bracket."""
        if not self.promote:
            return []
        found: list[Tid] = []
        for bracket in range(len(self.rungs)):
            rivals = self._in_bracket(bracket, history)
            found += promotable(self.rungs[bracket:], self.eta, rivals)
        return found

    def _in_bracket(self, bracket: int, history: History) -> History:
        return history.of_lines(_IsInBracket(bracket, len(self.rungs), self.eta))


@dataclass(frozen=True)
class _IsInBracket:
    """Whether a line belongs to a bracket, as a function that equals others like it."""

    bracket: int
    last_bracket: int
    eta: float

    def __call__(self, line: int) -> bool:
        return _bracket_of(line, self.last_bracket, self.eta) == self.bracket


def _bracket_of(line: int, last_bracket: int, eta: float) -> int:
    round_of_brackets = _one_round(last_bracket, eta)
    return round_of_brackets[line % len(round_of_brackets)]


@functools.lru_cache(maxsize=32)
def _one_round(last_bracket: int, eta: float) -> tuple[int, ...]:
    """The brackets of as many lines as one round has, in turn."""
    shares = [
        math.ceil((last_bracket + 1) / (k + 1) * eta**k - 1e-9)
        for k in range(last_bracket, -1, -1)
    ]
    given = [0] * len(shares)
    order = []
    for n in range(1, sum(shares) + 1):
        behind = [n * share / sum(shares) - had for share, had in zip(shares, given, strict=True)]
        bracket = behind.index(max(behind))
        given[bracket] += 1
        order.append(bracket)
    return tuple(order)
