"""The program of the MongoDB server: where a `mongod` that runs on this machine comes from.

The `embedded` extra brings one as a wheel from PyPI. The wheel's program lacks
its run bit, and may lie where we cannot give it one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hpo.exceptions import MongodNotFound

MONGOD_VARIABLE = "HPO_MONGOD"


def find_mongod(environ: Mapping[str, str] | None = None) -> Path:
    """Return the program of $HPO_MONGOD, of the `embedded` extra, or on the PATH, in this order.

    Raises:
        MongodNotFound: there is none; says how to get one.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get(MONGOD_VARIABLE):
        path = Path(chosen).expanduser()
        if not os.access(path, os.X_OK) or path.is_dir():
            raise MongodNotFound(
                f"${MONGOD_VARIABLE} is {chosen!r}, which is no program that can be run; "
                "set it to the path of a mongod, or unset it"
            )
        return path
    if wheel := _mongod_of_the_wheel():
        return _runnable(wheel, environ)
    if on_path := shutil.which("mongod", path=environ.get("PATH")):
        return Path(on_path)
    raise MongodNotFound(
        'no MongoDB server is installed: pip install "hpo[embedded]" brings one; or install '
        f"MongoDB and have its mongod on the PATH or in ${MONGOD_VARIABLE}; or give the address "
        "of a MongoDB that runs elsewhere (mongodb://host/database)"
    )


def _mongod_of_the_wheel() -> Path | None:
    # The package is looked up but not imported: its parent `fiftyone` may be a large library.
    package = importlib.util.find_spec("fiftyone")
    for location in (package and package.submodule_search_locations) or ():
        program = Path(location) / "db" / "bin" / "mongod"
        if program.is_file():
            return program
    return None


def _runnable(program: Path, environ: Mapping[str, str]) -> Path:
    """Return the wheel's program, which has no run bit, or a copy of it that has one."""
    if os.access(program, os.X_OK):
        return program
    with contextlib.suppress(OSError):
        program.chmod(program.stat().st_mode | 0o111)
        return program
    # Installed where we may not write, perhaps by an administrator: run a copy of our own.
    version = program.stat()
    copy = _cache_directory(environ) / f"mongod-{version.st_size}-{int(version.st_mtime)}"
    if not os.access(copy, os.X_OK):
        copy.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=copy.parent)
        os.close(handle)
        try:
            shutil.copyfile(program, partial)
            os.chmod(partial, 0o755)
            os.replace(partial, copy)
        except OSError:
            os.unlink(partial)
            raise
    return copy


def _cache_directory(environ: Mapping[str, str]) -> Path:
    if chosen := environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "hpo"
    home = Path(environ.get("HOME") or Path.home())
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "hpo"
