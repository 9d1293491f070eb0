"""Where the database is: every way of writing it, reduced to a URL for pymongo.

    mongodb://user:password@host1,host2/digits?replicaSet=rs0     passed whole to pymongo
    mongodb+srv://user:password@cluster.example.net/digits        likewise
    mongo://host:27017/digits/jobs, host:27017/digits             hyperopt's forms
    embedded:   embedded:/scratch/search                          a MongoDB of our own
    file:/scratch/search/url                                      the first line of that file

The database is the URL's path, `hpo` without one. Credentials are never
quoted, whatever is wrong with the text: an unescaped `/` or `@` in a password
moves the borders between the parts, so that what looks like a port or an
option may be a piece of it. Hence nothing that stands before the last `@`, or
where a password may have ended up, enters a message.
"""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, unquote_plus

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from hpo.exceptions import InvalidUrl, did_you_mean

DEFAULT_DATABASE = "hpo"
DEFAULT_COLLECTION = "jobs"
DEFAULT_PORT = 27017

# The environment variable that names the database when nothing else does.
URL_VARIABLE = "HPO_MONGO_URL"

SCHEMES = ("mongodb", "mongodb+srv", "mongo", "embedded", "file")

# Databases in which MongoDB keeps its own records.
SERVER_DATABASES = ("admin", "config", "local")

# The bytes that a database's name may have, and the characters that no platform allows in one.
MAX_DATABASE_BYTES = 63
FORBIDDEN_IN_DATABASE = frozenset('/\\. "$*<>:|?\0')

# Options whose values are as secret as a password.
SECRET_OPTIONS = ("authmechanismproperties", "proxypassword", "tlscertificatekeyfilepassword")

# Options in whose value an "@" may stand unescaped; anywhere else it ends a broken password.
OPTIONS_WITH_AT_SIGN = ("appname", *SECRET_OPTIONS)

# As MongoDB's manual spells them; only to suggest the right one for a wrong one.
KNOWN_OPTIONS = (
    "appName authMechanism authMechanismProperties authSource compressors connectTimeoutMS "
    "directConnection heartbeatFrequencyMS journal loadBalanced localThresholdMS maxConnecting "
    "maxIdleTimeMS maxPoolSize maxStalenessSeconds minPoolSize readConcernLevel readPreference "
    "readPreferenceTags replicaSet retryReads retryWrites serverMonitoringMode "
    "serverSelectionTimeoutMS socketTimeoutMS srvMaxHosts srvServiceName ssl timeoutMS tls "
    "tlsAllowInvalidCertificates tlsAllowInvalidHostnames tlsCAFile tlsCertificateKeyFile "
    "tlsCertificateKeyFilePassword tlsCRLFile tlsDisableOCSPEndpointCheck tlsInsecure "
    "uuidRepresentation w waitQueueTimeoutMS wTimeoutMS zlibCompressionLevel"
).split()

ESCAPING_ADVICE = (
    "write @ as %40, : as %3A, / as %2F, ? as %3F and % as %25, "
    "or let Python do it: urllib.parse.quote(password, safe='')"
)
FORMS_ADVICE = (
    "write mongodb://host:27017/database, host:27017/database, "
    "embedded: for a MongoDB of your own, or file:PATH"
)


@dataclass(frozen=True)
class MongoAddress:
    """A database and where it is.

    Attributes:
        url: for pymongo, credentials included; never shown by `repr` and `str`.
        database: where everything of hpo is kept.
        collection: where the trial documents are kept.
        hosts: as a person knows them: "node7:27017", or the path of a socket.
    """

    url: str = field(repr=False)
    database: str = DEFAULT_DATABASE
    collection: str = DEFAULT_COLLECTION
    hosts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"database {self.database!r} on {', '.join(self.hosts)}"


def parse_mongo_url(text: str) -> MongoAddress:
    """Understand any of the forms above.

    `embedded:` joins the embedded server of that directory, or starts it, for
    as long as this process lives; `file:` reads the file. Every other form is
    only parsed: no server is asked, no name looked up.

    Raises:
        InvalidUrl: the text is no usable address; says why, and what to write.
        EmbeddedServerError: the embedded server cannot be started.
    """
    if not isinstance(text, str):
        raise InvalidUrl(
            f"a database's address is a text, not {type(text).__name__}; {FORMS_ADVICE}"
        )
    text = text.strip()
    if not text:
        raise InvalidUrl(f"the database's address is empty; {FORMS_ADVICE}")
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise InvalidUrl(
            "the database's address holds a line break or another control character; "
            "it must be one line"
        )
    scheme, rest = _split_scheme(text)
    if scheme == "file":
        return parse_mongo_url(read_url_file(Path(_local_path(rest))))
    if scheme == "embedded":
        return _embedded_address(_local_path(rest))
    if scheme == "mongo":
        return _parse_hyperopt(rest)
    return _parse_mongodb(scheme, rest)


