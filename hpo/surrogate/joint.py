"""Joint Parzen estimators: one kernel for each trial, over all hyperparameters at once.

A kernel is a product over the axes. Where a trial has a value, the factor is a
normal around it (or, for a choice, a distribution that favours its option);
where the hyperparameter was inactive in it, the factor is the prior. One more
kernel has the prior as every factor.

    symbol    meaning                                                         shape
    n, K      number of trials; of kernels, K = n + 1, the prior last           scalars
    C         number of points                                                 scalar
    D, O      number of numeric axes (continuous ones first), of choices        scalars
    u         coordinates, NaN where inactive (see hpo.space.coordinates)       (D, n)
    codes     numbers of options, -1 where inactive                            (O, n)
    w         weights of the kernels, sum 1                                    (K,)
    m, s      centres and deviations on the numeric axes                       (D, K)

    p(x) = sum_k w_k prod_{active axes d of x} f_kd(x_d)                       (1)
    f_kd(u) = N(u; m_kd, s_kd) / Z_kd, Z_kd the mass inside the bounds         (2)
    f_kd(u) = (Phi(upper) - Phi(lower)) / Z_kd on a discrete axis              (3)
    f_kd(j) = (1[j = c_kd] + a p0_j) / (1 + a),  a = w0 V / K, for V options   (4)

Only the active axes of a point count in (1). Points are drawn by choosing a
kernel and drawing every axis from it; which axes are active then follows from
the values, so that a branch is chosen before what lies in it, and the
hyperparameters inside a branch keep their correlation with it.

Source: Watanabe, arXiv 2304.11127, equations (8) to (11) for (1) and (2); optuna's
categorical kernel for (4). The treatment of inactive axes is ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hpo.surrogate.axes import Axes, Points, SlotKernels
from hpo.surrogate.bandwidth import LEAST_SIGMA, larger_gap_bandwidths
from hpo.surrogate.categorical import draw_indices
from hpo.surrogate.cells import CellKernels, distinct

__all__ = ["Axes", "JointParzen", "Points", "log_sum_exp"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
# Squares of coordinates beyond this lose the digits that (2) needs when they are
# expanded into a matrix product.
_FAR = 20.0
# Without any smoothing a choice could never take an option that no trial took.
_LEAST_SMOOTHING = 1e-6
_LEAST_PROBABILITY = 1e-290


class JointParzen:
    """The mixture (1), fitted to trials.

    What it needs for a density is tabulated when it is first asked for one, so that to ask
    again costs one matrix product and what has too many values for a table.

    Args:
        axes: the space's axes.
        trials: n configurations, with their `numbers`.
        weights: of the trials, shape (n,).
        prior_weight: w0, weight of the prior kernel on the same scale.
        least_sigma: see `hpo.surrogate.bandwidth`.
    """

    def __init__(
        self,
        axes: Axes,
        trials: Points,
        weights: Floats,
        prior_weight: float = 1.0,
        least_sigma: float = LEAST_SIGMA,
    ) -> None:
        self.axes = axes
        n_kernels = len(weights) + 1
        # Alone it has all the weight, even a prior that was given none.
        self.weights = np.empty(n_kernels)
        self.weights[:-1], self.weights[-1] = weights, prior_weight if len(weights) else 1.0
        self.weights /= self.weights.sum()
        # a of (4) for each option of a choice.
        self._smoothing = max(prior_weight, _LEAST_SMOOTHING) / n_kernels
        self.codes = np.empty((len(trials.codes), n_kernels), dtype=np.int64)
        self.codes[:, :-1], self.codes[:, -1] = trials.codes, -1
        split = axes.n_continuous
        self._mus, self._sigmas = self._on_continuous_axes(trials.u[:split], least_sigma)
        # On the discrete axes many trials share a kernel; of each trial its column, (E, K).
        self._columns = np.zeros((len(trials.u) - split, n_kernels), dtype=np.int64)
        self._slot_kernels: SlotKernels | None = None
        self._other_kernels: CellKernels | None = None
        slots, others = axes.slots.axes, axes.slots.other_axes
        if slots:
            if trials.numbers is None:
                raise ValueError("trials need the numbers of their cells")
            self._slot_kernels, columns = axes.slot_kernels(trials.numbers[slots], least_sigma)
            self._columns[slots, :-1] = columns
        if others:
            centres, columns = distinct(trials.u[split:][others])
            self._other_kernels = axes.cell_kernels(others, centres, least_sigma)
            self._columns[others, :-1] = columns

    def _on_continuous_axes(self, u: Floats, least_sigma: float) -> tuple[Floats, Floats]:
        """Centres and deviations of the kernels, (D - E, K) each."""
        mus, sigmas = np.empty((2, len(u), len(self.weights)))
        if len(u):
            prior_mus = self.axes.prior_mus[: len(u)]
            mus[:, :-1] = np.where(np.isnan(u), prior_mus, u)
            mus[:, -1:] = prior_mus
            sigmas[:, :-1] = larger_gap_bandwidths(u, least_sigma)
            sigmas[:, -1] = 1.0
        return mus, sigmas

    @property
    def mus(self) -> Floats:
        """Centre of each kernel on each axis, shape (D, K)."""
        return np.asarray(self._normals[0])

    @property
    def sigmas(self) -> Floats:
        """Deviation of each kernel on each axis, shape (D, K)."""
        return np.asarray(self._normals[1])

    @property
    def _discrete_kernels(self) -> Iterator[tuple[list[int], CellKernels]]:
        """Numbers of the discrete axes, and the kernels on them: of slots, and of the others."""
        slots = self.axes.slots
        if self._slot_kernels is not None:
            yield list(slots.axes), self._slot_kernels.kernels
        if self._other_kernels is not None:
            yield list(slots.other_axes), self._other_kernels

    @functools.cached_property
    def usual_sigmas(self) -> Floats:
        """Median of the kernels' deviations on each continuous axis, shape (D - E, 1)."""
        middle = len(self.weights) // 2
        return np.partition(self._sigmas, middle, axis=1)[:, middle : middle + 1]

    # --- drawing ---

    def sample(self, rng: np.random.Generator, n_samples: int) -> tuple[Floats, Codes]:
        """Draw points on all axes, active or not: coordinates (D, C) and codes (O, C)."""
        drawn = draw_indices(rng, self.weights, n_samples)
        n_axes, n_choices = len(self.axes.low), len(self.codes)
        random = rng.random((n_axes + 2 * n_choices, n_samples))
        return self._draw_numeric(drawn, random[:n_axes]), self._draw_options(
            drawn, random[n_axes:]
        )

    def _draw_numeric(self, kernels: npt.NDArray[np.int64], random: Floats) -> Floats:
        from scipy.special import ndtri

        mus, sigmas, below, inside = self._normals.take(kernels, axis=2)
        inside *= random
        inside += below
        u = ndtri(inside, out=inside)
        u *= sigmas
        u += mus
        np.maximum(u, self.axes.low, out=u)
        return np.asarray(np.minimum(u, self.axes.high, out=u))

    @functools.cached_property
    def _normals(self) -> Floats:
        """`mus`, `sigmas`, and each kernel's mass below and inside the bounds; (4, D, K)."""
        split = self.axes.n_continuous
        normals = np.empty((4, len(self.axes.low), len(self.weights)))
        normals[:2, :split] = self._mus, self._sigmas
        normals[2:, :split] = self._masses
        for axes, kernels in self._discrete_kernels:
            rows, places = [split + axis for axis in axes], np.arange(len(axes))[:, None]
            columns = self._columns[axes]
            mus, sigmas = kernels.mus[places, columns], kernels.sigmas[places, columns]
            normals[0, rows], normals[1, rows] = mus, sigmas
            normals[2, rows], normals[3, rows] = self._masses_of(rows, mus, sigmas)
        return normals

    @functools.cached_property
    def _masses(self) -> tuple[Floats, Floats]:
        """Mass of each kernel below the lower bound, and Z, inside the bounds; (D - E, K)."""
        return self._masses_of(slice(0, self.axes.n_continuous), self._mus, self._sigmas)

    def _masses_of(
        self, rows: slice | list[int], mus: Floats, sigmas: Floats
    ) -> tuple[Floats, Floats]:
        from scipy.special import ndtr

        # The centre lies inside the bounds, so neither Phi can be deep in the wrong tail.
        below = ndtr((self.axes.low[rows] - mus) / sigmas)
        return below, ndtr((self.axes.high[rows] - mus) / sigmas) - below

    def _draw_options(self, kernels: npt.NDArray[np.int64], random: Floats) -> Codes:
        drawn = self.codes[:, kernels]
        n_choices = len(drawn)
        a = self._smoothing * self.axes.n_options[:, None]
        is_from_prior = (drawn < 0) | (random[:n_choices] * (1.0 + a) >= 1.0)
        for row in np.flatnonzero(is_from_prior.any(axis=1)).tolist():
            cumulative = self.axes.cumulative_priors[row]
            positions = random[n_choices + row] * cumulative[-1]
            options = np.searchsorted(cumulative, positions, side="right")
            np.copyto(
                drawn[row], np.minimum(options, len(cumulative) - 1), where=is_from_prior[row]
            )
        return drawn

    # --- densities ---

    def log_density(self, points: Points, features: Floats | None = None) -> Floats:
        """log p of each point, equation (1); shape (C,).

        Args:
            features: `points.features(axes)`, if it is there already.
        """
        terms = self._log_terms(points, features)
        terms += self._log_weights
        return log_sum_exp(terms)

    @functools.cached_property
    def _log_weights(self) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.weights)[:, None])

    def log_kernels(self, points: Points) -> Floats:
        """Logarithm of each kernel's product at each point, shape (C, K)."""
        return np.asarray(self._log_terms(points, None).T)

    def _log_terms(self, points: Points, features: Floats | None) -> Floats:
        """`log_kernels` with the kernels first, (K, C): then every step runs along memory."""
        features = points.features(self.axes) if features is None else features
        slots, table, first = self.axes.slots, self._table, 0
        far = None
        if not self.axes.is_bounded:
            far = self._log_far_normals(points)
            first = 0 if far is None else 3 * self.axes.n_continuous
        # Without numbers of cells the last columns are left out.
        terms = np.asarray(table[:, first : len(features)] @ features[first:])
        if far is not None:
            terms += far
        if slots.other_axes or points.numbers is None:
            self._add_log_cells(points, terms)
        if slots.other_choices:
            self._add_log_options(points.codes, terms)
        return terms

    @functools.cached_property
    def _table(self) -> Floats:
        """What `Points.features` is multiplied with, (K, 3 (D - E) + F)."""
        split, slots = self.axes.n_continuous, self.axes.slots
        table = np.empty((len(self.weights), 3 * split + len(slots.row)))
        if split:
            # Equation (2) as a polynomial: of u^2, u and 1 on each axis.
            mus, precisions, constants = self._normal_terms
            slopes = mus * precisions
            table[:, :split] = -0.5 * precisions.T
            table[:, split : 2 * split] = slopes.T
            table[:, 2 * split : 3 * split] = (constants - 0.5 * mus * slopes).T
        end = 3 * split + len(slots.p0)
        if slots.choices:
            table[:, 3 * split : end] = self._log_options_of_slots()
        if self._slot_kernels is not None:
            # Equation (3), a column for each cell.
            parts = zip(slots.axes, self._slot_kernels.log_masses, slots.n_cells, strict=True)
            for axis, log_masses, n_cells in parts:
                start, end = end, end + n_cells
                table[:, start:end] = log_masses[:, :n_cells].take(self._columns[axis], axis=0)
        return table

    @functools.cached_property
    def _normal_terms(self) -> tuple[Floats, Floats, Floats]:
        """Centres, inverse variances, and the logarithm of the density's constant."""
        constants = -_LOG_SQRT_2PI - np.log(self._sigmas * self._masses[1])
        return self._mus, 1.0 / (self._sigmas * self._sigmas), constants

    def _log_far_normals(self, points: Points) -> Floats | None:
        """The continuous axes' part (K, C) without squares of large numbers, if there are any."""
        mus, precisions, constants = self._normal_terms
        u = points.u[: self.axes.n_continuous]
        positions = np.nan_to_num(u, nan=0.0)
        farthest = max(np.abs(positions).max(initial=0.0), np.abs(mus).max(initial=0.0))
        if farthest <= _FAR:
            return None
        distances = (positions[:, None, :] - mus[:, :, None]) ** 2
        exponents = -0.5 * distances * precisions[:, :, None] + constants[:, :, None]
        return np.asarray((exponents * ~np.isnan(u)[:, None, :]).sum(axis=0))

    def _log_options_of_slots(self) -> Floats:
        """log of equation (4), a column for each option of the slots, (K, F')."""
        slots = self.axes.slots
        log_prior, log_hit, log_miss = self._option_terms(slots.p0, slots.n_options)
        codes = self.codes.T[:, slots.row[: len(slots.p0)]]
        table = np.where(codes == slots.value[: len(slots.p0)], log_hit, log_miss)
        # In kernels without an option the prior stands, not a miss.
        np.copyto(table, log_prior, where=codes < 0)
        return table

    def _option_terms(self, p0: Floats, n_options: Floats) -> tuple[Floats, Floats, Floats]:
        """log p0, and log of (4) with and without a hit; shape as `p0`."""
        # An option of probability 0 may have been tried all the same: its log must be a number.
        p0, a = np.maximum(p0, _LEAST_PROBABILITY), self._smoothing * n_options
        smooth = a * p0
        a += 1.0
        return np.log(p0), np.log((1.0 + smooth) / a), np.log(smooth / a)

    def _add_log_cells(self, points: Points, terms: Floats) -> None:
        """Add the part of the discrete axes that have no table to `terms` of shape (K, C)."""
        if points.ends is None:
            raise ValueError("points need the ends of their cells")
        lower, upper = points.ends
        u = points.u[self.axes.n_continuous :]
        is_active = ~np.isnan(u)
        for axes, kernels in self._discrete_kernels:
            is_tabulated = points.numbers is not None and axes == self.axes.slots.axes
            if is_tabulated:
                continue
            # Whole branches of the space may be inactive in all the points.
            places = np.flatnonzero(is_active[axes].any(axis=1))
            own = np.array(axes)[places]
            log_masses = kernels.log_masses(lower[own], upper[own], u[own], places)
            np.copyto(log_masses, 0.0, where=~is_active[own][:, None, :])
            for log_mass, columns in zip(log_masses, self._columns[own], strict=True):
                terms += log_mass.take(columns, axis=0)

    def _add_log_options(self, codes: Codes, terms: Floats) -> None:
        """Add the part of the choices that have no table to `terms` of shape (K, C)."""
        for choice in self.axes.slots.other_choices:
            p0, options, own = self.axes.option_priors[choice], codes[choice], self.codes[choice]
            log_prior, log_hit, log_miss = self._option_terms(
                p0[options], np.full(len(options), float(len(p0)))
            )
            log_factor = np.where(own[:, None] == options, log_hit, log_miss)
            np.copyto(log_factor, log_prior, where=(own < 0)[:, None])
            terms += np.where(options >= 0, log_factor, 0.0)


def log_sum_exp(terms: Floats) -> Floats:
    """log(sum(exp(.))) over the first axis, without overflow; overwrites its argument."""
    peak: Floats = terms.max(axis=0)
    is_something = peak > -np.inf
    if not is_something.all():
        # Where every term is -inf, so is the result, and not NaN.
        peak[is_something] = log_sum_exp(terms[:, is_something])
        return peak
    terms -= peak
    sums: Floats = np.exp(terms, out=terms).sum(axis=0)
    np.log(sums, out=sums)
    sums += peak
    return sums
