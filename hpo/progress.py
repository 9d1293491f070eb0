"""What a person sees while a search runs.

On a terminal a bar (tqdm), elsewhere a plain line now and then: how many
trials are done, running and failed, how many workers are alive, the best loss,
the time left; and, when nothing moves, the reason.

`fmin(show_progressbar=…)` also takes hyperopt's form of a custom display: a
context manager called with `initial=` and `total=` that yields an object with
`update(n)` and an attribute `postfix`. Two of that form are here as well.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

PLAIN_INTERVAL_SECS = 10.0
REDRAW_INTERVAL_SECS = 0.5


@dataclass(frozen=True)
class Snapshot:
    """The state of a search at one moment.

    Attributes:
        done: trials that ended, those that raised included.
        total: how many there will be, or None without a limit.
        failed: those among `done` without a usable loss, stopped ones aside.
        stopped: those among `done` that a stopping rule ended early.
        saved: the part of all their steps that stopping saved, 0 to 1; None if unknown.
        oldest_lease_secs: for how long the quietest worker has not renewed its lease;
            told only while nothing moves.
        workers: how many are alive, or None when the driver evaluates by itself.
        notice: why nothing moves, or "".
        start: while an algorithm proposes its first trials: (how many of them, of how many).
    """

    done: int
    total: int | None
    running: int = 0
    queued: int = 0
    failed: int = 0
    stopped: int = 0
    saved: float | None = None
    workers: int | None = None
    oldest_lease_secs: float | None = None
    best_loss: float | None = None
    notice: str = ""
    start: tuple[int, int] | None = None

    def describe(self) -> str:
        """The parts worth reading, in a few words."""
        parts = []
        if self.workers is not None:
            parts.append(f"{self.running} running on {count(self.workers, 'worker')}")
        if self.oldest_lease_secs is not None:
            parts.append(f"oldest lease {duration(self.oldest_lease_secs)}")
        if self.start is not None:
            parts.append(f"start {self.start[0]}/{self.start[1]}")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.stopped:
            saved = "" if self.saved is None else f" ({self.saved:.0%} of the budget saved)"
            parts.append(f"{self.stopped} stopped{saved}")
        best = "none yet" if self.best_loss is None else f"{self.best_loss:.6g}"
        return ", ".join([*parts, f"best loss: {best}"])


class Reporter(Protocol):
    """Somebody who shows snapshots."""

    def show(self, snapshot: Snapshot) -> None:
        """Show how things stand now."""

    def say(self, line: str) -> None:
        """Print a line without disturbing the display."""


class Silent:
    """Shows nothing."""

    def show(self, snapshot: Snapshot) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""


class TerminalBar:
    """A bar on a terminal.

    Args:
        bar: an open tqdm bar that has counted the trials done so far.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._last_notice = ""
        self._drawn_at = time.monotonic()

    def show(self, snapshot: Snapshot) -> None:
        """Move the bar, and print a new notice above it."""
        if snapshot.notice and snapshot.notice != self._last_notice:
            self.say(snapshot.notice)
        self._last_notice = snapshot.notice
        self._bar.set_postfix_str(snapshot.describe(), refresh=False)
        # tqdm itself draws moves at most ten times a second.
        self._bar.update(snapshot.done - self._bar.n)
        if time.monotonic() - self._drawn_at >= REDRAW_INTERVAL_SECS:
            self._bar.refresh()
            self._drawn_at = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.write(line, file=sys.stderr)


