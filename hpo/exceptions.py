"""Every error that `hpo` raises on purpose.

    HpoError
    ├── BadSearchSpace (ValueError)       the space cannot mean anything
    │   ├── DuplicateLabel                two hyperparameters share a name
    │   ├── InvalidLabel (TypeError)      a label must be text
    │   ├── SymbolTaken                   the name in `scope` is in use
    │   └── EmptySpace                    there is nothing to search
    ├── InvalidConfiguration (ValueError) values do not fit the space
    ├── MissingValue (AssertionError)     evaluation needs a value it was not given
    ├── InvalidTrial (ValueError)         a document breaks the trial format
    ├── InvalidResult (ValueError)        the objective returned what we cannot use
    │   ├── InvalidResultStatus
    │   ├── InvalidLoss
    │   ├── InvalidReport                 a step or a loss of a learning curve
    │   └── UnstorableResult              no database can hold it
    ├── InvalidAnnotatedParameter (ValueError)
    ├── InvalidOption (TypeError)         unknown or unusable argument
    │   └── InvalidOptionValue (ValueError)  of the right type, without sense
    ├── AllTrialsFailed                   there is no best trial
    ├── SpaceExhausted                    every configuration has been tried
    ├── HistoryChanged                    a suggestion cannot be computed again
    ├── ObjectiveError
    │   ├── UnpicklableObjective          cannot leave the driver
    │   └── UnloadableObjective           cannot be rebuilt on this worker
    │       └── UntrustedObjective        nobody with our key signed it for this use
    ├── InvalidKey (ValueError)           there is no signing key, or none to be trusted
    ├── BadSignature                      the bytes are not what was signed, if any were
    ├── UnreadableSession (ValueError)    a saved model's file is damaged, or is something else
    ├── WorkersGone                       every local worker ended early
    ├── StoreError
    │   ├── InvalidUrl (ValueError)
    │   ├── ServerUnreachable
    │   │   └── UnknownHost               the address may be misspelt
    │   ├── AccessDenied
    │   ├── LeaseLost                     somebody else holds the trial now
    │   ├── DuplicateTrial                the tid is taken
    │   ├── Overtaken                     others were inserted since the caller looked
    │   └── SpaceChanged                  the experiment was started with another space
    ├── EmbeddedServerError
    │   └── MongodNotFound
    └── PyllImportError (ImportError)

Each keeps its data as attributes, passes all of it to `super().__init__` (so
that it survives pickling from a child process), and ends its text with what
to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "AccessDenied",
    "AllTrialsFailed",
    "BadSearchSpace",
    "BadSignature",
    "DuplicateLabel",
    "DuplicateTrial",
    "EmbeddedServerError",
    "EmptySpace",
    "HistoryChanged",
    "HpoError",
    "InvalidAnnotatedParameter",
    "InvalidConfiguration",
    "InvalidKey",
    "InvalidLabel",
    "InvalidLoss",
    "InvalidOption",
    "InvalidOptionValue",
    "InvalidReport",
    "InvalidResult",
    "InvalidResultStatus",
    "InvalidTrial",
    "InvalidUrl",
    "LeaseLost",
    "MissingValue",
    "MongodNotFound",
    "ObjectiveError",
    "Overtaken",
    "PyllImportError",
    "ServerUnreachable",
    "SpaceChanged",
    "SpaceExhausted",
    "StoreError",
    "SymbolTaken",
    "UnknownHost",
    "UnloadableObjective",
    "UnpicklableObjective",
    "UnreadableSession",
    "UnstorableResult",
    "UntrustedObjective",
    "WorkersGone",
    "did_you_mean",
]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known word, or ""."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class HpoError(Exception):
    """Base of every error that hpo raises on purpose."""


# --- search space -----------------------------------------------------------


class BadSearchSpace(HpoError, ValueError):
    """The search space cannot mean anything."""


class DuplicateLabel(BadSearchSpace):
    """Two different hyperparameters carry the same label."""


class EmptySpace(BadSearchSpace):
    """The space holds no hyperparameter."""


class InvalidLabel(BadSearchSpace, TypeError):
    """A hyperparameter's label is not usable text."""


