"""Working in a directory that may have to be made first and erased afterwards.

    with temp_dir("scratch/trial-7", erase_after=True), working_dir("scratch/trial-7"):
        ...

A sentinel, the file "scratch/trial-7.inuse" or the like, marks a directory that
is going to be erased, so that nobody else moves in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

__all__ = ["get_closest_dir", "path_split_all", "temp_dir", "working_dir"]

AnyPath = str | os.PathLike[str]


@contextlib.contextmanager
def working_dir(dir: AnyPath) -> Iterator[None]:
    """Change to a directory, and back at the end, however it ends.

    Source: hyperopt.utils.working_dir.
    """
    before = os.getcwd()
    os.chdir(dir)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def temp_dir(
    dir: AnyPath, erase_after: bool = False, with_sentinel: bool = True
) -> Iterator[None]:
    """Make a directory unless it exists; one that was made here can be erased at the end.

    Args:
        erase_after: erase it with all that is in it, and the parents that were made
            along with it, if it did not exist before and nothing raised.
        with_sentinel: mark it as in use for the time until it is erased.

    Raises:
        RuntimeError: a directory to be made is given with "..".
        NotADirectoryError: there is a file of that name.

    Source: hyperopt.utils.temp_dir.
    """
    path = Path(dir)
    if path.exists():
        if not path.is_dir():
            raise NotADirectoryError(f"{path} is a file; give the name of a directory")
        yield
        return
    if os.pardir in path.parts:
        raise RuntimeError(f"{path} holds '..'; resolve it first: os.path.abspath")
    outermost = Path(*get_closest_dir(path))
    sentinel = outermost.with_name(f"{outermost.name}.inuse")
    is_marked = erase_after and with_sentinel
    if is_marked:
        sentinel.touch()
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
        if erase_after:
            shutil.rmtree(path)
            _remove_empty(path.parent, until=outermost.parent)
    finally:
        if is_marked:
            sentinel.unlink(missing_ok=True)


def _remove_empty(path: Path, until: Path) -> None:
    """Remove a directory and its parents below `until`, as far as they are empty."""
    while path != until:
        try:
            path.rmdir()
        except OSError:  # somebody else's files are in it
            return
        path = path.parent


def path_split_all(path: AnyPath) -> Iterator[str]:
    """The parts of a path, outermost first; the root is no part.

    Source: hyperopt.utils.path_split_all.
    """
    pure = Path(path)
    return iter(part for part in pure.parts if part != pure.anchor)


def get_closest_dir(workdir: AnyPath) -> tuple[str, str]:
    """The innermost parent of a path that exists, and the name that would be made in it.

    Raises:
        FileExistsError: the whole path exists.

    Source: hyperopt.utils.get_closest_dir.
    """
    path = Path(workdir)
    if path.is_dir():
        raise FileExistsError(f"{path} exists; nothing of it is left to be made")
    while not path.parent.is_dir():
        path = path.parent
    parent = "" if path.parent == Path() else str(path.parent)
    return parent, path.name
