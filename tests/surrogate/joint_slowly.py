"""The joint estimator as a plain loop over scipy's distributions, and its integrals."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from hpo.surrogate.joint import Axes, Points
from hpo.surrogate.joint_fit import fit as fit_joint

BOUNDED, NORMAL = "bounded", "normal"
NAN = math.nan


def axes_of(*kinds, options=()):
    """Axes of kinds BOUNDED, NORMAL or a number of equal cells; continuous ones first."""
    is_normal = np.array([[kind == NORMAL] for kind in kinds], dtype=bool).reshape(-1, 1)
    half_cells = [[0.0 if isinstance(kind, str) else 0.5 / kind] for kind in kinds]
    return Axes(
        sum(isinstance(kind, str) for kind in kinds),
        np.where(is_normal, -np.inf, 0.0),
        np.where(is_normal, np.inf, 1.0),
        np.array(half_cells).reshape(-1, 1),
        [np.array(p0, dtype=float) for p0 in options],
        [all_cells(kind) for kind in kinds if not isinstance(kind, str)],
    )


def all_cells(n_cells):
    """Both ends of each cell and its middle, or None where they are many."""
    edges = np.linspace(0.0, 1.0, n_cells + 1)
    middles = (np.arange(n_cells) + 0.5) / n_cells
    return (edges[:-1], edges[1:], middles) if n_cells <= 64 else None


def points_of(axes, u=(), codes=()):
    """Points from one row of coordinates for each axis, and of options for each choice."""
    n_points = len(u[0]) if len(u) else len(codes[0]) if len(codes) else 0
    u = np.array(u, dtype=float).reshape(len(axes.low), n_points)
    codes = np.array(codes, dtype=np.int64).reshape(len(axes.option_priors), n_points)
    cells, half_cells = u[axes.n_continuous :], axes.half_cells[axes.n_continuous :]
    numbers = np.nan_to_num(np.floor(cells / (2.0 * half_cells)), nan=-1.0)
    ends = cells - half_cells, cells + half_cells
    return Points(u, codes, numbers.clip(-1, 1e9).astype(int), ends)


def fit(axes, u=(), codes=(), weights=(), **options):
    trials = points_of(axes, u, codes)
    return fit_joint(axes, trials, np.array(weights, dtype=float), **options)


# --- the definition, slowly --------------------------------------------------------------


def slow_sigma(value, others, least):
    """The larger gap between neighbours, cut as in hpo.surrogate.bandwidth."""
    left = [value - other for other in others if other < value]
    right = [other - value for other in others if other > value]
    gaps = [min(side) for side in (left, right) if side]
    larger = max(gaps) if gaps else 1.0
    return min(max(larger, least, (1 + len(others)) ** -2), 1.0)


def slow_log_factor(axes, row, centres, k, u, least_sigma):
    """log f_kd(u): equations (2) and (3) for one kernel and one axis."""
    low, high, half_cell = (
        float(bound[row, 0]) for bound in (axes.low, axes.high, axes.half_cells)
    )
    mu, sigma = (0.5 if math.isfinite(high) else 0.0), 1.0
    if k < len(centres) and not math.isnan(centres[k]):
        present = [centre for centre in centres if not math.isnan(centre)]
        if half_cell:
            present = list(set(present))
        mu, sigma = centres[k], slow_sigma(centres[k], present, max(least_sigma, half_cell))
    kernel = stats.truncnorm((low - mu) / sigma, (high - mu) / sigma, loc=mu, scale=sigma)
    if not half_cell:
        return kernel.logpdf(u)
    # On the side where the tail is small, a difference of probabilities is exact.
    if u > mu:
        return math.log(kernel.sf(u - half_cell) - kernel.sf(u + half_cell))
    return math.log(kernel.cdf(u + half_cell) - kernel.cdf(u - half_cell))


def slow_option_probability(p0, codes, k, option, prior_weight):
    """f_kd(j): equation (4)."""
    if k == len(codes) or codes[k] < 0:
        return p0[option]
    a = prior_weight * len(p0) / (len(codes) + 1)
    return ((option == codes[k]) + a * p0[option]) / (1 + a)


def slow_log_density(axes, trials, weights, points, prior_weight=1.0, least_sigma=0.03):
    """log p of every point: equation (1)."""
    n = len(weights)
    shares = np.append(weights, prior_weight) / (np.sum(weights) + prior_weight)
    result = []
    for c in range(len(points)):
        terms = []
        for k in range(n + 1):
            term = math.log(shares[k])
            for row, u in enumerate(points.u[:, c]):
                if not math.isnan(u):
                    term += slow_log_factor(axes, row, trials.u[row], k, u, least_sigma)
            for row, option in enumerate(points.codes[:, c]):
                if option >= 0:
                    p0 = axes.option_priors[row]
                    term += math.log(
                        slow_option_probability(p0, trials.codes[row], k, option, prior_weight)
                    )
            terms.append(term)
        result.append(np.logaddexp.reduce(terms))
    return np.array(result)


# --- integrals and a conditional example -------------------------------------------------


def quadrature(low, high, n_panels=50, n_nodes=20):
    """Gauss-Legendre nodes and weights on [low, high]."""
    x, w = np.polynomial.legendre.leggauss(n_nodes)
    edges = np.linspace(low, high, n_panels + 1)
    half_widths = 0.5 * np.diff(edges)
    nodes = (edges[:-1] + half_widths)[:, None] + half_widths[:, None] * x
    return nodes.ravel(), (half_widths[:, None] * w).ravel()


def conditional_estimator():
    """Branch 0 has the continuous axis, branch 1 four cells; neither has the other's."""
    axes = axes_of(BOUNDED, 4, options=[[0.5, 0.5]])
    u = [[0.2, 0.25, NAN, NAN, NAN], [NAN, NAN, 0.125, 0.125, 0.875]]
    return axes, fit(axes, u, [[0, 0, 1, 1, 1]], [1, 1, 1, 2, 1])


def branch_masses(axes, estimator):
    """Mass of branch 0, and of each cell of branch 1."""
    nodes, weights = quadrature(0.0, 1.0)
    first = points_of(axes, [nodes, np.full(len(nodes), NAN)], [np.zeros(len(nodes))])
    cells = points_of(axes, [np.full(4, NAN), (np.arange(4) + 0.5) / 4], [np.ones(4)])
    return weights @ np.exp(estimator.log_density(first)), np.exp(estimator.log_density(cells))
