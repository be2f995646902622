"""Encrypts a backup for its readers, and decrypts it as a stream. The format is age v1, so `age -d` opens a backup."""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyrage

from lockbox_site.backup import BackupRefused, passphrase
from lockbox_site.backup.passphrase import Damaged, WrongPassphrase

#: The most bytes of a file with a passphrase or with identities.
_MOST_SECRET = 64 * 1024
_SHORTEST_PASSPHRASE = 12


@dataclass(frozen=True)
class Readers:
    """Who can open a backup: the holders of these keys, or everybody who knows the passphrase."""

    recipients: tuple[Any, ...] = ()
    passphrase: str = field(default="", repr=False)


@dataclass(frozen=True)
class Opener:
    """What opens a backup: private keys, or the passphrase."""

    identities: tuple[Any, ...] = field(default=(), repr=False)
    passphrase: str = field(default="", repr=False)


# --- What the operator gives -----------------------------------------------------------------------------


def readers(recipients: Sequence[str], passphrase_file: Path | None) -> Readers:
    """Return the readers that the operator names. Raise BackupRefused unless there are keys or a passphrase."""
    if bool(recipients) == bool(passphrase_file):
        raise BackupRefused(
            "Say who can open the backup: either --recipient with a public key (age1… or an SSH key), or "
            "--passphrase-file."
        )
    if passphrase_file:
        return Readers(passphrase=_passphrase(passphrase_file, shortest=_SHORTEST_PASSPHRASE))
    return Readers(recipients=tuple(_recipient(each) for each in recipients))


def opener(identity: Path | None, passphrase_file: Path | None) -> Opener:
    """Return the private keys in a file, or the passphrase in a file."""
    if bool(identity) == bool(passphrase_file):
        raise BackupRefused("Say what opens the backup: either --identity with a private key, or --passphrase-file.")
    if passphrase_file:
        return Opener(passphrase=_passphrase(passphrase_file))
    assert identity is not None
    return Opener(identities=_identities(identity))


def _recipient(text: str) -> Any:
    text = text.strip()
    kind = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(text)
    except pyrage.RecipientError:
        # Somebody may have given the private key by mistake, so only its beginning is printed.
        raise BackupRefused(
            f"{text[:9]}… is not a public key for a backup. It begins with age1, ssh-ed25519 or ssh-rsa."
        ) from None


