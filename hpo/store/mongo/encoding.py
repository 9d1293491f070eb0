"""Documents as BSON, encoded once and refused early.

A document is encoded before anything is sent, so that one that MongoDB cannot
hold is refused with the path of the culprit while nothing has been written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.errors import InvalidBSON, InvalidDocument
from bson.raw_bson import RawBSONDocument

from hpo.document import plain
from hpo.exceptions import UnstorableResult

# MongoDB's limit, less what a store adds to a document while it moves.
MAX_DOCUMENT_BYTES = 16 * 1024**2 - 16 * 1024

# Text of an error beyond this loses its middle.
MAX_TEXT_CHARS = 200_000


def encoded(document: Mapping[str, Any], path: str) -> RawBSONDocument:
    """Encode a document, with numpy's scalars and arrays as numbers and lists.

    Args:
        path: how to name the document in an error.

    Raises:
        UnstorableResult: names the part that BSON cannot hold, or the size.
    """
    try:
        data = _encode(document, path)
    except RecursionError:
        raise UnstorableResult(
            f"{path} contains itself, or is nested too deeply; return flatter data"
        ) from None
    if len(data) > MAX_DOCUMENT_BYTES:
        raise UnstorableResult(
            f"{path} takes {len(data) / 1024**2:.1f} MB, {_largest_part(document)}; a document "
            "holds less than 16 MB: put large things into attachments"
        )
    return RawBSONDocument(data)


def to_bytes(document: Mapping[str, Any], path: str) -> bytes:
    """A document as BSON, to keep it outside of a database. Raises UnstorableResult."""
    return bytes(encoded(document, path).raw)


def from_bytes(content: bytes) -> dict[str, Any]:
    """The document that `to_bytes` was given. Raises ValueError when it is damaged."""
    try:
        return dict(bson.decode(content))
    except InvalidBSON as error:
        raise ValueError(f"no document: {error}") from error


def _encode(document: Mapping[str, Any], path: str) -> bytes:
    try:
        try:
            return bson.encode(document)
        except (InvalidDocument, OverflowError):
            # Says which part it is, or makes numbers and lists of what numpy brought.
            return bson.encode(plain(document, path))
    except UnicodeEncodeError as error:
        raise _unwritable_text(path, error) from None
    except (InvalidDocument, OverflowError) as error:
        raise UnstorableResult(f"{path} cannot be stored: {error}") from error


def _unwritable_text(path: str, error: UnicodeEncodeError) -> UnstorableResult:
    piece = error.object[max(0, error.start - 10) : error.end + 10]
    return UnstorableResult(
        f"{path} holds the text {piece!r}, which is not valid Unicode; store it as bytes"
    )


def _largest_part(document: Mapping[str, Any]) -> str:
    """Say which key weighs most."""
    sizes = {key: len(bson.encode({"": plain(value, key)})) for key, value in document.items()}
    key = max(sizes, key=sizes.__getitem__)
    return f"{key!r} alone {sizes[key] / 1024**2:.1f} MB"


def storable_text(text: str) -> str:
    """Text of an error as it can be stored: valid Unicode, without the middle if very long."""
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(clean) <= MAX_TEXT_CHARS:
        return clean
    half = MAX_TEXT_CHARS // 2
    return f"{clean[:half]}\n[… {len(clean) - 2 * half} characters left out …]\n{clean[-half:]}"
