"""Store: where trial documents live, and what every store promises.

1. A trial has at most one holder. `claim` is atomic, and every later write
   under the claim (`heartbeat`, `checkpoint`, `report`, `finish`, `fail`,
   `release`) names its owner and attempt; a write that matches nothing raises
   `LeaseLost` and changes nothing.
2. A result and the end of its trial are one write: no reader sees a DONE
   trial without its result. An acknowledged result is never lost.
3. A lease expires by the store's own clock, never by a worker's. Times in
   documents come from that clock, in naive UTC.
4. Trials are claimed in the order of their tids.
5. `tid` is unique in the store; `number` counts the trials of one experiment
   0, 1, 2 … without gaps, in the order in which they became visible.
6. `changes` costs what changed, not what is stored.
7. Writing the same thing twice (a retry after a lost acknowledgement) has the
   effect of writing it once: every write carries the filter that makes it so, and
   none needs retryable writes, transactions or change streams.
8. Lost is not failed. A holder that vanished costs one attempt, and the trial is
   handed out again until `max_attempts` were lost; a trial that was handed back
   costs none. How each attempt ended stands in `attempts`.
9. Trials are added behind the last one that who adds them has seen, if he says which
   (`first_number`): a driver that was overtaken adds nothing.
10. An attachment is stored before its name is, and goes with its trial or
   experiment. What a killed process left half written is never seen.

`MemoryStore` keeps documents in this process; `hpo.store.mongo.MongoStore`
keeps them in a MongoDB database that many processes share. One conformance
suite runs over both.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from hpo.document import (
    DEFAULT_LEASE_SECS,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    Claim,
    Document,
    Tid,
)


@dataclass
class Horizon:
    """How far a reader has followed one experiment.

    Numbers are dense and finished trials do not change, so all that can be
    new is a trial numbered `next_number` or more, or one that was still open
    when it was last seen.

    Attributes:
        next_number: every trial numbered less has been seen.
        new, running: tids last seen in that state.
        epoch: of the experiment when it was last seen, for who starts over by it.
    """

    next_number: int = 0
    new: set[Tid] = field(default_factory=set)
    running: set[Tid] = field(default_factory=set)
    epoch: int | None = None

    def enter(self, epoch: int) -> None:
        """Start over if the experiment's epoch is another one than it was."""
        if epoch != self.epoch:
            self.next_number, self.new, self.running, self.epoch = 0, set(), set(), epoch

    def copy(self) -> Horizon:
        """Another one that moves by itself."""
        return replace(self, new=set(self.new), running=set(self.running))

    def see(self, trial: Mapping[str, Any]) -> None:
        """Take note of a document as it now stands."""
        tid, state = trial["tid"], trial["state"]
        self.next_number = max(self.next_number, trial["number"] + 1)
        self.new.discard(tid)
        self.running.discard(tid)
        if state == JOB_STATE_NEW:
            self.new.add(tid)
        elif state == JOB_STATE_RUNNING:
            self.running.add(tid)


@dataclass(frozen=True)
class WorkerPresence:
    """A worker as the others see it; it is alive while its presence is renewed.

    Attributes:
        owner: "host:pid:token", the name under which it claims.
        exp_key: the only experiment it serves, or None for all.
        state: "idle", "busy", or "unfit" when it cannot load the objective.
        message: why it is unfit.
        unfit_for: sha256 of objectives that it cannot load; None stands for trials
            that name no objective.
        seen: when it last renewed, by the store's clock.
    """

    owner: str
    host: str
    pid: int
    exp_key: str | None = None
    state: Literal["idle", "busy", "unfit"] = "idle"
    message: str = ""
    unfit_for: tuple[str | None, ...] = ()
    seen: datetime | None = None


@dataclass(frozen=True)
class Experiment:
    """What the store knows about an experiment beside its trials.

    Attributes:
        space_digest, space: identity and description (rows of labels, kinds and
            arguments) of the search space it was started with; None when unknown.
        epoch: grows whenever finished trials were deleted or rewritten, so
            that readers know to start over.
        driver: who leads, or None; driver_seen_secs_ago: since its last sign.
    """

    exp_key: str | None
    space_digest: str | None = None
    space: Sequence[Mapping[str, Any]] | None = None
    epoch: int = 0
    driver: str | None = None
    driver_seen_secs_ago: float | None = None


