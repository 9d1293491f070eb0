"""How far ahead the driver suggests."""

from __future__ import annotations

from datetime import datetime, timedelta

from hpo.demand import Demand

NOON = datetime(2024, 1, 1, 12)


def demand_after(trial_secs, turnaround_secs):
    demand = Demand()
    demand.learn([{"book_time": NOON, "finish_time": NOON + timedelta(seconds=trial_secs)}] * 30)
    for _ in range(60):
        demand.learn_turnaround(turnaround_secs)
    return demand


def test_before_any_worker_comes_one_suggestion_waits():
    assert Demand().queue_length(n_workers=0, n_idle=0) == 1


def test_each_idle_worker_gets_one_suggestion():
    assert Demand().queue_length(n_workers=5, n_idle=3) == 3


def test_nothing_is_suggested_ahead_of_long_trials():
    assert demand_after(trial_secs=60.0, turnaround_secs=0.02).queue_length(8, 0) == 0


def test_short_trials_get_what_they_use_up_in_two_turnarounds():
    # 8 workers finish 80 trials a second: 1.6 in one turnaround, 3.2 in two.
    assert demand_after(trial_secs=0.1, turnaround_secs=0.02).queue_length(8, 0) == 4


def test_the_queue_stays_bounded_however_short_the_trials_are():
    assert demand_after(trial_secs=0.0, turnaround_secs=1.0).queue_length(8, 0) == 64
