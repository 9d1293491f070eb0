"""A login for workers that may do a worker's work and nothing else.

    jobs                       read and change: claim, renew, finish
    workers                    all: a worker comes and goes
    fs.files, fs.chunks        all: objectives attach files to their trials
    everything else            read: above all objectives, experiments

Such a login can neither add nor delete trials, nor alter what any worker runs.
Rights in MongoDB go by collection, so it can change the trials of every
experiment in the database: experiments that must not touch one another need a
database each.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any
from urllib.parse import quote

from pymongo.database import Database
from pymongo.errors import OperationFailure

from hpo.document import Document
from hpo.store.mongo.failures import translated
from hpo.store.mongo.store import MongoStore
from hpo.store.mongo.url import DEFAULT_COLLECTION, parse_mongo_url

ROLE = "hpoWorker"

_ALREADY_EXISTS = (51002, 51003)

_READ = ["find", "listIndexes"]
_WRITE = ["insert", "update", "remove"]
# pymongo makes a bucket's indexes before its first file.
_FILES = [*_READ, *_WRITE, "createIndex"]


def role_name(collection: str = DEFAULT_COLLECTION) -> str:
    """What the role is called; trials in another collection than "jobs" have their own."""
    return ROLE if collection == DEFAULT_COLLECTION else f"{ROLE}.{collection}"


def worker_privileges(database: str, collection: str = DEFAULT_COLLECTION) -> list[dict[str, Any]]:
    """What a worker needs, as MongoDB's createRole takes it."""
    beside = "" if collection == DEFAULT_COLLECTION else f"{collection}."
    actions = {
        # To wait for work is to watch the database, which takes reading all of it.
        "": ["find", "changeStream", "listCollections"],
        collection: [*_READ, "update"],
        f"{beside}workers": [*_READ, *_WRITE],
        "fs.files": _FILES,
        "fs.chunks": _FILES,
    }
    return [
        {"resource": {"db": database, "collection": name}, "actions": allowed}
        for name, allowed in actions.items()
    ]


def role_script(database: str, collection: str = DEFAULT_COLLECTION) -> str:
    """The same as commands for mongosh, for who administers the server."""
    role = {
        "role": role_name(collection),
        "privileges": worker_privileges(database, collection),
        "roles": [],
    }
    user = {"user": "worker", "roles": [{"role": role_name(collection), "db": database}]}
    return "\n".join(
        [
            f"db = db.getSiblingDB({json.dumps(database)})",
            f"db.createRole({json.dumps(role, indent=2)})",
            f"db.createUser({{...{json.dumps(user)}, pwd: passwordPrompt()}})",
        ]
    )


def make_worker_login(url: str, user: str) -> str:
    """Make the role, and a user that has no other, or bring both up to date.

    Args:
        url: the database, with a login that may make users there.
        user: the worker's name; if it exists it gets a new password.

    Returns:
        The URL for workers.

    Raises:
        AccessDenied: the login in `url` may not make users or roles.
    """
    address = parse_mongo_url(url)
    # Indexes and view, which the worker's login may not make.
    store = MongoStore.connect(url, appname="hpo")
    try:
        with translated(store.hosts):
            name, password = role_name(address.collection), secrets.token_urlsafe(24)
            privileges = worker_privileges(address.database, address.collection)
            _make(store.db, "Role", name, privileges=privileges, roles=[])
            roles = [{"role": name, "db": address.database}]
            _make(store.db, "User", user, pwd=password, roles=roles)
    finally:
        store.close()
    return _with_login(address.url, user, password, address.database)


def _make(database: Database[Document], kind: str, name: str, **settings: Any) -> None:
    """Create a role or a user, or replace the settings of the one there is."""
    try:
        database.command(f"create{kind}", name, **settings)
    except OperationFailure as error:
        if error.code not in _ALREADY_EXISTS:
            raise
        database.command(f"update{kind}", name, **settings)


def _with_login(url: str, user: str, password: str, database: str) -> str:
    """A URL with other credentials, which are looked up in `database`."""
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    hosts = place.rpartition("@")[2].partition("/")[0]
    options = [
        option
        for option in re.split("[&;]", query)
        if option and not option.lower().startswith("auth")
    ]
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    listed = "&".join([*options, f"authSource={quote(database, safe='')}"])
    return f"{scheme}://{login}@{hosts}/{quote(database, safe='')}?{listed}"
