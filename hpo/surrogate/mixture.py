"""Mixtures of normals in one dimension, on linear, logarithmic and quantised scales.

A hyperparameter's value x has a latent position z, its logarithm on a log scale
and x itself otherwise. The mixture lives on the latent axis, inside bounds:

    p(z) = sum_k w_k N(z; m_k, s_k) / A,   low <= z <= high            (1)
    A    = sum_k w_k Z_k,   Z_k = mass of component k inside the bounds  (2)

A quantised hyperparameter takes the values round(x / q) q. Each owns the cell
x +- q/2 of the value axis, cut at the bounds, and its probability is the mass
of that cell.

    symbol    meaning                                              shape
    K, n      number of components, of values
    w, m, s   weights (sum 1), latent centres, latent deviations     (K,)
    low, high latent bounds, infinite where there is none            scalars
    q         distance between neighbouring values, or None          scalar
    values    what is stored in documents: exp(z) on a log scale     (n,)
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpo.surrogate import truncnorm
from hpo.surrogate.categorical import draw_indices

Floats = npt.NDArray[np.float64]

# A log-scaled value that underflowed to 0 still has a finite latent position.
_LEAST_POSITIVE = float(np.nextafter(0.0, 1.0))
# One that overflowed is the largest number.
_MOST = float(np.finfo(np.float64).max)

# Sums below this may have lost digits to components that underflowed.
_LEAST_PRECISE = 1e-280


@dataclass(frozen=True, eq=False)
class NormalMixture:
    """A weighted sum of normals, cut at common bounds; equations (1) and (2).

    The bounds cut the mixture as a whole: a component that lies half outside
    keeps half its weight, as if draws from outside were thrown away.

    Attributes:
        weights, mus, sigmas: shape (K,); K >= 1, sigmas > 0, weights sum to 1.
        low, high: latent bounds.
        is_log: values are exp(z).
        q: step of quantised values, or None.
    """

    weights: Floats
    mus: Floats
    sigmas: Floats
    low: float = -math.inf
    high: float = math.inf
    is_log: bool = False
    q: float | None = None

    def sample(self, rng: np.random.Generator, n_samples: int) -> Floats:
        """Draw values, shape (n_samples,)."""
        which = draw_indices(rng, np.exp(self._log_inside - self._log_accepted), n_samples)
        if math.isinf(self.low) and math.isinf(self.high):
            latent = rng.normal(self.mus[which], self.sigmas[which])
        else:
            lower, upper = self._standardised_bounds
            u = rng.random(n_samples)
            standard = truncnorm.ppf(u, lower[which], upper[which])
            latent = self.mus[which] + self.sigmas[which] * standard
        with np.errstate(over="ignore"):
            values = np.clip(np.exp(latent) if self.is_log else latent, *self._value_bounds)
        return values if self.q is None else np.rint(values / self.q) * self.q

    def log_density(self, values: npt.ArrayLike) -> Floats:
        """Logarithm of the density, or of the probability if quantised; shape (n,).

        On a log scale the density is that of the value itself, so it
        integrates to 1 over the values. Outside the bounds it is -inf.
        """
        points = np.asarray(values, dtype=np.float64)
        return self._log_pdf(points) if self.q is None else self._log_cell_mass(points, self.q)

    # --- continuous ---

    def _log_pdf(self, values: Floats) -> Floats:
        latent = np.log(np.maximum(values, _LEAST_POSITIVE)) if self.is_log else values
        # In place, (n, K) once: with many components, fresh memory costs more than arithmetic.
        log_terms = latent[:, None] - self.mus
        log_terms /= self.sigmas
        log_terms *= log_terms
        log_terms *= -0.5
        log_terms += self._log_coefficients
        log_pdf = _log_sum_exp(log_terms)
        # On a log scale, dz/dx = 1/x.
        log_pdf = log_pdf - latent if self.is_log else log_pdf
        lowest, highest = self._value_bounds
        return np.where((lowest <= values) & (values <= highest), log_pdf, -np.inf)

    @functools.cached_property
    def _log_coefficients(self) -> Floats:
        """log(w_k / (A s_k sqrt(2 pi))), shape (K,)."""
        log_scale = np.log(self.sigmas) + 0.5 * math.log(2.0 * math.pi)
        return self._log_weights - log_scale - self._log_accepted

    # --- quantised ---

    def _log_cell_mass(self, values: Floats, q: float) -> Floats:
        # Candidates repeat on a coarse grid; each cell is integrated once.
        cells, which = np.unique(values, return_inverse=True)
        lower, upper = self._latent_edge(cells - 0.5 * q), self._latent_edge(cells + 0.5 * q)
        log_probability = self._log_mass_between(lower, upper) - self._log_accepted
        # Far from 0, a float cannot tell x + q/2 from x - q/2.
        has_vanished = lower == upper
        if has_vanished.any():
            log_probability[has_vanished] = self._log_pdf(cells[has_vanished]) + math.log(q)
        return log_probability[which]

    def _log_mass_between(self, lower: Floats, upper: Floats) -> Floats:
        """log(sum_k w_k mass of component k between latent positions), shape (n,)."""
        a = (lower[:, None] - self.mus) / self.sigmas
        b = (upper[:, None] - self.mus) / self.sigmas
        total = truncnorm.mass(a, b) @ self.weights
        with np.errstate(divide="ignore"):
            log_total: Floats = np.log(total)
        is_tiny = total < _LEAST_PRECISE
        if is_tiny.any():
            # No component is near: only logarithms are small enough.
            log_masses = truncnorm.log_mass(a[is_tiny], b[is_tiny])
            log_total[is_tiny] = _log_sum_exp(log_masses + self._log_weights)
        return log_total

    # --- components ---

    @functools.cached_property
    def _log_weights(self) -> Floats:
        with np.errstate(divide="ignore"):
            return np.log(self.weights)

    @functools.cached_property
    def _standardised_bounds(self) -> tuple[Floats, Floats]:
        return (self.low - self.mus) / self.sigmas, (self.high - self.mus) / self.sigmas

    @functools.cached_property
    def _log_inside(self) -> Floats:
        """log(w_k Z_k), shape (K,)."""
        return self._log_weights + truncnorm.log_mass(*self._standardised_bounds)

    @functools.cached_property
    def _log_accepted(self) -> float:
        """log A, equation (2)."""
        return float(_log_sum_exp(self._log_inside.copy()))

    @functools.cached_property
    def _value_bounds(self) -> tuple[float, float]:
        # One definition for draws and densities: log(exp(low)) may lie beyond low.
        if not self.is_log:
            return self.low, self.high
        with np.errstate(over="ignore"):
            return float(np.exp(self.low)), min(float(np.exp(self.high)), _MOST)

    def _latent_edge(self, edges: Floats) -> Floats:
        """Latent position of cells' edges, cut at the bounds."""
        if self.is_log:
            with np.errstate(divide="ignore"):
                edges = np.log(np.maximum(edges, 0.0))
        return np.clip(edges, self.low, self.high)


def _log_sum_exp(log_terms: Floats) -> Floats:
    """log(sum(exp(.))) over the last axis, without overflow; overwrites its argument."""
    peak = log_terms.max(axis=-1, keepdims=True)
    # Where every term is -inf, so is the result, and not NaN.
    peak[np.isneginf(peak)] = 0.0
    log_terms -= peak
    np.exp(log_terms, out=log_terms)
    with np.errstate(divide="ignore"):
        log_sums: Floats = np.log(log_terms.sum(axis=-1)) + peak[..., 0]
    return log_sums
