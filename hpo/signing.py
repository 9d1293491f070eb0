"""Signing: how a worker knows that the code it is about to run comes from its own people.

Whoever can write to the database could otherwise run code on every worker,
because to unpickle is to run. So a driver seals what workers will run with
HMAC-SHA256 under a key that the database never sees, and a worker looks at
nothing behind the seal before the seal holds.

    hpo-signed 1 <key id> <HMAC-SHA256 of the purpose and all that follows>⏎
    what was signed

The key comes from, first found:

    $HPO_KEY                   the key itself
    $HPO_KEY_FILE              a file that holds it
    $XDG_CONFIG_HOME/hpo/key   (~/.config/hpo/key) made by the first driver

The machines of a cluster share the home directory, and with it the key. A key
is text of at least 32 characters without spaces: its UTF-8 bytes are the
secret, so hexadecimal and base64 do as they are. Where several stand (one per
line in a file, apart by spaces in the variable) the first signs and all are
accepted: put a new one in front, and remove the old one when nothing signed
with it is queued any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpo.exceptions import BadSignature, InvalidKey

KEY_VARIABLE = "HPO_KEY"
KEY_FILE_VARIABLE = "HPO_KEY_FILE"

# 128 bits where each character is hexadecimal, more for any other alphabet.
MIN_KEY_CHARS = 32
MAX_KEY_FILE_BYTES = 64 * 1024
_NEW_KEY_BYTES = 32

_SEAL = re.compile(rb"hpo-signed 1 ([0-9a-f]{16}) ([0-9a-f]{64})\n")
_SEAL_BYTES = 95


@dataclass(frozen=True)
class Key:
    """One secret, and the name under which signatures mention it.

    Attributes:
        secret: never shown, stored or sent.
        id: first 8 bytes of a hash of the secret, as 16 hexadecimal digits.
    """

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        return hashlib.sha256(b"hpo key id\n" + self.secret).hexdigest()[:16]


@dataclass(frozen=True)
class KeyRing:
    """The keys that are accepted here; the first one signs.

    Attributes:
        origin: where they were found, for messages.
    """

    keys: tuple[Key, ...]
    origin: str

    @property
    def ids(self) -> list[str]:
        """What messages call the keys, the signing one first."""
        return [key.id for key in self.keys]

    def seal(self, content: bytes, purpose: str) -> bytes:
        """Put the signature of `content` in front of it.

        Args:
            purpose: what it is signed as; nobody can pass it off as anything else.
        """
        key = self.keys[0]
        mac = _mac(key, content, purpose)
        return f"hpo-signed 1 {key.id} {mac}\n".encode() + content

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Return what was sealed, if it is what somebody with one of the keys sealed.

        Raises:
            BadSignature: it is not; the text says why.
        """
        seal = _SEAL.fullmatch(sealed[:_SEAL_BYTES])
        if seal is None:
            raise BadSignature("it is not signed")
        key_id, mac = seal[1].decode(), seal[2].decode()
        key = next((key for key in self.keys if key.id == key_id), None)
        if key is None:
            raise BadSignature(
                f"it was signed with another key ({key_id}) than "
                f"{' or '.join(self.ids)} from {self.origin}",
                is_foreign=True,
            )
        content = sealed[_SEAL_BYTES:]
        # In constant time: how long a refusal takes must not tell how much was right.
        if not hmac.compare_digest(_mac(key, content, purpose), mac):
            raise BadSignature("it was altered or cut short after it was signed")
        return content


def _mac(key: Key, content: bytes, purpose: str) -> str:
    mac = hmac.new(key.secret, f"hpo-signed 1 {key.id} {purpose}\n".encode(), hashlib.sha256)
    mac.update(content)
    return mac.hexdigest()


# --- where keys come from -----------------------------------------------------------


def load_keys(environ: Mapping[str, str] = os.environ, *, make: bool = False) -> KeyRing:
    """The keys of this machine's user.

    Args:
        environ: the environment to look into.
        make: make the key file of the home directory if there is none.

    Raises:
        InvalidKey: there is no key, or one that cannot be trusted.
    """
    if text := environ.get(KEY_VARIABLE, "").strip():
        return KeyRing(_parsed(text, f"${KEY_VARIABLE}"), f"${KEY_VARIABLE}")
    path = key_file(environ)
    try:
        return _read(path)
    except FileNotFoundError:
        if make and not environ.get(KEY_FILE_VARIABLE):
            return make_key_file(path)
    raise InvalidKey(_explain_missing(path, environ))


