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
import socket
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hpo.ctrl import Ctrl
from hpo.demand import Demand, WorkersSeen
from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_RUNNING,
    Claim,
    Document,
    active_values,
)
from hpo.domain import Domain
from hpo.exceptions import InvalidOption, SpaceChanged
from hpo.objective import pack, publish
from hpo.pool import LocalWorkers
from hpo.progress import Reporter, Snapshot, count, duration, reporting
from hpo.signing import load_keys
from hpo.space.changes import space_changes
from hpo.store.base import Watch
from hpo.trials import Trials

logger = logging.getLogger(__name__)

DRIVER_LEASE_SECS = 10.0
_TICK_SECS = 1.0
_GATHERING_SECS = 0.005
_QUIET_SECS_BEFORE_NOTICE = 5.0
_THIS_HOST = socket.gethostname()


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
        start_workers: called with a function that prints a line; starts local workers.

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
        self._owner = f"{_THIS_HOST}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._demand = Demand()
        self._workers = WorkersSeen(trials, domain)
        self._requeue_due = _Every(_TICK_SECS)
        self._lead_due = _Every(DRIVER_LEASE_SECS / 3)
        self._leads = True
        self._exhausted = False
        self._start: tuple[int, int] | None = None
        self._last_change = time.monotonic()
        if self.asynchronous:
            self._publish_objective()
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
        self.trials.refresh()
        self.run(self.max_evals - self._n_counted())
        return self

    def __iter__(self) -> Iterator[Trials]:
        return self

    def __next__(self) -> Trials:
        self.trials.refresh()
        if self._n_counted() >= self.max_evals or self._exhausted:
            raise StopIteration
        self.run(1)
        return self.trials

    def run(self, N: float, block_until_done: bool = True) -> None:
        """Add `N` suggestions and, with `block_until_done`, wait until none is open."""
        last = self._n_counted() + max(0, N)
        store, exp_key = self.trials.store, self.trials.exp_key
        with self._reporter() as reporter, self._local_workers(reporter), self._leading():
            with store.watch(exp_key, "results") as watch:
                stopped = self._loop(watch, reporter, last, block_until_done)
            if stopped and self.asynchronous and self._leads:
                # Nobody waits for these any more; running ones keep their workers.
                store.cancel(exp_key, self.trials.new_tids)
        self.trials.refresh()

    def _loop(self, watch: Watch, reporter: Reporter, last: float, block_until_done: bool) -> bool:
        """Run the search. Returns True when a stopping rule ended it early."""
        n_ended, had_everything = self._n_ended(), self._exhausted
        while True:
            began = time.monotonic()
            changed = self.trials.follow()
            self._demand.learn(changed)
            if changed:
                self._last_change = began
            has_news, n_ended = self._n_ended() > n_ended, self._n_ended()
            if has_news:
                self._save()
            reporter.show(self._snapshot(last))
            if self._should_stop(reporter, has_news):
                return True
            inserted = self._enqueue(last)
            if self._exhausted and not had_everything:
                had_everything = True
                reporter.say(f"{self._name}: {self._exhaustion()}")
            if inserted:
                self._demand.learn_turnaround(time.monotonic() - began)
            if self._is_complete(last, block_until_done):
                # The last trials may have ended while they were being followed just now.
                if self._n_ended() > n_ended:
                    self._save()
                reporter.show(self._snapshot(last))
                return False
            if self.asynchronous:
                self._look_after_others()
                if watch.wait(self._wait_secs()) and self.trials.new_tids:
                    # Nobody is held up while suggestions are queued: let more results
                    # come together.
                    time.sleep(_GATHERING_SECS)
            else:
                self._evaluate_one()

    def _is_complete(self, last: float, block_until_done: bool) -> bool:
        if self._n_counted() < last and not self._exhausted:
            return False
        return not block_until_done or not self._n_open()

    def _wait_secs(self) -> float:
        if self.timeout is None:
            return self.poll_interval_secs
        left = self.timeout - (time.monotonic() - self.start_time)
        return min(self.poll_interval_secs, max(0.0, left))

    def _should_stop(self, reporter: Reporter, has_news: bool) -> bool:
        if self.timeout is not None and time.monotonic() - self.start_time >= self.timeout:
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

    # --- suggesting ---

    def _enqueue(self, last: float) -> bool:
        """Add as many suggestions as there is room for. Returns whether any were added."""
        if not self._leads or self._exhausted:
            return False
        room = int(min(self._room_in_queue(), last - self._n_counted()))
        if room <= 0:
            return False
        new_ids = self.trials.new_trial_ids(room)
        seed = int(self.rstate.integers(2**31 - 1))
        if self.domain.search_seed is None:
            self.domain.search_seed = seed
        suggested = _documents(self.algo(new_ids, self.domain, self.trials, seed))
        if len(suggested) > len(new_ids):
            raise InvalidOption(
                f"the algorithm returned {len(suggested)} trials for {len(new_ids)} new ids; "
                "return at most one for each id"
            )
        for document in suggested:
            if not document.get("params"):
                self.domain.annotate(document, active_values(document))
        self._exhausted = not suggested
        self._start = _start_of(suggested[-1]) if suggested else None
        self.trials.insert_trial_docs(suggested)
        self._demand.learn(self.trials.follow())
        return bool(suggested)

    def _exhaustion(self) -> str:
        tried = f"after {count(self._n_counted(), 'trial')}"
        if self.domain.space.is_finite:
            return (
                f"{tried} no configuration is left that was not tried "
                "(noisy=True tries them again)"
            )
        return f"{tried} the algorithm has nothing more to suggest"

    def _room_in_queue(self) -> int:
        queued = len(self.trials.new_tids)
        if self.max_queue_len is not None:
            return self.max_queue_len - queued
        if not self.asynchronous:
            return 1 - queued
        alive = self._workers.owners()
        idle = len(alive - set(self.trials.running_owners.values()))
        return self._demand.queue_length(len(alive), idle) - queued

    # --- being one's own worker ---

    def _evaluate_one(self) -> None:
        """Claim the next trial and evaluate it here."""
        store = self.trials.store
        trial = store.claim(self._owner, host=_THIS_HOST, exp_key=self.trials.exp_key)
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
        if self._lead_due():
            self._leads = self._try_to_lead()
        if self._pool is not None and not self._workers.owners():
            self._pool.check()

    @contextlib.contextmanager
    def _leading(self) -> Iterator[None]:
        """Lead the experiment, if no other driver does, until the end of the block."""
        if not self.asynchronous:
            yield
            return
        self._leads = self._try_to_lead()
        try:
            yield
        finally:
            self.trials.store.resign(self.trials.exp_key, self._owner)

    def _try_to_lead(self) -> bool:
        store, exp_key = self.trials.store, self.trials.exp_key
        if store.lead(exp_key, self._owner, DRIVER_LEASE_SECS):
            return True
        leader = store.experiment(exp_key).driver
        if leader is None or not _has_died_here(leader):
            return False
        # Killed on this machine: its lease need not be waited for.
        store.resign(exp_key, leader)
        return store.lead(exp_key, self._owner, DRIVER_LEASE_SECS)

    @contextlib.contextmanager
    def _local_workers(self, reporter: Reporter) -> Iterator[None]:
        self._pool = self._start_workers(reporter.say) if self._start_workers else None
        try:
            yield
        finally:
            if self._pool is not None:
                self._pool.stop()

    # --- counting and showing ---

    def _n_counted(self) -> int:
        """Trials that count against `max_evals`: all but the cancelled."""
        return int((self.trials.observations().states != JOB_STATE_CANCEL).sum())

    def _n_ended(self) -> int:
        return self._n_counted() - self._n_open()

    def _n_open(self) -> int:
        return len(self.trials.new_tids) + len(self.trials.running_owners)

    def _snapshot(self, last: float) -> Snapshot:
        observations = self.trials.observations()
        n_usable = int(np.count_nonzero(~np.isnan(observations.losses)))
        ended = self._n_ended()
        return Snapshot(
            done=ended,
            total=None if math.isinf(last) else int(last),
            running=len(self.trials.running_owners),
            queued=len(self.trials.new_tids),
            failed=ended - n_usable,
            workers=len(self._workers.owners()) if self.asynchronous else None,
            oldest_lease_secs=self._oldest_lease_secs(),
            best_loss=self.trials.best_loss,
            notice=self._notice(),
            start=self._start,
        )

    def _notice(self) -> str:
        """Why nothing moves, once nothing has moved for a while."""
        if not self.asynchronous:
            return ""
        if not self._leads:
            return self._who_leads()
        if not self._is_quiet():
            return ""
        unfit = self._workers.unfit()
        if unfit:
            return f"{count(len(unfit), 'worker')} cannot evaluate: {unfit[0].message}"
        if not self._workers.owners():
            key = self.trials.exp_key
            option = f" --exp-key {key}" if key else ""
            return (
                f"{self._name}: no worker has been seen for a minute; "
                f"start one: hpo-worker --mongo URL{option}"
            )
        if self.trials.running_owners:
            return ""
        return f"{self._name}: waiting for a worker to take the next trial"

    def _is_quiet(self) -> bool:
        return time.monotonic() - self._last_change >= _QUIET_SECS_BEFORE_NOTICE

    def _oldest_lease_secs(self) -> float | None:
        """How long ago the running trial with the oldest sign of life was renewed."""
        if not (self.asynchronous and self._is_quiet() and self.trials.running_owners):
            return None
        store, exp_key = self.trials.store, self.trials.exp_key
        running = store.find(exp_key, states=[JOB_STATE_RUNNING], fields=["refresh_time"])
        renewed = [trial["refresh_time"] for trial in running if trial.get("refresh_time")]
        return (store.now() - min(renewed)).total_seconds() if renewed else None

    def _who_leads(self) -> str:
        driver = self.trials.store.experiment(self.trials.exp_key).driver
        return (
            f"{self._name}: another driver ({driver}) leads this experiment; "
            "following it, and taking over when it ends"
        )

    def _reporter(self) -> contextlib.AbstractContextManager[Reporter]:
        total = None if math.isinf(self.max_evals) else int(self.max_evals)
        return reporting(self._show, name=self._name, initial=self._n_ended(), total=total)

    def _save(self) -> None:
        """Pickle the trials; the file is replaced whole, so it is never half written."""
        if not self.trials_save_file:
            return
        directory = os.path.dirname(os.path.abspath(self.trials_save_file))
        descriptor, draft = tempfile.mkstemp(dir=directory, suffix=".draft")
        with os.fdopen(descriptor, "wb") as file:
            pickle.dump(self.trials, file)
        os.replace(draft, self.trials_save_file)


