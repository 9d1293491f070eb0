"""Low-discrepancy sequences: points of the unit cube that keep out of each other's way.

The first n points of such a sequence fill the cube more evenly than n random
ones. A point is asked for by its index, so whoever knows how many came before
can go on where another left off.

Two sequences are known. Sobol's is the more even one, for up to 21,201
dimensions. Halton's reads the index i backwards in the base of the j-th prime,

    i = sum_k d_k b^k   ->   u_j = sum_k d_k b^-(k+1),        b = prime(j)        (1)

and has no limit. Both are scrambled by a key: points of different keys are
independent, those of one key keep their evenness. Sobol's is scrambled by random
linear maps of its binary digits (scipy's), Halton's by one of its digits for each
dimension j and place k,

    d_k  ->  (a_jk d_k + c_jk) mod b,        a_jk in 1 .. b-1, c_jk in 0 .. b-1   (2)

A full permutation of the digits, as scipy's Halton has it, would need memory that
grows with the square of the number of dimensions.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Method = Literal["sobol", "halton"]

METHODS: tuple[Method, ...] = ("sobol", "halton")
MAX_SOBOL_DIMS = 21_201

_SOBOL_BITS = 30
_MAX_POINTS = 2**_SOBOL_BITS

# Points are made and kept in blocks: at least the first number of points, more
# where a block then still has no more than the second number of coordinates.
_LEAST_BLOCK = 16
_BLOCK_COORDINATES = 2**16
_MOST_BLOCK = 256
_BLOCKS_KEPT = 32


def unit_points(
    n_dims: int, key: int | None, indices: Sequence[int], method: Method = "sobol"
) -> Floats:
    """The points of a sequence that have the given indices.

    Args:
        n_dims: number of dimensions; at least 0. Beyond 21,201 Sobol's sequence is
            not known, and Halton's is used.
        key: determines the scrambling; not negative. None gives the plain sequence
            without its first point, which is the corner at 0.
        indices: which points; each in 0 .. 2^30 - 2.
        method: "sobol" or "halton".

    Returns:
        Array of shape (len(indices), n_dims), values in (0, 1).

    Raises:
        ValueError: an index, the key or the method is impossible.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, not {method!r}")
    if key is not None and key < 0:
        raise ValueError(f"the key of a sequence must be at least 0, not {key!r}")
    points = np.empty((len(indices), n_dims))
    if n_dims == 0:
        return points
    if n_dims > MAX_SOBOL_DIMS:
        method = "halton"
    size = _block_size(n_dims)
    first = 1 if key is None else 0
    for row, index in enumerate(indices):
        place = index + first
        if not first <= place < _MAX_POINTS:
            raise ValueError(f"a sequence has points 0 to {_MAX_POINTS - 2:,}, not {index!r}")
        points[row] = _block(method, n_dims, key, place // size)[place % size]
    return points


def _block_size(n_dims: int) -> int:
    """How many points are made at a time: a power of two."""
    size = 1 << max(0, (_BLOCK_COORDINATES // n_dims).bit_length() - 1)
    return min(max(size, _LEAST_BLOCK), _MOST_BLOCK)


@functools.lru_cache(maxsize=_BLOCKS_KEPT)
def _block(method: Method, n_dims: int, key: int | None, number: int) -> Floats:
    """Points number * size to (number + 1) * size - 1, shape (size, n_dims)."""
    size = _block_size(n_dims)
    make = _sobol if method == "sobol" else _halton
    block = make(n_dims, key, number * size, size)
    block.flags.writeable = False
    return block


def _generator(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


# --- Sobol ------------------------------------------------------------------------


def _sobol(n_dims: int, key: int | None, start: int, n_points: int) -> Floats:
    engine = sobol_engine(n_dims, key)
    if start:
        engine.fast_forward(start)
    points: Floats = engine.random(n_points)
    # The middle of a point's binary cell: no coordinate is 0, and the average is 1/2.
    points += 0.5 ** (_SOBOL_BITS + 1)
    return points


def sobol_engine(n_dims: int, key: int | None) -> Any:
    """scipy's generator of the sequence that `unit_points` reads, at its first point."""
    # Late, because scipy.stats takes half a second to load.
    from scipy.stats import qmc

    if key is None:
        return qmc.Sobol(n_dims, scramble=False, bits=_SOBOL_BITS)
    # scipy 1.15 renamed the argument, and will warn of the old name.
    keyword = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"
    return qmc.Sobol(n_dims, scramble=True, bits=_SOBOL_BITS, **{keyword: _generator(key)})


# --- Halton -----------------------------------------------------------------------


def _halton(n_dims: int, key: int | None, start: int, n_points: int) -> Floats:
    """Equations (1) and (2), one digit of all points and dimensions at a time."""
    bases = first_primes(n_dims)
    rng = None if key is None else _generator(key)
    rest = np.repeat(np.arange(start, start + n_points)[:, None], n_dims, axis=1)
    points = np.zeros((n_points, n_dims))
    weight = 1.0 / bases
    # The bases grow, so those that still need digits come first.
    for n_open in _dims_by_digit(bases):
        base = bases[:n_open]
        digits = rest[:, :n_open] % base
        if rng is not None:
            digits = (rng.integers(1, base) * digits + rng.integers(0, base)) % base
        points[:, :n_open] += digits * weight[:n_open]
        rest[:, :n_open] //= base
        weight[:n_open] /= base
    return np.clip(points, 0.5**54, 1 - 0.5**53)


def _dims_by_digit(bases: npt.NDArray[np.int64]) -> list[int]:
    """For each place of a digit, how many of the bases need it for 53 binary digits."""
    n_digits = np.ceil(53 / np.log2(bases)).astype(int)
    return [int((n_digits > place).sum()) for place in range(int(n_digits.max()))]


@functools.lru_cache(maxsize=8)
def first_primes(n: int) -> npt.NDArray[np.int64]:
    """The n smallest primes, rising; shape (n,)."""
    # The n-th prime is below n (ln n + ln ln n) for n >= 6.
    bound = 13 if n < 6 else math.ceil(n * (math.log(n) + math.log(math.log(n))))
    is_prime = np.ones(bound + 1, bool)
    is_prime[:2] = False
    for number in range(2, math.isqrt(bound) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = False
    primes = np.flatnonzero(is_prime)[:n].astype(np.int64)
    primes.flags.writeable = False
    return primes
