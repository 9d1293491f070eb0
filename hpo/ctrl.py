"""Ctrl: what a running objective may say to the experiment it is part of.

An objective gets one through `pass_expr_memo_ctrl`, or by writing the class
`Ctrl` itself into its search space as a literal. Through it the objective
reports its learning curve, asks whether to stop, saves checkpoints, keeps
attachments, and adds results it came by:

    def objective(config):
        ctrl, saved = config["ctrl"], config["ctrl"].load_checkpoint()
        model, done = (Model(config), 0) if saved is None else (restore(saved.state), saved.step)
        for epoch in range(done + 1, 82):
            ctrl.report(epoch, model.train())
            ctrl.save_checkpoint(model.dump())
            if ctrl.should_stop():
                break
        return model.loss

What is returned after `should_stop()` said so makes the trial DONE with status
"stopped", and its loss the last one reported: so losses stay comparable.

Where the objective runs decides how its words travel: beside the trials
(`TrialsChannel`), or in a worker's child process, which talks to its parent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from hpo import checkpoints
from hpo.checkpoints import Checkpoint
from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_RUNNING,
    STATUS_OK,
    STATUS_STOPPED,
    Claim,
    Document,
    Tid,
)
from hpo.exceptions import InvalidOption
from hpo.mirror import Followed, Mirror, mirror_of
from hpo.reports import LearningCurve, Report, as_step
from hpo.stopping.base import Curve, line_of, rungs_of
from hpo.store.base import Horizon

logger = logging.getLogger(__name__)

# Reports that come faster are written together. A worker stores them less often still.
REPORT_INTERVAL_SECS = 0.01


class Channel(Protocol):
    """How a running objective reaches the documents."""

    @property
    def attachments(self) -> MutableMapping[str, bytes]:
        """Named bytes beside the running trial."""

    def checkpoint(self, result: Mapping[str, Any]) -> None:
        """Publish a partial result of the running trial."""

    def report(self, reports: Sequence[Report]) -> None:
        """Publish the learning curve so far, whole. Raises LeaseLost."""

    @property
    def mirror(self) -> Mirror:
        """What has been read of the experiment's learning curves."""

    def reported(self, step: int | None, since: Horizon) -> tuple[Iterable[Document], Horizon]:
        """The experiment's learning curves beyond a horizon; see `hpo.mirror.Follow`."""

    def save_checkpoint(self, payload: bytes) -> None:
        """Keep what a later attempt goes on from. Raises LeaseLost."""

    def load_checkpoint(self) -> bytes | None:
        """What was kept by this trial, or by one that it takes up."""


class TrialsChannel:
    """The objective runs in the process that holds the trials."""

    def __init__(self, trials: Any, current_trial: Document | None) -> None:
        self._trials, self._current_trial = trials, current_trial

    @property
    def attachments(self) -> MutableMapping[str, bytes]:
        found: MutableMapping[str, bytes] = self._trials.trial_attachments(self._current_trial)
        return found

    def checkpoint(self, result: Mapping[str, Any]) -> None:
        if self._current_trial is not None:
            self._current_trial["result"] = dict(result)
        if (held := self._claim()) is not None:
            self._trials.store.checkpoint(held, result)

    def report(self, reports: Sequence[Report]) -> None:
        if (held := self._claim()) is not None:
            self._trials.store.report(held, reports)

    def _claim(self) -> Claim | None:
        """None for a trial that somebody evaluates by hand: nobody has claimed it."""
        trial = self._current_trial
        if trial is None or self._trials is None or trial["state"] != JOB_STATE_RUNNING:
            return None
        return Claim.of(trial)

    @property
    def mirror(self) -> Mirror:
        if self._trials is None or self._current_trial is None:
            return Mirror()
        return mirror_of(self._trials.store, self._current_trial["exp_key"])

    def reported(self, step: int | None, since: Horizon) -> tuple[Iterable[Document], Horizon]:
        if self._trials is None or self._current_trial is None:
            return (), since
        exp_key = self._current_trial["exp_key"]
        return list(self._trials.store.reported(exp_key, step=step, since=since)), since

    def save_checkpoint(self, payload: bytes) -> None:
        if self._trials is not None:
            self.attachments[checkpoints.ATTACHMENT] = payload

    def load_checkpoint(self) -> bytes | None:
        if self._trials is None or self._current_trial is None:
            return None
        return checkpoints.find_checkpoint(self._trials.store, self._current_trial)


# (seconds, function) -> None: calls the function after that time, while other things go on.
Later = Callable[[float, Callable[[], None]], None]


