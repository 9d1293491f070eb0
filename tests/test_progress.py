"""What a person sees while a search runs."""

from __future__ import annotations

import io
import sys
from functools import partial

import pytest

from hpo import fmin, hp, progress, tpe
from hpo.progress import (
    PlainLines,
    Silent,
    Snapshot,
    TerminalBar,
    default_callback,
    duration,
    no_progress_callback,
    reporting,
    tqdm_progress_callback,
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_plain_lines_come_now_and_then_and_say_how_things_stand(clock):
    out = io.StringIO()
    lines = PlainLines("digits", out, interval_secs=10, clock=clock)

    lines.show(Snapshot(done=0, total=60, running=4, workers=4))
    clock.now = 5.0
    lines.show(Snapshot(done=3, total=60, running=4, workers=4, best_loss=0.25))
    clock.now = 10.0
    lines.show(Snapshot(done=6, total=60, running=4, workers=4, failed=1, best_loss=0.125))

    assert out.getvalue() == (
        "digits: 6/60 done, 4 running on 4 workers, 1 failed, best loss: 0.125, "
        "about 1 min 30 s left\n"
    )


def test_a_lease_that_grows_old_is_told():
    quiet = Snapshot(done=3, total=9, running=3, workers=3, oldest_lease_secs=12.2)

    assert quiet.describe() == "3 running on 3 workers, oldest lease 12 s, best loss: none yet"


def test_the_last_line_comes_at_once(clock):
    out = io.StringIO()
    lines = PlainLines("digits", out, clock=clock)

    lines.show(Snapshot(done=59, total=60))
    lines.show(Snapshot(done=60, total=60, best_loss=0.5))
    lines.show(Snapshot(done=60, total=60, best_loss=0.5))

    assert out.getvalue() == "digits: 60/60 done, best loss: 0.5\n"


def test_a_notice_is_printed_once_until_it_changes(clock):
    out = io.StringIO()
    lines = PlainLines("digits", out, clock=clock)

    for notice in ["no worker", "no worker", "", "no worker"]:
        lines.show(Snapshot(done=0, total=60, notice=notice))

    assert out.getvalue() == "no worker\nno worker\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    out = Terminal()
    with reporting(True, name="digits", initial=10, total=60, stream=out) as reporter:
        assert isinstance(reporter, TerminalBar)
        reporter.show(Snapshot(done=30, total=60, running=2, workers=2, best_loss=0.5))

    shown = out.getvalue().split("\r")[-1]
    assert "30/60" in shown
    assert "50%" in shown
    assert "2 running on 2 workers, best loss: 0.5" in shown


def test_a_custom_display_of_hyperopts_form_is_driven():
    seen = []

    class Display:
        postfix = None

        def __init__(self, initial, total):
            seen.append((initial, total))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            seen.append("closed")

        def update(self, n):
            seen.append((n, self.postfix))

    with reporting(Display, name="digits", initial=2, total=5) as reporter:
        reporter.show(Snapshot(done=2, total=5))
        reporter.show(Snapshot(done=4, total=5, best_loss=0.5))

    assert seen == [(2, 5), (2, "best loss: 0.5"), "closed"]


def test_hyperopts_bar_counts_and_what_is_printed_meanwhile_stands_above_it(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    out, errors = sys.stdout, sys.stderr

    with reporting(tqdm_progress_callback, name="digits", initial=10, total=60) as reporter:
        print("a line of the objective's")
        print("and a warning", file=sys.stderr)
        reporter.show(Snapshot(done=30, total=60, best_loss=0.5))

    shown, complaints = capsys.readouterr()
    last = shown.split("\r")[-1]
    assert "30/60" in last
    assert "best loss: 0.5" in last
    assert "a line of the objective's\n" in shown
    assert "and a warning\n" in complaints
    assert (sys.stdout, sys.stderr) == (out, errors)


def test_hyperopts_bar_gives_the_streams_back_after_an_error(capsys):
    out = sys.stdout

    with pytest.raises(ZeroDivisionError), default_callback(initial=0, total=2) as bar:
        bar.update(1)
        1 / 0  # noqa: B018

    assert sys.stdout is out
    assert "1/2" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [{}, {"initial": 0, "total": 5}])
def test_hyperopts_display_of_nothing_shows_nothing(capsys, arguments):
    with no_progress_callback(**arguments) as display:
        display.postfix = "best loss: 0.5"
        display.update(3)

    assert capsys.readouterr() == ("", "")


def test_no_display_is_silent():
    with reporting(False, name="digits", initial=0, total=1) as reporter:
        assert isinstance(reporter, Silent)


@pytest.mark.parametrize(
    ("secs", "text"),
    [(0, "0 s"), (59.6, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (12000, "3 h 20 min")],
)
def test_durations_read_in_one_or_two_units(secs, text):
    assert duration(secs) == text


def test_the_length_of_the_start_is_shown_while_it_lasts():
    assert "start 7/10, " in Snapshot(done=6, total=60, start=(7, 10)).describe()
    assert "start" not in Snapshot(done=30, total=60).describe()


def test_a_search_shows_how_far_its_start_is(capfd, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_SECS", 0.0)

    fmin(abs, hp.uniform("x", -1, 1), algo=partial(tpe.suggest, n_startup_jobs=3), max_evals=5)

    lines = capfd.readouterr().err.splitlines()
    assert [line.split("start ")[1][:3] for line in lines if "start " in line] == [
        "1/3", "2/3", "3/3"
    ]  # fmt: skip
    assert "start" not in lines[-1]
