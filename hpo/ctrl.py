"""Ctrl: what a running objective may say to the experiment it is part of.

An objective gets one through `pass_expr_memo_ctrl`, or by writing the class
`Ctrl` itself into its search space as a literal. Through it the objective
publishes partial results, keeps attachments, and adds results it came by.

Where the objective runs decides how its words travel: beside the trials
(`TrialsChannel`), or in a worker's child process, which talks to its parent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from hpo.document import JOB_STATE_DONE, Document, Tid
from hpo.exceptions import InvalidOption

logger = logging.getLogger(__name__)


class Channel(Protocol):
    """How a running objective reaches the documents."""

    @property
    def attachments(self) -> MutableMapping[str, bytes]:
        """Named bytes beside the running trial."""

    def checkpoint(self, result: Mapping[str, Any]) -> None:
        """Publish a partial result of the running trial."""


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


class Ctrl:
    """Control object handed to a running objective.

    Attributes:
        trials: the trials this evaluation belongs to, or None in a worker.
        current_trial: the document being evaluated.

    Source: hyperopt.base.Ctrl.
    """

    info = logger.info
    warn = logger.warning
    error = logger.error
    debug = logger.debug

    def __init__(
        self, trials: Any, current_trial: Document | None = None, *, channel: Channel | None = None
    ) -> None:
        self.trials = trials
        self.current_trial = current_trial
        self._channel = channel if channel is not None else TrialsChannel(trials, current_trial)

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
