"""One configuration after the other, each chosen by an acquisition from what the model says.

    Options    how to choose
    Chooser    the model of a search, which is told of each choice
    Pick       a configuration, and by what it was chosen

An acquisition nominates the best point that it finds. A portfolio lets one of three
nominate, by a schedule; GP-Hedge lets all three nominate, and chooses by what the model
now says of all their earlier nominees, which the documents keep: so a driver that was
restarted goes on with the same scores.

The expected improvement alone may stay for good in a valley that is not the deepest: while a
model that is sure of the rest promises a millionth there, it is never asked elsewhere. So
where no more than a negligible improvement is expected, every other trial on average asks
for a large one instead ("far").

Measured on nine functions of 2 to 10 dimensions, five seeds each: the mean normalised regret
after 30, 50 and 100 trials was 0.42, 0.26 and 0.16, with 5 trials to start with; with 10, and
none that look far, 0.54, 0.36 and 0.22. Of Optuna's GPSampler, in 42 of these runs, it was
0.45, 0.31 and 0.20.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.algobase import as_integer, as_real, choose_root_first
from hpo.exceptions import InvalidOption, did_you_mean
from hpo.gp_inputs import Branch, Points, inputs_of
from hpo.gp_model import History, Model, choose_branch
from hpo.gp_search import Landscape, screened, search
from hpo.observations import Observations
from hpo.space import Space
from hpo.surrogate.acquisition import (
    Acquisition,
    LogExpectedImprovement,
    LogProbabilityOfImprovement,
    UpperConfidenceBound,
    confidence_width,
    log_expected_improvement,
)
from hpo.surrogate.kernels import kernel_named
from hpo.surrogate.portfolio import MEMBERS, hedge_probabilities, scheduled_probabilities

__all__ = ["ACQUISITIONS", "Chooser", "Nominees", "Options", "Pick", "untried"]

Floats = npt.NDArray[np.float64]

ACQUISITIONS = ("logei", "ei", "pi", "ucb", "portfolio", "hedge")

# Those that may promise ever less at one place; in units of the targets' deviation, what is too
# little of it, how much is asked for instead, and how often.
_IMPROVING = ("logei", "ei")
FAR = "far"
_NEGLIGIBLE, _LARGE, _FAR_SHARE = 1e-3, 0.5, 0.5

# So many of the best trials are looked around.
_N_BEST = 5
# Draws from the prior, in a discrete space whose candidates were all tried before.
_MAX_REDRAWS = 10_000

Values = dict[str, Any]
Nominees = Mapping[str, Values]
"""{acquisition: {label: value}}: what each would have proposed."""


@dataclass(frozen=True)
class Options:
    """How `suggest` works; see there.

    Raises:
        InvalidOption: one of them is of the wrong type or out of range.
    """

    acquisition: str = "logei"
    kernel: str = "matern52"
    n_startup_jobs: int = 5
    n_candidates: int = 1024
    n_starts: int = 4
    kappa: float | None = None
    margin: float = 0.01
    halfway: int = 40
    noisy: bool = False

    def __post_init__(self) -> None:
        if self.acquisition not in ACQUISITIONS:
            hint = did_you_mean(str(self.acquisition), ACQUISITIONS)
            raise InvalidOption(
                f"acquisition must be one of {', '.join(ACQUISITIONS)}, "
                f"not {self.acquisition!r}{hint}"
            )
        kernel_named(self.kernel)
        as_integer("n_startup_jobs", self.n_startup_jobs, at_least=1)
        as_integer("n_candidates", self.n_candidates, at_least=1)
        as_integer("n_starts", self.n_starts, at_least=1)
        if self.kappa is not None:
            as_real("kappa", self.kappa, at_least=0.0)
        as_real("margin", self.margin, at_least=0.0)
        as_integer("halfway", self.halfway, at_least=1)


@dataclass(frozen=True)
class Pick:
    """One configuration that was chosen.

    Attributes:
        values: {label: value} of the active hyperparameters; a choice by index.
        start: its place among the first trials, from 0, or None when the model chose it.
        acquisition: by which it was chosen, if by the model.
        nominees: of GP-Hedge, what each acquisition proposed.
        n_modelled: how many trials the model was fitted to, if not to all.
    """

    values: Values
    start: int | None = None
    acquisition: str | None = None
    nominees: Nominees | None = None
    n_modelled: int | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What a document says of it, besides its provenance."""
        said = {
            "acquisition": self.acquisition,
            "nominees": self.nominees,
            "n_modelled": self.n_modelled,
        }
        return {name: each for name, each in said.items() if each is not None}


