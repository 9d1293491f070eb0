"""Whether there is time for another trial."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from hpo_worker.limits import DURATIONS_AGE_SECS, TimeLeft, fitting_secs, secs_until_end

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
IN_AN_HOUR = NOW + timedelta(hours=1)


class Clock:
    def __init__(self):
        self.secs = 1000.0

    def __call__(self):
        return self.secs


@pytest.mark.parametrize(
    ("walltime_secs", "until", "slurm", "secs"),
    [
        (None, None, None, None),
        (7200.0, None, None, 7200.0),
        (None, IN_AN_HOUR, None, 3600.0),
        (7200.0, IN_AN_HOUR, None, 3600.0),
        (None, None, str(int(NOW.timestamp()) + 60), 60.0),
        (7200.0, IN_AN_HOUR, str(int(NOW.timestamp()) + 60), 60.0),
        (7200.0, None, "garbage", 7200.0),
        (7200.0, None, "nan", 7200.0),
        (None, NOW - timedelta(minutes=1), None, -60.0),
    ],
)
def test_the_earliest_end_holds(walltime_secs, until, slurm, secs):
    environment = {} if slurm is None else {"SLURM_JOB_END_TIME": slurm}

    assert secs_until_end(walltime_secs, until, now=NOW, environment=environment) == secs


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 200])
def test_nine_of_ten_trials_fit_into_the_time_that_is_asked_for(n):
    durations = list(np.random.default_rng(n).exponential(size=n))

    needed = fitting_secs(durations)

    assert np.mean([secs <= needed for secs in durations]) >= 0.9
    shorter = [secs for secs in durations if secs < needed]
    assert len(shorter) / n < 0.9


def test_an_experiment_without_finished_trials_asks_for_no_time():
    assert fitting_secs([]) == 0.0


def test_a_worker_stops_claiming_when_most_trials_would_not_fit():
    clock = Clock()
    time_left = TimeLeft(100.0, lambda: [1.0, 30.0, 30.0], clock)

    assert time_left.is_too_short() is None
    clock.secs += 69.0
    assert time_left.is_too_short() is None
    clock.secs += 2.0
    ending = time_left.is_too_short()

    assert ending.exit_code == 0
    assert "29 s are left, and 90% of the trials took up to 30 s" in ending.why


def test_a_worker_without_an_end_asks_nobody():
    def fail():
        raise AssertionError("nobody needs the durations")

    assert TimeLeft(None, fail).is_too_short() is None


def test_durations_are_not_asked_for_before_every_trial():
    clock, asked = Clock(), []
    time_left = TimeLeft(1e6, lambda: asked.append(1) or [1.0], clock)

    for _ in range(100):
        time_left.is_too_short()
    assert len(asked) == 1
    clock.secs += DURATIONS_AGE_SECS
    time_left.is_too_short()
    assert len(asked) == 2
