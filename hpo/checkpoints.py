"""Checkpoints: what a training needs to go on from its last step, on whatever machine.

    hpo-checkpoint 1 <step>⏎     the header, so that step and state cannot disagree
    the objective's own bytes

It is the trial's attachment "checkpoint", of which the latest is kept. A trial
whose worker vanished, or was told to stop, finds the one that it saved itself;
one that takes up a stopped trial finds that one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.exceptions import InvalidOption

if TYPE_CHECKING:
    from hpo.store.base import Store

ATTACHMENT = "checkpoint"

_MAGIC = b"hpo-checkpoint 1 "


@dataclass(frozen=True)
class Checkpoint:
    """Where a training can go on.

    Attributes:
        step: the last step that it includes.
        state: what the objective saved.
    """

    step: int
    state: bytes


def packed(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as the bytes of an attachment."""
    return _MAGIC + f"{checkpoint.step}\n".encode() + checkpoint.state


def unpacked(payload: bytes) -> Checkpoint:
    """The checkpoint that an attachment holds.

    Raises:
        InvalidOption: it is something else.
    """
    header, newline, state = payload.partition(b"\n")
    step = header[len(_MAGIC) :]
    if not (header.startswith(_MAGIC) and newline and step.isdigit()):
        raise InvalidOption(
            f"the attachment {ATTACHMENT!r} of this trial is none that ctrl.save_checkpoint wrote "
            f"(it begins with {payload[:20]!r}); keep other things under another name"
        )
    return Checkpoint(int(step), state)


def find_checkpoint(store: Store, trial: Mapping[str, Any]) -> bytes | None:
    """The attachment of a trial, or else of the nearest one that it takes up; None without."""
    seen: set[Any] = set()
    while trial["tid"] not in seen:
        seen.add(trial["tid"])
        payload = store.trial_attachments(dict(trial)).get(ATTACHMENT)
        if payload is not None or trial.get("continues") is None:
            return payload
        taken_up = store.find(
            trial["exp_key"], tids=[trial["continues"]], fields=["exp_key", "continues"]
        )
        trial = next(iter(taken_up), trial)
    return None