def key_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The file that keys are read from when $HPO_KEY does not hold them."""
    if chosen := environ.get(KEY_FILE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    # A relative path there is invalid, says the XDG base directory specification.
    configured = environ.get("XDG_CONFIG_HOME", "")
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    root = Path(configured) if os.path.isabs(configured) else home / ".config"
    return root / "hpo" / "key"


def make_key_file(path: Path) -> KeyRing:
    """Write a new key into a file that only its owner may read, and read it back.

    Of several processes that do so at once, one makes the key of all.

    Raises:
        InvalidKey: the file cannot be made there.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_once(path, f"{secrets.token_hex(_NEW_KEY_BYTES)}\n")
    except OSError as error:
        raise InvalidKey(
            f"no signing key can be written to {str(path)!r} ({error.strerror}): set "
            f"${KEY_VARIABLE} to at least {MIN_KEY_CHARS} random characters, here and on "
            f"every worker, or ${KEY_FILE_VARIABLE} to a file that holds them"
        ) from error
    return _read(path)


def add_key(path: Path) -> KeyRing:
    """Put a new key in front of those in a file; the old ones are still accepted.

    Raises:
        InvalidKey: the file cannot be read, trusted or replaced.
    """
    try:
        old = _read(path)
    except FileNotFoundError:
        return make_key_file(path)
    lines = [secrets.token_hex(_NEW_KEY_BYTES), *(key.secret.decode() for key in old.keys)]
    real = path.resolve()
    draft = _draft_of(real)
    try:
        _write_draft(draft, "\n".join(lines) + "\n")
        os.replace(draft, real)
    except OSError as error:
        raise InvalidKey(
            f"the key file {str(path)!r} cannot be replaced: {error.strerror}"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return _read(path)


def _write_once(path: Path, text: str) -> None:
    """Make a file with its text in one step, unless there is one of that name."""
    draft = _draft_of(path)
    try:
        _write_draft(draft, text)
        # Unlike a rename, a link never replaces what another process has just made.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _write_draft(draft: Path, text: str) -> None:
    # O_EXCL: nobody has prepared a file, or a symlink, of that name.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _read(path: Path) -> KeyRing:
    """Raises FileNotFoundError when there is no file, else InvalidKey."""
    try:
        text = _trusted_text(path)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidKey(f"the key file {str(path)!r} cannot be read: {reason}") from error
    lines = (line.partition("#")[0] for line in text.splitlines())
    return KeyRing(_parsed(" ".join(lines), str(path)), str(path))


def _trusted_text(path: Path) -> str:
    real = path.resolve()
    _check_directory(path, real)
    # Opened first and looked at then: what is read is what was looked at. O_NOFOLLOW and
    # O_NONBLOCK, since by now somebody may have put a symlink or a pipe there.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(real, flags), "rb") as file:
        _check_file(path, os.fstat(file.fileno()))
        return file.read(MAX_KEY_FILE_BYTES).decode()


def _check_directory(path: Path, real: Path) -> None:
    """Refuse a symlink that leads into a directory that belongs to somebody else."""
    if path.absolute() == real or not _is_posix():
        return
    owner = real.parent.stat().st_uid
    if owner not in (0, os.geteuid()):
        raise InvalidKey(
            f"the key file {str(path)!r} is a link into {str(real.parent)!r}, a directory of "
            f"another user (uid {owner}), who could replace it; keep the file in your own"
        )


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidKey(f"the key file {str(path)!r} is not a file")
    if not _is_posix():
        return
    if found.st_uid != os.geteuid():
        raise InvalidKey(
            f"the key file {str(path)!r} belongs to another user (uid {found.st_uid}), who could "
            "sign what runs here; make a copy of your own, mode 0600"
        )
    if found.st_mode & 0o077:
        raise InvalidKey(
            f"the key file {str(path)!r} has mode {stat.S_IMODE(found.st_mode):04o}: others may "
            f"know the key. If nobody does, chmod 600 {path}; else write a new key"
        )


def _is_posix() -> bool:
    return os.name == "posix"


def _parsed(text: str, origin: str) -> tuple[Key, ...]:
    words = list(dict.fromkeys(text.split()))
    if not words:
        raise InvalidKey(f"{origin} holds no key; remove it, and a driver makes one")
    for number, word in enumerate(words, start=1):
        if len(word) < MIN_KEY_CHARS:
            raise InvalidKey(
                f"key {number} of {len(words)} in {origin} has {len(word)} characters; a key has "
                f"at least {MIN_KEY_CHARS} and no spaces: take `openssl rand -hex 32`"
            )
    # What a process is given need not be valid UTF-8.
    return tuple(Key(word.encode("utf-8", "surrogateescape")) for word in words)


def _explain_missing(path: Path, environ: Mapping[str, str]) -> str:
    if environ.get(KEY_FILE_VARIABLE):
        return (
            f"the key file {str(path)!r}, named by ${KEY_FILE_VARIABLE}, does not exist; correct "
            "the path, copy the driver's key there, or make a key with `hpo key`"
        )
    return (
        f"there is no signing key here: neither ${KEY_VARIABLE} nor the file {str(path)!r}. A "
        "driver makes the file at first use; where the home directory is not shared, copy it "
        f"here (mode 0600) or set ${KEY_VARIABLE} on both sides"
    )
