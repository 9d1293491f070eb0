"""How two search spaces differ, told label by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def space_changes(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each hyperparameter that was added, removed or changed.

    Args:
        old, new: rows of `Space.describe`.
    """
    before, after = ({row["label"]: dict(row) for row in rows} for rows in (old, new))
    lines = [f"{label}: added" for label in after if label not in before]
    lines += [f"{label}: removed" for label in before if label not in after]
    for label in (label for label in after if label in before):
        differing = [
            f"{key} {before[label].get(key)!r} -> {after[label].get(key)!r}"
            for key in sorted(before[label].keys() | after[label].keys())
            if before[label].get(key) != after[label].get(key)
        ]
        if differing:
            lines.append(f"{label}: " + ", ".join(differing))
    return lines or ["its structure around the hyperparameters"]