def read_url(
    option: str | None,
    environ: Mapping[str, str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
) -> str:
    """Return the address that the user chose, read from its file if it names one.

    Args:
        option: what was given on the command line or as an argument.
        environ: instead of `os.environ`, where $HPO_MONGO_URL is the last resort.
        file: a file that holds the address, such as `hpo serve` writes.

    Raises:
        InvalidUrl: both or nothing was given, or the file cannot be used.
    """
    environ = os.environ if environ is None else environ
    if option is not None and file is not None:
        raise InvalidUrl("both an address and a file with one were given; give one of them")
    if file is not None:
        return read_url_file(Path(file))
    chosen = (environ.get(URL_VARIABLE, "") if option is None else option).strip()
    if not chosen:
        raise InvalidUrl(
            f"no database was named: give its address or set ${URL_VARIABLE}; {FORMS_ADVICE}"
        )
    if chosen.startswith("file:"):
        return read_url_file(Path(_local_path(chosen.removeprefix("file:"))))
    return chosen


def read_url_file(path: Path) -> str:
    """Return the address in a file: its first line that is neither empty nor a # comment."""
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InvalidUrl(
            f"there is no file {str(path)!r} to read the database's address from; "
            "`hpo serve` writes it as soon as the server is ready"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidUrl(
            f"the database's address cannot be read from {str(path)!r}: {reason}"
        ) from None
    for line in map(str.strip, lines):
        if line.startswith("file:"):
            raise InvalidUrl(f"{str(path)!r} names another file; it must hold the address itself")
        if line and not line.startswith("#"):
            return line
    raise InvalidUrl(f"{str(path)!r} holds no address; `hpo serve` writes one there")


def redact(text: str) -> str:
    """Return `text` without the credentials of any database address in it.

    It rather hides too much: everything from a scheme to the line's last "@".

    >>> redact("cannot reach mongodb://ann:pass/word@node7:27017/digits")
    'cannot reach mongodb://***@node7:27017/digits'
    """
    text = re.sub(r"([A-Za-z][\w+.-]*://).*@", r"\1***@", text)
    # Without a host: mongodb://ann:secret. A port is all digits, and IPv6 starts with "[".
    text = re.sub(r"(://[^\s/:@\[]+):(?!\d{1,5}(?:[/,?\s]|$))\S+", r"\1:***", text)
    # Without a scheme: ann:secret@node7.
    text = re.sub(r"[^\s/@:]+:(?!//)\S*@", "***@", text)
    secret_option = rf"(?i)\b({'|'.join(SECRET_OPTIONS)})=[^&\s]*"
    return re.sub(secret_option, r"\1=***", text)


# --- the forms ----------------------------------------------------------------


def _split_scheme(text: str) -> tuple[str, str]:
    """Return the scheme and what follows its separator; "mongo" for hyperopt's bare form."""
    if match := re.match(r"(embedded|file):", text):
        return match[1], text[match.end() :]
    if match := re.match(r"([A-Za-z][\w+.-]*)://", text):
        scheme = match[1].lower()
        if scheme not in SCHEMES:
            raise InvalidUrl(_unknown_scheme(scheme))
        return scheme, text[match.end() :]
    if match := re.match(r"(mongodb\+srv|mongodb|mongo):", text):
        raise InvalidUrl(f"two slashes must follow {match[0]!r}; write {match[0]}//host/database")
    if text.startswith((".", "/", "~", "\\")):
        raise InvalidUrl(
            "the address looks like the path of a file; write file:PATH for a file that holds "
            "the address, or embedded:PATH for the directory of an embedded MongoDB"
        )
    if not re.search("[:/@]", text):
        raise InvalidUrl(f"the address names no host and database; {FORMS_ADVICE}")
    return "mongo", text


def _unknown_scheme(scheme: str) -> str:
    if scheme in ("http", "https"):
        return (
            f"{scheme}:// is the address of a web page; a MongoDB's begins with mongodb:// "
            "(its driver port is 27017 unless changed)"
        )
    if scheme in ("mongo+ssh", "ssh+mongo"):
        return (
            f"{scheme}:// is not supported; open the tunnel yourself "
            "(ssh -NL 27017:localhost:27017 HOST) and write mongodb://localhost:27017/database"
        )
    return f"unknown scheme {scheme!r}{did_you_mean(scheme, SCHEMES)}; {FORMS_ADVICE}"


def _parse_mongodb(scheme: str, rest: str) -> MongoAddress:
    parts = _split(rest)
    hosts = _checked_hosts(parts, srv=scheme == "mongodb+srv")
    database = unquote(parts.path) or DEFAULT_DATABASE
    if "/" in database:
        raise InvalidUrl(
            f"after the hosts comes one database, not {database!r}; "
            "only hyperopt's mongo://host:port/database/jobs names a collection"
        )
    _check_database(database)
    _check_options(scheme, parts)
    return MongoAddress(f"{scheme}://{rest}", database, DEFAULT_COLLECTION, hosts)


def _parse_hyperopt(rest: str) -> MongoAddress:
    """Parse [user:password@]host[:port]/database[/collection][?authSource=x]."""
    parts = _split(rest)
    hosts = _checked_hosts(parts, srv=False)
    database, _, collection = parts.path.partition("/")
    database = unquote(database) or DEFAULT_DATABASE
    collection = unquote(collection) or DEFAULT_COLLECTION
    _check_database(database)
    _check_collection(collection)
    user, colon, _ = parts.userinfo.partition(":")
    if user and not colon:
        raise InvalidUrl(
            "a user without a password was given; hyperopt's password file is not read, "
            f"write mongo://user:password@host:port/database, or set ${URL_VARIABLE}"
        )
    query = parts.query
    if user == "hyperopt" and "authsource=" not in query.lower():
        # hyperopt keeps the user of this name in `admin`, every other one in the database itself.
        query = "&".join(filter(None, [query, "authSource=admin"]))
    _check_options("mongodb", parts)
    login = f"{parts.userinfo}@" if parts.userinfo else ""
    url = f"mongodb://{login}{parts.hosts}/{quote(database)}" + (f"?{query}" if query else "")
    return MongoAddress(url, database, collection, hosts)


def _embedded_address(directory: str) -> MongoAddress:
    from hpo.store.mongo.embedded import join_for_this_process

    return parse_mongo_url(join_for_this_process(directory or None))


def _local_path(rest: str) -> str:
    """The path in "file:PATH" and "file:///PATH", with ~ expanded."""
    return os.path.expanduser(rest.removeprefix("//"))


# --- the parts ----------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class _Parts:
    """userinfo@hosts/path?query, as yet undecoded."""

    userinfo: str
    hosts: str
    path: str
    query: str

    @property
    def options(self) -> list[tuple[str, str]]:
        """The query's (lower-case name, value)."""
        items = [item.partition("=") for item in re.split("[&;]", self.query) if item]
        return [(name.lower(), value) for name, _, value in items]

    @property
    def userinfo_is_suspect(self) -> bool:
        """Whether a reserved character in the credentials may have moved the borders."""
        user, _, password = self.userinfo.partition(":")
        return (
            "@" in self.userinfo
            or ":" in password
            or re.search("%(?![0-9A-Fa-f]{2})", user + password) is not None
            or "@" in self.path
            or ("@" in self.query and not self._at_signs_belong_to_options)
        )

    @property
    def _at_signs_belong_to_options(self) -> bool:
        return all(
            "@" not in name + value or name in OPTIONS_WITH_AT_SIGN for name, value in self.options
        )


def _split(rest: str) -> _Parts:
    match = re.fullmatch(r"([^/?]*)(?:/([^?]*))?(?:\?(.*))?", rest)
    authority, path, query = match.groups("") if match else (rest, "", "")
    userinfo, _, hosts = authority.rpartition("@")
    parts = _Parts(userinfo, hosts, path, query)
    if parts.userinfo_is_suspect:
        raise InvalidUrl(
            "the user name or the password holds a character that must be percent-encoded: "
            + ESCAPING_ADVICE
        )
    if parts.userinfo.startswith(":"):
        raise InvalidUrl("a password without a user name was given; write user:password@host")
    return parts


def _checked_hosts(parts: _Parts, *, srv: bool) -> tuple[str, ...]:
    """Return each host as "name:port", or the path of its socket."""
    if not parts.hosts:
        raise InvalidUrl(f"no host is named; {FORMS_ADVICE}")
    hosts = tuple(_checked_host(text, srv=srv) for text in parts.hosts.split(","))
    if srv and len(hosts) > 1:
        raise InvalidUrl("mongodb+srv:// takes one host; its DNS records name the servers")
    return hosts


def _checked_host(text: str, *, srv: bool) -> str:
    if not text:
        raise InvalidUrl("a host is empty: there is a comma too many in the list of hosts")
    if text.lower().startswith("%2f"):
        return unquote(text)
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\w*\]|[^:\[\]\s]+)(:.*)?", text)
    if match is None:
        raise InvalidUrl(
            "a host is neither a name, an IPv4 address, nor an IPv6 address in [brackets]"
        )
    if match[2] is None:
        return match[1] if srv else f"{match[1]}:{DEFAULT_PORT}"
    if srv:
        raise InvalidUrl("mongodb+srv:// takes no port; its DNS records name the ports")
    port = match[2][1:]
    if not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        # The port is not quoted: in mongodb://user:password it is the password.
        raise InvalidUrl(
            f"the port after {match[1]!r} is not a number from 1 to 65535; if a user name and "
            f"password stand there, @host must follow, and they must be encoded: {ESCAPING_ADVICE}"
        )
    return f"{match[1]}:{int(port)}"


