"""The limits of a search, checked before it starts."""

from __future__ import annotations

import numbers
from typing import Any

from hpo.exceptions import InvalidOption

__all__ = ["validate_loss_threshold", "validate_timeout"]


def validate_timeout(timeout: Any) -> None:
    """Raise InvalidOption unless `timeout` is None or a positive number of seconds."""
    if timeout is not None and (not _is_number(timeout) or timeout <= 0):
        raise InvalidOption(
            f"The timeout argument should be None or a positive value. Given value: {timeout}"
        )


def validate_loss_threshold(loss_threshold: Any) -> None:
    """Raise InvalidOption unless `loss_threshold` is None or a number."""
    if loss_threshold is not None and not _is_number(loss_threshold):
        raise InvalidOption(
            "The loss_threshold argument should be None or a numeric value. "
            f"Given value: {loss_threshold}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
