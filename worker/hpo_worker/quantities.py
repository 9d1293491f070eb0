"""Durations, moments and sizes as people write them.

90  90s  45m  2h30m  1d          seconds, or with units
30:00  02:00:00  1-02:00:00      as Slurm writes them: [days-][hours:]minutes:seconds
2026-11-21T18:00  18:00          a moment, by this machine's clock and time zone
500M  2G  1.5GiB  800000000      bytes; K, M, G, T are powers of 1024, as for Slurm
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

_UNIT_SECS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_WITH_UNITS = re.compile(r"(?:(\d+(?:\.\d+)?)([dhms]))")
_SLURM = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")
_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNIT_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def parse_secs(text: str) -> float:
    """Seconds above 0. Raises ValueError with a text for whoever wrote `text`."""
    secs = _secs(text.strip().lower())
    if secs is None or not 0 < secs < math.inf:
        raise ValueError(
            f"{text!r} is not a number of seconds above 0, nor a duration such as 90m, 2h30m "
            "or 1-02:00:00"
        )
    return secs


def _secs(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    pieces = _WITH_UNITS.findall(text)
    if pieces and "".join(number + unit for number, unit in pieces) == text:
        units = [unit for _, unit in pieces]
        # From the longest to the shortest, each at most once: "30m2h" is a slip.
        if units == sorted(set(units), key="dhms".index):
            return sum(float(number) * _UNIT_SECS[unit] for number, unit in pieces)
        return None
    slurm = _SLURM.fullmatch(text)
    return None if slurm is None else _slurm_secs(slurm["days"], slurm["clock"])


def _slurm_secs(days: str | None, clock: str) -> float:
    """After days come hours first; without days two numbers are minutes and seconds."""
    parts = [int(part) for part in clock.split(":")]
    if days is not None:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    else:
        hours, minutes, seconds = (*[0] * (3 - len(parts)), *parts)
    return int(days or 0) * 86400.0 + hours * 3600.0 + minutes * 60.0 + seconds


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment that a text names, with time zone.

    Args:
        now: with time zone; a mere time of day means the next one.

    Raises:
        ValueError: with a text for whoever wrote `text`.
    """
    words = text.strip()
    time_of_day = _TIME_OF_DAY.fullmatch(words)
    try:
        if time_of_day is not None:
            hour, minute, second = (int(part or 0) for part in time_of_day.groups())
            moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
            return moment if moment > now else moment + timedelta(days=1)
        # Before Python 3.11 `fromisoformat` does not know the letter.
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", words))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a moment such as 2026-11-21T18:00, 2026-11-21T18:00+01:00 or 18:00"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)


def parse_bytes(text: str) -> int:
    """Bytes, at least 1. Raises ValueError with a text for whoever wrote `text`."""
    size = _SIZE.fullmatch(text.strip())
    n_bytes = 0 if size is None else round(float(size[1]) * _UNIT_BYTES[size[2].lower()])
    if n_bytes < 1:
        raise ValueError(f"{text!r} is not an amount of memory such as 500M, 2G or 1.5GiB")
    return n_bytes


def bytes_text(n_bytes: float) -> str:
    """A number of bytes with the unit that suits it: "1.5 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.4g} TiB"


def secs_text(secs: float) -> str:
    """A duration as a person says it: "90 s", "12 min", "2 h 30 min"."""
    if secs < 100:
        return f"{secs:.3g} s"
    minutes = round(secs / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")
