"""When a worker stops by itself, and whether there is time for another trial.

A node is often lent for a while only: until the end of a batch job, say. A
trial that cannot end by then is better left to others, so a worker claims
nothing when the time left is shorter than most trials of the experiment took.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hpo_worker.quantities import secs_text

EXIT_OK = 0
EXIT_UNLOADABLE = 3
EXIT_FAILURES = 4

# So many of the latest trials say how long one takes, and so large a part of them must fit.
N_DURATIONS = 200
FITTING_SHARE = 0.9

# What the durations say is asked for anew after so long.
DURATIONS_AGE_SECS = 10.0

# Slurm sets it for the processes of a job, in seconds since 1970.
SLURM_END_VARIABLE = "SLURM_JOB_END_TIME"


@dataclass(frozen=True)
class Limits:
    """When a worker stops by itself; None: never for that reason.

    Attributes:
        max_jobs: after so many trials.
        max_jobs_in_db: once the database holds so many trials.
        max_consecutive_failures: after so many failed trials in a row.
        last_job_timeout_secs: it claims nothing later than this after its start.
        reserve_timeout_secs: when it found nothing to claim for so long.
        secs_left: the running trial is handed back so long after the start, and none is
            claimed that would rather not end by then.
    """

    max_jobs: int | None = None
    max_jobs_in_db: int | None = None
    max_consecutive_failures: int | None = None
    last_job_timeout_secs: float | None = None
    reserve_timeout_secs: float | None = None
    secs_left: float | None = None


@dataclass(frozen=True)
class Ending:
    """Why a worker stops, in words, and the exit code that says it to a script."""

    exit_code: int
    why: str


def secs_until_end(
    walltime_secs: float | None,
    until: datetime | None,
    *,
    now: datetime,
    environment: Mapping[str, str] = os.environ,
) -> float | None:
    """How long this machine is there: the earliest of what is known; None: for ever.

    Args:
        walltime_secs: from now on.
        until: with time zone.
        now: with time zone.
        environment: may hold the end of a Slurm job.
    """
    ends = [] if walltime_secs is None else [walltime_secs]
    if until is not None:
        ends.append((until - now).total_seconds())
    try:
        ends.append(float(environment[SLURM_END_VARIABLE]) - now.timestamp())
    except (KeyError, ValueError):
        pass
    return min((secs for secs in ends if not math.isnan(secs)), default=None)


def fitting_secs(durations: Sequence[float], share: float = FITTING_SHARE) -> float:
    """The least duration within which that share of the trials ended; 0 without any."""
    if not durations:
        return 0.0
    return sorted(durations)[math.ceil(share * len(durations)) - 1]


class TimeLeft:
    """Whether another trial would fit into the time that is left.

    Args:
        secs_left: from now on; None: there is no end.
        durations: returns how long the latest trials took.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        secs_left: float | None,
        durations: Callable[[], Sequence[float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._durations, self._clock = durations, clock
        self._ends_at = None if secs_left is None else clock() + secs_left
        self._needed_secs = 0.0
        self._asked_at = -math.inf

    def is_too_short(self) -> Ending | None:
        """Why no trial should be begun any more, or None. Raises ServerUnreachable."""
        if self._ends_at is None:
            return None
        now = self._clock()
        if now - self._asked_at >= DURATIONS_AGE_SECS:
            self._needed_secs, self._asked_at = fitting_secs(self._durations()), now
        left_secs = max(0.0, self._ends_at - now)
        if left_secs > self._needed_secs:
            return None
        return Ending(
            EXIT_OK,
            f"stopping: {secs_text(left_secs)} are left, and {FITTING_SHARE:.0%} of the trials "
            f"took up to {secs_text(self._needed_secs)}",
        )