def _check_database(name: str) -> None:
    if bad := sorted(FORBIDDEN_IN_DATABASE & set(name)):
        raise InvalidUrl(
            f"a database cannot be named {name!r}: {' '.join(map(repr, bad))} is not allowed"
        )
    if len(name.encode()) > MAX_DATABASE_BYTES:
        raise InvalidUrl(
            f"a database cannot be named {name!r}: the name has more than "
            f"{MAX_DATABASE_BYTES} bytes"
        )
    if name in SERVER_DATABASES:
        raise InvalidUrl(
            f"the database {name!r} holds MongoDB's own records; name another one, and where "
            f"the user is kept by an option: …/{DEFAULT_DATABASE}?authSource={name}"
        )


def _check_collection(name: str) -> None:
    if "$" in name or "/" in name or name.startswith("system.") or name.strip(".") != name:
        raise InvalidUrl(
            f"a collection cannot be named {name!r}; hyperopt's is {DEFAULT_COLLECTION!r}"
        )


def _check_options(scheme: str, parts: _Parts) -> None:
    """Let pymongo judge the options, and say which one it refuses."""
    if scheme == "mongodb+srv" and importlib.util.find_spec("dns") is None:
        raise InvalidUrl(
            'mongodb+srv:// needs the package dnspython; install it: pip install "pymongo[srv]"'
        )
    items = [item for item in re.split("[&;]", parts.query) if item]
    for item in items:
        if not re.fullmatch("[^=]+=.*", item):
            raise InvalidUrl("every option is written name=value, joined by &; one of them is not")
    # pymongo would look up the servers of mongodb+srv:// here, so it gets the options alone.
    plain = [item for item in items if not item.lower().startswith("srv")]
    login = f"{parts.userinfo}@" if parts.userinfo else ""
    hosts = "srv.invalid" if scheme == "mongodb+srv" else parts.hosts
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parse_uri(f"mongodb://{login}{hosts}/?{'&'.join(plain)}", warn=False)
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        raise InvalidUrl(_refused_option(error, parts)) from None