def _in_a_thread(secs: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(secs, act)
    # A process does not live on for its sake.
    timer.daemon = True
    timer.start()


class Ctrl:
    """Control object handed to a running objective.

    Attributes:
        trials: the trials this evaluation belongs to, or None in a worker.
        current_trial: the document being evaluated.

    Source: hyperopt.base.Ctrl, for all but reports, stopping and saved checkpoints.
    """

    info = logger.info
    warn = logger.warning
    error = logger.error
    debug = logger.debug

    def __init__(
        self,
        trials: Any,
        current_trial: Document | None = None,
        *,
        channel: Channel | None = None,
        clock: Callable[[], float] = time.monotonic,
        later: Later = _in_a_thread,
    ) -> None:
        self.trials = trials
        self.current_trial = current_trial
        self._channel = channel if channel is not None else TrialsChannel(trials, current_trial)
        self._clock, self._later = clock, later
        self._stopper: Any = None
        self._curve = LearningCurve(self._reports_before())
        # No rule decides again about what was settled before this trial took up another.
        self._settled_step = int((current_trial or {}).get("settled_step", -1))
        self._asked_step = self._last_step()
        # Of the curve, and of what follows: what was left unwritten is written by a thread.
        self._writing = threading.Lock()
        self._is_unwritten = self._is_put_off = False
        self._written_at = -REPORT_INTERVAL_SECS
        self._is_stopped = False

    def _reports_before(self) -> Sequence[Report]:
        return () if self.current_trial is None else self.current_trial.get("reports") or ()

    def _last_step(self) -> int:
        last = self._curve.last
        return -1 if last is None else int(last["step"])

    def checkpoint(self, result: Mapping[str, Any] | None = None) -> None:
        """Publish `result` as the partial result of the running trial.

        Raises:
            LeaseLost: another worker holds the trial by now; stop evaluating.
        """
        if result is not None:
            self._channel.checkpoint(result)

    @property
    def attachments(self) -> MutableMapping[str, bytes]:
        """Named bytes beside the running trial."""
        return self._channel.attachments

    # --- the learning curve ---

    def report(self, step: int, loss: float) -> None:
        """Say how good the configuration is after so much training.

        It is stored soon, within a tenth of a second, together with what comes meanwhile;
        and always before the rule looks at others, a checkpoint is saved or the trial ends.

        Args:
            step: epochs, batches or whatever was done so far; must rise from report to report.
            loss: what is minimised; NaN counts as infinite.

        Raises:
            InvalidReport: the step does not rise, or something is no number.
            LeaseLost: another worker holds the trial, as came out by now; stop evaluating.
        """
        with self._writing:
            self._curve.append(step, loss)
            self._is_unwritten = True
        # The trial may have gone back before what it had reported when its worker was lost.
        before = min(self._asked_step, self._last_step() - 1)
        self._asked_step = max(before, self._settled_step)
        rest_secs = self._written_at + REPORT_INTERVAL_SECS - self._clock()
        if rest_secs <= 0:
            self._write_reports()
        elif not self._is_put_off:
            self._is_put_off = True
            self._later(rest_secs, self._write_what_was_put_off)

    def should_stop(self) -> bool:
        """Whether the search's stopping rule wants this trial to end now.

        Once it said so it stays so. Without a rule, or when the rule itself fails, the
        answer is False.

        Raises:
            LeaseLost: another worker holds the trial by now; stop evaluating.
        """
        if self._is_stopped or self._stopper is None or self._asked_step >= self._last_step():
            return self._is_stopped
        try:
            self._is_stopped = bool(
                self._stopper.should_stop(
                    self._as_curve(), Followed(self._reported, self._channel.mirror)
                )
            )
        except _RuleInterrupted as interrupted:
            raise interrupted.error from None
        except Exception as error:  # a rule is anybody's code: the trial must not die of it
            logger.warning(
                "the stopping rule %r failed, and the trial goes on: %s: %s",
                self._stopper,
                type(error).__name__,
                error,
            )
        self._asked_step = self._last_step()
        return self._is_stopped

    def stopped(self, **more: Any) -> dict[str, Any]:
        """The result of a trial that ends here: the last loss reported, with status "stopped".

        For an objective that decides by itself, or has nothing else to return.

        Args:
            more: what the result shall hold beside.

        Raises:
            InvalidOption: nothing was reported yet.
        """
        if self._curve.last is None:
            raise InvalidOption(
                "ctrl.stopped() needs a loss to end with; call ctrl.report(step, loss) first"
            )
        return self._as_stopped(more)

    def _as_stopped(self, result: Mapping[str, Any]) -> dict[str, Any]:
        return {**result, "status": STATUS_STOPPED, **(self._curve.last or {})}

    def _as_curve(self) -> Curve:
        trial = self.current_trial or {"tid": None, "number": 0}
        reports = self._curve.reports
        return Curve(
            tid=trial["tid"],
            line=line_of(trial),
            steps=tuple(one["step"] for one in reports),
            losses=tuple(one["loss"] for one in reports),
            last_step=self._last_step(),
            asked_step=self._asked_step,
        )

    def _reported(self, step: int | None, since: Horizon) -> tuple[Iterable[Document], Horizon]:
        """Everybody's reports, after this trial's own are among them.

        So of two trials that come to a rung together, one at least sees the other.
        """
        try:
            self._write_reports()
            return self._channel.reported(step, since)
        except Exception as error:
            raise _RuleInterrupted(error) from error

    def _write_reports(self) -> None:
        with self._writing:
            if self._is_unwritten:
                self._channel.report(self._curve.reports)
                self._is_unwritten, self._written_at = False, self._clock()

    def _write_what_was_put_off(self) -> None:
        """For an objective that falls silent after reports that came fast."""
        self._is_put_off = False
        try:
            self._write_reports()
        except Exception as error:  # what is wrong comes up again when the objective asks
            logger.debug("what was reported last is not written yet: %s", error)

    # --- checkpoints ---

    def save_checkpoint(self, state: bytes, step: int | None = None) -> None:
        """Keep what the training needs to go on from here, in place of what was kept before.

        Args:
            state: the model and its optimiser, for example pickled.
            step: the last step that it includes; default the last one reported.

        Raises:
            LeaseLost: another worker holds the trial by now; stop evaluating.
        """
        if not isinstance(state, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"a checkpoint must be bytes, not {type(state).__name__}; pickle objects"
            )
        reached = max(self._last_step(), 0) if step is None else as_step(step)
        # First, because this is refused when the lease is lost.
        self._write_reports()
        self._channel.save_checkpoint(checkpoints.packed(Checkpoint(reached, bytes(state))))

    def load_checkpoint(self) -> Checkpoint | None:
        """Where to go on, or None when the training has to begin.

        There is one when an earlier attempt saved it, or when this trial takes up a
        stopped one that did.
        """
        payload = self._channel.load_checkpoint()
        return None if payload is None else checkpoints.unpacked(payload)

    # --- for whoever evaluates ---

    def begin(self, stopper: Any) -> None:
        """Let a stopping rule decide about this trial; None: none does."""
        self._stopper = stopper
        self._curve = LearningCurve(self._reports_before(), rungs_of(stopper))

    def end(self) -> None:
        """Write what was reported last."""
        self._write_reports()

    def concluded(self, result: dict[str, Any]) -> dict[str, Any]:
        """What the objective returned, as the result of a stopped trial if it was stopped."""
        is_cut_short = self._is_stopped and result["status"] == STATUS_OK
        return self._as_stopped(result) if is_cut_short else result

    @property
    def last_report(self) -> Report | None:
        """The latest report, or None."""
        return self._curve.last

    # --- other trials ---

    def inject_results(
        self,
        specs: Sequence[Any],
        results: Sequence[Mapping[str, Any]],
        miscs: Sequence[dict[str, Any]],
        new_tids: Sequence[Tid] | None = None,
    ) -> list[Tid]:
        """Add finished trials that this evaluation came by.

        Each becomes a DONE document whose misc.from_tid is the running trial.
        Only where the objective runs beside its trials.

        Args:
            specs, results, miscs: of each trial; a misc has "idxs" and "vals".
            new_tids: their ids; None: fresh ones.

        Raises:
            InvalidOption: there are no trials here to add to, or no running trial.
        """
        if self.trials is None:
            raise InvalidOption(
                "ctrl.inject_results needs the trials, and a worker has none; search in the "
                "driver's process to use it, or return what you found in the result"
            )
        if self.current_trial is None:
            raise InvalidOption(
                "ctrl.inject_results adds to a running trial, and this Ctrl has none; "
                "make it with current_trial="
            )
        tids = self.trials.new_trial_ids(len(specs)) if new_tids is None else new_tids
        documents = self.trials.source_trial_docs(
            tids=tids,
            specs=specs,
            results=results,
            miscs=miscs,
            sources=[self.current_trial] * len(specs),
        )
        for document in documents:
            document["state"] = JOB_STATE_DONE
        inserted: list[Tid] = self.trials.insert_trial_docs(documents)
        return inserted


class _RuleInterrupted(Exception):
    """The documents could not be reached while a rule decided: no fault of the rule's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error
