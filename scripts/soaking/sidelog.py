"""The side log of a soak: one line for each thing that happened, past all databases.

Many processes append to one file. Each line is one `write` to a file opened
with O_APPEND: lines do not mix, and a line that was written outlives a kill -9
of its writer.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

PATH_VARIABLE = "SOAK_SIDE_LOG"


@dataclass(frozen=True)
class Evaluation:
    """The objective was called and came to its end; `loss` is None if it raised."""

    tid: int
    attempt: int
    x: float
    shape: str
    loss: float | None


@dataclass(frozen=True)
class Acknowledged:
    """The store told a worker that its result stands."""

    tid: int
    attempt: int
    owner: str
    loss: float


@dataclass(frozen=True)
class Fenced:
    """The store refused a write, since its claim had been lost."""

    tid: int
    attempt: int
    owner: str
    verb: str


Entry: TypeAlias = Evaluation | Acknowledged | Fenced

_KINDS = {kind.__name__: kind for kind in (Evaluation, Acknowledged, Fenced)}


def write(entry: Entry) -> None:
    """Append an entry to the file that the environment names."""
    line = json.dumps({"kind": type(entry).__name__, **asdict(entry)}) + "\n"
    descriptor = os.open(os.environ[PATH_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Entry]:
    """All entries, in the order in which they were written."""
    entries: list[Entry] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        fields = json.loads(line)
        entries.append(_KINDS[fields.pop("kind")](**fields))
    return entries
