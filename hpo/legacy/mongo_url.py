"""A database's address in hyperopt's form, taken apart: mongo://user:password@host:port/db/jobs.

hpo itself passes addresses whole to pymongo (`hpo.store.mongo.url`); this is
for programs that want the pieces.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from hpo.exceptions import InvalidUrl

__all__ = ["MongoUrl", "as_mongo_str", "parse_url"]

DEFAULT_PORT = 27017

FORM = "mongo://user:password@host:port/database/jobs"


class MongoUrl(NamedTuple):
    """The pieces of an address, in hyperopt's order; `repr` shows the password."""

    protocol: str
    username: str | None
    password: str | None
    hostname: str
    port: int
    dbname: str
    collection: str
    authdbname: str | None


def as_mongo_str(s: str) -> str:
    """The address with a scheme: "mongo://" is put before one that has none.

    Source: hyperopt.mongoexp.as_mongo_str.
    """
    has_scheme = re.match(r"[A-Za-z][\w+.-]*://|(embedded|file):", s) is not None
    return s if has_scheme else f"mongo://{s}"


def parse_url(url: str, pwfile: str | os.PathLike[str] | None = None) -> MongoUrl:
    """Take an address apart.

    Args:
        url: protocol://[user[:password]@]host[:port]/database/collection[?authSource=x].
        pwfile: a file whose first line is the password, where the address has only a user.

    Raises:
        InvalidUrl: a piece is missing or makes no sense. Credentials are never quoted.

    Source: hyperopt.mongoexp.parse_url.
    """
    split = urlsplit(url)
    if not split.scheme or not split.netloc:
        raise InvalidUrl(f"the address has no scheme or no host; write {FORM}")
    dbname, collection = _database_and_collection(split)
    user = None if split.username is None else unquote(split.username)
    password = None if split.password is None else unquote(split.password)
    if user is not None and password is None and pwfile is not None:
        password = Path(pwfile).read_text(encoding="utf-8").split("\n", 1)[0]
    return MongoUrl(
        protocol=split.scheme,
        username=user,
        password=password,
        hostname=split.hostname or "",
        port=_port(split),
        dbname=dbname,
        collection=collection,
        authdbname=parse_qs(split.query).get("authSource", [None])[-1],
    )


def _database_and_collection(split: SplitResult) -> tuple[str, str]:
    words = split.path.removeprefix("/").split("/")
    if len(words) != 2 or not all(words):
        raise InvalidUrl(
            f"after the host come a database and a collection, two names with a slash between; "
            f"here are {len([word for word in words if word])}. Write {FORM}"
        )
    return unquote(words[0]), unquote(words[1])


def _port(split: SplitResult) -> int:
    try:
        return DEFAULT_PORT if split.port is None else split.port
    except ValueError:
        # Not quoted: after an unescaped "/" or "@" it may be a piece of the password.
        raise InvalidUrl(
            f"the port is not a number from 1 to 65535; write {FORM}, with @ : / ? % in a "
            "password escaped: urllib.parse.quote(password, safe='')"
        ) from None
