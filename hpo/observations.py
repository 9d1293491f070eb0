"""Observations: what an experiment has learnt so far, as columns.

Algorithms read arrays, not documents. Each trial is one row, each hyperparameter
one column, and a row is written again whenever its document changes, so that a
suggestion never parses a document twice.

    name            meaning                                            shape, type
    tids            the trials' ids, in order of arrival               (n,) object
    source_tids     misc.from_tid of an injected result, else the tid  (n,) object
    states          JOB_STATE_*                                        (n,) int8
    losses          the loss of an ok trial, else NaN                  (n,) float64
    loss_variances  variance of that loss's measurement, else NaN      (n,) float64
    steps           the last step reported by a trial that ended       (n,) float64
    own_steps       the same, less what a trial that it took up did    (n,) float64
    partial_losses  the last loss of a stopped trial, else NaN         (n,) float64
    is_ok           DONE with status ok and a loss                     (n,) bool
    is_stopped      DONE with status stopped and a loss                (n,) bool
    is_failed       ended without a loss, and would do so again        (n,) bool
    is_pending      NEW or RUNNING: the loss is yet to come            (n,) bool
    column(label)   the stored value, a choice by index; NaN inactive  (n,) float64
    order           rows sorted by tid                                 (n,) int64
    is_continuation takes up a stopped trial                           (n,) bool
    history         the ok, failed, stopped and pending rows, by tid   (h,) int64
    digest          what the history holds, as a short text             str

A cancelled trial, and one that ended because its workers vanished, is neither
ok, failed, stopped nor pending: it says nothing about its configuration.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import numbers
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_NEW,
    OPEN_STATES,
    STATUS_OK,
    STATUS_STOPPED,
    Tid,
    is_failure,
)
from hpo.value_table import ValueTable

_COLUMN_TYPES: dict[str, npt.DTypeLike] = {
    "tid": np.object_,
    "source_tid": np.object_,
    "state": np.int8,
    "loss": np.float64,
    "loss_variance": np.float64,
    "is_ok": np.bool_,
    "is_failed": np.bool_,
    "is_pending": np.bool_,
    # Hash of the values, and of everything a model could learn from; 0 if it is nothing.
    "configuration": np.uint64,
    "word": np.uint64,
}
# Columns that there are only once a trial has reported, and what stands in them before.
_REPORT_COLUMNS: dict[str, float | bool] = {
    "steps": math.nan,
    "own_steps": math.nan,
    "partial_loss": math.nan,
    "is_stopped": False,
    "is_continuation": False,
}
_FIRST_CAPACITY = 64


class Observations:
    """Growing columns over the trials of one experiment.

    Reading is free: every array is a read-only view of the first `len(self)`
    rows. A view shows rows that are overwritten later but not rows that are
    added, so take it again after an `update`.
    """

    def __init__(self) -> None:
        self._n_rows = 0
        self._row_of_tid: dict[Tid, int] = {}
        self._is_sorted = True
        self._order: npt.NDArray[np.int64] | None = None
        self._has_sources = False
        self._has_variances = False
        self._n_pending = 0
        # Room for rows that are yet to come, and how many there are.
        self._history: npt.NDArray[np.int64] | None = None
        self._n_history = 0
        self._sum_of_words = 0
        self._columns: dict[str, npt.NDArray[Any]] = {
            name: np.empty(_FIRST_CAPACITY, dtype) for name, dtype in _COLUMN_TYPES.items()
        }
        self._values = ValueTable(_FIRST_CAPACITY)
        # What was read since the last row was added.
        self._views: dict[str, npt.NDArray[Any]] = {}

    # --- writing ---

    def update(self, trial: Mapping[str, Any]) -> None:
        """Insert a trial document's row, or overwrite the row of its tid.

        Costs O(labels), whatever the number of trials. A hyperparameter whose
        stored value is no number (a document written by hand) counts as
        inactive, because no model could use it.
        """
        # Everything is read before anything is written: a malformed document
        # raises and leaves no half-filled row.
        tid, state = trial["tid"], int(trial["state"])
        source_tid = trial["misc"].get("from_tid")
        values = {
            label: _as_number(vals[0])
            for label, vals in trial["misc"]["vals"].items()
            if len(vals)
        }
        loss = _usable_loss(state, trial)
        is_ok = not math.isnan(loss)
        partial_loss = _usable_loss(state, trial, STATUS_STOPPED)
        is_stopped = not math.isnan(partial_loss)
        is_failed = not (is_ok or is_stopped) and (state == JOB_STATE_DONE or is_failure(trial))
        report: dict[str, float | bool] = {}
        if is_stopped or "last_report" in trial or "continues" in trial:
            steps = _last_step(state, trial)
            report = {
                "steps": steps,
                "own_steps": steps - _as_number(trial.get("settled_step", 0)),
                "partial_loss": partial_loss,
                "is_stopped": is_stopped,
                "is_continuation": trial.get("continues") is not None,
            }
        loss_variance = _as_number(trial["result"].get("loss_variance")) if is_ok else math.nan

        is_new = tid not in self._row_of_tid
        row = self._row_for(tid)
        columns = self._columns
        says_something = is_ok or is_failed or is_stopped or state in OPEN_STATES
        self._count(row, is_new, says_something, state in OPEN_STATES)
        columns["state"][row] = state
        columns["loss"][row] = loss
        columns["loss_variance"][row] = loss_variance
        self._has_variances = self._has_variances or loss_variance > 0.0
        self._put_report(row, report)
        columns["is_ok"][row] = is_ok
        columns["is_failed"][row] = is_failed
        columns["is_pending"][row] = state in OPEN_STATES
        if source_tid is not None:
            self._has_sources = True
            columns["source_tid"][row] = source_tid
        self._values.put(row, values, self._n_rows)
        configuration = _configuration_word(values) if says_something else 0
        word = _trial_word(tid, configuration, is_failed, loss) if says_something else 0
        if is_stopped:
            word = _word(struct.pack("<Qdd", word, report["steps"], partial_loss))
        self._put_words(row, configuration, word)

    def add_pending(self, tid: Tid, values: Mapping[str, Any]) -> None:
        """Insert the row of a trial that has been chosen but has no document yet.

        Args:
            values: {label: value} of its active hyperparameters; a choice by index.
        """
        self.update(
            {
                "tid": tid,
                "state": JOB_STATE_NEW,
                "misc": {"vals": {label: [value] for label, value in values.items()}},
            }
        )

    @contextlib.contextmanager
    def provisional(self) -> Iterator[None]:
        """Forget, at the end of the block, the trials that were added in it.

        Rows that were there before must not be overwritten meanwhile.
        """
        n_rows, is_sorted, order = self._n_rows, self._is_sorted, self._order
        try:
            yield
        finally:
            for row in range(n_rows, self._n_rows):
                self._n_pending -= int(self._columns["is_pending"][row])
                self._put_words(row, 0, 0)
                del self._row_of_tid[self._columns["tid"][row]]
            if self._n_rows > n_rows:
                self._views.clear()
                self._n_rows, self._is_sorted, self._order = n_rows, is_sorted, order
                self._history = None

    def copy(self) -> Observations:
        """An independent copy; what is added to it stays out of the original."""
        twin = Observations()
        twin.__setstate__(self.__getstate__())
        return twin

    def only(self, rows: npt.NDArray[np.int64]) -> Observations:
        """An independent copy of some rows, in the order given."""
        twin = Observations()
        twin._n_rows, twin._has_sources = len(rows), self._has_sources
        twin._has_variances = self._has_variances
        twin._n_pending = int(np.count_nonzero(self.is_pending[rows]))
        twin._columns = {name: column[rows] for name, column in self._columns.items()}
        twin._values = self._values.only(rows)
        tids = twin._columns["tid"]
        twin._row_of_tid = {tid: row for row, tid in enumerate(tids)}
        twin._is_sorted = all(_follows(tids, row) for row in range(1, len(rows)))
        twin._sum_of_words = sum(twin._columns["word"].tolist()) % 2**64
        return twin

    # --- reading ---

    def __len__(self) -> int:
        return self._n_rows

    def __contains__(self, tid: Tid) -> bool:
        return tid in self._row_of_tid

    def __repr__(self) -> str:
        return (
            f"Observations({self._n_rows} trials: {int(self.is_ok.sum())} ok, "
            f"{int(self.is_failed.sum())} failed, {int(self.is_pending.sum())} pending; "
            f"{len(self._values)} labels)"
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that has been seen, in order of appearance."""
        return self._values.labels

    @property
    def tids(self) -> npt.NDArray[np.object_]:
        """Ids in order of arrival, as the documents hold them; shape (n,)."""
        return self._view("tid")

    @property
    def source_tids(self) -> npt.NDArray[np.object_]:
        """The trial each result came from (misc.from_tid), else its own tid; shape (n,)."""
        return self._view("source_tid")

    @property
    def has_sources(self) -> bool:
        """Whether any trial carries misc.from_tid."""
        return self._has_sources

    @property
    def states(self) -> npt.NDArray[np.int8]:
        """JOB_STATE_* of each trial, shape (n,)."""
        return self._view("state")

    @property
    def losses(self) -> npt.NDArray[np.float64]:
        """Loss of each ok trial, NaN for every other one; may be infinite. Shape (n,)."""
        return self._view("loss")

    @property
    def has_variances(self) -> bool:
        """Whether the variance of any loss was ever known."""
        return self._has_variances

    @property
    def loss_variances(self) -> npt.NDArray[np.float64]:
        """Variance of each loss's measurement; NaN where unknown. Shape (n,)."""
        return self._view("loss_variance")

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Last step reported by each trial that ended; NaN where there is none. Shape (n,)."""
        return self._report_view("steps")

    @property
    def own_steps(self) -> npt.NDArray[np.float64]:
        """`steps` less those of the trial that it took up; NaN where there is none. Shape (n,)."""
        return self._report_view("own_steps")

    @property
    def partial_losses(self) -> npt.NDArray[np.float64]:
        """Last loss of each stopped trial, NaN for every other one. Shape (n,)."""
        return self._report_view("partial_loss")

    @property
    def is_stopped(self) -> npt.NDArray[np.bool_]:
        """Which trials a stopping rule ended before their full budget, shape (n,)."""
        return self._report_view("is_stopped")

    @property
    def has_reports(self) -> bool:
        """Whether any trial reported its progress, or was stopped or continued."""
        return "steps" in self._columns

    @property
    def is_continuation(self) -> npt.NDArray[np.bool_]:
        """Which trials take up a stopped one, shape (n,)."""
        return self._report_view("is_continuation")

    @property
    def is_ok(self) -> npt.NDArray[np.bool_]:
        """Which trials are DONE with status ok and a loss, shape (n,)."""
        return self._view("is_ok")

    @property
    def is_failed(self) -> npt.NDArray[np.bool_]:
        """Which trials ended without a loss through their own doing, shape (n,).

        They are DONE without a usable loss, or ERROR for any reason but lost workers.
        """
        return self._view("is_failed")

    @property
    def n_pending(self) -> int:
        """How many trials are NEW or RUNNING."""
        return self._n_pending

    @property
    def is_in_order(self) -> bool:
        """Whether the rows are in the order of the tids."""
        return self._is_sorted

    @property
    def is_pending(self) -> npt.NDArray[np.bool_]:
        """Which trials are NEW or RUNNING, shape (n,)."""
        return self._view("is_pending")

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """Rows sorted by tid, shape (n,): the order in which trials were suggested."""
        if self._is_sorted:
            return np.arange(self._n_rows)
        if self._order is None:
            self._order = _argsort_tids(self.tids)
        return self._order

    @property
    def last_tid(self) -> Tid | None:
        """The greatest id; None where there is no trial."""
        if not self._n_rows:
            return None
        last: Tid = self.tids[-1 if self._is_sorted else self.order[-1]]
        return last

    @property
    def history(self) -> npt.NDArray[np.int64]:
        """Rows that say something of their configuration, sorted by tid; shape (h,).

        The ok, failed, stopped and pending trials, but none that was cancelled or lost.
        """
        view = self._views.get("history")
        if view is not None:
            return view
        if self._history is None:
            says_something = self._view("configuration") != 0
            if self._is_sorted:
                self._history = says_something.nonzero()[0]
            else:
                order = self.order
                self._history = order[says_something[order]]
            self._n_history = len(self._history)
        view = self._views["history"] = _read_only(self._history[: self._n_history])
        return view

    @property
    def configurations(self) -> npt.NDArray[np.uint64]:
        """A hash of each trial's values, 0 for one outside the history; shape (n,)."""
        return self._view("configuration")

    @property
    def digest(self) -> str:
        """Number of trials in the history, and a hash of their ids, values and losses.

        Independent of the order of arrival. The hash is a sum of 64-bit hashes, one
        for each trial: it finds changes, it does not withstand forgery.
        """
        return f"{len(self.history)}:{self._sum_of_words:016x}"

    def has_tried(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial of the history has exactly this configuration.

        Args:
            values: {label: value} of its active hyperparameters; a choice by index.
        """
        word = _configuration_word({label: _as_number(value) for label, value in values.items()})
        return bool((self._view("configuration") == np.uint64(word)).any())

    def column(self, label: str) -> npt.NDArray[np.float64]:
        """Stored value of a hyperparameter in each trial, shape (n,).

        NaN where it is inactive; all NaN for a label that no trial has.
        """
        return _read_only(self._values.column(label, self._n_rows))

    def table(self, labels: Sequence[str], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Stored values of some hyperparameters in some trials, shape (labels, rows).

        NaN where inactive.
        """
        return self._values.take(labels, rows)

    def active(self, label: str) -> npt.NDArray[np.bool_]:
        """In which trials a hyperparameter has a value, shape (n,)."""
        return ~np.isnan(self.column(label))

    # --- pickling: only the rows in use ---

    def __getstate__(self) -> dict[str, Any]:
        n_rows = self._n_rows
        return {
            **self.__dict__,
            "_row_of_tid": dict(self._row_of_tid),
            "_views": {},
            "_history": None,
            "_columns": {name: array[:n_rows].copy() for name, array in self._columns.items()},
            "_values": self._values.only(slice(n_rows)),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # --- rows and columns ---

    def _view(self, name: str) -> npt.NDArray[Any]:
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = _read_only(self._columns[name][: self._n_rows])
        return view

    def _report_view(self, name: str) -> npt.NDArray[Any]:
        if name not in self._columns:
            return _read_only(np.full(self._n_rows, _REPORT_COLUMNS[name]))
        return self._view(name)

    def _put_report(self, row: int, report: Mapping[str, float | bool]) -> None:
        if report and not self.has_reports:
            capacity = len(self._columns["tid"])
            for name, blank in _REPORT_COLUMNS.items():
                self._columns[name] = np.full(capacity, blank)
        if self.has_reports:
            for name, blank in _REPORT_COLUMNS.items():
                self._columns[name][row] = report.get(name, blank)

    def _row_for(self, tid: Tid) -> int:
        row = self._row_of_tid.get(tid)
        return self._append_row(tid) if row is None else row

    def _append_row(self, tid: Tid) -> int:
        row = self._n_rows
        if row == len(self._columns["tid"]):
            # An eighth at a time keeps appending O(1) on average and little memory idle.
            self._reserve_rows(max(_FIRST_CAPACITY, row + row // 8))
        self._row_of_tid[tid] = row
        self._n_rows += 1
        self._views.clear()
        self._columns["tid"][row] = self._columns["source_tid"][row] = tid
        self._columns["word"][row] = 0
        self._order = None
        self._is_sorted = self._is_sorted and (row == 0 or _follows(self._columns["tid"], row))
        return row

    def _reserve_rows(self, capacity: int) -> None:
        for name, column in self._columns.items():
            self._columns[name] = _resized(column, capacity)
        self._values.reserve(capacity)

    def _count(self, row: int, is_new: bool, says_something: bool, is_pending: bool) -> None:
        """Keep count of what a row is about to change."""
        columns = self._columns
        was_pending = not is_new and bool(columns["is_pending"][row])
        self._n_pending += is_pending - was_pending
        if self._history is None:
            return
        if not is_new:
            if says_something != bool(columns["configuration"][row]):
                self._history = None
                self._views.pop("history", None)
        elif not self._is_sorted:
            self._history = None
        elif says_something:
            if self._n_history == len(self._history):
                room = self._n_history + self._n_history // 8 + _FIRST_CAPACITY
                self._history = _resized(self._history, room)
            self._history[self._n_history] = row
            self._n_history += 1

    def _put_words(self, row: int, configuration: int, word: int) -> None:
        words = self._columns["word"]
        self._sum_of_words = (self._sum_of_words - int(words[row]) + word) % 2**64
        words[row], self._columns["configuration"][row] = word, configuration


def _configuration_word(values: Mapping[str, float]) -> int:
    """A hash of {label: number}, the same in every process and for any order; never 0."""
    order, seal = _sealed_labels(tuple(values))
    listed = list(values.values())
    return _word(seal + struct.pack(f"<{len(order)}d", *(listed[index] for index in order)))


@functools.lru_cache(maxsize=1024)
def _sealed_labels(labels: tuple[str, ...]) -> tuple[tuple[int, ...], bytes]:
    """Where each label stands when they are sorted, and a hash of them."""
    order = sorted(range(len(labels)), key=labels.__getitem__)
    text = repr([labels[index] for index in order])
    return tuple(order), hashlib.blake2b(text.encode(), digest_size=8).digest()


def _trial_word(tid: Tid, configuration: int, is_failed: bool, loss: float) -> int:
    """A hash of what a model could learn from one trial; never 0."""
    name = repr(int(tid) if isinstance(tid, numbers.Integral) else tid)
    # Every NaN stands for the same: no loss.
    outcome = (math.isnan(loss), 0.0 if math.isnan(loss) else loss, is_failed)
    return _word(name.encode() + struct.pack("<Q?d?", configuration, *outcome))


def _word(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") or 1


def _usable_loss(state: int, trial: Mapping[str, Any], status: str = STATUS_OK) -> float:
    if state != JOB_STATE_DONE or trial["result"].get("status") != status:
        return math.nan
    return _as_number(trial["result"].get("loss"))


def _last_step(state: int, trial: Mapping[str, Any]) -> float:
    if state in OPEN_STATES or "last_report" not in trial:
        return math.nan
    return _as_number(trial["last_report"].get("step"))


def _as_number(value: Any) -> float:
    if type(value) is float:
        return value
    if isinstance(value, (numbers.Real, np.bool_)):
        return float(value)
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "biuf":
        return float(value.reshape(())[()])
    return math.nan


def _follows(tids: npt.NDArray[Any], row: int) -> bool:
    try:
        return bool(tids[row - 1] < tids[row])
    except TypeError:
        return False


def _argsort_tids(tids: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    if all(isinstance(tid, int) for tid in tids):
        return np.argsort(tids.astype(np.int64), kind="stable")
    try:
        return np.argsort(tids, kind="stable")
    except TypeError:
        # Ids of several types cannot be compared; any order will do that does
        # not depend on the order of arrival.
        keys = [f"{type(tid).__name__} {tid!r}" for tid in tids]
        return np.argsort(np.array(keys), kind="stable")


def _resized(array: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    # What lies beyond the old rows stays untouched, so the system lends no
    # memory for it before it is used.
    larger = np.empty(capacity, array.dtype)
    larger[: len(array)] = array
    return larger


def _read_only(view: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view.flags.writeable = False
    return view
