"""Arrays that outlive a process: what a model has learnt, as one JSON file in a directory.

    saved = SavedArrays("curve-data", ("x", "y"), save_dir="models", load_dir="models")
    loaded = saved.load()                    # {"x": array, "y": array}, or None
    saved.save(x=x, y=y)

A file is replaced whole, so a reader never meets half of one, and a process that dies while
it writes loses only its last addition. A file that cannot be read is an error and stays as
it is; one that would be replaced although nobody loaded it is kept beside the new one.

Source: hyperengine.base.DefaultIO, whose files (`.xjson`: a Python literal, floats of six
digits) are read where there is no JSON file.
"""

from __future__ import annotations

import ast
import datetime
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOption, InvalidOptionValue, UnreadableSession

__all__ = ["SavedArrays"]

Floats = npt.NDArray[np.float64]
Directory = str | os.PathLike[str] | None


class SavedArrays:
    """Some arrays by name, kept in a directory; NaN is written as null.

    Args:
        stem: the file's name without ".json".
        names: of the arrays that every file holds.
        save_dir: where to save, made when needed; {date}, {time} and {random_id} in it are
            filled in. None: nowhere.
        load_dir: where to load from; None: nowhere.

    Attributes:
        loaded_from: the file that `load` has read, if any.

    Raises:
        InvalidOption: a directory is not given as a path.
        InvalidOptionValue: there is another placeholder in save_dir.
    """

    def __init__(
        self,
        stem: str,
        names: Sequence[str],
        save_dir: Directory = None,
        load_dir: Directory = None,
    ) -> None:
        self.stem, self.names = stem, tuple(names)
        self.save_dir = None if save_dir is None else _filled_in(_as_path("io_save_dir", save_dir))
        self.load_dir = None if load_dir is None else _as_path("io_load_dir", load_dir)
        # The file whose content we hold: the only one that `save` may replace.
        self._held: Path | None = None
        self.loaded_from: Path | None = None

    def load(
        self, defect_of: Callable[[Mapping[str, Floats]], str | None] = lambda arrays: None
    ) -> dict[str, Floats] | None:
        """The arrays by name, others in the file among them; None if there is no file.

        Args:
            defect_of: says what is wrong with the arrays, or None.

        Raises:
            UnreadableSession: the file is damaged, or is something else.
        """
        if self.load_dir is None:
            return None
        json_file, old_file = (self.load_dir / f"{self.stem}{end}" for end in (".json", ".xjson"))
        path = json_file if json_file.exists() or not old_file.exists() else old_file
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableSession(str(path), str(error)) from error
        arrays = self._parsed(path, text)
        defect = defect_of(arrays)
        if defect is not None:
            raise UnreadableSession(str(path), defect)
        self._held = self.loaded_from = path
        return arrays

    def _parsed(self, path: Path, text: str) -> dict[str, Floats]:
        try:
            content = json.loads(text) if path.suffix == ".json" else ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise UnreadableSession(str(path), f"it is damaged ({error})") from error
        if not isinstance(content, dict) or not set(self.names) <= set(content):
            raise UnreadableSession(
                str(path), f"it is something else: {' and '.join(self.names)} are not in it"
            )
        try:
            return {name: np.array(value, dtype=np.float64) for name, value in content.items()}
        except (TypeError, ValueError) as error:
            raise UnreadableSession(str(path), f"it does not hold arrays ({error})") from error

    def save(self, **arrays: npt.ArrayLike) -> None:
        """Write the arrays, all at once."""
        if self.save_dir is None:
            return
        self.save_dir.mkdir(parents=True, exist_ok=True)
        path = self.save_dir / f"{self.stem}.json"
        if self._held != path:
            _set_aside(path)
        content = {name: _as_lists(array) for name, array in arrays.items()}
        draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(content, file, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        self._held = path


def _as_path(option: str, directory: Any) -> Path:
    try:
        return Path(directory)
    except TypeError:
        raise InvalidOption(f"{option} must be a path, not {directory!r}") from None


def _filled_in(directory: Path) -> Path:
    now = datetime.datetime.now()
    known = {
        "date": now.strftime("%Y-%m-%d"),
        "time": now.strftime("%H-%M-%S"),
        "random_id": secrets.token_hex(3).upper(),
    }
    try:
        return Path(str(directory).format_map(known))
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise InvalidOptionValue(
            f"io_save_dir {str(directory)!r} cannot be filled in ({error!r}); it may hold "
            "{date}, {time} and {random_id}, and no other braces"
        ) from None


def _set_aside(path: Path) -> None:
    """Rename a file that we did not load to the first free name behind its own."""
    if not path.exists():
        return
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(kept)


def _as_lists(array: npt.ArrayLike) -> Any:
    values = np.asarray(array, dtype=np.float64)
    return np.where(np.isnan(values), np.array(None), values).tolist()
