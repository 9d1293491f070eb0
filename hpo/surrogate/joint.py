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
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hpo.surrogate import truncnorm
from hpo.surrogate.axes import Axes, Points
from hpo.surrogate.bandwidth import LEAST_SIGMA, flat_order, larger_gap_bandwidths
from hpo.surrogate.categorical import draw_indices

__all__ = ["Axes", "JointParzen", "Points", "log_sum_exp"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
# Squares of coordinates beyond this lose the digits that (2) needs when they are
# expanded into a matrix product.
_FAR = 20.0
# A difference of two values of Phi that is a smaller share of them has lost digits, and
# is computed with more care.
_LEAST_SHARE = 1e-5
# Without any smoothing a choice could never take an option that no trial took.
_LEAST_SMOOTHING = 1e-6
_LEAST_PROBABILITY = 1e-290


class JointParzen:
    """The mixture (1), fitted to trials.

    What it needs for a density is tabulated when it is first asked for one, so that to ask
    again costs one matrix product and what has too many values for a table.

    Args:
        axes: the space's axes.
        u, codes: the trials; shapes (D, n) and (O, n).
        weights: of the trials, shape (n,).
        prior_weight: w0, weight of the prior kernel on the same scale.
        least_sigma: see `hpo.surrogate.bandwidth`.
    """

    def __init__(
        self,
        axes: Axes,
        u: Floats,
        codes: Codes,
        weights: Floats,
        prior_weight: float = 1.0,
        least_sigma: float = LEAST_SIGMA,
    ) -> None:
        self.axes = axes
        n_kernels = len(weights) + 1
        # Alone it has all the weight, even a prior that was given none.
        self.weights = np.append(weights, prior_weight if len(weights) else 1.0)
        self.weights /= self.weights.sum()
        # a of (4) for each option of a choice.
        self._smoothing = max(prior_weight, _LEAST_SMOOTHING) / n_kernels
        split = axes.n_continuous
        self.mus = np.empty((len(u), n_kernels))
        self.mus[:, :-1] = np.where(np.isnan(u), axes.prior_mus, u)
        self.mus[:, -1:] = axes.prior_mus
        self.sigmas = np.ones((len(u), n_kernels))
        self.codes = np.full((len(codes), n_kernels), -1, dtype=np.int64)
        self.codes[:, :-1] = codes
        if split:
            self.sigmas[:split, :-1] = larger_gap_bandwidths(u[:split], least_sigma)
        if split < len(u):
            self._fit_discrete(u[split:], least_sigma)

    def _fit_discrete(self, u: Floats, least_sigma: float) -> None:
        """Find the different kernels: trials share few values, so each is integrated once."""
        rows = slice(self.axes.n_continuous, None)
        least = np.maximum(least_sigma, self.axes.half_cells[rows])
        centres, ranks = distinct(u)
        self._cell_sigmas = larger_gap_bandwidths(centres, least)
        # The first column is the prior's.
        self._cell_mus = np.where(np.isnan(centres), self.axes.prior_mus[rows], centres)
        self._cell_of = np.zeros((len(u), len(self.weights)), dtype=np.int64)
        self._cell_of[:, :-1] = ranks
        self.sigmas[rows] = np.take_along_axis(self._cell_sigmas, self._cell_of, axis=1)

    # --- drawing ---

    def sample(self, rng: np.random.Generator, n_samples: int) -> tuple[Floats, Codes]:
        """Draw points on all axes, active or not: coordinates (D, C) and codes (O, C)."""
        drawn = draw_indices(rng, self.weights, n_samples)
        n_axes, n_choices = len(self.mus), len(self.codes)
        random = rng.random((n_axes + 2 * n_choices, n_samples))
        return self._draw_numeric(drawn, random[:n_axes]), self._draw_options(
            drawn, random[n_axes:]
        )

    def _draw_numeric(self, kernels: npt.NDArray[np.int64], random: Floats) -> Floats:
        from scipy.special import ndtri

        below, inside = self._masses
        low, high = self.axes.low, self.axes.high
        quantiles = below[:, kernels] + random * inside[:, kernels]
        u = self.mus[:, kernels] + self.sigmas[:, kernels] * ndtri(quantiles)
        return np.asarray(np.minimum(np.maximum(u, low), high))

    @functools.cached_property
    def _masses(self) -> tuple[Floats, Floats]:
        """Mass of each kernel below the lower bound, and Z, inside the bounds; (D, K)."""
        from scipy.special import ndtr

        # The centre lies inside the bounds, so neither Phi can be deep in the wrong tail.
        below = ndtr((self.axes.low - self.mus) / self.sigmas)
        return below, ndtr((self.axes.high - self.mus) / self.sigmas) - below

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
        rows = slots.other_axes if points.numbers is not None else range(len(points.lower))
        if len(rows):
            self._add_log_cells(points, rows, terms)
        if slots.other_choices:
            self._add_log_options(points.codes, terms)
        return terms

    @functools.cached_property
    def _table(self) -> Floats:
        """What `Points.features` is multiplied with, (K, 3 (D - E) + F)."""
        parts = [*self._coefficients(), self._log_options_of_slots(), *self._log_cells_of_slots()]
        return np.asarray(np.concatenate(parts).T)

    def _coefficients(self) -> list[Floats]:
        """Equation (2) as a polynomial: of u^2, u and 1 on each axis; each (D - E, K)."""
        mus, precisions, constants = self._normal_terms
        slopes = mus * precisions
        return [-0.5 * precisions, slopes, constants - 0.5 * mus * slopes]

    @functools.cached_property
    def _normal_terms(self) -> tuple[Floats, Floats, Floats]:
        """Centres, inverse variances, and the logarithm of the density's constant."""
        rows = slice(0, self.axes.n_continuous)
        mus, sigmas = self.mus[rows], self.sigmas[rows]
        constants = -_LOG_SQRT_2PI - np.log(sigmas * self._masses[1][rows])
        return mus, 1.0 / (sigmas * sigmas), constants

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
        """log of equation (4), a row for each option of the slots, (F', K)."""
        slots = self.axes.slots
        log_prior, log_hit, log_miss = self._option_terms(slots.p0, slots.n_options)
        codes = self.codes[slots.row[: len(slots.p0)]]
        is_hit = codes == slots.value[: len(slots.p0), None]
        table = np.where(is_hit, log_hit[:, None], log_miss[:, None])
        # In kernels without an option the prior stands, not a miss.
        np.copyto(table, log_prior[:, None], where=codes < 0)
        return table

    def _option_terms(self, p0: Floats, n_options: Floats) -> tuple[Floats, Floats, Floats]:
        """log p0, and log of (4) with and without a hit; shape as `p0`."""
        # An option of probability 0 may have been tried all the same: its log must be a number.
        p0, a = np.maximum(p0, _LEAST_PROBABILITY), self._smoothing * n_options
        smooth = a * p0
        return np.log(p0), np.log((1.0 + smooth) / (1.0 + a)), np.log(smooth / (1.0 + a))

    def _log_cells_of_slots(self) -> list[Floats]:
        """log of equation (3), a row for each cell; for each slot (number of cells, K)."""
        slots = self.axes.slots
        if not slots.axes:
            return []
        axes = list(slots.axes)
        log_masses = self._log_masses(axes, slots.lower, slots.upper)
        return [
            own[:, :n].T.take(cells, axis=1)
            for own, n, cells in zip(log_masses, slots.n_cells, self._cell_of[axes], strict=True)
        ]

    def _log_masses(
        self, axes: Sequence[int], lower: Floats, upper: Floats, u: Floats | None = None
    ) -> Floats:
        """log of equation (3) of the different kernels in cells around u (E', C); (E', U, C)."""
        from scipy.special import ndtr

        mus, sigmas = self._cell_mus[axes], self._cell_sigmas[axes]
        bounded = [self.axes.n_continuous + axis for axis in axes]
        low, high = self.axes.low[bounded], self.axes.high[bounded]
        log_inside = np.log(ndtr((high - mus) / sigmas) - ndtr((low - mus) / sigmas))
        mus, sigmas = mus[:, :, None], sigmas[:, :, None]
        log_masses = _log_mass((lower[:, None] - mus) / sigmas, (upper[:, None] - mus) / sigmas)
        is_point = lower == upper
        if u is not None and is_point.any():
            # Far from 0 a float cannot tell the ends of a cell apart.
            densities = -0.5 * ((u[:, None] - mus) / sigmas) ** 2 - np.log(sigmas)
            np.copyto(log_masses, densities, where=is_point[:, None])
        return np.asarray(log_masses - log_inside[:, :, None])

    def _add_log_cells(self, points: Points, axes: Sequence[int], terms: Floats) -> None:
        """Add the part of the discrete axes that have no table to `terms` of shape (K, C)."""
        axes = list(axes)
        u = points.u[self.axes.n_continuous :][axes]
        log_masses = self._log_masses(axes, points.lower[axes], points.upper[axes], u)
        if not points.is_complete:
            np.copyto(log_masses, 0.0, where=np.isnan(u)[:, None, :])
        for log_mass, cells in zip(log_masses, self._cell_of[axes], strict=True):
            terms += log_mass.take(cells, axis=0)

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


def distinct(u: Floats) -> tuple[Floats, Codes]:
    """The different values in each row, NaN apart.

    Args:
        u: shape (rows, n).

    Returns:
        centres: ascending from column 1 on, shape (rows, 1 + the largest number of
            them), NaN in column 0 and where a row has fewer.
        ranks: the column of each value, 0 for NaN; shape (rows, n).
    """
    n_rows, n = u.shape
    if n == 0:
        return np.full((n_rows, 1), np.nan), np.zeros((n_rows, 0), dtype=np.int64)
    order = flat_order(u)
    ascending = u.ravel()[order]
    is_nan = np.isnan(ascending)
    is_new = np.ones((n_rows, n), dtype=np.bool_)
    # Each NaN differs from the next.
    np.not_equal(ascending[:, 1:], ascending[:, :-1], out=is_new[:, 1:])
    ranks_in_order = np.cumsum(is_new & ~is_nan, axis=1)
    n_distinct = int(ranks_in_order[:, -1].max())
    ranks_in_order[is_nan] = 0
    centres = np.full((n_rows, n_distinct + 1), np.nan)
    centres[np.arange(n_rows)[:, None], ranks_in_order] = ascending
    centres[:, 0] = np.nan
    ranks = np.empty(u.size, dtype=np.int64)
    ranks[order] = ranks_in_order
    return centres, ranks.reshape(u.shape)


def _log_mass(a: Floats, b: Floats) -> Floats:
    """log(Phi(b) - Phi(a)), elementwise, accurate in the tails; -inf where a >= b."""
    from scipy.special import ndtr

    # On the left Phi is small, and exact to all digits.
    left, right = np.minimum(a, -b), np.minimum(b, -a)
    phi_right = ndtr(right)
    masses = phi_right - ndtr(left)
    is_imprecise = masses <= _LEAST_SHARE * phi_right
    with np.errstate(divide="ignore"):
        log_masses: Floats = np.log(masses)
    if is_imprecise.any():
        log_masses[is_imprecise] = truncnorm.log_mass(left[is_imprecise], right[is_imprecise])
    return log_masses


def log_sum_exp(terms: Floats) -> Floats:
    """log(sum(exp(.))) over the first axis, without overflow; overwrites its argument."""
    peak = terms.max(axis=0)
    # Where every term is -inf, so is the result, and not NaN.
    peak[np.isneginf(peak)] = 0.0
    terms -= peak
    np.exp(terms, out=terms)
    with np.errstate(divide="ignore"):
        sums: Floats = np.log(terms.sum(axis=0)) + peak
    return sums
