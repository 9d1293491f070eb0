"""The driver: suggest, insert, wait, stop.

`FMinIter` keeps one loop for both ways to run a search. With trials in this
process the driver is its own worker and evaluates between two suggestions.
With trials in a shared store it keeps enough suggestions queued for the
workers that are alive, and sleeps until one of them has finished.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpo.ctrl import Ctrl
from hpo.demand import WorkersSeen
from hpo.document import Claim, Document, active_values
from hpo.domain import Domain
from hpo.exceptions import ServerUnreachable, SpaceChanged
from hpo.leadership import THIS_HOST, Every, Leadership
from hpo.objective import pack, publish
from hpo.outage import DEFAULT_PATIENCE_SECS, Outage
from hpo.partial import spent_budget
from hpo.pool import LocalWorkers
from hpo.progress import Reporter, Snapshot, duration, reporting
from hpo.signing import load_keys
from hpo.space.changes import space_changes
from hpo.standing import Standing
from hpo.store.base import Watch
from hpo.supply import Supply
from hpo.trials import Trials

logger = logging.getLogger(__name__)

_TICK_SECS = 1.0
_GATHERING_SECS = 0.005
_PROMOTION_SECS = 0.5
_REMOVAL_SECS = 5.0


class FMinIter:
    """One search as a loop that can be run whole, in parts, or trial by trial.

    Args:
        algo: suggest(new_ids, domain, trials, seed) -> documents.
        domain: objective and space.
        trials: where the trials go; its `asynchronous` says whether workers evaluate them.
        rstate: source of one seed for each call of `algo`.
        asynchronous: default `trials.asynchronous`.
        max_queue_len: keep so many suggestions queued; None: as many as the workers can take.
        max_evals: how many trials there shall be in all; None: no limit.
        timeout: seconds after which the search stops, or None.
        loss_threshold: the search stops at a loss this small, or None.
        verbose, show_progressbar: whether, and how, to show progress (see `hpo.progress`).
        early_stop_fn: (trials, *state) -> (stop, state), called when trials have finished.
        trials_save_file: pickle `trials` there whenever trials have finished.
        catch_eval_exceptions: go on when the objective raises (workers always do).
        patience_secs: how long a server that is away is waited for, each time.
        start_workers: called with a function that prints a line; starts local workers.

    Attributes:
        outage: what it does while the server is away.

    Source: hyperopt.fmin.FMinIter.
    """

    def __init__(
        self,
        algo: Callable[..., Sequence[Document]],
        domain: Domain,
        trials: Trials,
        rstate: np.random.Generator,
        asynchronous: bool | None = None,
        max_queue_len: int | None = None,
        poll_interval_secs: float = _TICK_SECS,
        max_evals: int | None = None,
        timeout: float | None = None,
        loss_threshold: float | None = None,
        verbose: bool = False,
        show_progressbar: Any = True,
        early_stop_fn: Callable[..., tuple[bool, Sequence[Any]]] | None = None,
        trials_save_file: str | os.PathLike[str] = "",
        *,
        catch_eval_exceptions: bool = False,
        patience_secs: float = DEFAULT_PATIENCE_SECS,
        start_workers: Callable[[Callable[[str], None]], LocalWorkers] | None = None,
    ) -> None:
        self.algo = algo
        self.domain = domain
        self.trials = trials
        self.rstate = rstate
        self.asynchronous = trials.asynchronous if asynchronous is None else asynchronous
        self.max_queue_len = max_queue_len
        self.poll_interval_secs = poll_interval_secs
        self.max_evals = math.inf if max_evals is None else max_evals
        self.timeout = timeout
        self.loss_threshold = loss_threshold
        self.early_stop_fn = early_stop_fn
        self.early_stop_args: Sequence[Any] = []
        self.trials_save_file = os.fspath(trials_save_file)
        self.catch_eval_exceptions = catch_eval_exceptions
        self.start_time = time.monotonic()
        self._show = show_progressbar if verbose else False
        self._start_workers = start_workers
        self._pool: LocalWorkers | None = None
        self._name = trials.exp_key or domain.name
        self._lead = Leadership(trials, is_shared=self.asynchronous)
        self._workers = WorkersSeen(trials, domain)
        self._requeue_due = Every(_TICK_SECS)
        self._removal_due = Every(_REMOVAL_SECS)
        self._promotion_due = Every(_PROMOTION_SECS)
        self._standing = Standing(
            trials,
            domain,
            self._workers,
            self._lead,
            name=self._name,
            is_shared=self.asynchronous,
        )
        self._supply = Supply(
            algo,
            domain,
            trials,
            rstate,
            standing=self._standing,
            workers=self._workers,
            lead=self._lead,
            max_queue_len=max_queue_len,
            is_shared=self.asynchronous,
            name=self._name,
        )
        self._last_shown = Snapshot(done=0, total=None)
        self._is_over = False
        self.outage = Outage(
            patience_secs,
            # What was found is read to its end, also when the timeout has brought it about.
            lambda: None if self._is_over else self._secs_left(),
        )
        self._n_ended_seen = 0
        if self.asynchronous:
            self.outage.outlive(trials.store, self._publish_objective)
        # Not part of the objective, which is stored once, however often it is searched.
        domain.search_seed = None

    def _publish_objective(self) -> None:
        """Store the objective for the workers, before any trial refers to it."""
        keys = load_keys(make=True)
        packed = pack(self.domain, self.trials.exp_key, keys)
        space = self.domain.space
        experiment = self.trials.store.open_experiment(
            self.trials.exp_key, space.digest, space.describe()
        )
        if experiment.space_digest not in (None, space.digest):
            changes = space_changes(experiment.space or (), space.describe())
            raise SpaceChanged(self.trials.exp_key, changes)
        publish(self.trials.store, self.trials.exp_key, packed, keys)
        self.domain.objective = packed.sha256

    # --- running ---

    def exhaust(self) -> FMinIter:
        """Run until `max_evals` trials have ended, or a stopping rule holds."""
        self._refresh()
        self.run(self.max_evals - self._standing.n_counted())
        return self

    def __iter__(self) -> Iterator[Trials]:
        return self

    def __next__(self) -> Trials:
        self._refresh()
        if self._standing.n_counted() >= self.max_evals or self._supply.is_exhausted:
            raise StopIteration
        self.run(1)
        return self.trials

    def _refresh(self) -> None:
        self.outage.outlive(self.trials.store, self.trials.refresh)

    def run(self, N: float, block_until_done: bool = True) -> None:
        """Add `N` suggestions and, with `block_until_done`, wait until none is open."""
        self._is_over = False
        last = self._standing.n_counted() + max(0, N)
        store, exp_key = self.trials.store, self.trials.exp_key
        with (
            self._reporter() as reporter,
            self._insisting(reporter),
            self._local_workers(reporter),
            self._leading(),
        ):
            with store.watch(exp_key, "results") as watch:
                stopped = self._loop(watch, reporter, last, block_until_done)
            self._is_over = True
            if stopped and self.asynchronous and self._lead.seek():
                # Nobody waits for these any more; running ones keep their workers.
                store.cancel(exp_key, self.trials.new_tids)
            self._refresh()

    @contextlib.contextmanager
    def _insisting(self, reporter: Reporter) -> Iterator[None]:
        """Wait for a server that is away, and say so, until the end of the block."""

        def notify(notice: str) -> None:
            reporter.show(replace(self._last_shown, notice=f"{self._name}: {notice}"))

        def say(line: str) -> None:
            reporter.say(f"{self._name}: {line}")

        insisting = self.trials.store.insisting(self.outage.goes_on)
        with self.outage.shown_by(notify, say), insisting:
            yield

    def _loop(self, watch: Watch, reporter: Reporter, last: float, block_until_done: bool) -> bool:
        """Run the search. Returns True when a stopping rule ended it early."""
        self._n_ended_seen = self._standing.n_ended()
        while True:
            try:
                stopped = self._turn(reporter, last, block_until_done)
                if stopped is None:
                    self._wait_or_work(watch)
            except ServerUnreachable:
                if not self.outage.outlives_turn():
                    raise
                continue
            self.outage.end()
            if stopped is not None:
                return stopped

    def _turn(self, reporter: Reporter, last: float, block_until_done: bool) -> bool | None:
        """Look, suggest, and see whether this is the end.

        Returns:
            None to go on; at the end, whether a stopping rule brought it about.
        """
        began = time.monotonic()
        changed = self.trials.follow()
        self._supply.learn(changed)
        if changed:
            self._standing.note_change()
        has_news = self._standing.n_ended() > self._n_ended_seen
        self._n_ended_seen = self._standing.n_ended()
        if has_news:
            self._save()
        self._show_standing(reporter, last)
        if self._should_stop(reporter, has_news):
            return True
        if has_news and (not self.asynchronous or self._promotion_due()):
            self._supply.take_up_stopped()
        had_everything = self._supply.is_exhausted
        self._supply.refill(last, began)
        if self._supply.is_exhausted and not had_everything:
            reporter.say(f"{self._name}: {self._supply.why_exhausted()}")
        # What ended just now may have shown that others were stopped too soon.
        if not self._is_complete(last, block_until_done) or self._supply.take_up_stopped():
            return None
        # The last trials may have ended while they were being followed just now.
        if self._standing.n_ended() > self._n_ended_seen:
            self._save()
        self._show_standing(reporter, last)
        return False

    def _wait_or_work(self, watch: Watch) -> None:
        if not self.asynchronous:
            self._evaluate_one()
            return
        self._look_after_others()
        if watch.wait(self._wait_secs()) and self.trials.new_tids:
            # Nobody is held up while suggestions are queued: let more results come together.
            time.sleep(_GATHERING_SECS)

    def _show_standing(self, reporter: Reporter, last: float) -> None:
        if not self._show:
            return  # to know how things stand costs as much as a short trial
        self._last_shown = self._standing.snapshot(last, self._supply.start)
        reporter.show(self._last_shown)

    def _is_complete(self, last: float, block_until_done: bool) -> bool:
        if self._standing.n_counted() < last and not self._supply.is_exhausted:
            return False
        return not block_until_done or not self._standing.n_open()

    def _secs_left(self) -> float | None:
        """How much of the timeout is left."""
        if self.timeout is None:
            return None
        return max(0.0, self.timeout - (time.monotonic() - self.start_time))

    def _wait_secs(self) -> float:
        left = self._secs_left()
        return self.poll_interval_secs if left is None else min(self.poll_interval_secs, left)

    def _should_stop(self, reporter: Reporter, has_news: bool) -> bool:
        if self.timeout is not None and self._secs_left() == 0:
            reporter.say(f"{self._name}: stopped after the timeout of {duration(self.timeout)}")
            return True
        best = self.trials.best_loss
        if self.loss_threshold is not None and best is not None and best <= self.loss_threshold:
            reporter.say(f"{self._name}: stopped at loss {best:.6g} <= {self.loss_threshold:.6g}")
            return True
        if self.early_stop_fn is None or not has_news:
            return False
        stop, self.early_stop_args = self.early_stop_fn(self.trials, *self.early_stop_args)
        if stop:
            reporter.say(f"{self._name}: stopped by early_stop_fn")
        return bool(stop)

    # --- being one's own worker ---

    def _evaluate_one(self) -> None:
        """Claim the next trial and evaluate it here."""
        store = self.trials.store
        trial = store.claim(self._lead.owner, host=THIS_HOST, exp_key=self.trials.exp_key)
        if trial is None:
            return
        held = Claim.of(trial)
        try:
            ctrl = Ctrl(self.trials, current_trial=trial)
            result = self.domain.evaluate(active_values(trial), ctrl)
        except Exception as error:
            logger.error("trial %s raised %s: %s", trial["tid"], type(error).__name__, error)
            trial["misc"]["error"] = (str(type(error)), str(error))
            store.fail(held, (type(error).__name__, str(error)), traceback.format_exc())
            self.trials.refresh()
            if not self.catch_eval_exceptions:
                raise
        except BaseException:
            store.release(held, "interrupted")
            raise
        else:
            store.finish(held, result)

    # --- other workers and drivers ---

    def _look_after_others(self) -> None:
        store, exp_key = self.trials.store, self.trials.exp_key
        if self._requeue_due() and self.trials.running_owners:
            store.requeue_expired(exp_key)
        self._lead.look_after()
        if self._removal_due() and (removed := self.trials.pass_by_removed()):
            logger.warning(
                "%s: no longer waiting for trials %s, which somebody removed or spoilt",
                self._name,
                removed,
            )
        if self._pool is not None:
            self._pool.check(self._workers.owners)

    @contextlib.contextmanager
    def _leading(self) -> Iterator[None]:
        """Lead the experiment, if no other driver does, until the end of the block."""
        self._lead.seek()
        try:
            yield
        finally:
            if not self.outage.is_on:
                self._lead.resign()

    @contextlib.contextmanager
    def _local_workers(self, reporter: Reporter) -> Iterator[None]:
        self._pool = self._start_workers(reporter.say) if self._start_workers else None
        try:
            yield
        finally:
            if self._pool is not None:
                self._pool.stop()

    # --- showing and saving ---

    def _reporter(self) -> contextlib.AbstractContextManager[Reporter]:
        total = None if math.isinf(self.max_evals) else int(self.max_evals)
        done = spent_budget(self.trials.observations()).n_ended
        return reporting(self._show, name=self._name, initial=done, total=total)

    def _save(self) -> None:
        """Pickle the trials; the file is replaced whole, so it is never half written."""
        if not self.trials_save_file:
            return
        directory = os.path.dirname(os.path.abspath(self.trials_save_file))
        descriptor, draft = tempfile.mkstemp(dir=directory, suffix=".draft")
        with os.fdopen(descriptor, "wb") as file:
            pickle.dump(self.trials, file)
        os.replace(draft, self.trials_save_file)