def _has_died_here(owner: str) -> bool:
    """Whether "host:pid:token" was a process of this machine that is no more."""
    host, pid, _ = owner.rsplit(":", 2)
    if host != _THIS_HOST:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class _Every:
    """True once per interval."""

    def __init__(self, interval_secs: float) -> None:
        self._interval_secs = interval_secs
        self._due = time.monotonic() + interval_secs

    def __call__(self) -> bool:
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + self._interval_secs
        return True


def _documents(suggested: Any) -> list[Document]:
    """What an algorithm returned, if it is a list of documents."""
    if isinstance(suggested, (str, Mapping)) or not isinstance(suggested, Iterable):
        raise InvalidOption(
            f"the algorithm returned {suggested!r}; return a list of trial documents, as "
            "trials.new_trial_docs makes them, or an empty list to end the search"
        )
    documents = list(suggested)
    for document in documents:
        if not isinstance(document, Mapping):
            raise InvalidOption(
                f"the algorithm returned {document!r} for a trial document; make documents with "
                "trials.new_trial_docs"
            )
    return documents


def _start_of(document: Document) -> tuple[int, int] | None:
    """Which of an algorithm's first trials a document is, and of how many; see `provenance`."""
    record = document.get("suggested_by") or {}
    place, size = record.get("start"), record.get("options", {}).get("n_startup_jobs")
    return None if place is None or size is None else (place + 1, size)
