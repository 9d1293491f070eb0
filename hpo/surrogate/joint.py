"""Joint Parzen estimators: one kernel for each trial, over all hyperparameters at once.

A kernel is a product over the axes. Where a trial has a value, the factor is a
normal around it (or, for a choice, a distribution that favours its option);
where the hyperparameter was inactive in it, the factor is the prior. One more
kernel has the prior as every factor.

    symbol    meaning                                                         shape
    n, K      number of trials; of kernels, K = n + 1, the prior last           scalars
    G         number of mixtures that are fitted together                      scalar
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
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.surrogate import truncnorm
from hpo.surrogate.bandwidth import LEAST_SIGMA, flat_order, larger_gap_bandwidths
from hpo.surrogate.categorical import draw_indices

__all__ = ["Axes", "JointParzen", "JointParzens", "Points", "log_sum_exp"]

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


@dataclass(frozen=True, eq=False)
class Axes:
    """What the estimator must know of the hyperparameters.

    Attributes:
        n_continuous: how many of the numeric axes are continuous; these come first.
        low, high: bounds of the coordinates: 0 and 1, or infinite; shape (D, 1).
        half_cells: half the width of a value's cell, 0 for continuous axes; shape (D, 1).
        option_priors: p0 of each choice, O arrays.
    """

    n_continuous: int
    low: Floats
    high: Floats
    half_cells: Floats
    option_priors: Sequence[Floats]

    @functools.cached_property
    def prior_mus(self) -> Floats:
        """Centre of the prior on each axis, shape (D, 1)."""
        return np.where(np.isfinite(self.high), 0.5, 0.0)

    @functools.cached_property
    def is_bounded(self) -> bool:
        """Whether all axes have bounds."""
        return bool(np.isfinite(self.high).all())

    @functools.cached_property
    def n_options(self) -> Floats:
        """Number of options of each choice, shape (O,)."""
        return np.array([len(p0) for p0 in self.option_priors], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Points:
    """Configurations as the estimator sees them.

    Attributes:
        u: coordinates, shape (D, C), NaN where inactive.
        lower, upper: ends of the cells on the discrete axes, shape (D - n_continuous, C).
        codes: numbers of options, shape (O, C), -1 where inactive.
        is_complete: whether nothing is inactive.
    """

    u: Floats
    lower: Floats
    upper: Floats
    codes: Codes
    is_complete: bool = False

    def __len__(self) -> int:
        return int(max(self.u.shape[1], self.codes.shape[1]))


class JointParzens:
    """Several mixtures (1) over the same axes, fitted and evaluated together.

    Together is faster: numpy's cost is by the call as long as the arrays are small.

    Args:
        axes: the space's axes.
        u, codes: the trials, those of the first mixture first; (D, n) and (O, n).
        sizes: how many trials each mixture has; G numbers, sum n.
        weights: of the trials, shape (n,).
        prior_weights: w0 of each mixture, on the same scale; G numbers.
        least_sigma: see `hpo.surrogate.bandwidth`.
    """

    def __init__(
        self,
        axes: Axes,
        u: Floats,
        codes: Codes,
        sizes: Sequence[int],
        weights: Floats,
        prior_weights: Sequence[float],
        least_sigma: float = LEAST_SIGMA,
    ) -> None:
        self.axes, self.sizes = axes, tuple(sizes)
        ends = np.cumsum(self.sizes)
        self._trials = [slice(end - n, end) for end, n in zip(ends, self.sizes, strict=True)]
        # Each mixture's prior stands behind its trials.
        self._kernels = [
            slice(trials.start + group, trials.stop + group + 1)
            for group, trials in enumerate(self._trials)
        ]
        self._set_weights(weights, prior_weights)
        n_continuous, n_kernels = axes.n_continuous, len(self.weights)
        self._u = u
        self.mus = np.empty((len(u), n_kernels))
        self.mus[:] = axes.prior_mus
        self.sigmas = np.ones((len(u), n_kernels))
        known = np.where(np.isnan(u), axes.prior_mus, u)
        self.codes = np.full((len(codes), n_kernels), -1, dtype=np.int64)
        for trials, kernels in zip(self._trials, self._kernels, strict=True):
            own = slice(kernels.start, kernels.stop - 1)
            self.mus[:, own] = known[:, trials]
            self.codes[:, own] = codes[:, trials]
        if n_continuous:
            self._fit_continuous(u[:n_continuous], least_sigma)
        if n_continuous < len(u):
            self._fit_discrete(u[n_continuous:], least_sigma)

    def _set_weights(self, weights: Floats, prior_weights: Sequence[float]) -> None:
        """Weights of the kernels, sum 1 in each mixture; shape (K,)."""
        self.weights = np.empty(len(weights) + len(self.sizes))
        smoothing = []
        for trials, kernels, w0 in zip(self._trials, self._kernels, prior_weights, strict=True):
            own = self.weights[kernels]
            own[:-1] = weights[trials]
            # Alone it has all the weight, even a prior that was given none.
            own[-1] = w0 if len(own) > 1 else 1.0
            own /= own.sum()
            smoothing.append(max(w0, _LEAST_SMOOTHING) / len(own))
        # a of (4), for each mixture and choice.
        self._smoothing = np.outer(smoothing, self.axes.n_options)

    def _fit_continuous(self, u: Floats, least_sigma: float) -> None:
        for trials, kernels in zip(self._trials, self._kernels, strict=True):
            own = slice(kernels.start, kernels.stop - 1)
            self.sigmas[: len(u), own] = larger_gap_bandwidths(u[:, trials], least_sigma)

    def _fit_discrete(self, u: Floats, least_sigma: float) -> None:
        """Find the different kernels: trials share few values, so each is integrated once."""
        rows = slice(self.axes.n_continuous, None)
        least = np.maximum(least_sigma, self.axes.half_cells[rows])
        # One table with a row for each axis, and the mixtures side by side.
        mus, sigmas, width = [], [], 0
        self._cell_of = np.empty((len(u), len(self.weights)), dtype=np.int64)
        for trials, kernels in zip(self._trials, self._kernels, strict=True):
            centres, ranks = distinct(u[:, trials])
            sigmas.append(larger_gap_bandwidths(centres, least))
            mus.append(np.where(np.isnan(centres), self.axes.prior_mus[rows], centres))
            self._cell_of[:, kernels.start : kernels.stop - 1] = ranks + width
            # The first column is the prior's.
            self._cell_of[:, kernels.stop - 1] = width
            width += centres.shape[1]
        self._cell_mus, self._cell_sigmas = np.hstack(mus), np.hstack(sigmas)

    # --- drawing ---

    def sample(
        self, rng: np.random.Generator, n_samples: int, mixture: int = 0
    ) -> tuple[Floats, Codes]:
        """Draw points on all axes, active or not: coordinates (D, C) and codes (O, C)."""
        kernels = self._kernels[mixture]
        drawn = kernels.start + draw_indices(rng, self.weights[kernels], n_samples)
        n_axes, n_choices = len(self.mus), len(self.codes)
        random = rng.random((n_axes + 2 * n_choices, n_samples))
        return (
            self._draw_numeric(drawn, random[:n_axes]),
            self._draw_options(drawn, random[n_axes:], self._smoothing[mixture]),
        )

    def _draw_numeric(self, kernels: npt.NDArray[np.int64], random: Floats) -> Floats:
        from scipy.special import ndtr, ndtri

        mus, low, high = self.mus[:, kernels], self.axes.low, self.axes.high
        sigmas = self.sigmas[:, kernels]
        split = self.axes.n_continuous
        for row in range(split, len(mus)):
            sigmas[row] = self._cell_sigmas[row - split, self._cell_of[row - split, kernels]]
        # The centre lies inside the bounds, so neither Phi can be deep in the wrong tail.
        below, above = ndtr((low - mus) / sigmas), ndtr((high - mus) / sigmas)
        u = mus + sigmas * ndtri(below + random * (above - below))
        return np.asarray(np.minimum(np.maximum(u, low), high))

    def _draw_options(
        self, kernels: npt.NDArray[np.int64], random: Floats, smoothing: Floats
    ) -> Codes:
        drawn = self.codes[:, kernels]
        n_choices = len(drawn)
        is_from_prior = (drawn < 0) | (random[:n_choices] * (1.0 + smoothing[:, None]) >= 1.0)
        for row, p0 in enumerate(self.axes.option_priors):
            replaced = is_from_prior[row]
            cumulative = np.cumsum(p0)
            positions = random[n_choices + row] * cumulative[-1]
            options = np.minimum(np.searchsorted(cumulative, positions, side="right"), len(p0) - 1)
            np.copyto(drawn[row], options, where=replaced)
        return drawn

    # --- densities ---

    def log_densities(self, points: Points) -> list[Floats]:
        """log p of each point under each mixture, equation (1); G arrays of shape (C,)."""
        terms = self._log_terms(points)
        with np.errstate(divide="ignore"):
            terms += np.log(self.weights)[:, None]
        return [log_sum_exp(terms[kernels]) for kernels in self._kernels]

    def log_kernels(self, points: Points) -> Floats:
        """Logarithm of each kernel's product at each point, shape (C, K), mixture by mixture."""
        return np.asarray(self._log_terms(points).T)

    def _log_terms(self, points: Points) -> Floats:
        """`log_kernels` with the kernels first, (K, C): then every step runs along memory."""
        if self.axes.n_continuous:
            terms = self._log_normals(points)
        else:
            terms = np.zeros((len(self.weights), len(points)))
        if len(points.lower):
            self._add_log_cells(points, terms)
        if len(points.codes):
            self._add_log_options(points.codes, terms)
        return terms

    def _log_normals(self, points: Points) -> Floats:
        """The continuous axes' part, equation (2) as one matrix product; shape (K, C)."""
        u = points.u[: self.axes.n_continuous]
        if points.is_complete:
            is_active, positions = np.ones_like(u), u
        else:
            is_active = (~np.isnan(u)).astype(np.float64)
            positions = np.where(np.isnan(u), 0.0, u)
        if not self.axes.is_bounded:
            mus, precisions, constants = self._normal_terms
            farthest = max(np.abs(positions).max(initial=0.0), np.abs(mus).max(initial=0.0))
            if farthest > _FAR:
                distances = (positions[:, None, :] - mus[:, :, None]) ** 2
                exponents = -0.5 * distances * precisions[:, :, None] + constants[:, :, None]
                return np.asarray((exponents * is_active[:, None, :]).sum(axis=0))
        features = np.concatenate([positions * positions, positions, is_active])
        return np.asarray(self._coefficients @ features)

    @functools.cached_property
    def _normal_terms(self) -> tuple[Floats, Floats, Floats]:
        """Centres, inverse variances, and the logarithm of the density's constant; (D', K)."""
        from scipy.special import ndtr

        rows = slice(0, self.axes.n_continuous)
        mus, sigmas = self.mus[rows], self.sigmas[rows]
        low, high = self.axes.low[rows], self.axes.high[rows]
        inside = ndtr((high - mus) / sigmas) - ndtr((low - mus) / sigmas)
        return mus, 1.0 / (sigmas * sigmas), -_LOG_SQRT_2PI - np.log(sigmas * inside)

    @functools.cached_property
    def _coefficients(self) -> Floats:
        """Of u^2, u and 1 on each continuous axis, shape (K, 3 D')."""
        mus, precisions, constants = self._normal_terms
        slopes = mus * precisions
        terms = [-0.5 * precisions, slopes, constants - 0.5 * mus * slopes]
        return np.asarray(np.concatenate(terms).T)

    def _add_log_cells(self, points: Points, terms: Floats) -> None:
        """Add the discrete axes' part, equation (3), to `terms` of shape (K, C)."""
        mus, sigmas = self._cell_mus[:, :, None], self._cell_sigmas[:, :, None]
        log_masses = _log_mass(
            (points.lower[:, None, :] - mus) / sigmas, (points.upper[:, None, :] - mus) / sigmas
        )
        rows = slice(self.axes.n_continuous, None)
        is_point = points.lower == points.upper
        if is_point.any():
            # Far from 0 a float cannot tell the ends of a cell apart.
            distances = (points.u[rows, None, :] - mus) / sigmas
            densities = -0.5 * distances**2 - np.log(sigmas)
            np.copyto(log_masses, densities, where=is_point[:, None, :])
        log_masses -= self._log_inside_of_cells[:, :, None]
        if not points.is_complete:
            np.copyto(log_masses, 0.0, where=np.isnan(points.u[rows])[:, None, :])
        for log_mass, cells in zip(log_masses, self._cell_of, strict=True):
            terms += log_mass.take(cells, axis=0)

    @functools.cached_property
    def _log_inside_of_cells(self) -> Floats:
        """log Z of the different kernels on the discrete axes, shape (D', U)."""
        from scipy.special import ndtr

        rows = slice(self.axes.n_continuous, None)
        mus, sigmas = self._cell_mus, self._cell_sigmas
        low, high = self.axes.low[rows], self.axes.high[rows]
        return np.asarray(np.log(ndtr((high - mus) / sigmas) - ndtr((low - mus) / sigmas)))

    def _add_log_options(self, codes: Codes, terms: Floats) -> None:
        """Add the choices' part, equation (4), to `terms` of shape (K, C)."""
        log_prior, log_hit, log_miss = self._option_terms(codes)
        for group, kernels in enumerate(self._kernels):
            hit, miss = log_hit[group], log_miss[group]
            # In kernels without an option the prior stands, not a miss.
            own = terms[kernels]
            own += self._is_inactive[kernels] @ (log_prior - miss)
            own += miss.sum(axis=0)
            gain = hit - miss
            for own_codes, point_codes, gain_of_hit in zip(
                self.codes[:, kernels], codes, gain, strict=True
            ):
                own += (own_codes[:, None] == point_codes) * gain_of_hit

    @functools.cached_property
    def _is_inactive(self) -> Floats:
        """1 where the prior stands for a kernel's option, shape (K, O)."""
        return np.asarray(self.codes.T < 0, dtype=np.float64)

    def _option_terms(self, codes: Codes) -> tuple[Floats, Floats, Floats]:
        """log p0 (O, C); log of (4) with and without a hit (G, O, C); at the points' options."""
        p0 = np.array([p[own] for p, own in zip(self.axes.option_priors, codes, strict=True)])
        # An option of probability 0 may have been tried all the same: its log must be a number.
        p0, a = np.maximum(p0, _LEAST_PROBABILITY), self._smoothing[:, :, None]
        smooth = a * p0
        log_prior, log_miss = np.log(p0), np.log(smooth / (1.0 + a))
        log_hit = np.log((1.0 + smooth) / (1.0 + a))
        is_inactive = codes < 0
        if is_inactive.any():
            log_prior[is_inactive] = 0.0
            log_hit[:, is_inactive] = 0.0
            log_miss[:, is_inactive] = 0.0
        return log_prior, log_hit, log_miss


class JointParzen(JointParzens):
    """One mixture (1).

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
        super().__init__(axes, u, codes, [len(weights)], weights, [prior_weight], least_sigma)

    def log_density(self, points: Points) -> Floats:
        """log p of each point, equation (1); shape (C,)."""
        return self.log_densities(points)[0]


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