class Chooser:
    """One suggestion after the other from one model, each of which is believed."""

    def __init__(
        self,
        space: Space,
        observations: Observations,
        options: Options,
        nominated: Iterable[Nominees],
    ) -> None:
        self._space, self._observations, self._options = space, observations, options
        self._inputs = inputs = inputs_of(space)
        # Stands in for what is inactive.
        self._middle = inputs.at_quantiles(np.full((1, inputs.n_dims), 0.5))
        self._nominated = list(nominated) if options.acquisition == "hedge" else []
        history = History(space, observations)
        self._model = Model(history, options.kernel, options.noisy)
        self._n_ended = history.n_ended
        n_modelled = len(self._model.places)
        self._n_modelled = n_modelled if n_modelled < history.n_ended else None

    def pick(self, rng: np.random.Generator) -> Pick | None:
        """The configuration to try next, or None when none is left."""
        branch = choose_branch(self._space, self._observations, rng)
        points = self._to_look_at(branch, rng)
        nominees: dict[str, Values] = {}
        for name in self._asked(rng):
            nominee = self._best_by(name, branch, points, rng)
            if nominee is None:
                return None
            nominees[name] = nominee
        name = self._chosen(nominees, rng)
        values = nominees[name]
        if self._may_look_far(rng) and self._gains_little(values, branch):
            # A discrete space may have nothing else left.
            name, values = FAR, self._best_by(FAR, branch, points, rng) or values
        self._model.believe(self._inputs.features(self._point_of(values)))
        is_hedge = self._options.acquisition == "hedge"
        return Pick(values, None, name, nominees if is_hedge else None, self._n_modelled)

    def _may_look_far(self, rng: np.random.Generator) -> bool:
        # A portfolio has members that explore.
        return self._options.acquisition in _IMPROVING and rng.random() < _FAR_SHARE

    def _gains_little(self, values: Values, branch: Branch) -> bool:
        """Whether the improvement that is expected of a configuration is negligible."""
        mean, std = self._model.posterior.predict(self._inputs.features(self._point_of(values)))
        gain = log_expected_improvement(mean, std, self._model.best_in(branch))
        return float(gain[0]) < math.log(_NEGLIGIBLE)

    def _to_look_at(self, branch: Branch, rng: np.random.Generator) -> Points:
        best = self._model.best_rows(branch, _N_BEST).tolist()
        none = self._middle.at([])
        around = Points.joined(none, *(self._point_of(self._values_of(row)) for row in best))
        points = screened(self._inputs, around, rng, self._options.n_candidates)
        return self._inputs.within(points, branch)

    def _values_of(self, row: int) -> Values:
        labels = (*self._inputs.numeric, *self._inputs.options)
        column = self._observations.table(labels, np.array([row]))[:, 0].tolist()
        stored = zip(labels, column, strict=True)
        return {label: value for label, value in stored if not math.isnan(value)}

    def _point_of(self, values: Values) -> Points:
        return self._inputs.of_values(values, self._middle)

    def _asked(self, rng: np.random.Generator) -> tuple[str, ...]:
        """The acquisitions that are to nominate a point."""
        match self._options.acquisition:
            case "hedge":
                return MEMBERS
            case "portfolio":
                shares = scheduled_probabilities(self._n_ended, self._options.halfway)
                return (_drawn(shares, rng),)
            case name:
                return (name,)

    def _chosen(self, nominees: Nominees, rng: np.random.Generator) -> str:
        """Whose nominee is tried."""
        if len(nominees) == 1:
            return next(iter(nominees))
        means = {
            name: self._means_of([each[name] for each in self._nominated]) for name in MEMBERS
        }
        return _drawn(hedge_probabilities(means), rng)

    def _means_of(self, nominees: Sequence[Values]) -> Floats:
        if not nominees:
            return np.zeros(0)
        points = Points.joined(*map(self._point_of, nominees))
        mean, _ = self._model.posterior.predict(self._inputs.features(points))
        return mean

    def _acquisition(self, name: str) -> Acquisition:
        if name == FAR:
            return LogExpectedImprovement(_LARGE)
        if name == "pi":
            return LogProbabilityOfImprovement(self._options.margin)
        if name == "ucb":
            kappa = self._options.kappa
            if kappa is None:
                kappa = confidence_width(self._n_ended, len(self._space))
            return UpperConfidenceBound(kappa)
        return LogExpectedImprovement()

    def _best_by(
        self, name: str, branch: Branch, points: Points, rng: np.random.Generator
    ) -> Values | None:
        """The best configuration by an acquisition that was not tried before."""
        model, space = self._model, self._space
        landscape = Landscape(
            self._inputs,
            model.posterior,
            self._acquisition(name),
            model.best_in(branch),
            branch,
        )
        for point in search(landscape, points, rng, self._options.n_starts):
            values = choose_root_first(space, rng, self._inputs.chooser(point))
            if self._options.noisy or not space.is_discrete:
                return values
            if not self._observations.has_tried(values):
                return values
        return untried(space, self._observations, rng)


def _drawn(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    names = list(shares)
    cumulative = np.cumsum(list(shares.values()))
    return names[int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))]


def untried(space: Space, observations: Observations, rng: np.random.Generator) -> Values | None:
    """A draw from the prior that was not tried before, or None when there seems to be none."""
    for _ in range(_MAX_REDRAWS):
        values = space.sample(rng)
        if not observations.has_tried(values):
            return values
    return None