class SymbolTaken(BadSearchSpace):
    """A function cannot be registered: `scope` knows another by its name."""

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        self.symbol = symbol

    def __str__(self) -> str:
        return (
            f"scope knows another {self.symbol!r} already; rename the function, or call "
            f"scope.undefine({self.symbol!r}) first"
        )


class InvalidConfiguration(HpoError, ValueError):
    """The values of a configuration do not fit the search space."""


class MissingValue(HpoError, AssertionError):
    """An expression needs the value of a node that was marked as having none."""

    def __init__(self, message: str, label: str | None = None) -> None:
        super().__init__(message, label)
        self.message, self.label = message, label

    def __str__(self) -> str:
        return self.message


class PyllImportError(HpoError, ImportError):
    """A name in an expression could not be imported."""


class InvalidAnnotatedParameter(HpoError, ValueError):
    """fn has a parameter whose annotation is not a search-space expression."""


# --- objective and result -----------------------------------------------------


class InvalidTrial(HpoError, ValueError):
    """A trial document breaks the format."""

    def __init__(self, message: str, trial: Any = None) -> None:
        super().__init__(message, trial)
        self.message, self.trial = message, trial

    def __str__(self) -> str:
        return self.message


class InvalidResult(HpoError, ValueError):
    """The objective returned something that cannot be used."""

    def __init__(self, message: Any, result: Any = None) -> None:
        super().__init__(message, result)
        self.message, self.result = message, result

    def __str__(self) -> str:
        return str(self.message)


class InvalidResultStatus(InvalidResult):
    """The result's status is missing or unknown."""


class InvalidLoss(InvalidResult):
    """The result's loss is missing or not one real number."""


class InvalidReport(InvalidResult):
    """A step or a loss that a learning curve cannot have."""


class UnstorableResult(InvalidResult):
    """The result holds a value that the database cannot store."""


class AllTrialsFailed(HpoError):
    """No trial ended with status ok, so there is no best one."""


class SpaceExhausted(HpoError):
    """Every configuration of a discrete space has been tried or is running."""

    def __init__(self, n_trials: int) -> None:
        super().__init__(n_trials)
        self.n_trials = n_trials

    def __str__(self) -> str:
        return (
            f"after {self.n_trials} trials no configuration is left that was not tried; if the "
            "objective is noisy, say so (noisy=True), and they are tried again"
        )


class HistoryChanged(HpoError):
    """The trials that a suggestion was based on are not the same any more."""

    def __init__(self, recorded: str, present: str) -> None:
        super().__init__(recorded, present)
        self.recorded, self.present = recorded, present

    def __str__(self) -> str:
        return (
            f"the trials that had been seen have the digest {self.present} (number:hash) instead "
            f"of {self.recorded}: some were deleted or altered since, so the suggestion cannot "
            "be computed again"
        )


class ObjectiveError(HpoError):
    """The objective cannot travel between driver and worker."""


class UnpicklableObjective(ObjectiveError):
    """The objective, or something it refers to, cannot be pickled."""


class UnloadableObjective(ObjectiveError):
    """The stored objective cannot be rebuilt on this worker."""


class UntrustedObjective(UnloadableObjective):
    """The stored objective is none that a holder of our key signed for this use.

    Attributes:
        exp_key: the experiment of the trial that names it.
        defect: what is wrong with it, and what to do.
        is_misplaced: it is good where it belongs; the trial that names it is not.
    """

    def __init__(self, exp_key: str | None, defect: str, is_misplaced: bool = False) -> None:
        super().__init__(exp_key, defect, is_misplaced)
        self.exp_key, self.defect, self.is_misplaced = exp_key, defect, is_misplaced

    def __str__(self) -> str:
        return (
            f"the stored objective of experiment {self.exp_key!r} is refused, and nothing of it "
            f"was run: {self.defect}"
        )


