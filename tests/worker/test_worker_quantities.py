"""Durations, moments and sizes as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from hpo_worker.quantities import bytes_text, parse_bytes, parse_moment, parse_secs, secs_text

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "secs"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("90s", 90),
        ("45m", 45 * 60),
        ("2h30m", 9000),
        ("1.5h", 5400),
        ("1d2h", 26 * 3600),
        (" 2H ", 7200),
        # Slurm's forms: minutes:seconds, hours:minutes:seconds, days-hours:minutes:seconds
        ("30:00", 1800),
        ("02:00:00", 7200),
        ("1-02:00:00", 26 * 3600),
        ("1-02:30", 26.5 * 3600),
        ("2-0", 2 * 86400),
    ],
)
def test_a_duration_is_understood(text, secs):
    assert parse_secs(text) == secs


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "0", "nan", "inf", "30m2h", "2h2h", "2 h", "1:2:3:4", "1-", "h", "0s"],
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="such as 90m, 2h30m or 1-02:00:00") as raised:
        parse_secs(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T18:00", NOON.replace(hour=18)),
        ("2026-11-21 18:00:30", NOON.replace(hour=18, second=30)),
        ("2026-11-21T18:00+00:00", NOON.replace(hour=19)),
        ("2026-11-21T18:00Z", NOON.replace(hour=19)),
        ("18:00", NOON.replace(hour=18)),
        ("11:59", NOON.replace(day=22, hour=11, minute=59)),
    ],
)
def test_a_moment_is_understood(text, moment):
    assert parse_moment(text, NOON) == moment


@pytest.mark.parametrize("text", ["", "tomorrow", "25:00", "2026-13-01T00:00", "18"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError, match="is not a moment such as"):
        parse_moment(text, NOON)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("800000000", 800_000_000),
        ("500M", 500 * 2**20),
        ("2G", 2 * 2**30),
        ("2g", 2 * 2**30),
        ("1.5GiB", 3 * 2**29),
        ("4 kb", 4096),
        ("1T", 2**40),
    ],
)
def test_an_amount_of_memory_is_understood(text, n_bytes):
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "0", "much", "-1G", "2X", "G", "0.1"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(ValueError, match="such as 500M"):
        parse_bytes(text)


def test_quantities_are_told_as_a_person_says_them():
    assert [secs_text(secs) for secs in (0.25, 90, 720, 9000, 7200)] == [
        "0.25 s",
        "90 s",
        "12 min",
        "2 h 30 min",
        "2 h",
    ]
    assert [bytes_text(n) for n in (512, 3 * 2**29, 2**41)] == ["512 bytes", "1.5 GiB", "2 TiB"]
