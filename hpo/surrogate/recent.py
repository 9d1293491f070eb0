"""What was computed lately, because the same is likely to be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["Recent"]

V = TypeVar("V")

_ABSENT = object()


class Recent(Generic[V]):
    """Values by key, of which the ones used last are kept.

    Args:
        limit: how many; at least 1.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # The last used stands last.
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key; made, if it is not there or was dropped."""
        (value,) = self.get_all([key], lambda _: [make()])
        return value

    def get_all(
        self, keys: Sequence[Hashable], make: Callable[[Sequence[int]], Sequence[V]]
    ) -> list[V]:
        """The values of several keys; those that are lacking are made together.

        Args:
            make: gives the values for some of the keys, told by their places.
        """
        kept = self._values
        found: dict[Hashable, Any] = {}
        for key in keys:
            # In one step, because several threads may ask at once.
            value = kept.pop(key, _ABSENT)
            if value is not _ABSENT:
                found[key] = value
        lacking = {key: place for place, key in enumerate(keys) if key not in found}
        if lacking:
            made = make(list(lacking.values()))
            found.update(zip(lacking, made, strict=True))
        values = [found[key] for key in keys]
        kept.update(zip(keys, values, strict=True))
        while len(kept) > self._limit:
            kept.popitem(last=False)
        return values
