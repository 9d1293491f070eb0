"""The best point of an acquisition: many places looked at, the best of them climbed.

    symbol   meaning                                                     shape
    D, O, m  numbers of numeric hyperparameters, of choices, of points     scalars
    t, codes search coordinates (hpo.gp_inputs)                            (D, m), (O, m)

First the acquisition is computed at points of a shifted Sobol sequence, through the
priors' quantiles, and at points around the best trials. Then the best few are climbed,
in turns: by L-BFGS-B along what is continuous, with gradients; and by trying other
values of what is discrete, one at a time, at all distances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hpo.gp_inputs import Branch, Inputs, Points
from hpo.sequence import unit_points
from hpo.surrogate.acquisition import Acquisition
from hpo.surrogate.gaussian_process import Posterior

__all__ = ["Landscape", "screened", "search"]

Floats = npt.NDArray[np.float64]

# Points around the best trials, as a share of all that are looked at.
_SHARE_AROUND_BEST = 0.25
# Their distances in each coordinate are spread evenly over these decades.
_LARGEST_STEP, _DECADES = 0.3, 2.5
_CHANGED_SHARE = 0.5
# Of this sequence all searches see the same points, each shifted by its own random vector.
_SEQUENCE_KEY = 0

_MAX_ITERATIONS = 40
_MAX_TURNS = 4
# Other values of one discrete hyperparameter that are tried: neighbours, and at these
# distances; of a choice so many options.
_STEPS = (0.02, 0.1, 0.3)
_MAX_OPTIONS = 16


@dataclass(frozen=True, eq=False)
class Landscape:
    """An acquisition as a function of the coordinates.

    Attributes:
        inputs: of the space.
        posterior: the model.
        acquisition: what is to be large.
        best: the least loss so far, in the model's unit.
        decided: the branch that is searched; these choices stay as they are.
    """

    inputs: Inputs
    posterior: Posterior
    acquisition: Acquisition
    best: float
    decided: Branch = field(default_factory=dict)

    def values(self, points: Points) -> Floats:
        """The acquisition at points, shape (m,)."""
        mean, std = self.posterior.predict(self.inputs.features(points))
        return self.acquisition.value(mean, std, self.best)

    def value_and_slopes(self, point: Points) -> tuple[float, Floats]:
        """The acquisition at one point, and its derivatives by t, shape (D,)."""
        there = self.posterior.predict_with_slopes(self.inputs.features(point))
        by_mean, by_std = self.acquisition.slopes(there.mean, there.std, self.best)
        slopes = by_mean[0] * there.mean_slopes[0] + by_std[0] * there.std_slopes[0]
        value = float(self.acquisition.value(there.mean, there.std, self.best)[0])
        return value, self.inputs.slopes_by_t(slopes, point.t[:, 0])


def screened(inputs: Inputs, best: Points, rng: np.random.Generator, n_points: int) -> Points:
    """Points to look at: all over the space, and around the best trials.

    Args:
        best: the best trials' points; there may be none.
    """
    n_around = int(n_points * _SHARE_AROUND_BEST) if len(best) else 0
    everywhere = unit_points(inputs.n_dims, _SEQUENCE_KEY, range(n_points - n_around))
    shifted = (everywhere + rng.random(inputs.n_dims)) % 1.0
    points = inputs.at_quantiles(np.clip(shifted, 1e-12, 1.0 - 1e-12))
    if not n_around:
        return points
    return Points.joined(points, _around(inputs, best, rng, n_around))


def _around(inputs: Inputs, best: Points, rng: np.random.Generator, n: int) -> Points:
    """Points at random distances from the best trials, in some of their coordinates."""
    parents = best.at(rng.integers(len(best), size=n))
    steps = _LARGEST_STEP * 10.0 ** (-_DECADES * rng.random(n))
    moves = steps * rng.standard_normal(parents.t.shape)
    t = parents.t + np.where(rng.random(moves.shape) < _CHANGED_SHARE, moves, 0.0)
    n_choices = len(inputs.options)
    is_changed = rng.random(parents.codes.shape) < 1.0 / max(n_choices, 2)
    other = (rng.random(parents.codes.shape) * inputs.n_options[:, None]).astype(np.int64)
    return inputs.bounded(Points(t, np.where(is_changed, other, parents.codes)))


def search(
    landscape: Landscape, points: Points, rng: np.random.Generator, n_starts: int
) -> Iterator[Points]:
    """Points in the order of their value, the best first.

    The first is the best that was found; after those that were climbed to come the ones
    that were only looked at.

    Args:
        points: those to look at; see `screened`.
        n_starts: how many of them are climbed from.
    """
    order = np.argsort(-landscape.values(points), kind="stable")
    starts = [points.at([place]) for place in order[:n_starts]]
    ends = [_climbed(landscape, start, rng) for start in starts]
    for _, point in sorted(ends, key=lambda end: -end[0]):
        yield point
    for place in order:
        yield points.at([place])


def _climbed(
    landscape: Landscape, point: Points, rng: np.random.Generator
) -> tuple[float, Points]:
    """The value and the point where no turn finds anything better."""
    value = float(landscape.values(point)[0])
    for _ in range(_MAX_TURNS):
        along, higher = _ascended(landscape, point)
        if along > value:
            value, point = along, higher
        across, other = _best_of(landscape, _one_value_changed(landscape, point, rng))
        if across <= value:
            break
        value, point = across, other
    return value, point


def _ascended(landscape: Landscape, start: Points) -> tuple[float, Points]:
    """Climb along the continuous coordinates that are active."""
    inputs = landscape.inputs
    is_free = inputs.is_continuous & inputs.active(start)[0][:, 0]
    if not is_free.any():
        return -np.inf, start
    from scipy.optimize import minimize

    def at(free: Floats) -> Points:
        t = start.t.copy()
        t[is_free, 0] = free
        return Points(t, start.codes)

    def downwards(free: Floats) -> tuple[float, Floats]:
        value, slopes = landscape.value_and_slopes(at(free))
        return -value, -slopes[is_free]

    end = minimize(
        downwards,
        start.t[is_free, 0],
        jac=True,
        method="L-BFGS-B",
        bounds=np.column_stack([inputs.low[is_free], inputs.high[is_free]]),
        options={"maxiter": _MAX_ITERATIONS, "ftol": 1e-6, "gtol": 1e-4},
    )
    return -float(end.fun), at(end.x)


def _one_value_changed(landscape: Landscape, point: Points, rng: np.random.Generator) -> Points:
    """The same point with another value of one discrete hyperparameter that is active."""
    inputs = landscape.inputs
    numbers = _other_numbers(inputs, point)
    options = _other_options(inputs, point, rng, landscape.decided)
    changed = point.at([0] * (len(numbers) + len(options)))
    for place, (row, t) in enumerate(numbers):
        changed.t[row, place] = t
    for place, (row, code) in enumerate(options, start=len(numbers)):
        changed.codes[row, place] = code
    return inputs.bounded(changed)


def _other_numbers(inputs: Inputs, point: Points) -> list[tuple[int, float]]:
    """Pairs of a discrete number's row and a coordinate near or far from its own."""
    is_active = inputs.active(point)[0][:, 0]
    others: list[tuple[int, float]] = []
    for row in np.flatnonzero(~inputs.is_continuous & is_active).tolist():
        steps = np.array([2.0 * inputs.half_cell[row], *_STEPS])
        others += [(row, t) for t in (point.t[row, 0] + np.concatenate([-steps, steps])).tolist()]
    return others


def _other_options(
    inputs: Inputs, point: Points, rng: np.random.Generator, decided: Branch
) -> list[tuple[int, int]]:
    """Pairs of a choice's row and another of its options: all, or some of very many."""
    is_free = inputs.active(point)[1][:, 0]
    is_free &= np.array([label not in decided for label in inputs.options], dtype=bool)
    others: list[tuple[int, int]] = []
    for row in np.flatnonzero(is_free).tolist():
        codes = np.setdiff1d(np.arange(inputs.n_options[row]), point.codes[row])
        if len(codes) > _MAX_OPTIONS:
            codes = rng.choice(codes, _MAX_OPTIONS, replace=False)
        others += [(row, code) for code in codes.tolist()]
    return others


def _best_of(landscape: Landscape, points: Points) -> tuple[float, Points]:
    if not len(points):
        return -np.inf, points
    values = landscape.values(points)
    place = int(np.argmax(values))
    return float(values[place]), points.at([place])
