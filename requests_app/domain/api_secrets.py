"""Secrets of the API's callers: made, recognised, hashed. Pure.

`lockbox_<kind>_` shows a secret scanner the product and the kind of the secret. The last six characters are a checksum:
a mistyped secret, or an example from a document, is recognised without asking the database.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from enum import StrEnum

#: Base 62: no character in it must be escaped anywhere, and a double click takes the whole.
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: 62**40 is more than 2**238.
_RANDOM, _SUM = 40, 6
PATTERN = re.compile(r"lockbox_(pat|cs|at)_[0-9A-Za-z]{46}")


class Kind(StrEnum):
    PERSONAL = "pat"
    CLIENT_SECRET = "cs"  # noqa: S105 - a kind
    ACCESS = "at"


def make(kind: Kind) -> str:
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return f"lockbox_{kind}_{body}{_checksum(body)}"


def is_whole(secret: str, *kinds: Kind) -> bool:
    """Whether this has the form of a secret of one of these kinds."""
    found = PATTERN.fullmatch(secret)
    if found is None or found[1] not in kinds:
        return False
    body, checksum = secret[-_RANDOM - _SUM : -_SUM], secret[-_SUM:]
    return _checksum(body) == checksum


def hashed(secret: str) -> str:
    """Return SHA-256 (hex). A slow hash would add nothing for a random secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hint(secret: str) -> str:
    return secret[-4:]


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_SUM):
        rest, digit = divmod(rest, 62)
        digits = _ALPHABET[digit] + digits
    return digits
