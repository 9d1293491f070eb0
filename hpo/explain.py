"""What TPE saw, and thought, when it made one suggestion.

    symbol     meaning                                                     shape
    good, rest trials that l and g were fitted to                            tids
    l, g       density (or probability) of one hyperparameter in the two      (n,)
    score      log l - log g of each candidate, over all hyperparameters,
               without what g lacks next to bounds, and the outlook         (C,)
    outlook    what a regression of the losses adds to it                  (C,)

The suggestion is computed again (`hpo.replay`), so what is shown is what happened.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpo import tpe
from hpo.candidates import Lot
from hpo.document import Tid
from hpo.exceptions import InvalidOptionValue
from hpo.observations import Observations
from hpo.replay import as_space, picks_of, record_of, space_of
from hpo.space import Space
from hpo.tree_model import Model

if TYPE_CHECKING:
    from hpo.trials import Trials

__all__ = ["Candidate", "Explanation", "Margin", "explain"]

Floats = npt.NDArray[np.float64]

_GRID = 200
# Of an unbounded hyperparameter the grid covers so many deviations of the prior.
_SIGMAS = 4.0


@dataclass(frozen=True, eq=False)
class Margin:
    """One hyperparameter alone.

    Attributes:
        grid: values, ascending; numbers of options for a choice. Shape (n,).
        l, g: density at these values under the two estimators, in unit coordinates
            (see `hpo.space.coordinates`); probability of discrete ones. Shape (n,).
        log_ratio: log l - log g, shape (n,).
    """

    grid: Floats
    l: Floats  # noqa: E741
    g: Floats
    log_ratio: Floats


@dataclass(frozen=True)
class Candidate:
    """One draw from l.

    Attributes:
        params: {label: value} as people read it.
        score: log l - log g, over all hyperparameters, without what g lacks next to bounds,
            and the outlook.
        outlook: what a regression of the losses adds to the score; 0 where it had no say.
        was_picked: whether it became the suggestion.
    """

    params: Mapping[str, Any]
    score: float
    outlook: float
    was_picked: bool


@dataclass(frozen=True, eq=False)
class Explanation:
    """How one suggestion came about.

    Attributes:
        tid: the trial, or None for the next one.
        start: its place among the first trials, from 0, or None when a model chose it;
            then everything below is empty but `params`.
        params: {label: value} of the suggestion, as people read it.
        decided: {choice: branch} that was decided before anything was drawn.
        anew: labels on which l had no say, because they were drawn from the prior.
        good, rest: ids of the trials that l and g were fitted to, the oldest first.
        margins: {label: Margin}, of the hyperparameters that are active.
        candidates: the best first.
    """

    tid: Tid | None
    start: int | None
    params: Mapping[str, Any]
    decided: Mapping[str, int]
    anew: Sequence[str]
    good: Sequence[Tid]
    rest: Sequence[Tid]
    margins: Mapping[str, Margin]
    candidates: Sequence[Candidate]

    def __str__(self) -> str:
        name = "the next trial" if self.tid is None else f"trial {self.tid}"
        chosen = ", ".join(f"{label}={_short(value)}" for label, value in self.params.items())
        lines = [f"{name}: {chosen}"]
        if self.start is not None:
            return f"{lines[0]}\npoint {self.start} of the start, before any model"
        for label, branch in self.decided.items():
            lines.append(f"branch {branch} of {label!r} was decided first")
        if self.anew:
            lines.append(f"drawn from the prior: {', '.join(self.anew)}")
        listed = ", ".join(map(str, self.good))
        lines.append(f"{len(self.good)} good trials ({listed}), {len(self.rest)} others")
        if not self.candidates:
            lines.append("every candidate had been tried: it was drawn from the prior")
        has_outlook = any(candidate.outlook for candidate in self.candidates)
        for candidate in self.candidates[:5]:
            mark = "->" if candidate.was_picked else "  "
            shown = ", ".join(f"{k}={_short(v)}" for k, v in candidate.params.items())
            ratio = f"log l/g {candidate.score - candidate.outlook:8.3f}"
            if has_outlook:
                ratio += f"  outlook {candidate.outlook:8.3f}"
            lines.append(f"{mark} {ratio}  {shown}")
        return "\n".join(lines)


def explain(
    trials: Trials, tid: Tid | None = None, space: Any = None, options: tpe.Options | None = None
) -> Explanation:
    """Tell how TPE came to one suggestion.

    Args:
        tid: the trial; None: one that would be suggested next.
        space: what was searched: a space, a Space or a Domain; None: it is taken from the
            objective that is stored with the experiment.
        options: of the next suggestion; those of a trial are in its document.

    Raises:
        InvalidOptionValue: there is no such trial, or TPE did not suggest it.
        HistoryChanged: trials that had been seen were deleted or altered since.
    """
    if tid is None:
        if space is None:
            raise InvalidOptionValue("say what is searched: explain(trials, space=…)")
        searched = as_space(space)
        observations: Observations = trials.observations()
        pick = next(
            tpe.suggest_in_turn(
                searched, observations, ["next"], 0, options or tpe.Options(), None
            )
        )
    else:
        document, record = record_of(trials, tid, ("tpe",))
        searched = space_of(trials, document) if space is None else as_space(space)
        observations, picks = picks_of(searched, trials, record)
        pick = next(itertools.islice(picks, record["batch"]["place"], None))
    return _explained(searched, observations, tid, pick)


def _explained(
    space: Space, observations: Observations, tid: Tid | None, pick: tpe.Pick
) -> Explanation:
    params = space.params(pick.values)
    if pick.lot is None:
        return Explanation(tid, pick.start, params, {}, (), (), (), {}, ())
    model = pick.lot.model
    ids = observations.tids[model.history.rows]
    return Explanation(
        tid=tid,
        start=None,
        params=params,
        decided=dict(model.decided),
        anew=tuple(label for label in pick.lot.anew if label in pick.values),
        good=tuple(ids[np.sort(model.good)].tolist()),
        rest=tuple(ids[np.sort(model.rest)].tolist()),
        margins={label: _margin(model, label) for label in pick.values if _is_known(space, label)},
        candidates=tuple(_candidates(space, pick.lot)) if pick.is_candidate else (),
    )


def _candidates(space: Space, lot: Lot) -> list[Candidate]:
    rng = np.random.default_rng(0)
    score, outlook = lot.score, lot.outlook
    return [
        Candidate(
            params=space.params(lot.values(index, rng)),
            score=float(score[index]),
            outlook=float(outlook[index]),
            was_picked=index == lot.picked,
        )
        for index in np.argsort(-score, kind="stable").tolist()
    ]


def _is_known(space: Space, label: str) -> bool:
    return label not in space.coordinates.free


def _margin(model: Model, label: str) -> Margin:
    grid = _grid_of(model.history.space, label)
    log_l, log_g = model.margins(label, grid)
    with np.errstate(invalid="ignore"):
        return Margin(grid, np.exp(log_l), np.exp(log_g), log_l - log_g)


def _grid_of(space: Space, label: str) -> Floats:
    coordinates = space.coordinates
    if label in coordinates.options:
        n_options = len(coordinates.option_priors[coordinates.options.index(label)])
        return np.arange(n_options, dtype=np.float64)
    row = coordinates.numeric.index(label)
    low, high = coordinates.low[row, 0], coordinates.high[row, 0]
    if not np.isfinite(high):
        low, high = -_SIGMAS, _SIGMAS
    u = np.full((len(coordinates.numeric), _GRID), 0.5)
    u[row] = np.linspace(low, high, _GRID)
    return np.unique(coordinates.from_unit(u)[row])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
