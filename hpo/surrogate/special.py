"""scipy.special, loaded when it is first needed: that takes as long as all of hpo."""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["special"]


@functools.cache
def special() -> Any:
    """The module."""
    import scipy.special

    return scipy.special
