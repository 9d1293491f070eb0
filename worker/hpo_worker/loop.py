"""The worker: claim a trial, have it evaluated, write how it ended, and again.

A busy worker talks to the store twice per trial, to claim and to finish; a
thread beside it renews the lease. An idle one sleeps until the store reports
work, and now and then requeues what vanished workers left behind.

Whatever ends a trial is told apart in its document:

    Done         finish
    Raised       fail, reason "exception"
    Died         fail, reason "signal" or "exit"
    Unloadable   release, reason "unloadable"; this worker takes no more of its kind
    Refused      fail, reason "refused"
    Cut          release, reason "preempted", "interrupted" or (the server was) "unreachable";
                 nothing if the lease was lost
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from hpo.document import DEFAULT_LEASE_SECS, JOB_STATES, Claim, Document, Tid
from hpo.exceptions import LeaseLost, ServerUnreachable, StoreError, UnstorableResult
from hpo.store.base import Store, Watch, WorkerPresence
from hpo_worker.desk import Desk
from hpo_worker.evaluator import Evaluator
from hpo_worker.heartbeat import Heartbeat
from hpo_worker.outcome import (
    Cut,
    Died,
    Done,
    Interruption,
    Outcome,
    Raised,
    Refused,
    Unloadable,
)
from hpo_worker.stopping import ALL_SIGNALS, StopSignals

logger = logging.getLogger(__name__)

T = TypeVar("T")

EXIT_OK = 0
EXIT_UNLOADABLE = 3
EXIT_FAILURES = 4

# A signal ends a wait for work, but not when it comes in the instant before: so no
# wait is longer than this.
MAX_WAIT_SECS = 2.0

# A worker that was busy for longer watches anew: news of work that others took
# meanwhile only cost time.
MAX_UNWATCHED_SECS = 1.0

# How long a server may be away before the worker gives up.
PATIENCE_SECS = 600.0
MAX_PAUSE_SECS = 5.0


@dataclass(frozen=True)
class Limits:
    """When a worker stops by itself; None: never for that reason.

    Attributes:
        max_jobs: after so many trials.
        max_jobs_in_db: once the database holds so many trials.
        max_consecutive_failures: after so many failed trials in a row.
        last_job_timeout_secs: it claims nothing later than this after its start.
        reserve_timeout_secs: when it found nothing to claim for so long.
    """

    max_jobs: int | None = None
    max_jobs_in_db: int | None = None
    max_consecutive_failures: int | None = None
    last_job_timeout_secs: float | None = None
    reserve_timeout_secs: float | None = None


@dataclass(frozen=True)
class Ending:
    """Why a worker stops, in words, and the exit code that says it to a script."""

    exit_code: int
    why: str


class Worker:
    """Takes trials from a store until there is a reason to stop.

    Args:
        store: where the trials live.
        evaluator: where they are evaluated.
        stop: what the operating system asks of this process.
        presence: who this worker is, and the experiment it serves.
        lease_secs: how long a claim stands without a heartbeat.
        poll_interval_secs: the longest time between two looks at the queue.
        limits: when to stop.
        workdir: trials run in a directory of their own under it; None: where the trial says.
        may_unpickle: evaluate objectives that are pickled, not only those that are named.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        store: Store,
        evaluator: Evaluator,
        stop: StopSignals,
        presence: WorkerPresence,
        *,
        lease_secs: float = DEFAULT_LEASE_SECS,
        poll_interval_secs: float = 5.0,
        limits: Limits | None = None,
        workdir: Path | None = None,
        may_unpickle: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._evaluator = evaluator
        self._stop = stop
        self._presence = presence
        self._lease_secs = lease_secs
        self._poll_interval_secs = poll_interval_secs
        self._limits = limits or Limits()
        self._workdir = workdir
        self._may_unpickle = may_unpickle
        self._clock = clock
        self._heartbeat = Heartbeat(store, presence, lease_secs, on_lost=stop.wake)
        self._started_at = self._idle_since = clock()
        self._requeue_at = clock()
        self._watch: Watch | None = None
        self._watching = contextlib.ExitStack()
        self._watched_at = clock()
        self._n_jobs = 0
        self._n_failures_in_a_row = 0
        self._unfit_for: dict[str, str] = {}
        self._found_nothing = False

    def run(self) -> Ending:
        """Work until something ends it.

        Raises:
            ServerUnreachable, AccessDenied: the server was away for too long, or refuses.
        """
        self._heartbeat.start()
        try:
            while (ending := self._ending()) is None:
                trial = self._claim()
                self._found_nothing = trial is None
                if trial is not None:
                    self._work_on(trial)
                elif not self._is_of_no_use():
                    self._wait_for_work()
        finally:
            self._watching.close()
            self._heartbeat.stop()
        # A notice that explains why nobody takes the trials outlives the worker for a while.
        if ending.exit_code != EXIT_UNLOADABLE:
            self._retire()
        return ending

    # --- when to stop ---

    def _ending(self) -> Ending | None:
        limits, now = self._limits, self._clock()
        if self._stop.requested:
            return Ending(EXIT_OK, f"stopping: {self._stop.reason}")
        if self._stop.after_trial:
            return Ending(EXIT_OK, "stopping, as asked by SIGUSR1")
        if self._is_of_no_use():
            return Ending(
                EXIT_UNLOADABLE,
                f"stopping: the objective of {self._presence.exp_key!r} cannot be loaded here",
            )
        if _reached(self._n_failures_in_a_row, limits.max_consecutive_failures):
            return Ending(
                EXIT_FAILURES,
                f"stopping after {self._n_failures_in_a_row} failed trials in a row "
                "(see --max-consecutive-failures)",
            )
        if _reached(self._n_jobs, limits.max_jobs):
            return Ending(EXIT_OK, f"stopping after {self._n_jobs} trials (--max-jobs)")
        if _reached(now - self._started_at, limits.last_job_timeout_secs):
            return Ending(EXIT_OK, "stopping: --last-job-timeout has passed")
        if _reached(now - self._idle_since, limits.reserve_timeout_secs):
            return Ending(EXIT_OK, "stopping: nothing to claim within --reserve-timeout")
        return self._database_is_full()

    def _is_of_no_use(self) -> bool:
        """The one experiment that it serves has only trials that it cannot load."""
        # It may have others, too: those of a driver that was mended and started again.
        is_bound = self._presence.exp_key is not None
        return is_bound and self._found_nothing and bool(self._unfit_for)

    def _database_is_full(self) -> Ending | None:
        if self._limits.max_jobs_in_db is None:
            return None
        n_trials = self._insist(lambda: self._store.count(None, JOB_STATES, all_experiments=True))
        if n_trials < self._limits.max_jobs_in_db:
            return None
        return Ending(EXIT_OK, f"stopping: {n_trials} trials in the database (--max-jobs-in-db)")

    # --- looking for work ---

    def _claim(self) -> Document | None:
        try:
            trial = self._insist(
                lambda: self._store.claim(
                    self._presence.owner,
                    host=self._presence.host,
                    exp_key=self._presence.exp_key,
                    lease_secs=self._lease_secs,
                    except_objectives=tuple(self._unfit_for),
                )
            )
        except ServerUnreachable:
            if self._stop.requested:
                return None
            raise
        return trial

    def _wait_for_work(self) -> None:
        """Return when it is time to look again."""
        self._heartbeat.idle()
        if self._requeue_expired():
            return
        # Jitter keeps workers that were started together from polling together.
        look_at = self._clock() + self._poll_interval_secs * random.uniform(0.5, 1.0)
        watch = self._open_watch()
        try:
            while (secs_left := self._next_deadline(look_at) - self._clock()) > 0:
                with self._stop.interruptible(ALL_SIGNALS):
                    if watch.wait(min(secs_left, MAX_WAIT_SECS)):
                        break
        except Interruption:
            pass  # the loop looks at the reason
        except ServerUnreachable:
            pass  # the next claim has the patience
        self._watched_at = self._clock()

    def _open_watch(self) -> Watch:
        if self._watch is None or self._clock() - self._watched_at > MAX_UNWATCHED_SECS:
            self._watching.close()
            self._watch = self._watching.enter_context(
                self._store.watch(self._presence.exp_key, "work")
            )
        return self._watch

    def _next_deadline(self, look_at: float) -> float:
        deadlines = [look_at, self._requeue_at]
        if self._limits.last_job_timeout_secs is not None:
            deadlines.append(self._started_at + self._limits.last_job_timeout_secs)
        if self._limits.reserve_timeout_secs is not None:
            deadlines.append(self._idle_since + self._limits.reserve_timeout_secs)
        return min(deadlines)

    def _requeue_expired(self) -> bool:
        """When it is due, requeue what vanished workers left; True if there is work now."""
        now = self._clock()
        if now < self._requeue_at:
            return False
        self._requeue_at = now + self._lease_secs / 3 * random.uniform(0.5, 1.5)
        tids = self._insist(lambda: self._store.requeue_expired(self._presence.exp_key))
        if tids:
            logger.warning("requeued trials %s: their workers vanished", tids)
        return bool(tids)

    # --- one trial ---

    def _work_on(self, trial: Document) -> None:
        held = Claim.of(trial)
        logger.info("claimed trial %s (%s)", trial["tid"], trial["exp_key"])
        self._heartbeat.hold(held)
        began_at = self._clock()
        try:
            outcome = self._evaluate(trial, held)
            self._record(trial, held, outcome, self._clock() - began_at)
        except LeaseLost as error:
            logger.warning("%s", error)
        finally:
            self._heartbeat.drop()
            self._idle_since = self._clock()

    def _evaluate(self, trial: Document, held: Claim) -> Outcome:
        """Have the trial evaluated. Raises LeaseLost when that became pointless."""
        if self._stop.requested:
            return Cut()
        desk = Desk(self._store, trial, self._insist, may_unpickle=self._may_unpickle)
        try:
            outcome = self._evaluator.evaluate(
                {key: value for key, value in trial.items() if key not in _NOT_SENT},
                self._workdir_of(trial),
                ask=desk.answer,
                is_cut=lambda: self._stop.requested or self._heartbeat.has_lost(held),
            )
        except BaseException:
            # A defect of the worker's own: the trial is innocent.
            with contextlib.suppress(StoreError):
                self._store.release(held, "interrupted")
            raise
        if isinstance(outcome, Cut) and (desk.has_lost_lease or self._heartbeat.has_lost(held)):
            raise LeaseLost(held.tid, held.owner, held.attempt)
        return outcome

    def _record(self, trial: Document, held: Claim, outcome: Outcome, secs: float) -> None:
        """Write how the trial ended. Raises LeaseLost."""
        match outcome:
            case Done():
                self._finish(held, outcome, secs)
            case Raised(error, traceback):
                self._insist(lambda: self._store.fail(held, error, traceback))
                self._count_failure(held, error)
            case Died():
                self._insist(
                    lambda: self._store.fail(
                        held, outcome.error, reason=outcome.reason, details=outcome.details
                    )
                )
                self._count_failure(held, outcome.error)
            case Unloadable(message):
                self._insist(lambda: self._store.release(held, "unloadable"))
                self._decline(trial, message)
            case Refused(message):
                # Not this node's fault: it does not count towards --max-consecutive-failures.
                error = ("UntrustedObjective", message)
                self._insist(lambda: self._store.fail(held, error, reason="refused"))
                logger.error("trial %s: %s", held.tid, message)
            case Cut():
                reason = self._stop.reason or "unreachable"
                self._insist(lambda: self._store.release(held, reason))
                logger.info("handed trial %s back: %s", held.tid, reason)

    def _finish(self, held: Claim, done: Done, secs: float) -> None:
        try:
            self._insist(lambda: self._store.finish(held, done.result))
        except UnstorableResult as error:
            refusal = (type(error).__name__, str(error))
            self._insist(lambda: self._store.fail(held, refusal))
            self._count_failure(held, refusal)
            return
        self._n_jobs += 1
        self._n_failures_in_a_row = 0
        logger.info("trial %s done in %.3g s: %s", held.tid, secs, _verdict(done.result))

    def _count_failure(self, held: Claim, error: tuple[str, str]) -> None:
        self._n_jobs += 1
        self._n_failures_in_a_row += 1
        logger.warning("trial %s failed: %s: %s", held.tid, error[0], _one_line(error[1]))

    def _decline(self, trial: Document, message: str) -> None:
        """Take no more trials of this one's objective, and say why."""
        # None where a trial names no objective: such trials are declined together.
        sha256: Any = trial.get("objective")
        self._unfit_for[sha256] = message
        logger.error("%s", message)
        try:
            self._heartbeat.unfit(message, tuple(self._unfit_for))
        except StoreError as error:
            logger.warning("cannot announce it: %s", error)

    def _workdir_of(self, trial: Document) -> str | None:
        root = self._workdir if self._workdir is not None else trial["misc"].get("workdir")
        return None if root is None else str(Path(root) / _directory_name(trial["tid"]))

    # --- the server ---

    def _insist(self, act: Callable[[], T]) -> T:
        """Call `act` again while the server cannot be reached.

        Raises:
            ServerUnreachable: it was away for too long, or this worker has to stop.
        """
        pause_secs, began_at = 0.1, self._clock()
        while True:
            try:
                result = act()
            except ServerUnreachable as error:
                is_too_long = self._clock() - began_at > PATIENCE_SECS
                if is_too_long or self._stop.requested:
                    raise
                if pause_secs == 0.1:
                    logger.warning("%s; trying again", error)
                self._stop.sleep(pause_secs * random.uniform(0.5, 1.0))
                pause_secs = min(2 * pause_secs, MAX_PAUSE_SECS)
            else:
                return result

    def _retire(self) -> None:
        try:
            self._store.retire(self._presence.owner)
        except StoreError as error:
            logger.info("could not sign off: %s", error)


# Not sent to the child: `_id` is of a type that only the store knows, and
# nobody evaluates the history.
_NOT_SENT = frozenset({"_id", "attempts"})


def _directory_name(tid: Tid) -> str:
    # A tid may be text, and text may be "../..".
    return quote(str(tid), safe=" ").replace(".", "%2E")


def _reached(value: float, limit: float | None) -> bool:
    return limit is not None and value >= limit


def _verdict(result: dict[str, Any]) -> str:
    if result.get("status") == "ok":
        return f"loss {result['loss']:.6g}"
    return f"status {result.get('status')}"


def _one_line(text: str, width: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
