"""One client: how long it waits, what an acknowledgement means, and how it upserts."""

from __future__ import annotations

import logging
import re
import socket
from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ReadPreference, ReturnDocument, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import AutoReconnect, DuplicateKeyError

from hpo.document import Document
from hpo.exceptions import UnknownHost
from hpo.store.mongo import queries
from hpo.store.mongo.failures import Patience, translated
from hpo.store.mongo.url import MongoAddress

Client = pymongo.MongoClient[Document]

# A first contact fails early: it is more often a wrong URL than an outage.
SERVER_SELECTION_SECS = 5.0
# A network that swallows packets must not hold a heartbeat for ever.
SOCKET_TIMEOUT_SECS = 30.0
# A server that falls silent without closing a connection is given up after both together. Only
# then do those who wait for its answers turn to the primary that was elected meanwhile.
HEARTBEAT_SECS = 2.0
CONNECT_TIMEOUT_SECS = 5.0
# Then the majority is missing: the write is repeated, and in the end reported.
MAJORITY_TIMEOUT_SECS = 20.0

DURABLE = WriteConcern("majority", wtimeout=round(MAJORITY_TIMEOUT_SECS * 1000), j=True)
QUICK = WriteConcern(1)

# One document with a date beyond Python's, or with broken text, must not spoil all the others
# of an answer.
_LENIENT: CodecOptions[Document] = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_CLAMP
)


class _InOneLine(logging.Filter):
    """Lets pymongo's background tasks tell of an outage in one line, without their own code."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, AutoReconnect):
            reason = str(error).partition(" (configured timeouts")[0]
            record.msg, record.args = "a background task of pymongo: %s", (reason,)
            record.exc_info = record.exc_text = None
        return True


_IN_ONE_LINE = _InOneLine()


def open_client(address: MongoAddress, appname: str) -> Client:
    """A client for an address; it connects when it is first used."""
    ours = {
        "appname": appname,
        "serverSelectionTimeoutMS": round(SERVER_SELECTION_SECS * 1000),
        "socketTimeoutMS": round(SOCKET_TIMEOUT_SECS * 1000),
        "heartbeatFrequencyMS": round(HEARTBEAT_SECS * 1000),
        "connectTimeoutMS": round(CONNECT_TIMEOUT_SECS * 1000),
    }
    query = address.url.partition("?")[2].lower()
    chosen = {option.partition("=")[0] for option in re.split("[&;]", query)}
    options: dict[str, Any] = {
        name: value for name, value in ours.items() if name.lower() not in chosen
    }
    # Added once, however often.
    logging.getLogger("pymongo.client").addFilter(_IN_ONE_LINE)
    with translated(", ".join(address.hosts)):
        return pymongo.MongoClient(address.url, **options)


def unknown_hosts(client: Client) -> UnknownHost | None:
    """What to raise when the name service knows none of a client's hosts; else None.

    It is asked here: what pymongo keeps of a failure is a text.
    """
    hosts = [host for host, _ in client.topology_description.server_descriptions()]
    reasons = [_why_unknown(host) for host in hosts]
    if not hosts or not all(reasons):
        return None
    return UnknownHost(
        f"no machine is known by the name of {', '.join(hosts)}: {reasons[0]}. Check the host in "
        "the URL, and that this machine can look up names"
    )


def _why_unknown(host: str) -> str:
    """What the name service says of a name that it does not know; "" if it may be right."""
    if host.startswith("/"):
        return ""
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        # A name service that cannot answer just now says so by EAI_AGAIN.
        return "" if error.errno == socket.EAI_AGAIN else str(error.strerror)
    return ""


def durable_database(client: Client, name: str) -> Database[Document]:
    """A database as a store needs it.

    What the URL says of reading and writing is for other programs: the promises of
    a store hold on the primary, and its times are naive UTC.
    """
    return client.get_database(name, _LENIENT, ReadPreference.PRIMARY, DURABLE)


def upsert(
    patiently: Patience,
    collection: Collection[Document],
    query: queries.Filter,
    update: queries.Filter | queries.Pipeline,
) -> Document:
    """Update the one document that matches, made if need be; return it as it is then."""

    def write() -> Document:
        after = collection.find_one_and_update(
            query, update, upsert=True, return_document=ReturnDocument.AFTER
        )
        return after or {}

    def write_first_or_second() -> Document:
        try:
            return write()
        except DuplicateKeyError:
            # Somebody else made it at the same moment, so now it is there.
            return write()

    return patiently(write_first_or_second)