def _identities(path: Path) -> tuple[Any, ...]:
    text = _text(path)
    try:
        if "PRIVATE KEY-----" in text:
            return (pyrage.ssh.Identity.from_buffer(text.encode()),)
        lines = [line.strip() for line in text.splitlines()]
        found = tuple(pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#"))
    except pyrage.IdentityError:
        found = ()
    if not found:
        raise BackupRefused(f"{path} has no private key that age knows: a line AGE-SECRET-KEY-1…, or an SSH key.")
    return found


def _passphrase(path: Path, *, shortest: int = 1) -> str:
    found = _text(path).strip("\r\n")
    if len(found) < shortest or "\n" in found:
        raise BackupRefused(f"The passphrase in {path} must be one line with at least {shortest} characters.")
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            raw = handle.read(_MOST_SECRET + 1)
        if len(raw) > _MOST_SECRET:
            raise UnicodeDecodeError("utf-8", b"", 0, 1, "too long")
        return raw.decode()
    except OSError as error:
        raise BackupRefused(f"{path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BackupRefused(f"{path} is not a file with a key or a passphrase.") from None


# --- Encrypting ------------------------------------------------------------------------------------------


class _Pulled:
    """Gives an iterator of bytes to pyrage as a file. Stores the exception of the iterator."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._rest = iter(pieces), b""
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._rest:
                self._rest = next(self._pieces)
        except StopIteration:
            return b""
        except BaseException as failure:
            self.failure = failure
            raise
        size = len(self._rest) if size < 0 else size
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def seal(content: Iterable[bytes], out: BinaryIO, to: Readers) -> Opener:
    """Write the encrypted content. Return what opens it in this process, to check what was written.

    For backups to public keys, this is a key that is made for this one file and that nobody stores.
    """
    if to.passphrase:
        for piece in passphrase.encrypted(content, to.passphrase):
            out.write(piece)
        return Opener(passphrase=to.passphrase)
    once = pyrage.x25519.Identity.generate()
    pulled = _Pulled(content)
    try:
        pyrage.encrypt_io(pulled, out, [*to.recipients, once.to_public()])
    except (pyrage.EncryptError, OSError):
        # pyrage hides the exceptions of the iterator behind its own.
        if pulled.failure is not None:
            raise pulled.failure from None
        raise
    return Opener(identities=(once,))


# --- Decrypting ------------------------------------------------------------------------------------------

_DAMAGED = "The backup is damaged or not complete: it was cut, changed, or has something after its end."


def damaged() -> BackupRefused:
    return BackupRefused(_DAMAGED)


@contextmanager
def opened(path: Path, key: Opener) -> Iterator[Iterator[bytes]]:
    """Yield the content of an encrypted file as pieces. Raise BackupRefused if it can't be decrypted.

    A part that was changed is never yielded. But only after the last piece it is known that the file is complete.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupRefused(f"{path} can't be read: {error.strerror}.") from None
    with file:
        start = file.read(64)
        file.seek(0)
        if not start.startswith(passphrase.VERSION + b"\n"):
            raise BackupRefused(f"{path} is not a backup.")
        is_with_passphrase = passphrase.is_sealed_with_one(start)
        if is_with_passphrase and not key.passphrase:
            raise BackupRefused("This backup is encrypted with a passphrase: give it with --passphrase-file.")
        if not is_with_passphrase and key.passphrase:
            raise BackupRefused("This backup is encrypted for a key: give the private key with --identity.")
        if is_with_passphrase:
            yield _with_passphrase(file, key.passphrase)
        else:
            with _with_identities(file, key.identities) as pieces:
                yield pieces


def _with_passphrase(file: BinaryIO, secret: str) -> Iterator[bytes]:
    try:
        yield from passphrase.decrypted(file, secret)
    except WrongPassphrase:
        raise BackupRefused("The passphrase is wrong.") from None
    except Damaged:
        raise damaged() from None


class _Ended(Exception):
    """The reader wants no more."""


class _Pushed(io.RawIOBase):
    """Takes what pyrage decrypts, and passes it to another thread. It holds only a few pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: queue.Queue[bytes | None] = queue.Queue(maxsize=16)
        self.is_over = threading.Event()
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._waiting += piece
        if len(self._waiting) >= passphrase.CHUNK:
            self._give(bytes(self._waiting))
            self._waiting.clear()
        return len(piece)

    def end(self) -> None:
        with suppress(_Ended):
            self._give(bytes(self._waiting))
            self._give(None)

    def _give(self, piece: bytes | None) -> None:
        while not self.is_over.is_set():
            with suppress(queue.Full):
                self.pieces.put(piece, timeout=0.1)
                return
        raise _Ended


@contextmanager
def _with_identities(file: BinaryIO, identities: Sequence[Any]) -> Iterator[Iterator[bytes]]:
    """Decrypt in a thread, because pyrage writes to a file and can't be asked for the next piece."""
    out = _Pushed()
    failures: list[BaseException] = []

    def decrypt() -> None:
        try:
            pyrage.decrypt_io(file, out, list(identities))
        except BaseException as failure:  # after any failure, the reader must end
            failures.append(failure)
        out.end()

    def pieces() -> Iterator[bytes]:
        while (piece := out.pieces.get()) is not None:
            # What was decrypted before a failure is complete, so it can be passed on.
            if piece:
                yield piece
        if failures:
            raise _refusal(failures[0]) from None

    thread = threading.Thread(target=decrypt, name="decrypt", daemon=True)
    thread.start()
    try:
        yield pieces()
    finally:
        out.is_over.set()
        thread.join()


def _refusal(failure: BaseException) -> BackupRefused:
    if isinstance(failure, pyrage.DecryptError) and "key" in str(failure).lower():
        return BackupRefused("The private key is not one of those for which this backup was encrypted.")
    return damaged()
