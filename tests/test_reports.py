"""The learning curve that an objective reports: what it takes, and what it keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.exceptions import InvalidReport
from hpo.reports import MAX_REPORTS, LearningCurve


def curve_of(*steps, before=(), rungs=()):
    curve = LearningCurve(before, rungs)
    for step in steps:
        curve.append(step, 1.0 / (step + 1))
    return curve


def steps_of(curve):
    return [one["step"] for one in curve.reports]


def test_reports_are_kept_in_order():
    curve = LearningCurve()
    curve.append(1, 0.5)
    curve.append(np.int64(3), np.float32(0.25))

    assert curve.reports == [{"step": 1, "loss": 0.5}, {"step": 3, "loss": 0.25}]
    assert [type(one["step"]) for one in curve.reports] == [int, int]
    assert curve.last == {"step": 3, "loss": 0.25}


def test_an_array_of_one_number_is_a_loss():
    curve = LearningCurve()

    curve.append(0, np.array(0.5))

    assert curve.last == {"step": 0, "loss": 0.5}


@pytest.mark.parametrize("loss", [math.nan, np.float64("nan"), math.inf])
def test_a_loss_that_is_no_number_any_more_is_infinite(loss):
    curve = LearningCurve()

    curve.append(1, loss)

    assert curve.last == {"step": 1, "loss": math.inf}


@pytest.mark.parametrize("step", [2, 1, 0])
def test_a_step_that_does_not_rise_is_refused_and_the_curve_stays(step):
    curve = curve_of(1, 2)

    with pytest.raises(InvalidReport, match=f"step {step} was reported after step 2; steps must"):
        curve.append(step, 0.1)

    assert steps_of(curve) == [1, 2]


@pytest.mark.parametrize("step", [-1, 1.0, "1", None, True, 2**60])
def test_a_step_that_counts_nothing_is_refused(step):
    with pytest.raises(InvalidReport, match="the step must be a whole number of at least 0"):
        LearningCurve().append(step, 0.1)


@pytest.mark.parametrize("loss", [None, "0.1", [0.1], {"loss": 0.1}, np.zeros(2), 1j])
def test_a_loss_that_is_not_one_number_is_refused(loss):
    with pytest.raises(InvalidReport, match="the loss must be one real number"):
        LearningCurve().append(1, loss)


# --- a second attempt --------------------------------------------------------------------


def test_an_attempt_that_begins_anew_replaces_what_the_lost_one_reported():
    curve = curve_of(1, before=curve_of(1, 2, 3).reports)

    assert steps_of(curve) == [1]


def test_an_attempt_that_goes_on_from_a_checkpoint_keeps_what_came_before():
    curve = curve_of(3, 4, before=curve_of(1, 2, 3, 4, 5).reports)

    assert steps_of(curve) == [1, 2, 3, 4]


# --- thinning ----------------------------------------------------------------------------


@given(
    stride=st.integers(1, 7),
    n_reports=st.integers(1, 1500),
    rungs=st.lists(st.integers(1, 3000), max_size=8),
)
def test_a_long_curve_keeps_its_ends_and_its_rungs(stride, n_reports, rungs):
    reported = [stride * (place + 1) for place in range(n_reports)]

    steps = steps_of(curve_of(*reported, rungs=sorted(rungs)))

    assert len(steps) <= MAX_REPORTS
    assert steps == sorted(set(steps)) and set(steps) <= set(reported)
    assert steps[0] == reported[0] and steps[-1] == reported[-1]
    for rung in rungs:
        at_rung = next((step for step in reported if step >= rung), None)
        assert at_rung is None or at_rung in steps, f"rung {rung} was thinned out"


def test_a_curve_that_is_short_enough_is_not_thinned():
    assert steps_of(curve_of(*range(MAX_REPORTS))) == list(range(MAX_REPORTS))


def test_what_is_thinned_out_is_spread_evenly():
    gaps = np.diff(steps_of(curve_of(*range(1000))))

    # A fiftieth is 20 steps. Thinning again and again, each time by other parts, leaves
    # gaps of up to three of them.
    assert gaps.max() <= 60
