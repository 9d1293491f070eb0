"""Workers whose clocks are hours off, by Debian's libfaketime, where it can be had."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import SupportsIndex

LIBRARY = "libfaketime.so.1"
# Where Debian, Fedora and Arch put it.
_INSTALLED = (
    *Path("/usr/lib").glob(f"*/faketime/{LIBRARY}"),
    Path("/usr/lib64/faketime") / LIBRARY,
    Path("/usr/lib/faketime") / LIBRARY,
)
_FETCH_TIMEOUT_SECS = 30.0


def find_libfaketime(directory: Path) -> Path | None:
    """The installed library, or one that Debian's archive delivers into `directory`, or None."""
    for path in _INSTALLED:
        if path.is_file():
            return path
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    try:
        _run(["apt-get", "download", "libfaketime"], directory)
        [package] = directory.glob("libfaketime_*.deb")
        _run(["dpkg-deb", "--extract", str(package), "."], directory)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return next(directory.glob(f"usr/lib/*/faketime/{LIBRARY}"), None)


def shifted(library: Path, hours: float) -> dict[str, str]:
    """The environment of a process whose clock is `hours` ahead (behind, if negative)."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{round(hours * 3600):+d}s",
        # Durations stay true: it is the date that is wrong on such nodes.
        "DONT_FAKE_MONOTONIC": "1",
    }


def live_with_shifted_clock() -> None:
    """Make a process whose clock is shifted as good as another; its children have true clocks.

    It sleeps as Python did until 3.10: `time.sleep` now calls clock_nanosleep, to which
    libfaketime 0.9.10 hands a moment long past.
    """
    if os.environ.pop("LD_PRELOAD", None):
        time.sleep = _sleep


def _sleep(secs: float | SupportsIndex, /) -> None:
    select.select([], [], [], float(secs))


def _run(command: list[str], directory: Path) -> None:
    subprocess.run(
        command,
        cwd=directory,
        check=True,
        timeout=_FETCH_TIMEOUT_SECS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
