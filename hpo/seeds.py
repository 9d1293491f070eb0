"""Random numbers that can be repeated: a generator per suggestion, keyed by (seed, tid)."""

from __future__ import annotations

import hashlib
import numbers
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISpawnableSeedSequence

from hpo.document import Tid
from hpo.exceptions import InvalidOption

__all__ = ["Seed", "as_seed", "suggestion_rng"]

# What `suggestion_rng` takes: what numpy.random.default_rng does, and RandomState.
Seed = (
    int
    | Sequence[int]
    | np.random.SeedSequence
    | np.random.BitGenerator
    | np.random.Generator
    | np.random.RandomState
    | None
)


def suggestion_rng(seed: Seed, tid: Tid, purpose: str = "") -> np.random.Generator:
    """The generator of one suggestion.

    Args:
        seed: an integer, a sequence of integers that are not negative, or a
            SeedSequence; or None for numbers that nobody can repeat. From a
            generator an integer is drawn, so asking again gives other numbers.
        tid: the trial that the suggestion is for; any hashable.
        purpose: a second decision about the same trial names its own purpose,
            so that the two do not see the same numbers.

    Raises:
        InvalidOption: the seed is none of these.
    """
    own_key = (_as_word(tid), _as_word(purpose)) if purpose else (_as_word(tid),)
    entropy, spawn_key = _entropy(seed)
    if entropy is None:
        entropy = secrets.randbits(128)
    key: Any = _Key(repr((entropy, (*spawn_key, *own_key))))
    return np.random.Generator(np.random.Philox(key))


class _Key(ISpawnableSeedSequence):
    """Names a stream of random numbers, as numpy.random.SeedSequence does in thrice the time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._n_spawned = 0

    def generate_state(self, n_words: int, dtype: npt.DTypeLike = np.uint32) -> npt.NDArray[Any]:
        """As many words as a generator needs."""
        size = n_words * np.dtype(dtype).itemsize
        return np.frombuffer(hashlib.shake_256(self._name.encode()).digest(size), dtype)

    def spawn(self, n_children: int) -> list[_Key]:
        """Keys of further streams."""
        first, self._n_spawned = self._n_spawned, self._n_spawned + n_children
        return [_Key(f"{self._name} {child}") for child in range(first, self._n_spawned)]


def _entropy(seed: Any) -> tuple[int | list[int] | None, tuple[int, ...]]:
    """A seed as what numpy.random.SeedSequence is made of: entropy and spawn key."""
    if seed is None:
        return None, ()
    if type(seed) is int or isinstance(seed, numbers.Integral):
        return _as_word(seed), ()
    if isinstance(seed, np.random.SeedSequence):
        return _words_of(seed.entropy), tuple(seed.spawn_key)
    if isinstance(seed, np.random.RandomState):
        return int(seed.randint(2**31 - 1)), ()
    if isinstance(seed, (np.random.Generator, np.random.BitGenerator)):
        return int(np.random.default_rng(seed).integers(2**31 - 1)), ()
    if isinstance(seed, (Sequence, np.ndarray)) and not isinstance(seed, (str, bytes)):
        return _words_of(seed), ()
    raise InvalidOption(
        f"seed must be an integer, a sequence of integers, a SeedSequence, a generator or None, "
        f"not {seed!r}"
    )


def as_seed(seed: Seed) -> int:
    """A seed as one integer: itself, or one drawn from what it is; None gives a fresh one.

    Raises:
        InvalidOption: it is no seed; see `suggestion_rng`.
    """
    entropy, spawn_key = _entropy(seed)
    if isinstance(entropy, int) and not spawn_key:
        return entropy
    sequence = np.random.SeedSequence(entropy, spawn_key=spawn_key)
    # 63 bits: what a document can hold.
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _words_of(entropy: Any) -> int | list[int] | None:
    if entropy is None or isinstance(entropy, numbers.Integral):
        return entropy if entropy is None else int(entropy)
    words = [int(word) for word in entropy if isinstance(word, numbers.Integral)]
    if not words or len(words) < len(entropy) or min(words) < 0:
        raise InvalidOption(
            "a sequence as seed must hold integers that are not negative, at least one, "
            f"not {entropy!r}"
        )
    return words


def _as_word(value: Any) -> int:
    is_integer = type(value) is int or isinstance(value, numbers.Integral)
    if is_integer and value >= 0:
        return int(value)
    # Not `hash`: it differs from one process to the next for text.
    digest = hashlib.blake2b(repr(value).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
