"""The worker: claim a trial, have it evaluated, write how it ended, and again.

A busy worker talks to the store twice per trial, to claim and to finish; a
thread beside it renews the lease. An idle one sleeps until the store reports
work, and now and then requeues what vanished workers left behind.

How a trial ended is for `hpo_worker.bookkeeping` to write, and when the worker
stops by itself is in `hpo_worker.limits`.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpo.document import DEFAULT_LEASE_SECS, JOB_STATES, Claim, Document
from hpo.exceptions import LeaseLost, ServerUnreachable, StoreError
from hpo.outage import DEFAULT_PATIENCE_SECS
from hpo.store.base import Store, Watch, WorkerPresence
from hpo_worker.bookkeeping import Bookkeeper
from hpo_worker.desk import Desk
from hpo_worker.evaluation import directory_name
from hpo_worker.evaluator import Evaluator
from hpo_worker.heartbeat import Heartbeat
from hpo_worker.limits import (
    EXIT_FAILURES,
    EXIT_OK,
    EXIT_UNLOADABLE,
    N_DURATIONS,
    Ending,
    Limits,
    TimeLeft,
)
from hpo_worker.outcome import Cut, Interruption, Outcome, Unloadable
from hpo_worker.spool import Spool
from hpo_worker.stopping import StopSignals

logger = logging.getLogger(__name__)

# A signal ends a wait for work, but not when it comes in the instant before: so no
# wait is longer than this.
MAX_WAIT_SECS = 2.0

# A worker that was busy for longer watches anew: news of work that others took
# meanwhile only cost time.
MAX_UNWATCHED_SECS = 1.0

# After a lease has ended, idle workers look for it within this time, not all at once.
REQUEUE_SPREAD_SECS = 1.0


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
        workdir: trials run in a directory of their own under it; None: where the objective's
            signature says.
        may_unpickle: evaluate objectives that are pickled, not only those that are named.
        spool: keeps results on disk while the server is away; default nowhere.
        patience_secs: how long the server may be away before the worker gives up.
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
        spool: Spool | None = None,
        patience_secs: float = DEFAULT_PATIENCE_SECS,
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
        self._spool = spool or Spool(None)
        self._books = Bookkeeper(
            store, stop, self._spool, patience_secs=patience_secs, clock=clock
        )
        self._time_left = TimeLeft(self._limits.secs_left, self._durations, clock)
        self._heartbeat = Heartbeat(store, presence, lease_secs, on_lost=stop.wake)
        self._started_at = self._idle_since = clock()
        self._requeue_at = clock()
        self._watch: Watch | None = None
        self._watching = contextlib.ExitStack()
        self._watched_at = clock()
        self._unfit_for: dict[str, str] = {}
        self._found_nothing = False

    def run(self) -> Ending:
        """Work until something ends it.

        Raises:
            ServerUnreachable, AccessDenied: the server was away for too long, or refuses.
        """
        self._heartbeat.start()
        try:
            # Before anybody can requeue the trials that these results belong to.
            self._books.insist(lambda: self._spool.deliver(self._store))
            if self._limits.secs_left is not None:
                self._stop.hand_back_in(self._limits.secs_left - self._stop.grace_secs)
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
        limits, books, now = self._limits, self._books, self._clock()
        if self._stop.requested:
            return Ending(EXIT_OK, f"stopping: {self._stop.reason} by {self._stop.asked_by}")
        if self._stop.after_trial:
            return Ending(EXIT_OK, f"stopping, as asked by {self._stop.asked_by}")
        if self._is_of_no_use():
            return Ending(
                EXIT_UNLOADABLE,
                f"stopping: the objective of {self._presence.exp_key!r} cannot be loaded here",
            )
        if _reached(books.n_failures_in_a_row, limits.max_consecutive_failures):
            return Ending(
                EXIT_FAILURES,
                f"stopping after {books.n_failures_in_a_row} failed trials in a row "
                "(see --max-consecutive-failures)",
            )
        if _reached(books.n_jobs, limits.max_jobs):
            return Ending(EXIT_OK, f"stopping after {books.n_jobs} trials (--max-jobs)")
        if _reached(now - self._started_at, limits.last_job_timeout_secs):
            return Ending(EXIT_OK, "stopping: --last-job-timeout has passed")
        if _reached(now - self._idle_since, limits.reserve_timeout_secs):
            return Ending(EXIT_OK, "stopping: nothing to claim within --reserve-timeout")
        return self._time_left.is_too_short() or self._database_is_full()

    def _is_of_no_use(self) -> bool:
        """The one experiment that it serves has only trials that it cannot load."""
        # It may have others, too: those of a driver that was mended and started again.
        is_bound = self._presence.exp_key is not None
        return is_bound and self._found_nothing and bool(self._unfit_for)

    def _durations(self) -> list[float]:
        exp_key = self._presence.exp_key
        return self._books.insist(lambda: self._store.durations(exp_key, N_DURATIONS))

    def _database_is_full(self) -> Ending | None:
        if self._limits.max_jobs_in_db is None:
            return None
        n_trials = self._books.insist(
            lambda: self._store.count(None, JOB_STATES, all_experiments=True)
        )
        if n_trials < self._limits.max_jobs_in_db:
            return None
        return Ending(EXIT_OK, f"stopping: {n_trials} trials in the database (--max-jobs-in-db)")

    # --- looking for work ---

    def _claim(self) -> Document | None:
        try:
            trial = self._books.insist(
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
                with self._stop.interruptible(also_to_finish=True):
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
        if self._clock() < self._requeue_at:
            return False
        exp_key = self._presence.exp_key
        tids = self._books.insist(lambda: self._store.requeue_expired(exp_key))
        if tids:
            logger.warning("requeued trials %s: their workers vanished", tids)
        secs_to_expiry = self._books.insist(lambda: self._store.next_expiry_secs(exp_key))
        self._requeue_at = self._clock() + self._requeue_pause_secs(secs_to_expiry)
        return bool(tids)

    def _requeue_pause_secs(self, secs_to_expiry: float | None) -> float:
        """How long until it is worth looking again.

        Whoever claims a trial from now on holds it for a lease at least.
        """
        soon = self._lease_secs if secs_to_expiry is None else max(0.0, secs_to_expiry)
        return min(soon, self._lease_secs) + REQUEUE_SPREAD_SECS * random.uniform(0.05, 1.0)

    # --- one trial ---

    def _work_on(self, trial: Document) -> None:
        held = Claim.of(trial)
        logger.info("claimed trial %s (%s)", trial["tid"], trial["exp_key"])
        self._heartbeat.hold(held)
        began_at = self._clock()
        try:
            outcome = self._evaluate(trial, held)
            self._books.record(trial, held, outcome, self._clock() - began_at)
            if isinstance(outcome, Unloadable):
                self._decline(trial, outcome.message)
        except LeaseLost as error:
            logger.warning("%s", error)
        finally:
            self._heartbeat.drop()
            self._idle_since = self._clock()

    def _evaluate(self, trial: Document, held: Claim) -> Outcome:
        """Have the trial evaluated. Raises LeaseLost when that became pointless."""
        if self._stop.requested:
            return Cut()
        desk = Desk(
            self._store,
            trial,
            self._books.insist,
            may_unpickle=self._may_unpickle,
            lease_secs=self._lease_secs,
        )
        try:
            outcome = self._evaluator.evaluate(
                {key: value for key, value in trial.items() if key not in _NOT_SENT},
                self._workdir_of(trial),
                ask=desk.answer,
                is_cut=lambda: self._stop.requested or self._heartbeat.has_lost(held),
            )
        except BaseException:
            # A defect of the worker's own: the trial is innocent.
            desk.abandon()
            with contextlib.suppress(StoreError):
                self._store.release(held, "interrupted")
            raise
        desk.close()
        if isinstance(outcome, Cut) and (desk.has_lost_lease or self._heartbeat.has_lost(held)):
            raise LeaseLost(held.tid, held.owner, held.attempt)
        return outcome

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
        # Not from the document, which whoever can write to the database may have made: it
        # must not choose where a worker writes.
        if self._workdir is None:
            return None
        return str(self._workdir / directory_name(trial["tid"]))

    def _retire(self) -> None:
        try:
            self._store.retire(self._presence.owner)
        except StoreError as error:
            logger.info("could not sign off: %s", error)


# Not sent to the child: `_id` is of a type that only the store knows, and
# nobody evaluates the history.
_NOT_SENT = frozenset({"_id", "attempts"})


def _reached(value: float, limit: float | None) -> bool:
    return limit is not None and value >= limit
