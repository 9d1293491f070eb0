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
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.surrogate.axes import Axes, Features, Points, summed
from hpo.surrogate.cells import CellKernels
from hpo.surrogate.products import put_product
from hpo.surrogate.slots import LEAST_PROBABILITY, CellTable
from hpo.surrogate.special import special

__all__ = ["Axes", "JointParzen", "Points", "log_densities", "log_options", "log_sums_exp"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
# Squares of coordinates beyond this lose the digits that (2) needs when they are
# expanded into a matrix product.
_FAR = 20.0
# Stands in for the logarithm of 0, where that must not be infinite.
_LOWEST = -1e308
# Terms of a sum that are smaller than the greatest by this much, in logarithms, or more.
_NEGLIGIBLE = -700.0


@dataclass(eq=False)
class JointParzen:
    """The mixture (1); `hpo.surrogate.joint_fit` makes one of trials.

    Attributes:
        axes: the space's axes.
        weights: w.
        smoothing: a of (4) for each option of a choice.
        codes: of each kernel's options, -1 for the prior; shape (O, K).
        normals: m, s, and each kernel's mass below and inside the bounds, on the
            continuous axes; shape (4, D - E, K).
        table: what `Points.features` is multiplied with: the coefficients of log (2), log w,
            and (3) and (4) in logarithms for every value of the slots; the columns stand
            as `Axes.layout` says.
        columns: on the discrete axes many trials share a kernel: which of these each one
            has; on slots counted through all of them (`Slots.kernels`); shape (E, K).
        slot_kernels: the kernels on the discrete axes that are slots; None where there
            are no such axes.
        other_kernels: those on the discrete axes that are no slots, or None.
    """

    axes: Axes
    weights: Floats
    smoothing: float
    codes: Codes
    normals: Floats
    table: Floats
    columns: Codes
    slot_kernels: CellTable | None
    other_kernels: CellKernels | None

    @functools.cached_property
    def usual_sigmas(self) -> Floats:
        """Median of the kernels' deviations on each continuous axis, shape (D - E, 1)."""
        middle = len(self.weights) // 2
        return np.partition(self.normals[1], middle, axis=1)[:, middle : middle + 1]

    # --- drawing ---

    def sample(self, rng: np.random.Generator, n_samples: int) -> Points:
        """Draw points on all axes, active or not.

        On the axes that are no slots `numbers` is -1: there the drawn coordinates are yet to
        be rounded.
        """
        axes, slots, split = self.axes, self.axes.slots, self.axes.n_continuous
        n_choices = len(self.codes)
        random = rng.random((1 + 2 * n_choices + len(axes.low), n_samples))
        on_choices, on_axes = random[1 : 1 + 2 * n_choices], random[1 + 2 * n_choices :]
        kernels = summed(self.weights).searchsorted(random[0], side="right")
        u = np.empty(on_axes.shape)
        if split:
            normals = self.normals.take(kernels, axis=2)
            _draw_normals(normals, on_axes[:split], axes.low[:split], axes.high[:split], u[:split])
        numbers: Codes = np.full((len(u) - split, n_samples), -1)
        if self.slot_kernels is not None:
            own = slots.own_axes
            columns = self.columns[own].take(kernels, axis=1)
            cumulative = self.slot_kernels.cumulative.take(columns, axis=0)
            drawn = _draw_cells(cumulative, on_axes[split:][own])
            numbers[own] = drawn
            u[split:][own] = slots.middles[slots.rows, drawn]
        if self.other_kernels is not None:
            self._draw_others(self.other_kernels, kernels, on_axes, u)
        return Points(u, self._draw_options(kernels, on_choices), numbers)

    def _draw_others(
        self, cell_kernels: CellKernels, kernels: Codes, random: Floats, u: Floats
    ) -> None:
        """Draw on the discrete axes that are no slots, into the rows of `u`."""
        others = list(self.axes.slots.other_axes)
        rows = [self.axes.n_continuous + axis for axis in others]
        low, high = self.axes.low[rows], self.axes.high[rows]
        columns = self.columns[others].take(kernels, axis=1)
        places = np.arange(len(others))[:, None]
        mus, sigmas = cell_kernels.mus[places, columns], cell_kernels.sigmas[places, columns]
        ndtr = special().ndtr
        below = ndtr((low - mus) / sigmas)
        inside = ndtr((high - mus) / sigmas) - below
        drawn = np.empty(mus.shape)
        _draw_normals((mus, sigmas, below, inside), random[rows], low, high, drawn)
        u[rows] = drawn

    def _draw_options(self, kernels: Codes, random: Floats) -> Codes:
        drawn = self.codes.take(kernels, axis=1)
        n_choices = len(drawn)
        if not n_choices:
            return drawn
        a = self.smoothing * self.axes.n_options[:, None]
        is_from_prior = (drawn < 0) | (random[:n_choices] * (1.0 + a) >= 1.0)
        padded = self.axes.padded_cumulative_priors
        if padded is not None:
            # A small share of them: the fewer trials, the larger.
            (places,) = is_from_prior.ravel().nonzero()
            sums = padded.take(places // drawn.shape[1], axis=0)
            own = random[n_choices:].take(places)
            drawn.put(places, (sums > own[:, None]).argmax(axis=1))
            return drawn
        for row, cumulative in enumerate(self.axes.cumulative_priors):
            options = cumulative.searchsorted(random[n_choices + row], side="right")
            np.copyto(drawn[row], options, where=is_from_prior[row])
        return drawn

    # --- densities ---

    def log_density(self, points: Points) -> Floats:
        """log p of each point, equation (1); shape (C,)."""
        (log_density,) = log_densities([self], points)
        return np.asarray(log_density)

    @functools.cached_property
    def _values(self) -> Floats:
        """The values' part of the table, a row for each column; shape (F, K)."""
        return np.ascontiguousarray(self.table[:, self.axes.layout.values].T)

    def put_log_terms(self, points: Points, features: Features, terms: Floats) -> None:
        """The logarithm of each term of (1) into `terms`, shape (K, C).

        With the kernels first every step runs along memory.

        Args:
            features: `points.features(axes)`.
        """
        slots = self.axes.slots
        far = None if self.axes.is_bounded else self._log_far_normals(points)
        if far is not None:
            nowhere = np.full(points.u.shape, np.nan)
            features = Points(nowhere, points.codes, points.numbers).features(self.axes)
        dense, chosen = features
        values = self.axes.layout.values
        end = values.stop if chosen is None else values.start
        put_product(self.table[:, end - len(dense) : end], dense, terms)
        if chosen is not None:
            terms += (chosen @ self._values).T
        if far is not None:
            terms += far
        if self.other_kernels is not None:
            self._add_log_cells(points, self.other_kernels, terms)
        if slots.other_choices:
            self._add_log_options(points.codes, terms)

    def _log_far_normals(self, points: Points) -> Floats | None:
        """The continuous axes' part (K, C) without squares of large numbers, if there are any."""
        mus, sigmas, _, inside = self.normals
        u = points.u[: self.axes.n_continuous]
        positions = np.nan_to_num(u, nan=0.0)
        farthest = max(np.abs(positions).max(initial=0.0), np.abs(mus).max(initial=0.0))
        if farthest <= _FAR:
            return None
        distances = (positions[:, None, :] - mus[:, :, None]) / sigmas[:, :, None]
        exponents = -0.5 * distances**2 - (np.log(sigmas * inside) + _LOG_SQRT_2PI)[:, :, None]
        return np.asarray((exponents * ~np.isnan(u)[:, None, :]).sum(axis=0))

    def _add_log_cells(self, points: Points, kernels: CellKernels, terms: Floats) -> None:
        """Add the part of the discrete axes that have no table to `terms` of shape (K, C)."""
        if points.ends is None:
            raise ValueError("points need the ends of their cells")
        lower, upper = points.ends
        u = points.u[self.axes.n_continuous :]
        is_active = ~np.isnan(u)
        axes = np.array(self.axes.slots.other_axes)
        # Whole branches of the space may be inactive in all the points.
        places = np.flatnonzero(is_active[axes].any(axis=1))
        own = axes[places]
        log_masses = kernels.log_masses(lower[own], upper[own], u[own], places)
        np.copyto(log_masses, 0.0, where=~is_active[own][:, None, :])
        for log_mass, columns in zip(log_masses, self.columns[own], strict=True):
            terms += log_mass.take(columns, axis=0)

    def _add_log_options(self, codes: Codes, terms: Floats) -> None:
        """Add the part of the choices that have no table to `terms` of shape (K, C)."""
        for choice in self.axes.slots.other_choices:
            all_p0, options, own = (
                self.axes.option_priors[choice],
                codes[choice],
                self.codes[choice],
            )
            p0 = np.maximum(all_p0[options], LEAST_PROBABILITY)
            log_hit, log_miss = log_options(p0, len(all_p0) * self.smoothing)
            log_factor = np.where(own[:, None] == options, log_hit, log_miss)
            np.copyto(log_factor, np.log(p0), where=(own < 0)[:, None])
            terms += np.where(options >= 0, log_factor, 0.0)


# --- drawing and adding up ---


def log_options(p0: Floats, a: Floats | float) -> tuple[Floats, Floats]:
    """log of (4) with and without a hit."""
    smooth = a * p0
    log_sum = np.log(1.0 + a)
    return np.log(1.0 + smooth) - log_sum, np.log(smooth) - log_sum


def _draw_normals(
    normals: Floats | tuple[Floats, Floats, Floats, Floats],
    random: Floats,
    low: Floats,
    high: Floats,
    u: Floats,
) -> None:
    """Draw from truncated normals by their quantiles, into `u`."""
    mus, sigmas, below, inside = normals
    inside *= random
    inside += below
    special().ndtri(inside, out=u)
    u *= sigmas
    u += mus
    np.maximum(u, low, out=u)
    np.minimum(u, high, out=u)


def _draw_cells(cumulative: Floats, random: Floats) -> Codes:
    """Draw cells by their summed masses of shape (S', C, V); shape (S', C)."""
    numbers: Codes = (cumulative > random[:, :, None]).argmax(axis=2)
    return numbers


def log_densities(mixtures: Sequence[JointParzen], points: Points) -> Floats:
    """log p of each point by each of several mixtures over the same axes, shape (G, C)."""
    features = points.features(mixtures[0].axes)
    ends = list(itertools.accumulate(len(mixture.weights) for mixture in mixtures))
    terms = np.empty((ends[-1], len(points)))
    parts = [terms[start:end] for start, end in itertools.pairwise([0, *ends])]
    for mixture, part in zip(mixtures, parts, strict=True):
        mixture.put_log_terms(points, features, part)
    return log_sums_exp(terms, parts)


def log_sums_exp(terms: Floats, parts: Sequence[Floats]) -> Floats:
    """log(sum(exp(.))) over the first axis of each part, without overflow; shape (G, C).

    Args:
        terms: is overwritten.
        parts: G views of it, which together are all of it.
    """
    peaks, sums = np.empty((2, len(parts), terms.shape[1]))
    # As ufuncs, because for few terms the way there by the arrays' methods takes as long.
    for part, peak in zip(parts, peaks, strict=True):
        np.maximum.reduce(part, axis=0, out=peak)
    # Where every term is -inf, so is the result, and not NaN.
    shifts = np.maximum(peaks, _LOWEST)
    for part, shift in zip(parts, shifts, strict=True):
        part -= shift
    # What is far below the peak adds nothing, but where exp underflows it takes ten times as long.
    np.maximum(terms, _NEGLIGIBLE, out=terms)
    np.exp(terms, out=terms)
    for part, own in zip(parts, sums, strict=True):
        np.add.reduce(part, axis=0, out=own)
    np.log(sums, out=sums)
    sums += peaks
    return sums
