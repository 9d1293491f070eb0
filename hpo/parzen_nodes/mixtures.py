"""GMM1 and LGMM1: mixtures of normals and of log-normals in one dimension, as operations.

    symbol                what it is                                         shape
    K                     number of components
    weights, mus, sigmas  of the components; of their logarithms for LGMM1   (K,)
    low, high             bounds, of the logarithm for LGMM1; None: no bound   scalars
    q                     values are rounded to its multiples; None: are not   scalar
    size                  shape of the draws; (): a single one

A function whose name ends in _lpdf gives the logarithm of the density of what the
one without draws, or of its probability when there is a `q`; shape as `samples`.

Source: hyperopt.tpe, but for this: draws come by inversion, not by rejection;
weights are scaled to sum 1; outside the bounds a density is 0; the density of a
bounded LGMM1 integrates to 1, as that of a bounded GMM1 does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOption, InvalidOptionValue
from hpo.parzen_nodes.lognormal import EPS
from hpo.pyll import scope
from hpo.pyll.stochastic import Size, implicit_stochastic
from hpo.surrogate.mixture import NormalMixture

__all__ = ["GMM1", "LGMM1", "GMM1_lpdf", "LGMM1_lpdf", "logsum_rows"]

Floats = npt.NDArray[np.float64]


@implicit_stochastic
@scope.define
def GMM1(
    weights: npt.ArrayLike,
    mus: npt.ArrayLike,
    sigmas: npt.ArrayLike,
    low: float | None = None,
    high: float | None = None,
    q: float | None = None,
    rng: np.random.Generator | None = None,
    size: Size = (),
) -> Floats:
    """Draw from a mixture of normals, shape `size`; without `rng`, from fresh entropy.

    Raises:
        TypeError, ValueError: the components or the bounds make no sense.
    """
    return _draw(_mixture(weights, mus, sigmas, low, high, q, is_log=False), rng, size)


@scope.define
def GMM1_lpdf(
    samples: npt.ArrayLike,
    weights: npt.ArrayLike,
    mus: npt.ArrayLike,
    sigmas: npt.ArrayLike,
    low: float | None = None,
    high: float | None = None,
    q: float | None = None,
) -> Floats:
    """Log density of `GMM1` at `samples`."""
    return _lpdf(samples, _mixture(weights, mus, sigmas, low, high, q, is_log=False))


@implicit_stochastic
@scope.define
def LGMM1(
    weights: npt.ArrayLike,
    mus: npt.ArrayLike,
    sigmas: npt.ArrayLike,
    low: float | None = None,
    high: float | None = None,
    q: float | None = None,
    rng: np.random.Generator | None = None,
    size: Size = (),
) -> Floats:
    """Draw from a mixture of log-normals, shape `size`; without `rng`, from fresh entropy.

    Raises:
        TypeError, ValueError: the components or the bounds make no sense.
    """
    return _draw(_mixture(weights, mus, sigmas, low, high, q, is_log=True), rng, size)


@scope.define
def LGMM1_lpdf(
    samples: npt.ArrayLike,
    weights: npt.ArrayLike,
    mus: npt.ArrayLike,
    sigmas: npt.ArrayLike,
    low: float | None = None,
    high: float | None = None,
    q: float | None = None,
) -> Floats:
    """Log density of `LGMM1` at `samples`, which are values, not logarithms."""
    return _lpdf(samples, _mixture(weights, mus, sigmas, low, high, q, is_log=True))


def logsum_rows(x: npt.ArrayLike) -> Floats:
    """log(sum(exp(x))) of each row, without overflow; shape (n, K) gives (n,)."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(np.asarray(x, dtype=np.float64), axis=1))


# --- what the four share ---


def _mixture(
    weights: npt.ArrayLike,
    mus: npt.ArrayLike,
    sigmas: npt.ArrayLike,
    low: Any,
    high: Any,
    q: float | None,
    *,
    is_log: bool,
) -> NormalMixture:
    shares, centres, deviations = (
        _vector(name, given)
        for name, given in (("weights", weights), ("mus", mus), ("sigmas", sigmas))
    )
    if not 0 < shares.size == centres.size == deviations.size:
        raise InvalidOptionValue(
            "weights, mus and sigmas must have the same length, at least 1, but have "
            f"{shares.size}, {centres.size} and {deviations.size}"
        )
    lowest = -math.inf if low is None else float(low)
    highest = math.inf if high is None else float(high)
    if not lowest < highest:
        raise InvalidOptionValue(f"low must be less than high, but they are {low!r} and {high!r}")
    return NormalMixture(
        shares / shares.sum(), centres, np.maximum(deviations, EPS), lowest, highest, is_log, q
    )


def _vector(name: str, values: npt.ArrayLike) -> Floats:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise InvalidOption(f"{name} must be a vector, but its shape is {vector.shape}")
    return vector


def _draw(mixture: NormalMixture, rng: np.random.Generator | None, size: Size) -> Floats:
    generator = np.random.default_rng() if rng is None else rng
    shape = () if size is None else size
    return mixture.sample(generator, int(np.prod(shape))).reshape(shape)


def _lpdf(samples: npt.ArrayLike, mixture: NormalMixture) -> Floats:
    values = np.asarray(samples, dtype=np.float64)
    return mixture.log_density(values.ravel()).reshape(values.shape)