def _is_unknown(name: str, value: str) -> bool:
    """Whether pymongo does not know an option."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parse_uri(f"mongodb://node/?{name}={value}", warn=False)
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        return str(error).startswith("Unknown option")
    return False


def _refused_option(error: Exception, parts: _Parts) -> str:
    known = {name.lower(): name for name in KNOWN_OPTIONS}
    reason = str(error)
    if reason.startswith("Unknown option"):
        for name, value in parts.options:
            # pymongo may know more options than we list, and does not always say which it lacks.
            if name not in known and _is_unknown(name, value):
                guess = did_you_mean(name, known)
                for lower, spelled in known.items():
                    guess = guess.replace(f"{lower!r}", f"{spelled!r}")
                return f"unknown option {name!r} in the database's address{guess}"
    for name, value in parts.options:
        given = unquote_plus(value)
        if name in reason.lower() and name not in SECRET_OPTIONS and given not in reason:
            reason += f" ({known.get(name, name)}={given})"
    secrets = [unquote_plus(secret) for secret in parts.userinfo.split(":", 1)]
    secrets += [unquote_plus(value) for name, value in parts.options if name in SECRET_OPTIONS]
    if any(secret and secret in reason for secret in secrets):
        reason = "an option, or a combination of options, is not valid"
    return f"pymongo refuses the database's address: {reason}"