class PlainLines:
    """A line at the start, at the end, and now and then in between.

    Args:
        name: what the search is called.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        stream: TextIO,
        *,
        interval_secs: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._stream = name, stream
        self._interval_secs = PLAIN_INTERVAL_SECS if interval_secs is None else interval_secs
        self._clock = clock
        self._started_at = clock()
        self._shown_at = clock()
        self._done_at_start: int | None = None
        self._last_notice = ""
        self._last_line = ""
        self._last_snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Print a line when enough time has passed, or when all is done."""
        self._last_snapshot = snapshot
        if self._done_at_start is None:
            self._done_at_start = snapshot.done
        if snapshot.notice and snapshot.notice != self._last_notice:
            self.say(snapshot.notice)
        self._last_notice = snapshot.notice
        is_complete = snapshot.total is not None and snapshot.done >= snapshot.total
        if is_complete or self._clock() - self._shown_at >= self._interval_secs:
            self._shown_at = self._clock()
            self._print_once(self._line(snapshot))

    def close(self) -> None:
        """Print how it ended, also when it ended early."""
        if self._last_snapshot is not None:
            self._print_once(self._text(self._last_snapshot))

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=self._stream, flush=True)

    def _print_once(self, line: str) -> None:
        if line != self._last_line:
            self.say(line)
        self._last_line = line

    def _line(self, snapshot: Snapshot) -> str:
        return self._text(snapshot) + self._eta(snapshot)

    def _text(self, snapshot: Snapshot) -> str:
        total = "" if snapshot.total is None else f"/{snapshot.total}"
        return f"{self._name}: {snapshot.done}{total} done, {snapshot.describe()}"

    def _eta(self, snapshot: Snapshot) -> str:
        fresh = snapshot.done - (self._done_at_start or 0)
        if snapshot.total is None or fresh <= 0 or snapshot.done >= snapshot.total:
            return ""
        secs_each = (self._clock() - self._started_at) / fresh
        return f", about {duration(secs_each * (snapshot.total - snapshot.done))} left"


class CustomDisplay:
    """hyperopt's form of a display: `update(n)` and `postfix`."""

    def __init__(self, context: Any, initial: int) -> None:
        self._context, self._done = context, initial

    def show(self, snapshot: Snapshot) -> None:
        """Pass on how many more are done, and the best loss."""
        if snapshot.best_loss is not None:
            self._context.postfix = f"best loss: {snapshot.best_loss}"
        if snapshot.done > self._done:
            self._context.update(snapshot.done - self._done)
        self._done = snapshot.done

    def say(self, line: str) -> None:
        """Nothing: the display has no place for it."""


@contextlib.contextmanager
def reporting(
    show: bool | Callable[..., Any],
    *,
    name: str,
    initial: int,
    total: int | None,
    stream: TextIO | None = None,
) -> Iterator[Reporter]:
    """Open the display that fits: custom, bar, plain lines or none.

    Args:
        show: False for none, True for the fitting one, or a display of hyperopt's form.
        initial, total: trials done at the start, and in the end (None: no limit).
        stream: where to write; default standard error.
    """
    out = sys.stderr if stream is None else stream
    if show is False or show is None:
        yield Silent()
    elif show is not True:
        with show(initial=initial, total=total) as context:
            yield CustomDisplay(context, initial)
    elif out.isatty():
        with _open_bar(initial, total, out, name) as bar:
            yield TerminalBar(bar)
    else:
        lines = PlainLines(name, out)
        try:
            yield lines
        finally:
            lines.close()


def _open_bar(initial: int, total: int | None, stream: TextIO, name: str | None = None) -> Any:
    from tqdm.auto import tqdm

    return tqdm(
        initial=initial, total=total, desc=name, unit="trial", file=stream, dynamic_ncols=True
    )


# --- displays of hyperopt's form --------------------------------------------------


@contextlib.contextmanager
def tqdm_progress_callback(initial: int, total: int | None) -> Iterator[Any]:
    """A bar on standard output, wherever that leads; what is printed meanwhile goes above it.

    Yields:
        The open tqdm bar.

    Source: hyperopt.progress.tqdm_progress_callback.
    """
    from tqdm.contrib import DummyTqdmFile

    out, errors = sys.stdout, sys.stderr
    with (
        contextlib.redirect_stdout(DummyTqdmFile(out)),
        contextlib.redirect_stderr(DummyTqdmFile(errors)),
        _open_bar(initial, total, out) as bar,
    ):
        bar.set_postfix_str("best loss: ?")
        yield bar


class NoProgressContext:
    """A display that shows nothing."""

    postfix: Any = None

    def update(self, n: int) -> None:
        """Nothing."""


@contextlib.contextmanager
def no_progress_callback(
    initial: int | None = None, total: int | None = None
) -> Iterator[NoProgressContext]:
    """No display.

    Source: hyperopt.progress.no_progress_callback.
    """
    yield NoProgressContext()


# What hyperopt shows unless told otherwise; `fmin` here chooses by the terminal.
default_callback = tqdm_progress_callback


# --- wording ----------------------------------------------------------------------


def count(n: int, noun: str) -> str:
    """1 worker, 2 workers."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def duration(secs: float) -> str:
    """A length of time in one or two units: 45 s, 2 min 5 s, 3 h 20 min."""
    whole = max(0, round(secs))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
