"""The outlook: what losses to hope for at new points, by a regression of those that were seen.

    symbol   meaning                                                        shape
    n, C     number of trials, of new points                                  scalars
    A        number of axes, choices among them, on which the trials differ   scalar
    y        targets: losses cut off at their median, mean 0, variance 1      (n,)
    s        squared distances of trials, and of new points from these        (n, n), (n, C)
    l        lengthscale, the likeliest of a few                              scalar
    t        share of noise, 0.01                                             scalar
    k        correlation, Matérn 5/2 (see hpo.surrogate.kernels)
    K = L L' k(s / l^2) + t I                                                 (n, n)
    z        L^-1 y                                                           (n,)
    v        variance of the signal, the likeliest: z' z / n                  scalar

    s(p, q)   = (4 sum_d (u_pd - u_qd)^2 + sum_o [c_po != c_qo]) / A           (1)
    log p(y)  = -n/2 log v - 1/2 log |K|, but for a constant                  (2)
    mean(p)   = h' z,  var(p) = v (1 - h' h),  h = L^-1 k(s_p / l^2)           (3)
    outlook   = 4 sd(p) - mean(p)                                            (4)

A trial that runs is taken in with the mean that is expected there (the kriging believer):
its z is 0, so means stay, and deviations around it shrink.

The Parzen estimators know of a trial whether it was good, and of the place around it. A
regression knows how good, and sees the slope between trials: it expects better losses where
no trial was yet. All axes have one lengthscale, and what is worse than the median is all
the same to it: so it takes a millisecond or two, and few trials suffice.

Measured with 8 workers on the problems of scripts/bench_quality: the mean normalised regret of
the search was 0.47, 0.26 and 0.16 after 50, 100 and 200 trials; without the outlook 0.56, 0.37
and 0.21. Of what else was tried, means alone, with no deviations in (4), leave choices that had
a bad start for good; one lengthscale for all searches, rational quadratic kernels and half as
many trials find worse losses; noise that is learnt, ranks instead of losses, more trials, and
less of a say where losses that were left out are predicted badly find the same.

Next to the bounds of a continuous axis deviations are large, only because no trial can be
beyond. So that the search is not drawn there, all that is closer to a bound than a tenth of
the range counts as a tenth from it.

Coordinates of an axis without bounds are a quarter as far apart as they say, as four
deviations span most of it; an inactive one stands in the middle. The activity itself counts
by the choice that decides it.

Source: Rasmussen and Williams, "Gaussian processes for machine learning", chapter 2; Srinivas
et al., "Gaussian process optimization in the bandit setting", 2010, for the bound (4); the
squared distance (1), the grid and the cut at the median are ours.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hpo.surrogate.axes import Axes, Points
from hpo.surrogate.factor import Factor
from hpo.surrogate.kernels import matern52, squared_distances
from hpo.surrogate.products import product
from hpo.surrogate.warping import standardised

__all__ = ["LEAST_TRIALS", "MOST_AWAITED", "MOST_TRIALS", "Outlook"]

Floats = npt.NDArray[np.float64]

# With fewer trials there is no slope to be seen; more than these take too long.
LEAST_TRIALS = 8
MOST_TRIALS = 128
# Of those that run, so many.
MOST_AWAITED = 64

_LENGTHSCALES = (0.15, 0.3, 0.6, 1.2)
_NOISE = 0.01
# How many deviations a loss may turn out better than expected.
_OPTIMISM = 4.0
# Less than this share of the signal's variance is rounding.
_LEAST_VARIANCE = 1e-9
# So far from the bounds is what lies closer to them.
_EDGE = 0.1
# What lies farther out counts as so far: squares of larger numbers would lose the digits
# of the others.
_FARTHEST = 20.0


class Outlook:
    """The regression, fitted.

    Args:
        axes: of the points.
        points: the trials.
        losses: of them, NaN for one that failed: it counts as a bad one; shape (n,).
    """

    def __init__(self, axes: Axes, points: Points, losses: Floats) -> None:
        self._scales = 2.0 * np.where(np.isfinite(axes.high), 1.0, 0.25)
        self._middles, self._bounded = axes.prior_mus, axes.bounded
        self._trials = trials = self._placed(points)
        self._n_axes = max(1, _n_varying(trials.positions.T) + _n_varying(trials.codes))
        self._fitted: _Fit | None = None
        self._awaited: _Awaited | None = None
        y = _targets(losses)
        if y.any():
            squares = self._squares(trials, trials)
            fits = [_Fit.to(y, squares, lengthscale) for lengthscale in _LENGTHSCALES]
            self._fitted = max(fits, key=lambda fit: fit.log_likelihood)

    def awaiting(self, points: Points) -> Outlook:
        """The same while other trials run: each as if it had found what is expected of it."""
        fit = self._fitted
        if fit is None or not len(points):
            return self
        placed = self._placed(points)
        h = fit.factor.solve(fit.correlations(self._squares(self._trials, placed)))
        rest = fit.correlations(self._squares(placed, placed)) - product(h.T, h)
        rest.flat[:: len(rest) + 1] += _NOISE
        twin = copy.copy(self)
        twin._awaited = _Awaited(placed, h, Factor(rest))
        return twin

    def __call__(self, points: Points) -> Floats:
        """Equation (4) at new points, in deviations of the targets; shape (C,).

        0 where all losses are the same.
        """
        fit, awaited = self._fitted, self._awaited
        if fit is None:
            return np.zeros(len(points))
        placed = self._placed(points)
        h = fit.factor.solve(fit.correlations(self._squares(self._trials, placed)))
        explained = np.einsum("ic,ic->c", h, h)
        if awaited is not None:
            others = fit.correlations(self._squares(awaited.placed, placed))
            others -= product(awaited.h.T, h)
            h_others = awaited.factor.solve(others)
            explained += np.einsum("ic,ic->c", h_others, h_others)
        deviations = np.sqrt(fit.variance * np.maximum(1.0 - explained, _LEAST_VARIANCE))
        return np.asarray(_OPTIMISM * deviations - fit.z @ h)

    def _placed(self, points: Points) -> _Placed:
        u = np.where(np.isnan(points.u), self._middles, points.u)
        u[self._bounded] = u[self._bounded].clip(_EDGE, 1.0 - _EDGE)
        return _Placed((self._scales * u.clip(-_FARTHEST, _FARTHEST)).T, points.codes)

    def _squares(self, those: _Placed, others: _Placed) -> Floats:
        """Equation (1) of every pair."""
        squares = squared_distances(those.positions, others.positions)
        for own, other in zip(those.codes, others.codes, strict=True):
            squares += own[:, None] != other
        squares /= self._n_axes
        return squares


class _Placed(NamedTuple):
    """Points with their coordinates in units of (1): (C, D) of them, (O, C) codes."""

    positions: Floats
    codes: npt.NDArray[np.int64]


class _Awaited(NamedTuple):
    """Trials that run.

    Attributes:
        h: L^-1 k of them, shape (n, number of them).
        factor: of what is left of their covariance.
    """

    placed: _Placed
    h: Floats
    factor: Factor


@dataclass(frozen=True, eq=False)
class _Fit:
    """The process with one lengthscale."""

    lengthscale: float
    factor: Factor
    z: Floats

    @classmethod
    def to(cls, y: Floats, squares: Floats, lengthscale: float) -> _Fit:
        """Given targets; `squares` are those of every two trials."""
        covariance = matern52(squares / lengthscale**2)
        covariance.flat[:: len(y) + 1] += _NOISE
        factor = Factor(covariance)
        return cls(lengthscale, factor, factor.solve(y[:, None])[:, 0])

    @property
    def variance(self) -> float:
        """v."""
        return float(self.z @ self.z) / len(self.z)

    @property
    def log_likelihood(self) -> float:
        """Equation (2)."""
        return -0.5 * (len(self.z) * math.log(self.variance) + self.factor.log_determinant)

    def correlations(self, squares: Floats) -> Floats:
        """k(s / l^2), of the shape of the squared distances s."""
        return matern52(squares / self.lengthscale**2)


def _targets(losses: Floats) -> Floats:
    """y; the worst for a trial that failed. All 0 where losses do not differ."""
    known = losses[losses == losses]
    if not len(known):
        return np.zeros(len(losses))
    with np.errstate(invalid="ignore", over="ignore"):
        # Between the two infinities there is no median, and between huge losses an infinite one.
        limit = np.median(known)
    # Where half of them are best, what is worse must still be told from these.
    cut = np.minimum(losses, limit) if limit > known.min() else losses
    finite = cut[np.isfinite(cut)]
    if not len(finite):
        return np.zeros(len(losses))
    best, worst = float(finite.min()), float(finite.max())
    # Scaled first, because the sum of huge losses is infinite.
    unit = max(abs(best), abs(worst), float(np.finfo(np.float64).tiny))
    return standardised(np.nan_to_num(cut, nan=worst, posinf=worst, neginf=best) / unit)


def _n_varying(rows: npt.NDArray[Any]) -> int:
    """How many of the rows hold more than one value."""
    return int(np.count_nonzero((rows != rows[:, :1]).any(axis=1)))