class InvalidKey(HpoError, ValueError):
    """There is no signing key, or none that can be trusted."""


class BadSignature(HpoError):
    """Bytes are not what somebody with one of our keys signed.

    Attributes:
        defect: in what way.
        is_foreign: they were signed, with a key that is not known here.
    """

    def __init__(self, defect: str, is_foreign: bool = False) -> None:
        super().__init__(defect, is_foreign)
        self.defect, self.is_foreign = defect, is_foreign

    def __str__(self) -> str:
        return self.defect


class InvalidOption(HpoError, TypeError):
    """An argument that is unknown or cannot be used."""


class InvalidOptionValue(InvalidOption, ValueError):
    """An option has the right type and a value that makes no sense."""


class UnreadableSession(HpoError, ValueError):
    """A file from which a model was to continue is damaged, or is something else."""

    def __init__(self, path: str, defect: str) -> None:
        super().__init__(path, defect)
        self.path, self.defect = path, defect

    def __str__(self) -> str:
        return (
            f"{self.path} cannot be continued from: {self.defect}. The file is untouched; "
            "repair or move it, or give another io_load_dir"
        )


class WorkersGone(HpoError):
    """Every local worker has ended although trials remain."""


# --- stores -------------------------------------------------------------------


class StoreError(HpoError):
    """A store could not do what was asked."""


class InvalidUrl(StoreError, ValueError):
    """The text is not a usable MongoDB URL; credentials are never quoted."""


class ServerUnreachable(StoreError):
    """No server answered in time."""


class UnknownHost(ServerUnreachable):
    """Nobody knows the hosts that the address names: waiting would not help."""


class AccessDenied(StoreError):
    """The server refused the login, or what it was asked to do."""


class DuplicateTrial(StoreError):
    """A trial with this tid is stored already."""

    def __init__(self, tids: Sequence[Any]) -> None:
        super().__init__(tids)
        self.tids = list(tids)

    def __str__(self) -> str:
        return (
            f"trials {self.tids} are stored already; take fresh ids from "
            "trials.new_trial_ids(n) before building documents"
        )


class Overtaken(StoreError):
    """Trials were inserted since the caller looked; what it wanted to add was not stored."""

    def __init__(self, exp_key: str | None, number: int) -> None:
        super().__init__(exp_key, number)
        self.exp_key, self.number = exp_key, number

    def __str__(self) -> str:
        return (
            f"trial number {self.number} of experiment {self.exp_key!r} is stored already; "
            "refresh, and suggest again with what is there now"
        )


class LeaseLost(StoreError):
    """The trial is no longer held under this claim."""

    def __init__(self, tid: Any, owner: str | None, attempt: int | None = None) -> None:
        super().__init__(tid, owner, attempt)
        self.tid, self.owner, self.attempt = tid, owner, attempt

    def __str__(self) -> str:
        return (
            f"trial {self.tid} is no longer held by {self.owner} (attempt {self.attempt}): its "
            "lease expired and it was requeued, or it was cancelled; this write changed nothing. "
            "Raise the worker's --lease if it cannot send heartbeats in time."
        )


class SpaceChanged(StoreError):
    """The experiment was started with a different search space."""

    def __init__(self, exp_key: str | None, changes: Sequence[str]) -> None:
        super().__init__(exp_key, changes)
        self.exp_key, self.changes = exp_key, list(changes)

    def __str__(self) -> str:
        listed = "\n  ".join(self.changes)
        return (
            f"experiment {self.exp_key!r} was started with another search space:\n  {listed}\n"
            "Its trials are untouched. Choose a new exp_key for the new space, or go back to the "
            "old space."
        )


class EmbeddedServerError(HpoError):
    """The embedded MongoDB did not start, answer or stop."""


class MongodNotFound(EmbeddedServerError):
    """No mongod executable could be found."""
