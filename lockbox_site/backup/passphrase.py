"""Encrypts and decrypts a stream with a passphrase, in the format age v1 (C2SP age.md). `age -d` opens the result.

The library pyrage does this too, but only for content that fits into memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = b"age-encryption.org/v1"
_LABEL = b"age-encryption.org/v1/scrypt"
CHUNK, _TAG = 64 * 1024, 16
#: The logarithm of scrypt's cost, as the program `age` has it: 256 MiB of memory and about a second.
WORK = 18
#: A file that asks for more is refused, because it would use up the memory: 1 GiB at most.
MOST_WORK = 20
#: The longest header of a file with a passphrase. It has two short lines, and the lines around them.
_MOST_HEADER = 1024
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n"
    rb"([A-Za-z0-9+/]{43})\n--- ([A-Za-z0-9+/]{43})\n"
)


class WrongPassphrase(ValueError):
    """The passphrase does not open this file."""


class Damaged(ValueError):
    """The file is not complete, or it was changed."""


def is_sealed_with_one(start: bytes) -> bool:
    """Return whether a file that begins with these bytes is encrypted with a passphrase."""
    return start.startswith(VERSION + b"\n-> scrypt ")


def encrypted(content: Iterable[bytes], passphrase: str) -> Iterator[bytes]:
    """Yield the file, piece by piece."""
    key, salt = secrets.token_bytes(16), secrets.token_bytes(16)
    wrapped = ChaCha20Poly1305(_stretched(passphrase, salt, WORK)).encrypt(bytes(12), key, None)
    head = b"%s\n-> scrypt %s %d\n%s\n---" % (VERSION, _base64(salt), WORK, _base64(wrapped))
    yield head + b" " + _base64(_mac(key, head)) + b"\n"
    nonce = secrets.token_bytes(16)
    yield nonce
    cipher = ChaCha20Poly1305(_derived(key, nonce, b"payload"))
    number, waiting = 0, bytearray()
    for piece in content:
        waiting += piece
        # A full chunk waits until there is more, because the last chunk has a mark.
        while len(waiting) > CHUNK:
            yield cipher.encrypt(_counter(number, is_last=False), bytes(waiting[:CHUNK]), None)
            del waiting[:CHUNK]
            number += 1
    yield cipher.encrypt(_counter(number, is_last=True), bytes(waiting), None)


def decrypted(file: BinaryIO, passphrase: str) -> Iterator[bytes]:
    """Yield the content, piece by piece. Raise WrongPassphrase, or Damaged at the first piece that was changed.

    Only after the last piece it is known that the file is complete.
    """
    key = _opened(file, passphrase)
    nonce = file.read(16)
    if len(nonce) != 16:
        raise Damaged
    cipher = ChaCha20Poly1305(_derived(key, nonce, b"payload"))
    number, chunk = 0, file.read(CHUNK + _TAG)
    while True:
        following = file.read(CHUNK + _TAG) if len(chunk) == CHUNK + _TAG else b""
        try:
            found = cipher.decrypt(_counter(number, is_last=not following), chunk, None)
        except (InvalidTag, ValueError):
            raise Damaged from None
        if not found and number:
            raise Damaged
        yield found
        if not following:
            if file.read(1):
                raise Damaged
            return
        number, chunk = number + 1, following


def _opened(file: BinaryIO, passphrase: str) -> bytes:
    start = file.read(_MOST_HEADER)
    found = _HEADER.match(start)
    if found is None:
        raise Damaged
    file.seek(found.end())
    salt, work, wrapped, mac = found.groups()
    if int(work) > MOST_WORK:
        raise Damaged
    try:
        stretched = _stretched(passphrase, _bytes(salt), int(work))
        key = ChaCha20Poly1305(stretched).decrypt(bytes(12), _bytes(wrapped), None)
    except binascii.Error:
        raise Damaged from None
    except InvalidTag:
        raise WrongPassphrase from None
    if not hmac.compare_digest(_mac(key, start[: found.start(4) - 1]), _bytes(mac)):
        raise Damaged
    return key


def _stretched(passphrase: str, salt: bytes, work: int) -> bytes:
    n = 1 << work
    return hashlib.scrypt(
        passphrase.encode(), salt=_LABEL + salt, n=n, r=8, p=1, maxmem=128 * 8 * n + (1 << 20), dklen=32
    )


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt or None, info).derive(key)


def _mac(key: bytes, head: bytes) -> bytes:
    return hmac.digest(_derived(key, b"", b"header"), head, "sha256")


def _counter(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _base64(value: bytes) -> bytes:
    return base64.b64encode(value).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
