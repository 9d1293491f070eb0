"""A rung: its order, against sorting everything anew."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from hpo.stopping import Curve
from hpo.stopping.rung import Rung

UNTIL = 9


def standing(line, loss, *, last_step=3, is_stopped=False):
    return Curve(
        tid=f"trial {line}",
        line=line,
        steps=(3,),
        losses=(loss,),
        last_step=last_step,
        is_stopped=is_stopped,
    )


# Few different losses and lines: ties, and lines that change, are part of it.
losses = st.sampled_from([0.1, 0.2, 0.3, 0.4, math.inf, math.nan])
moves = st.tuples(
    st.integers(0, 8), st.none() | st.tuples(losses, st.sampled_from([3, 9, 12]), st.booleans())
)


@given(st.lists(moves, max_size=40), losses, st.integers(0, 8), st.integers(0, 12))
def test_places_are_those_of_sorting_whatever_came_and_went(changes, loss, line, n):
    rung, there = Rung(UNTIL), {}
    for number, change in changes:
        if change is None:
            there.pop(number, None)
            rung.put(number, None)
        else:
            each, last_step, is_stopped = change
            there[number] = standing(number, each, last_step=last_step, is_stopped=is_stopped)
            rung.put(number, there[number])

    others = [one for one in there.values() if one.line != line]
    assert len(rung) == len(there)
    assert rung.n_others(line) == len(others)
    if not math.isnan(loss):
        assert rung.n_better(loss, line) == sum(one.losses[0] < loss for one in others)
    in_order = sorted(there.values(), key=lambda one: (as_number(one.losses[0]), one.line))
    assert rung.stopped_among_best(n) == [
        one.tid
        for one in in_order[:n]
        if one.is_stopped and one.last_step < UNTIL and as_number(one.losses[0]) < math.inf
    ]


def as_number(loss):
    return math.inf if math.isnan(loss) else loss
