"""One trial, in whichever process evaluates it: load the objective, call it, say how it ended.

The process that evaluates never talks to the store. What it needs it asks of
the worker, through a function `ask(verb, *arguments)` that answers from the
same process or from across a connection; the verbs are those of
`hpo_worker.desk`.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections import OrderedDict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import quote

import hpo
from hpo.ctrl import Ctrl
from hpo.document import Document, Tid, active_values, plain
from hpo.domain import Domain
from hpo.exceptions import UnloadableObjective, UntrustedObjective
from hpo.mirror import Mirror
from hpo.objective import unpack
from hpo.reports import Report
from hpo.store.base import Horizon
from hpo_worker.outcome import Done, Interruption, Outcome, Raised, Refused, Unloadable

# An objective often holds its data; a worker that serves many experiments keeps a few.
MAX_LOADED_OBJECTIVES = 4

# A document is read by people: an exception's text may hold a whole array.
MAX_ERROR_CHARS = 10_000
MAX_TRACEBACK_CHARS = 100_000

_OUR_DIRECTORIES = tuple(
    str(Path(file).resolve().parent) + os.sep for file in (hpo.__file__, __file__) if file
)


class Ask(Protocol):
    """A question to the worker."""

    def __call__(self, verb: str, *arguments: Any) -> Any:
        """Return the answer, or raise what the worker answered with."""


class Evaluation:
    """Evaluates one trial after the other and keeps the objectives that it loaded.

    Args:
        ask: how to reach the worker.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        # By experiment as well: an objective is good for none but its own.
        self._domains: OrderedDict[tuple[str | None, str | None], Domain] = OrderedDict()
        self._mirrors: OrderedDict[str | None, Mirror] = OrderedDict()

    def evaluate(self, trial: Document, workdir: str | None) -> Outcome:
        """Call the trial's objective.

        Args:
            trial: the RUNNING document.
            workdir: the directory to work in, made if missing; None: one under the objective's
                own workdir, or without that the present one.

        Raises:
            Interruption: the worker ends the evaluation; only where both share a process.
        """
        try:
            domain = self._domain(trial["exp_key"], trial.get("objective"))
        except (UnloadableObjective, SystemExit) as error:
            if isinstance(error, UntrustedObjective) and error.is_misplaced:
                return Refused(str(error))
            return Unloadable(str(error) or "importing the objective's module called sys.exit()")
        channel = WorkerChannel(self._ask, self._mirror(trial["exp_key"]))
        try:
            with channel, _working_in(workdir or _own_workdir(domain, trial)):
                ctrl = Ctrl(None, trial, channel=channel)
                return Done(plain(domain.evaluate(active_values(trial), ctrl)))
        except Interruption:
            raise
        # Whatever the objective raises, sys.exit() and KeyboardInterrupt included, is its trial's.
        except BaseException as error:
            return raised(error)

    def _mirror(self, exp_key: str | None) -> Mirror:
        mirror = self._mirrors.setdefault(exp_key, Mirror())
        self._mirrors.move_to_end(exp_key)
        if len(self._mirrors) > MAX_LOADED_OBJECTIVES:
            self._mirrors.popitem(last=False)
        return mirror

    def _domain(self, exp_key: str | None, sha256: str | None) -> Domain:
        name = (exp_key, sha256)
        domain = self._domains.get(name)
        if domain is None:
            domain = self._domains[name] = unpack(self._ask("objective", sha256))
            if len(self._domains) > MAX_LOADED_OBJECTIVES:
                self._domains.popitem(last=False)
        self._domains.move_to_end(name)
        return domain


