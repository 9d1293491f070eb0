"""What a running objective may ask of its worker, each a verb with arguments.

    objective         sha256        -> what to rebuild the objective from, once its signature holds
    checkpoint        result        -> None; publishes a partial result
    report            [{step, loss}] -> None; the learning curve so far, published soon
    reported          step or None, horizon -> learning curves beyond it, and the horizon now
    save_checkpoint   bytes         -> None; kept for a later attempt, or whoever takes it up
    load_checkpoint                 -> bytes or None
    attachment        name          -> bytes
    attach            name, bytes   -> None
    detach            name          -> None
    attachment_names                -> list of names

An objective's code is not trusted to ask for anything else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hpo.checkpoints import ATTACHMENT, find_checkpoint
from hpo.document import DEFAULT_LEASE_SECS, Claim, Document
from hpo.exceptions import (
    HpoError,
    InvalidKey,
    LeaseLost,
    ServerUnreachable,
    UnloadableObjective,
    UntrustedObjective,
)
from hpo.objective import Verified, verify
from hpo.reports import MAX_REPORTS, as_loss, as_step
from hpo.signing import KeyRing, load_keys
from hpo.store.base import Horizon, Store
from hpo_worker.outcome import Interruption
from hpo_worker.reporting import Reporter

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Desk:
    """Answers the questions of one trial's evaluation from the store.

    Args:
        store: where the trial lives.
        trial: the RUNNING document.
        insist: calls a function again while the server cannot be reached.
        may_unpickle: whether objectives that are pickled are accepted.
        keys: those that sign what may run here.
        lease_secs: the length of the trial's lease.

    Attributes:
        has_lost_lease: a question showed that somebody else holds the trial now.
    """

    def __init__(
        self,
        store: Store,
        trial: Document,
        insist: Callable[[Callable[[], Any]], Any],
        *,
        may_unpickle: bool = True,
        keys: Callable[[], KeyRing] = load_keys,
        lease_secs: float = DEFAULT_LEASE_SECS,
    ) -> None:
        self._store, self._trial, self._insist = store, trial, insist
        self._may_unpickle, self._keys = may_unpickle, keys
        self._held, self._lease_secs = Claim.of(trial), lease_secs
        self.has_lost_lease = False
        # Made with the first report: most objectives make none.
        self._reporter: Reporter | None = None
        self._verbs: dict[str, Callable[..., Any]] = {
            "objective": self._objective,
            "checkpoint": self._checkpoint,
            "report": self._report,
            "reported": self._reported,
            "save_checkpoint": self._save_checkpoint,
            "load_checkpoint": lambda: find_checkpoint(self._store, self._trial),
            "attachment": lambda name: self._attachments()[name],
            "attach": self._attach,
            "detach": lambda name: self._attachments().__delitem__(name),
            "attachment_names": lambda: list(self._attachments()),
        }

    def answer(self, verb: str, *arguments: Any) -> Any:
        """Answer one question.

        Raises:
            Interruption: there is no point in evaluating any further.
            HpoError, KeyError, TypeError, RuntimeError: the answer is this error.
        """
        act = self._verbs.get(verb)
        if act is None:
            raise TypeError(f"a worker does not answer to {verb!r}")
        try:
            return self._insist(lambda: act(*arguments))
        except (LeaseLost, ServerUnreachable) as lost:
            self.has_lost_lease = isinstance(lost, LeaseLost)
            raise Interruption from lost
        except (HpoError, KeyError, TypeError):
            raise
        # A driver's own exceptions might not survive the way to another process.
        except Exception as error:
            raise RuntimeError(f"{verb} failed: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """The trial was evaluated: store what it reported last."""
        if self._reporter is None:
            return
        self._reporter.close()
        try:
            self._insist(self._reporter.flush)
        except (LeaseLost, ServerUnreachable) as error:
            # Whoever writes how the trial ended meets it as well.
            self.has_lost_lease |= isinstance(error, LeaseLost)
            logger.debug("what was reported last is not stored: %s", error)

    def abandon(self) -> None:
        """The trial was not evaluated to an end: store nothing more."""
        if self._reporter is not None:
            self._reporter.close()

    def _objective(self, sha256: str | None) -> Verified:
        if sha256 is None:
            raise UnloadableObjective(
                f"trial {self._trial['tid']} names no objective: it was not inserted by hpo's "
                "fmin. Its own kind of worker has to take it."
            )
        # Here and not where it is unpickled: the objective's process has no key.
        exp_key = self._trial["exp_key"]
        try:
            keys = self._keys()
        except InvalidKey as error:
            raise UntrustedObjective(exp_key, str(error)) from error
        try:
            payload = self._store.get_objective(sha256)
        except KeyError:
            raise UnloadableObjective(
                f"the objective {sha256[:12]}… of trial {self._trial['tid']} is not in the "
                "database. Start the driver again: it stores its objective anew."
            ) from None
        return verify(payload, sha256, exp_key, keys, may_unpickle=self._may_unpickle)

    def _checkpoint(self, result: Mapping[str, Any]) -> None:
        self._store.checkpoint(self._held, result)

    def _report(self, reports: Sequence[Mapping[str, Any]]) -> None:
        if not 0 < len(reports) <= MAX_REPORTS:
            raise TypeError(f"a learning curve has 1 to {MAX_REPORTS} reports, not {len(reports)}")
        sound = [{"step": as_step(one["step"]), "loss": as_loss(one["loss"])} for one in reports]
        if self._reporter is None:
            self._reporter = Reporter(lambda curve: self._store.report(self._held, curve))
        self._reporter.put(sound)

    def _flush(self) -> None:
        if self._reporter is not None:
            self._reporter.flush()

    def _reported(self, step: int | None, since: Horizon) -> tuple[list[Document], Horizon]:
        self._flush()
        at_step = None if step is None else as_step(step)
        if not isinstance(since, Horizon):
            raise TypeError(f"a horizon is asked for, not {type(since).__name__}")
        # A repeated question starts where the first one did.
        horizon = since.copy()
        found = list(self._store.reported(self._trial["exp_key"], step=at_step, since=horizon))
        return found, horizon

    def _save_checkpoint(self, payload: bytes) -> None:
        self._flush()
        # Attachments have no fence of their own: a worker that lost the trial must not
        # put an old state in place of a newer one.
        self._store.heartbeat(self._held, self._lease_secs)
        self._attach(ATTACHMENT, payload)

    def _attachments(self) -> Any:
        return self._store.trial_attachments(self._trial)

    def _attach(self, name: str, value: bytes) -> None:
        self._attachments()[name] = value