# What `Store.reported` yields of a trial, beside the status of its result.
REPORTED_FIELDS = (
    "tid",
    "number",
    "state",
    "result",
    "continues",
    "line",
    "last_report",
    "reports",
)


class Watch(Protocol):
    """A wait that ends early when something happened."""

    def wait(self, timeout_secs: float) -> bool:
        """Return True when there may be news, False after `timeout_secs` without any."""


class Store(Protocol):
    """The verbs of a trial store. The module's text has the promises."""

    # --- the queue ---

    def allocate_tids(self, n: int) -> list[int]:
        """Reserve `n` ids that no one else will get, in increasing order."""

    def insert(self, trials: Sequence[Document], *, first_number: int | None = None) -> None:
        """Store trials in order, each with its `number` and `queue_time`.

        `number`, and `_id` where the store has one, are set in the documents given as well.
        The documents may be in any state (known results are inserted as DONE).

        Args:
            trials: all of one experiment, if `first_number` is given.
            first_number: store only what gets the numbers from here on. Who gives the number
                after the last one it has seen adds nothing to what it does not know: so a
                driver that slept while another one took over does no harm.

        Raises:
            Overtaken: a number was taken by somebody else; it and what follows were not stored.
            DuplicateTrial: a tid is taken, or another continuation of the same trial is
                stored that was not cancelled; nothing after it was stored.
            InvalidTrial: a document is no trial (see `hpo.defects`); nothing was stored.
            UnstorableResult: one cannot be stored; nothing was.
        """

    def claim(
        self,
        owner: str,
        *,
        host: str = "",
        exp_key: str | None = None,
        lease_secs: float = DEFAULT_LEASE_SECS,
        except_objectives: Collection[str | None] = (),
    ) -> Document | None:
        """Take the NEW trial with the least tid, or return None.

        What is returned stays as it is: it names this claim, whatever becomes of the trial.

        An owner holds one trial at a time: to ask again after a broken connection may find
        the trial that the first try took.

        Args:
            exp_key: only trials of this experiment; None takes from all.
            except_objectives: skip trials whose `objective` is among these.
        """

    def heartbeat(self, held: Claim, lease_secs: float = DEFAULT_LEASE_SECS) -> None:
        """Renew the lease. Raises LeaseLost."""

    def checkpoint(self, held: Claim, result: Mapping[str, Any]) -> None:
        """Publish a partial result. Raises LeaseLost."""

    def report(self, held: Claim, reports: Sequence[Mapping[str, Any]]) -> None:
        """Publish the trial's learning curve so far, whole. Raises LeaseLost.

        Args:
            reports: [{step, loss}], at least one, by rising steps.
        """

    def finish(self, held: Claim, result: Mapping[str, Any]) -> None:
        """RUNNING -> DONE. Raises LeaseLost, or UnstorableResult and the claim still stands."""

    def fail(
        self,
        held: Claim,
        error: tuple[str, str],
        traceback: str = "",
        *,
        reason: str = "exception",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """RUNNING -> ERROR. Raises LeaseLost."""

    def release(self, held: Claim, reason: str) -> None:
        """RUNNING -> NEW without spending an attempt. Raises LeaseLost."""

    def lose(self, trial: Document, reason: str, details: Mapping[str, Any] | None = None) -> None:
        """RUNNING -> NEW at the cost of an attempt, or ERROR after the last. Raises LeaseLost.

        Args:
            trial: the document as it was claimed.
            reason: one of `document.LOSSES`.
        """

    def requeue_expired(self, exp_key: str | None = None) -> list[Tid]:
        """Move trials whose lease has passed back to NEW (or to ERROR, see `document.expire`).

        Returns:
            The tids that this call moved.
        """

    def next_expiry_secs(self, exp_key: str | None = None) -> float | None:
        """In how many seconds the next lease ends unless it is renewed; None when there is none.

        At most 0 when a trial waits to be requeued. Costs the read of one document.
        """

    def cancel(self, exp_key: str | None, tids: Collection[Tid] | None = None) -> list[Tid]:
        """Move open trials (all of the experiment, or those in `tids`) to CANCEL."""

    # --- reading ---

    def changes(
        self,
        exp_key: str | None,
        horizon: Horizon,
        *,
        fields: Collection[str] | None = None,
    ) -> Iterator[Document]:
        """Yield the trials that changed beyond `horizon`, and move the horizon along.

        New trials come in the order of their numbers. `fields` limits what is
        fetched (dotted names; tid, number, state and version always come).
        """

    def find(
        self,
        exp_key: str | None,
        *,
        tids: Collection[Tid] | None = None,
        states: Collection[int] | None = None,
        fields: Collection[str] | None = None,
        all_experiments: bool = False,
    ) -> Iterator[Document]:
        """Yield whole documents of one experiment (or all), ordered by tid."""

    def reported(
        self, exp_key: str | None, *, step: int | None = None, since: Horizon | None = None
    ) -> Iterator[Document]:
        """Yield the trials that have reported, each with its learning curve.

        tid, number, state, result.status, continues, line, last_report and reports;
        costs what is yielded.

        Args:
            step: only trials whose last report is of this step or a later one, each with
                just the first such report; None: all, with all their reports.
            since: yield the trials that were added since or were open then, also those that
                have not reported (then without reports), and move the horizon along; it
                starts over when the experiment's epoch has changed.
        """

    def count(
        self, exp_key: str | None, states: Collection[int], *, all_experiments: bool = False
    ) -> int:
        """How many trials are in any of `states` now."""

    def durations(self, exp_key: str | None, n: int) -> list[float]:
        """How many seconds the latest DONE trials took, from claim to end; at most `n` of them.

        Latest by tid. Of one experiment, or (None) of all.
        """

    def exp_keys(self) -> list[str | None]:
        """Every experiment that has trials."""

    def delete(self, exp_key: str | None, *, all_experiments: bool = False) -> None:
        """Remove the experiment: its trials, their attachments, its record."""

    def now(self) -> datetime:
        """The store's clock, naive UTC."""

    # --- experiments, drivers and workers ---

    def open_experiment(
        self, exp_key: str | None, space_digest: str, space: Sequence[Mapping[str, Any]]
    ) -> Experiment:
        """Create the experiment's record if it has none; return the record as stored."""

    def experiment(self, exp_key: str | None) -> Experiment:
        """The record as stored, or an empty one."""

    def lead(self, exp_key: str | None, driver: str, lease_secs: float) -> bool:
        """Become, or stay, the one driver that adds trials; False when another one leads."""

    def resign(self, exp_key: str | None, driver: str) -> None:
        """Stop leading, so that another driver can start at once."""

    def announce(self, worker: WorkerPresence, ttl_secs: float) -> None:
        """Say that a worker is there for the next `ttl_secs`."""

    def retire(self, owner: str) -> None:
        """Forget a worker that ends."""

    def workers(self, exp_key: str | None = None) -> list[WorkerPresence]:
        """The live workers that would take trials of `exp_key` (None: all of them)."""

    # --- bytes ---

    def put_objective(self, exp_key: str | None, sha256: str, payload: bytes) -> None:
        """Store an experiment's objective under its hash, in place of what stands there."""

    def get_objective(self, sha256: str) -> bytes:
        """Raises KeyError when there is none."""

    def attachments(self, exp_key: str | None) -> MutableMapping[str, bytes]:
        """Named bytes beside an experiment."""

    def trial_attachments(self, trial: Document) -> MutableMapping[str, bytes]:
        """Named bytes beside a trial; deleted with it."""

    # --- waiting ---

    def watch(
        self, exp_key: str | None, interest: Literal["work", "results"]
    ) -> AbstractContextManager[Watch]:
        """Wait for trials to claim ("work") or for trials that moved ("results").

        Waking is a hint: the caller looks again whenever `wait` returns.
        """

    def insisting(self, goes_on: Callable[[float, str], bool]) -> AbstractContextManager[None]:
        """Within the block, let the caller decide how long an unreachable server is waited for.

        Args:
            goes_on: called after every vain try with the seconds since the first one and with
                the servers' names; returns whether to try again.
        """

    def close(self) -> None:
        """Let go of connections; the documents stay."""


def as_tuple(states: int | Iterable[int]) -> tuple[int, ...]:
    """One state or several, as a tuple."""
    return (states,) if isinstance(states, int) else tuple(states)