class WorkerChannel:
    """What `Ctrl` offers, carried to the worker; open while the trial is evaluated.

    Attributes:
        mirror: what has been read of the experiment's learning curves.
    """

    def __init__(self, ask: Ask, mirror: Mirror) -> None:
        self._ask_worker, self.mirror = ask, mirror
        self._is_open = False

    def __enter__(self) -> WorkerChannel:
        self._is_open = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        # A thread that the objective left behind must not write into the next trial.
        self._is_open = False

    @property
    def attachments(self) -> MutableMapping[str, bytes]:
        """Named bytes beside the running trial."""
        return _Attachments(self._ask)

    def checkpoint(self, result: Mapping[str, Any]) -> None:
        """Publish a partial result of the running trial."""
        self._ask("checkpoint", plain(result))

    def report(self, reports: Sequence[Report]) -> None:
        """Publish the learning curve of the running trial."""
        self._ask("report", list(reports))

    def reported(self, step: int | None, since: Horizon) -> tuple[list[Document], Horizon]:
        """The learning curves of the running trial's experiment beyond a horizon."""
        found: tuple[list[Document], Horizon] = self._ask("reported", step, since)
        return found

    def save_checkpoint(self, payload: bytes) -> None:
        """Keep what a later attempt goes on from."""
        self._ask("save_checkpoint", payload)

    def load_checkpoint(self) -> bytes | None:
        """What an earlier attempt kept, or the trial that this one takes up."""
        found: bytes | None = self._ask("load_checkpoint")
        return found

    def _ask(self, verb: str, *arguments: Any) -> Any:
        if not self._is_open:
            raise RuntimeError(
                f"{verb}: the trial that this ctrl belongs to has ended; "
                "join the objective's threads before it returns"
            )
        return self._ask_worker(verb, *arguments)


class _Attachments(MutableMapping[str, bytes]):
    """A trial's attachments, each access a question to the worker."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __getitem__(self, name: str) -> bytes:
        found: bytes = self._ask("attachment", name)
        return found

    def __setitem__(self, name: str, value: bytes) -> None:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"attachment {name!r} must be bytes, not {type(value).__name__}; "
                "encode text, and pickle objects"
            )
        self._ask("attach", str(name), bytes(value))

    def __delitem__(self, name: str) -> None:
        self._ask("detach", name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ask("attachment_names"))

    def __len__(self) -> int:
        return len(self._ask("attachment_names"))


def raised(error: BaseException) -> Raised:
    """Describe an exception as text that any document can hold."""
    try:
        text = str(error)
    except Exception as unprintable:  # a user's __str__ can raise anything
        text = f"<its text cannot be had: {type(unprintable).__name__}>"
    lines = traceback.format_exception(
        type(error), error, _from_first_user_frame(error.__traceback__)
    )
    return Raised(
        error=(type(error).__name__, _storable(text, MAX_ERROR_CHARS)),
        traceback=_storable("".join(lines), MAX_TRACEBACK_CHARS),
    )


def _from_first_user_frame(whole: TracebackType | None) -> TracebackType | None:
    """Leave out how this package called the objective, unless that is all there is."""
    frame = whole
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(_OUR_DIRECTORIES):
        frame = frame.tb_next
    return whole if frame is None else frame


def _storable(text: str, max_chars: int) -> str:
    """Cut the middle out of long text, and replace what UTF-8 cannot encode."""
    if len(text) > max_chars:
        half = max_chars // 2
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n… {left_out} characters left out …\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def directory_name(tid: Tid) -> str:
    """What the directory of a trial is called; it lies in the directory that it is put into."""
    # A tid may be text, and text may be "../..".
    return quote(str(tid), safe=" ").replace(".", "%2E")


def _own_workdir(domain: Domain, trial: Document) -> str | None:
    if domain.workdir is None:
        return None
    return os.path.join(domain.workdir, directory_name(trial["tid"]))


@contextlib.contextmanager
def _working_in(workdir: str | None) -> Iterator[None]:
    if workdir is None:
        yield
        return
    before = os.getcwd()
    os.makedirs(workdir, exist_ok=True)
    os.chdir(workdir)
    try:
        yield
    finally:
        os.chdir(before)
