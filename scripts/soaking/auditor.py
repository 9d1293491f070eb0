"""The auditor: what the documents say, held against what the side log knows.

complete     exactly as many trials as were asked for, none open, none cancelled
numbered     no tid twice; numbers 0, 1, 2 … without gaps; no configuration twice
true         every result is the objective's value, and was computed under that attempt
explained    every error is the objective's own, or a trial whose workers were lost too often
kept         every result that was acknowledged stands, under the attempt it was acknowledged for
accounted    each attempt has one end in the history, in order
released     nobody holds an ended trial; nobody leads an experiment that has ended
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    STATE_WORDS,
    Document,
)
from scripts.soaking.objective import NoValue, loss_of
from scripts.soaking.sidelog import Acknowledged, Entry, Evaluation

# How an attempt can end that costs one of `max_attempts`.
LOST = ("lost", "killed")


@dataclass(frozen=True)
class Breach:
    """A promise that was not kept.

    Attributes:
        promise: its word, as the module's text lists them.
        tid: of the trial, or None if it is about all of them.
        text: what was found.
    """

    promise: str
    tid: Any
    text: str

    def __str__(self) -> str:
        whose = "" if self.tid is None else f"trial {self.tid}: "
        return f"{self.promise}: {whose}{self.text}"


def audit(
    trials: Sequence[Document],
    entries: Iterable[Entry],
    *,
    max_evals: int,
    leader: str | None = None,
) -> list[Breach]:
    """Name every breach, of all promises.

    Args:
        trials: all documents of the experiment, whole.
        entries: the side log.
        max_evals: how many trials were asked for.
        leader: the driver that leads the experiment now, or None.
    """
    seen = list(entries)
    evaluated = _by_attempt(entry for entry in seen if isinstance(entry, Evaluation))
    acknowledged = [entry for entry in seen if isinstance(entry, Acknowledged)]
    return [
        *_incomplete(trials, max_evals),
        *_misnumbered(trials),
        *_untrue(trials, evaluated),
        *_unexplained(trials),
        *_not_kept(trials, acknowledged),
        *_unaccounted(trials),
        *_unreleased(trials, leader),
    ]


def _by_attempt(
    evaluations: Iterable[Evaluation],
) -> dict[tuple[Any, int], list[Evaluation]]:
    found: dict[tuple[Any, int], list[Evaluation]] = {}
    for evaluation in evaluations:
        found.setdefault((evaluation.tid, evaluation.attempt), []).append(evaluation)
    return found


def _incomplete(trials: Sequence[Document], max_evals: int) -> Iterator[Breach]:
    if len(trials) != max_evals:
        yield Breach("complete", None, f"{len(trials)} trials, asked for {max_evals}")
    for trial in trials:
        if trial["state"] not in (JOB_STATE_DONE, JOB_STATE_ERROR):
            yield Breach("complete", trial["tid"], f"is {STATE_WORDS[trial['state']].upper()}")


def _misnumbered(trials: Sequence[Document]) -> Iterator[Breach]:
    for tid in _repeated(trial["tid"] for trial in trials):
        yield Breach("numbered", tid, "this tid is there more than once")
    numbers = sorted(trial["number"] for trial in trials)
    if numbers != list(range(len(trials))):
        first = next(place for place, number in enumerate(numbers) if place != number)
        yield Breach("numbered", None, f"the numbers are not dense from {first} on")
    for x in _repeated(trial["params"]["x"] for trial in trials):
        yield Breach("numbered", None, f"x = {x!r} was suggested more than once")


def _repeated(things: Iterable[Any]) -> list[Any]:
    return [thing for thing, n in Counter(things).items() if n > 1]


def _untrue(
    trials: Sequence[Document], evaluated: Mapping[tuple[Any, int], Collection[Evaluation]]
) -> Iterator[Breach]:
    for trial in trials:
        if trial["state"] != JOB_STATE_DONE:
            continue
        tid, loss = trial["tid"], trial["result"].get("loss")
        try:
            value: float | None = loss_of(trial["params"])
        except NoValue:
            value = None
        if loss != value:
            yield Breach("true", tid, f"its loss is {loss!r}; the objective's value is {value!r}")
        x = trial["params"]["x"]
        if trial["misc"]["vals"]["x"] != [x]:
            yield Breach("true", tid, f"params and misc.vals disagree on x = {x!r}")
        here = evaluated.get((tid, trial["attempt"]), ())
        if not any(evaluation.x == x and evaluation.loss == loss for evaluation in here):
            yield Breach(
                "true", tid, f"nobody computed its result under attempt {trial['attempt']}"
            )


def _unexplained(trials: Sequence[Document]) -> Iterator[Breach]:
    for trial in trials:
        if trial["state"] != JOB_STATE_ERROR:
            continue
        kind, text = trial.get("error") or (None, None)
        explained = _EXPLANATIONS.get(kind)
        if explained is None or not explained(trial):
            yield Breach("explained", trial["tid"], f"no reason for its error {kind}: {text}")


def _raises(trial: Document) -> bool:
    try:
        loss_of(trial["params"])
    except NoValue:
        return True
    return False


def _lost_too_often(trial: Document) -> bool:
    return bool(_n_lost(trial) == trial["lost_attempts"] == trial["max_attempts"])


def _n_lost(trial: Document) -> int:
    return sum(ended["reason"] in LOST for ended in trial.get("attempts", ()))


_EXPLANATIONS: dict[str | None, Callable[[Document], bool]] = {
    "NoValue": _raises,
    "LostWorker": _lost_too_often,
}


def _not_kept(
    trials: Sequence[Document], acknowledged: Sequence[Acknowledged]
) -> Iterator[Breach]:
    by_tid = {trial["tid"]: trial for trial in trials}
    winners: dict[Any, set[tuple[int, str]]] = {}
    for entry in acknowledged:
        winners.setdefault(entry.tid, set()).add((entry.attempt, entry.owner))
        trial = by_tid.get(entry.tid)
        if trial is None:
            yield Breach("kept", entry.tid, "was acknowledged, and is not there")
        elif (
            trial["state"] != JOB_STATE_DONE
            or (trial["attempt"], trial["owner"]) != (entry.attempt, entry.owner)
            or trial["result"].get("loss") != entry.loss
        ):
            yield Breach(
                "kept",
                entry.tid,
                f"the acknowledged result {entry.loss!r} of {entry.owner} (attempt "
                f"{entry.attempt}) does not stand",
            )
    for tid, ends in winners.items():
        if len(ends) > 1:
            yield Breach("kept", tid, f"was acknowledged to {len(ends)} claims: {sorted(ends)}")


def _unaccounted(trials: Sequence[Document]) -> Iterator[Breach]:
    for trial in trials:
        if trial["state"] == JOB_STATE_CANCEL:
            continue
        ended = [entry["attempt"] for entry in trial.get("attempts", ())]
        if ended != list(range(1, trial["attempt"] + 1)):
            yield Breach(
                "accounted", trial["tid"], f"attempt {trial['attempt']}, but history {ended}"
            )
        if _n_lost(trial) != trial["lost_attempts"]:
            yield Breach(
                "accounted",
                trial["tid"],
                f"{_n_lost(trial)} lost, but counted {trial['lost_attempts']}",
            )


def _unreleased(trials: Sequence[Document], leader: str | None) -> Iterator[Breach]:
    for trial in trials:
        if trial.get("lease_until") is not None:
            yield Breach("released", trial["tid"], f"{trial['owner']} still has a lease on it")
    if leader is not None:
        yield Breach("released", None, f"driver {leader} still leads")
