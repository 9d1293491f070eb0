"""What TPE thinks: the trials as arrays, and the two estimators.

    History   the trials in order, and which branch of the space to look into
    Model     l and g of one branch
    Kept      what the next suggestion can use again

What is drawn from them, and scored, is in `hpo.candidates`.

Symbols and shapes are those of `hpo.tpe` and `hpo.surrogate.joint`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from hpo.algobase import as_integer, as_real, known_rows
from hpo.exceptions import InvalidOption
from hpo.observations import Observations
from hpo.partial import ranking_losses
from hpo.space import Space
from hpo.surrogate.axes import MOST_VALUES, Axes, Points
from hpo.surrogate.bandit import Tally, choose_branch, tally_branches
from hpo.surrogate.joint import JointParzen, log_densities
from hpo.surrogate.joint_fit import fit_together
from hpo.surrogate.outlook import LEAST_TRIALS, MOST_AWAITED, MOST_TRIALS, Outlook
from hpo.surrogate.recent import Recent
from hpo.surrogate.smoothing import smoothed_losses
from hpo.surrogate.split import best_and_latest, count_below, fraction_below, least
from hpo.surrogate.weights import RUNNING_WEIGHT, badness_weights, improvement_weights
from hpo.trial_points import TrialPoints

__all__ = ["Branch", "History", "Model", "Options", "axes_of"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
# The choices that were decided beforehand, root first: pairs (label, branch).
Branch = tuple[tuple[str, int], ...]

# How many trials the prior weighs in a wide l.
_WIDE_PRIOR_WEIGHT = 5.0
# Smoothing compares every trial with every other: of more than these, only the best
# half and the latest half.
_MAX_SMOOTHED = 500
# Cells so narrow, in units of the least deviation, need not be told from a point.
_FINE = 0.1
# So many estimators are kept for each experiment: one trial more often changes neither of
# them, and a conditional space has two for every branch.
_MAX_FITS = 32


@dataclass(frozen=True)
class Options:
    """How `suggest` works; see there.

    Raises:
        InvalidOption: one of them is of the wrong type or out of range.
    """

    prior_weight: float = 1.0
    n_startup_jobs: int = 10
    n_EI_candidates: int = 24
    gamma: float | None = None
    below_fraction: float = 0.10
    least_sigma: float = 0.03
    max_kernels: int = 256
    noisy: bool = False
    regression: bool | None = None

    def __post_init__(self) -> None:
        as_real("prior_weight", self.prior_weight, at_least=0.0)
        as_integer("n_startup_jobs", self.n_startup_jobs, at_least=0)
        as_integer("n_EI_candidates", self.n_EI_candidates, at_least=1)
        if self.gamma is not None:
            as_real("gamma", self.gamma, above=0.0)
        as_real("below_fraction", self.below_fraction, above=0.0)
        as_real("least_sigma", self.least_sigma, above=0.0)
        as_integer("max_kernels", self.max_kernels, at_least=2)
        if not (self.regression is None or isinstance(self.regression, bool)):
            raise InvalidOption(f"regression must be True, False or None, not {self.regression!r}")


class Share(NamedTuple):
    """The trials that an estimator is fitted to: their places in the history, and weights."""

    places: Rows
    weights: Floats
    prior_weight: float


class History:
    """The trials as arrays.

    Attributes:
        rows: in `observations`, in order of suggestion; shape (N,).
        losses: NaN for a trial that failed or still runs; shape (N,). Of a noisy
            objective they are smoothed.
    """

    def __init__(self, space: Space, observations: Observations, options: Options) -> None:
        self.space, self.options = space, options
        self.axes = axes_of(space, options.least_sigma)
        self.observations = observations
        self._kept = Kept.of(observations, space, self.axes)
        self._tallies: dict[tuple[str, Branch], Tally | None] = {}
        self.rows = known_rows(observations)
        self._words = self._of_rows(observations.configurations)
        self.losses = self._of_rows(ranking_losses(observations))
        if options.noisy or observations.has_variances:
            variances = observations.loss_variances[self.rows]
            if options.noisy or (variances > 0).any():
                self.losses = self._smoothed(variances)

    def _of_rows(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A column of the observations in the order of `rows`."""
        observations = self.observations
        if observations.is_in_order and len(self.rows) == len(observations):
            return column
        return np.asarray(column[self.rows])

    @cached_property
    def is_pending(self) -> npt.NDArray[np.bool_]:
        """Which of the trials are yet to end; shape (N,)."""
        return self._of_rows(self.observations.is_pending)

    @cached_property
    def n_since_best(self) -> int:
        """How many trials with a loss were suggested after the one with the least."""
        losses = self.losses[self.losses == self.losses]
        return len(losses) - 1 - int(losses.argmin()) if len(losses) else 0

    def choose_branch(self, rng: np.random.Generator) -> Branch:
        """Decide one choice that has hyperparameters in its branches, and those above it."""
        deciding = self.space.deciding_choices
        if not deciding:
            return ()
        target = list(deciding)[int(rng.integers(len(deciding)))]
        decided: Branch = ()
        for label in (*self.space.choices_above(target), target):
            tally = self._tally(label, decided)
            if tally is not None:
                decided += ((label, choose_branch(rng, tally)),)
        return decided

    def _tally(self, label: str, decided: Branch) -> Tally | None:
        """How the branches of a choice did, the choices above it decided; None if it is inactive.

        Counted once, because many suggestions may be made from the same trials.
        """
        key = (label, decided)
        if key not in self._tallies:
            above, found = dict(decided), None
            if label in self.space.active_labels(above):
                places = self.inside(above)
                branches = self.observations.column(label)[self.rows[places]]
                n_branches = self.space.deciding_choices[label]
                found = tally_branches(branches, self.losses[places], n_branches)
            self._tallies[key] = found
        return self._tallies[key]

    def inside(self, decided: Mapping[str, int]) -> Rows:
        """Places in `rows` of the trials that took these branches."""
        if not decided:
            return np.arange(len(self.rows))
        is_inside = np.ones(len(self.rows), dtype=np.bool_)
        for label, branch in decided.items():
            is_inside &= self.observations.column(label)[self.rows] == branch
        return is_inside.nonzero()[0]

    def fit(self, shares: Sequence[Share]) -> list[JointParzen]:
        """An estimator for each share of the trials; kept, because the next may need it."""
        least_sigma = self.options.least_sigma
        keys = [
            (share.prior_weight, least_sigma, share.weights.tobytes(), words.tobytes())
            for share, words in ((share, self._words[share.places]) for share in shares)
        ]

        def make(lacking: Sequence[int]) -> list[JointParzen]:
            new = [shares[place] for place in lacking]
            points = self._kept.points.with_blanks(
                self.observations, [self.rows[share.places] for share in new]
            )
            return fit_together(
                self.axes, points, [share.weights for share in new],
                [share.prior_weight for share in new], least_sigma,
            )  # fmt: skip

        return self._kept.fits.get_all(keys, make)

    def outlook(self, places: Rows) -> Outlook:
        """A regression of the losses of some trials; kept, because the next may need it."""
        losses = self.losses[places]

        def make() -> Outlook:
            return Outlook(self.axes, self.points(places), losses)

        return self._kept.outlooks.get((self._words[places].tobytes(), losses.tobytes()), make)

    def points(self, places: Rows) -> Points:
        """Trials as the estimators see them."""
        return self._kept.points.at(self.observations, self.rows[places])

    def _smoothed(self, variances: Floats) -> Floats:
        """Smoothed losses of the best trials, and of the latest; of others the losses."""
        known = np.flatnonzero(~np.isnan(self.losses))
        if len(known) > _MAX_SMOOTHED:
            best = known[np.argsort(self.losses[known], kind="stable")[: _MAX_SMOOTHED // 2]]
            known = np.union1d(best, known[-_MAX_SMOOTHED // 2 :])
        smoothed: Floats = self.losses.copy()
        points = self.points(known)
        smoothed[known] = smoothed_losses(
            points.u, points.codes, self.losses[known], variances[known]
        )
        return smoothed


class Kept:
    """What later suggestions from the same experiment can use again.

    Attributes:
        points: the trials in unit coordinates.
        fits: the estimators that were used last.
        outlooks: the regressions that were.
    """

    def __init__(self, space: Space, axes: Axes) -> None:
        self.points = TrialPoints(space, axes.n_continuous)
        self.fits: Recent[JointParzen] = Recent(_MAX_FITS)
        self.outlooks: Recent[Outlook] = Recent(_MAX_FITS)
        self._axes = axes

    @classmethod
    def of(cls, observations: Observations, space: Space, axes: Axes) -> Kept:
        """What is kept for an experiment; nothing of another space's."""
        kept = _kept.get(observations)
        if kept is None or kept._axes is not axes:
            kept = _kept[observations] = cls(space, axes)
        return kept


_kept: WeakKeyDictionary[Observations, Kept] = WeakKeyDictionary()


class Model:
    """l and g, fitted to the trials of one branch.

    Attributes:
        decided: the choices that were made beforehand, {label: branch}.
        good: places of the good trials in the history, in order.
        weights: of the good trials.
    """

    def __init__(self, history: History, decided: Mapping[str, int]) -> None:
        self.history, self.decided = history, decided
        options = history.options
        self._places = history.inside(decided)
        losses = history.losses[self._places] if decided else history.losses
        if options.gamma is None:
            n_losses = int(np.count_nonzero(losses == losses))
            n_good = max(1, fraction_below(n_losses, options.below_fraction))
        else:
            n_good = count_below(len(losses), options.gamma)
        ranked = least(losses, n_good + 1)
        # No loss is left where all the others failed or still run.
        threshold = float(losses[ranked[n_good]]) if len(ranked) > n_good else math.nan
        good = ranked[:n_good]
        good.sort()
        self.good = self._places[good]
        self._is_good = np.zeros(len(losses), dtype=np.bool_)
        self._is_good[good] = True
        self.weights = improvement_weights(losses[good], threshold)
        self._fits: dict[bool, tuple[JointParzen, JointParzen]] = {}

    @property
    def rest(self) -> Rows:
        """Places of all the other trials in the history, in order."""
        return self._places[~self._is_good]

    @cached_property
    def kernels_of_rest(self) -> Rows:
        """Places of the trials that are kernels of g: at most `max_kernels`.

        Of those that ended every second, fourth, eighth … is taken, counted from the
        first of the branch: so one more trial changes g little, or not at all.
        """
        limit = self.history.options.max_kernels
        if len(self._places) - len(self.good) <= limit:
            return self.rest
        is_ended = ~self._is_good
        pending = np.empty(0, dtype=np.int64)
        if self.history.observations.n_pending:
            is_pending = self.history.is_pending
            if self.decided:
                is_pending = is_pending[self._places]
            (pending,) = is_pending.nonzero()
            is_ended[pending] = False
        # Of those that run, at least the latest half of the limit.
        n_ended = np.count_nonzero(is_ended)
        pending = pending[-max(limit // 2, limit - n_ended) :]
        stride = 1
        while n_ended > limit - len(pending):
            stride *= 2
            n_ended = np.count_nonzero(is_ended[::stride])
        ended = stride * is_ended[::stride].nonzero()[0]
        return np.asarray(self._places[np.sort(np.concatenate([ended, pending]))])

    @cached_property
    def weights_of_rest(self) -> Floats:
        """Weights of the kernels of g."""
        history, kernels = self.history, self.kernels_of_rest
        losses = history.losses[kernels]
        if not history.observations.n_pending:
            return badness_weights(losses)
        is_pending = history.is_pending[kernels]
        weights = np.full(len(kernels), RUNNING_WEIGHT)
        weights[~is_pending] = badness_weights(losses[~is_pending])
        return weights

    @cached_property
    def total_weight_of_rest(self) -> float:
        """The same, added up, and the prior's."""
        return float(self.weights_of_rest.sum()) + self.history.options.prior_weight

    def fit(self, *, is_wide: bool = False) -> tuple[JointParzen, JointParzen]:
        """l, the estimator of the good trials, and g, that of the others; kept."""
        if is_wide not in self._fits:
            self.fit_all([(self, is_wide)])
        return self._fits[is_wide]

    @staticmethod
    def fit_all(wanted: Sequence[tuple[Model, bool]]) -> None:
        """Fit what is wanted of several models of a history, at little more than the cost of one.

        Args:
            wanted: at least one pair (model, is_wide).
        """
        history = wanted[0][0].history
        shares = [share for model, is_wide in wanted for share in model._shares(is_wide)]
        fitted = history.fit(shares)
        for (model, is_wide), l, g in zip(wanted, fitted[::2], fitted[1::2], strict=True):  # noqa: E741
            model._fits[is_wide] = l, g

    def _shares(self, is_wide: bool) -> tuple[Share, Share]:
        """What l and g are fitted to."""
        prior_weight = self.history.options.prior_weight
        factor = _WIDE_PRIOR_WEIGHT if is_wide else 1.0
        return (
            Share(self.good, self.weights, factor * prior_weight),
            Share(self.kernels_of_rest, self.weights_of_rest, prior_weight),
        )

    @cached_property
    def outlook(self) -> Outlook | None:
        """What losses to hope for in this branch; None where too few trials have ended."""
        history, ended = self.history, self._places
        pending = ended[:0]
        if history.observations.n_pending:
            is_pending = history.is_pending[ended]
            ended, pending = ended[~is_pending], ended[is_pending]
        if len(ended) < LEAST_TRIALS:
            return None
        outlook = history.outlook(ended[best_and_latest(history.losses[ended], MOST_TRIALS)])
        return outlook.awaiting(history.points(pending[-MOST_AWAITED:]))

    def margins(
        self, label: str, grid: Floats, *, of_values: bool = False
    ) -> tuple[Floats, Floats]:
        """log l and log g of one hyperparameter alone, at some of its values; shape (n,) each.

        Args:
            grid: values, or numbers of options; shape (n,).
            of_values: densities of the value itself, instead of its unit coordinate.
        """
        coordinates = self.history.space.coordinates
        x = np.full((len(coordinates.numeric), len(grid)), np.nan)
        codes = np.full((len(coordinates.options), len(grid)), -1, dtype=np.int64)
        log_slope: Floats = np.zeros(len(grid))
        if label in coordinates.options:
            codes[coordinates.options.index(label)] = grid.astype(np.int64)
        else:
            row = coordinates.numeric.index(label)
            x[row] = grid
            if of_values:
                log_slope = coordinates.log_jacobian(row, grid)
            if coordinates.n_continuous <= row < self.history.axes.n_continuous:
                log_slope += np.log(2.0 * self.history.axes.half_cells[row])
        discrete = x[self.history.axes.n_continuous :]
        # Every other axis is inactive in these points, so it does not count.
        points = Points(
            coordinates.to_unit(x),
            codes,
            coordinates.numbers(discrete),
            coordinates.cells(discrete),
        )
        log_l, log_g = log_densities(self.fit(), points)
        return log_l + log_slope, log_g + log_slope


@functools.lru_cache(maxsize=32)
def axes_of(space: Space, least_sigma: float) -> Axes:
    """The space's axes, as the estimators know them.

    One whose cells are narrower than a tenth of any deviation counts as continuous: z
    deviations from a kernel's centre the mass of a cell is its width times the density,
    but for a share of 4e-4 (z^2 - 1).
    """
    coordinates = space.coordinates
    n_continuous = coordinates.n_narrower(_FINE * least_sigma)
    n_fine = n_continuous - coordinates.n_continuous
    return Axes(
        n_continuous, coordinates.low, coordinates.high, coordinates.half_cell,
        coordinates.option_priors, coordinates.all_cells(MOST_VALUES)[n_fine:],
    )  # fmt: skip
