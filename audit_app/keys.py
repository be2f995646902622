"""The keys that sign the heads of the logs. They are outside the database: in the environment or in a file.

Each key is one line: `lockbox-log-key-v1 <base64 of the 32-byte Ed25519 seed>`. The key in the first line is the
current key. The keys below it are being retired. They sign too, so that a reader who has only an old key still finds a
signature to check.

Instead of a key, a line can have the address of a key in an HSM: `pkcs11:…` (hsm.py).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from audit_app import hsm
from audit_app.notes import SigningKey, Verifier, public_bytes

MARK = "lockbox-log-key-v1"

_OPEN_TO_OTHERS = (
    "the log key's file can be read by other users, so it is not used: run chmod 600 on it, and rotate the key if "
    "somebody might have read it"
)


class NoKey(RuntimeError):
    """This machine has no key. The error's text never contains a key."""


class BadKey(NoKey):
    """A key is configured, but it can't be used. An operator must correct this."""


class NotMade(BadKey):
    """The HSM can be used, but the key was not made there yet."""


@dataclass(frozen=True)
class Keys:
    """The private keys of this machine, with the current key first."""

    keys: tuple[SigningKey, ...]

    @property
    def current(self) -> SigningKey:
        return self.keys[0]

    @property
    def publics(self) -> list[bytes]:
        return [public_bytes(key) for key in self.keys]


def log_key(origin: str, public: bytes) -> Verifier:
    """Return the verifier for this key's signatures on the checkpoints of one log. It has the log's name."""
    return Verifier(origin, public)


def load() -> Keys:
    """Return the keys of this machine. Raise NoKey if it has no key, or if a key can't be used.

    They are read again at each call, so that a new key is used without a restart.
    """
    raw = settings.LOG_KEY
    if not raw:
        try:
            # A file that is not text contains no key. The parser of its lines reports this.
            with Path(settings.LOG_KEY_FILE).open(errors="replace") as handle:
                if _is_open_to_others(os.fstat(handle.fileno())):
                    raise BadKey(_OPEN_TO_OTHERS)
                raw = handle.read()
        except FileNotFoundError:
            raise NoKey("there is no log key on this machine") from None
        except OSError as error:
            raise BadKey(f"the log key can't be read: {error.strerror}") from None
    return _parse(raw)


def trouble() -> str:
    """Return what is wrong with the permissions of the key's file, or "". A missing file is not reported here."""
    if settings.LOG_KEY:
        return ""
    try:
        return _OPEN_TO_OTHERS if _is_open_to_others(os.stat(settings.LOG_KEY_FILE)) else ""
    except OSError:
        return ""


def is_in_hsm() -> bool:
    """Return whether the settings of this machine name a key in an HSM. Such a key can't be copied."""
    if settings.LOG_KEY:
        return str(settings.LOG_KEY).lstrip().startswith(hsm.SCHEME)
    try:
        with Path(settings.LOG_KEY_FILE).open(errors="replace") as file:
            return file.read(len(hsm.SCHEME)) == hsm.SCHEME
    except OSError:
        return False


def create() -> bytes:
    """Make the first key and return its public key. Raise NoKey if a key exists already.

    If LOG_KEY is the address of a key in an HSM, the key is made there. No reader ever sees a half-written file.
    """
    if settings.LOG_KEY and is_in_hsm():
        try:
            return hsm.create(settings.LOG_KEY.split()[0])
        except hsm.HsmFault as fault:
            raise BadKey(str(fault)) from fault
    line, key = _new()
    _write_first(line)
    return public_bytes(key)


def restore(keys: Keys) -> None:
    """Write these keys, which come from a copy, to the key's file. Raise NoKey if there is a file already."""
    _write_first("".join(_line(key) for key in keys.keys if isinstance(key, Ed25519PrivateKey)))


def _write_first(text: str) -> None:
    path = Path(settings.LOG_KEY_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        raise NoKey("there is a log key already") from None
    finally:
        draft.unlink()


def rotate() -> bytes:
    """Make a new key the current one, and return its public key. The former keys also continue to sign."""
    path = _key_file()
    if is_in_hsm():
        raise NoKey(
            "the log key is in an HSM: make a new key there, and put its address before the old one, as the first line"
        )
    line, key = _new()
    lines = [line.strip(), *(each for each in path.read_text().splitlines() if each.strip())]
    os.replace(_draft(path, "\n".join(lines) + "\n"), path)
    return public_bytes(key)


def retire() -> int:
    """Remove all keys except the current one. Return how many were removed."""
    path = _key_file()
    lines = [each for each in path.read_text().splitlines() if each.strip()]
    os.replace(_draft(path, lines[0] + "\n"), path)
    return len(lines) - 1


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in place of a former one. No reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(_draft(path, content.decode()), path)


def _is_open_to_others(facts: os.stat_result) -> bool:
    """Return whether other users can read the file. Always False where permission bits mean nothing (outside POSIX).

    A secret in a container belongs to root, and its one process reads it as a member of the file's group. Only root can
    give a file to root, so nobody opens a key of their own in this way.
    """
    if os.name != "posix":
        return False
    is_mounted = facts.st_uid == 0 != os.geteuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IXGRP)
    return bool(facts.st_mode & (stat.S_IRWXO if is_mounted else stat.S_IRWXG | stat.S_IRWXO))


def _key_file() -> Path:
    if settings.LOG_KEY:
        raise NoKey("the log key comes from the environment: put a new first line into LOG_KEY")
    load()
    return Path(settings.LOG_KEY_FILE)


def _new() -> tuple[str, Ed25519PrivateKey]:
    key = Ed25519PrivateKey.generate()
    return _line(key), key


def _line(key: Ed25519PrivateKey) -> str:
    return f"{MARK} {base64.b64encode(key.private_bytes_raw()).decode()}\n"


_DRAFT = re.compile(r"\.(?:\.env|log_key\w*(?:\.pem)?)\.(\d+)\.[0-9a-f]{8}")


def _draft(path: Path, text: str) -> Path:
    """Write the text to a new file beside `path`, which only its owner can read, and return the path of this file."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def remove_drafts(directory: Path) -> None:
    """Remove the drafts of processes that were killed before they finished. They contain secrets that nobody uses."""
    for path in directory.iterdir():
        made = _DRAFT.fullmatch(path.name)
        if made is not None and not Path("/proc", made[1]).exists():
            path.unlink(missing_ok=True)


def _parse(raw: str) -> Keys:
    rows = [line.split() for line in raw.splitlines() if line.strip()]
    if not rows or any(not _is_key(row) for row in rows):
        raise BadKey(f"the log key is not a line '{MARK} <base64>', or the address of a key in an HSM (pkcs11:…)")
    try:
        found = tuple(_key(row) for row in rows)
        # The public keys are read now, so that a key that is away is noticed before a head is moved.
        for key in found:
            key.public_key()
        return Keys(found)
    except (binascii.Error, ValueError):
        raise BadKey("the log key is not an Ed25519 seed of 32 bytes") from None
    except hsm.NoSuchKey as fault:
        raise NotMade(str(fault)) from fault
    except hsm.HsmFault as fault:
        raise BadKey(str(fault)) from fault


def _is_key(row: list[str]) -> bool:
    return (len(row) == 2 and row[0] == MARK) or (len(row) == 1 and row[0].startswith(hsm.SCHEME))


def _key(row: list[str]) -> SigningKey:
    if len(row) == 1:
        key = hsm.HsmKey(hsm.Address.parse(row[0]))
        key.require()
        return key
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(row[1], validate=True))
