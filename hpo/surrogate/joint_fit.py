"""Fitting joint Parzen estimators to trials; symbols, shapes and equations: `hpo.surrogate.joint`.

Several mixtures are fitted in one pass: for a hundred trials numpy's cost per call is all
there is, and TPE needs two. Their kernels stand side by side in every array, those of each
mixture followed by its prior's, G mixtures with K kernels together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hpo.surrogate.axes import Axes, Points
from hpo.surrogate.bandwidth import LEAST_SIGMA, larger_gap_bandwidths
from hpo.surrogate.cells import distinct
from hpo.surrogate.joint import JointParzen, log_options
from hpo.surrogate.slots import CellTable, Slots
from hpo.surrogate.special import special

__all__ = ["fit", "fit_together"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
# Without any smoothing a choice could never take an option that no trial took.
_LEAST_SMOOTHING = 1e-6


def fit(
    axes: Axes,
    trials: Points,
    weights: Floats,
    prior_weight: float = 1.0,
    least_sigma: float = LEAST_SIGMA,
) -> JointParzen:
    """Fit one mixture.

    Args:
        axes: the space's axes.
        trials: n configurations.
        weights: of the trials, shape (n,).
        prior_weight: w0, weight of the prior kernel on the same scale.
        least_sigma: see `hpo.surrogate.bandwidth`.
    """
    (fitted,) = fit_together(axes, trials.with_blank(), [weights], [prior_weight], least_sigma)
    return fitted


def fit_together(
    axes: Axes,
    trials: Points,
    weights: Sequence[Floats],
    prior_weights: Sequence[float],
    least_sigma: float = LEAST_SIGMA,
) -> list[JointParzen]:
    """Fit several mixtures at little more than the cost of one.

    Args:
        trials: those of all mixtures, side by side; after each mixture's own follows a
            blank, in which nothing is active: the prior's kernel.
        weights: of each mixture's trials.
        prior_weights: w0 of each mixture.
    """
    split, slots, layout = axes.n_continuous, axes.slots, axes.layout
    sizes = [len(own) + 1 for own in weights]
    smoothings = [
        max(prior_weight, _LEAST_SMOOTHING) / size
        for prior_weight, size in zip(prior_weights, sizes, strict=True)
    ]
    shares = _shares(weights, prior_weights)
    normals = np.empty((4, split, len(shares)))
    table = np.empty((len(shares), layout.values.stop))
    # A row for each column of the table.
    rows = table.T
    constants, values = rows[layout.constants], rows[layout.values]
    if split:
        _put_normals(axes, trials, sizes, least_sigma, normals, rows)
    rows[layout.weight] = -np.inf
    np.log(shares, out=rows[layout.weight], where=shares > 0.0)
    n_options = len(slots.p0)
    if n_options:
        _put_options(slots, trials.codes, sizes, smoothings, values[:n_options])
    columns: Codes = np.zeros((len(trials.u) - split, len(shares)), dtype=np.int64)
    of_slots: Sequence[CellTable | None] = [None] * len(sizes)
    if slots.axes:
        kernels = columns[slots.own_axes] = slots.kernels(trials.numbers[slots.own_axes])
        of_slots = axes.slot_kernels(least_sigma).of_trials(kernels, sizes)
    fitted, start = [], 0
    for size, smoothing, cells in zip(sizes, smoothings, of_slots, strict=True):
        own, of_others = slice(start, start + size), None
        start += size
        if cells is not None:
            # Equation (3).
            log_masses = cells.log_masses.take(columns[slots.own_axes, own].T, axis=0)
            values[n_options:, own] = log_masses.reshape(size, -1)[:, slots.is_cell].T
        if slots.other_axes:
            u = trials.u[split:, own][slots.other_axes]
            centres, columns[slots.other_axes, own] = distinct(u)
            of_others = axes.cell_kernels(slots.other_axes, centres, least_sigma)
        mixture = JointParzen(
            axes, shares[own], smoothing, trials.codes[:, own], normals[:, :, own],
            table[own], columns[:, own], cells, of_others,
        )  # fmt: skip
        fitted.append(mixture)
    np.add.reduce(constants, axis=0, out=rows[layout.total])
    return fitted


def _shares(weights: Sequence[Floats], prior_weights: Sequence[float]) -> Floats:
    """w of all mixtures, side by side."""
    shares, start = np.empty(sum(map(len, weights)) + len(weights)), 0
    for own, prior_weight in zip(weights, prior_weights, strict=True):
        n = len(own)
        part = shares[start : start + n + 1]
        part[:n] = own
        # Alone it has all the weight, even a prior that was given none.
        part[n] = prior_weight if n else 1.0
        part /= np.add.reduce(part)
        start += n + 1
    return shares


def _put_normals(
    axes: Axes,
    trials: Points,
    sizes: Sequence[int],
    least_sigma: float,
    normals: Floats,
    rows: Floats,
) -> None:
    """Fill in `normals`, and equation (2) as a polynomial in each axis' u."""
    split, layout = axes.n_continuous, axes.layout
    mus, sigmas, below, inside = normals
    u = trials.u[:split]
    np.copyto(mus, axes.prior_mus[:split])
    np.copyto(mus, u, where=u == u)
    sigmas[:] = larger_gap_bandwidths(u, least_sigma, sizes, is_complete=trials.is_complete)
    # In units of each kernel's deviation. The centre lies inside the bounds, so neither
    # Phi can be deep in the wrong tail.
    precise = 1.0 / sigmas
    centres = mus * precise
    ndtr = special().ndtr
    if axes.is_bounded:
        # By 0 and 1.
        ndtr(-centres, out=below)
        ndtr(precise - centres, out=inside)
    else:
        ndtr(axes.low[:split] * precise - centres, out=below)
        ndtr(axes.high[:split] * precise - centres, out=inside)
    inside -= below
    np.multiply(precise, -0.5 * precise, out=rows[layout.squares])
    np.multiply(centres, precise, out=rows[layout.linear])
    centres *= centres
    centres *= 0.5
    centres += _LOG_SQRT_2PI
    np.subtract(np.log(precise / inside), centres, out=rows[layout.constants])


def _put_options(
    slots: Slots,
    codes: Codes,
    sizes: Sequence[int],
    smoothings: Sequence[float],
    values: Floats,
) -> None:
    """Fill in the log of equation (4) for every option."""
    log_hits, log_misses = log_options(slots.p0, slots.n_options * smoothings)
    if len(sizes) > 1:
        log_hits, log_misses = log_hits.repeat(sizes, axis=1), log_misses.repeat(sizes, axis=1)
    n_options = len(values)
    own = codes.astype(np.int8).take(slots.row[:n_options], axis=0)
    log_factors = np.where(own == slots.value[:n_options], log_hits, log_misses)
    # In kernels without an option the prior stands, not a miss.
    values[:] = np.where(own < 0, slots.log_p0, log_factors)
