"""The spool: ends of trials on disk, while the server that should have them is away.

An end that the server does not acknowledge soon is written to a directory of
the user's. It is removed when the server has it, or when the trial is somebody
else's by then. Whatever is left, since its worker was stopped or killed, the
next worker on that machine delivers when it starts: as the attempt that made
it, so that it counts only if nobody took the trial meanwhile.

An end names its owner, "host:pid:token", which no other database knows: so
workers of several databases may share a directory, and it may lie in a home
directory that several machines share.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpo.document import Claim
from hpo.exceptions import LeaseLost, ServerUnreachable, UnstorableResult
from hpo.store.base import Store

logger = logging.getLogger(__name__)

# An acknowledgement that takes longer may never come.
KEEP_AFTER_SECS = 1.0

# Ends that no database wanted in so long are forgotten.
MAX_AGE_SECS = 30 * 86400.0

SUFFIX = ".end"
_FORMAT = 1


def default_directory() -> Path:
    """Where results wait unless --spool says otherwise."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "hpo" / "spool"


@dataclass(frozen=True)
class End:
    """How a trial ended, as a store's `finish` or `fail` takes it.

    Attributes:
        held: the claim under which it ended.
        result: of a trial that is DONE, else None.
        error, traceback, reason, details: of one that failed.
    """

    held: Claim
    result: Mapping[str, Any] | None = None
    error: tuple[str, str] = ("", "")
    traceback: str = ""
    reason: str = "exception"
    details: Mapping[str, Any] = field(default_factory=dict)

    def write(self, store: Store) -> None:
        """Write it to the trial. Raises LeaseLost, UnstorableResult."""
        if self.result is not None:
            store.finish(self.held, self.result)
        else:
            store.fail(
                self.held, self.error, self.traceback, reason=self.reason, details=self.details
            )


class Spool:
    """A directory of ends.

    Args:
        directory: made when it is needed, for its owner alone; None keeps nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._writing: End | None = None
        self._kept_in: Path | None = None
        self._since = 0.0
        self._thread: threading.Thread | None = None

    def prepare(self) -> None:
        """Make the directory. Raises OSError: it cannot be made, or others may write there."""
        if self._directory is not None:
            _make_private(self._directory)

    @contextlib.contextmanager
    def keeping(self, end: End) -> Iterator[None]:
        """Keep an end on disk while the block, which writes it, takes long or fails.

        It stays there when the block raises ServerUnreachable, or the process ends.
        """
        self._begin(end)
        try:
            yield
        except ServerUnreachable:
            self._settle()
            self.keep(end)
            raise
        except BaseException:
            self._settle()
            self._remove()
            raise
        self._settle()
        self._remove()

    def _begin(self, end: End) -> None:
        with self._lock:
            self._writing, self._since = end, time.monotonic()
            self._kept_in = None
        if self._thread is None and self._directory is not None:
            self._thread = threading.Thread(target=self._watch, name="hpo-spool", daemon=True)
            self._thread.start()

    def _settle(self) -> None:
        with self._lock:
            self._writing = None

    def _watch(self) -> None:
        """In the thread: keep what the server did not acknowledge in time."""
        # Starting a timer for each end would cost more than most ends do.
        while True:
            time.sleep(KEEP_AFTER_SECS / 4)
            with self._lock:
                is_late = time.monotonic() - self._since >= KEEP_AFTER_SECS
                if self._writing is not None and is_late:
                    self.keep(self._writing)
                    self._writing = None

    def keep(self, end: End) -> None:
        """Write an end to disk, whole or not at all."""
        try:
            path = self._path_of(end)
            if path is None or path.exists():
                return
            self.prepare()
            _write_whole(path, _as_bytes(end))
            self._kept_in = path
        except (OSError, UnstorableResult) as error:
            logger.warning("cannot keep the result of trial %s on disk: %s", end.held.tid, error)
        else:
            logger.warning(
                "the result of trial %s is kept in %s until the server has it", end.held.tid, path
            )

    def deliver(self, store: Store) -> None:
        """Write what is kept to the trials that it belongs to. Raises ServerUnreachable."""
        if self._directory is None or not self._directory.is_dir():
            return
        try:
            self.prepare()
        except OSError as error:
            logger.warning("results kept on disk are not looked at: %s", error)
            return
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            with contextlib.suppress(FileNotFoundError):  # another worker was quicker
                self._deliver(path, store)

    def _deliver(self, path: Path, store: Store) -> None:
        try:
            end = _from_bytes(path.read_bytes())
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s is damaged and stays where it is: %s", path, error)
            return
        try:
            end.write(store)
        except LeaseLost as error:
            if _is_known(store, end.held):
                path.unlink()
                logger.warning("%s (it was kept in %s)", error, path)
            elif time.time() - path.stat().st_mtime > MAX_AGE_SECS:
                path.unlink()
                logger.info("removed %s: no database wanted it in a month", path)
        except UnstorableResult as error:
            path.unlink()
            logger.warning("trial %s: %s", end.held.tid, error)
        else:
            path.unlink()
            logger.info("delivered the result of trial %s, kept in %s", end.held.tid, path)

    def _path_of(self, end: End) -> Path | None:
        if self._directory is None:
            return None
        # Of any type and content, the tid and the owner make no file's name.
        name = hashlib.sha256(repr(end.held).encode("utf-8", "replace")).hexdigest()[:32]
        return self._directory / f"{name}{SUFFIX}"

    def _remove(self) -> None:
        """Remove the end that is no longer needed; most never came to be kept."""
        if self._kept_in is not None:
            self._kept_in.unlink(missing_ok=True)


def _is_known(store: Store, held: Claim) -> bool:
    """Whether the store is the one in which the claim was made."""
    found = store.find(None, tids=[held.tid], fields=["owner", "attempts"], all_experiments=True)
    return any(
        held.owner in (trial.get("owner"), *(end["owner"] for end in trial.get("attempts") or ()))
        for trial in found
    )


def _as_bytes(end: End) -> bytes:
    from hpo.store.mongo.encoding import to_bytes

    return to_bytes({"format": _FORMAT, **asdict(end)}, "the result")


def _from_bytes(content: bytes) -> End:
    from hpo.store.mongo.encoding import from_bytes

    fields = from_bytes(content)
    if fields.pop("format") != _FORMAT:
        raise ValueError("another version of hpo wrote it")
    held, error = Claim(**fields.pop("held")), tuple(fields.pop("error"))
    return End(held=held, error=(str(error[0]), str(error[1])), **fields)


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            f"{directory} must belong to you, and nobody else may write there: chmod 700 it, or "
            "give --spool another directory"
        )


def _write_whole(path: Path, content: bytes) -> None:
    descriptor, draft = tempfile.mkstemp(dir=path.parent, suffix=".draft")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
