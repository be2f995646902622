"""Makes, recognises and hashes the secrets that callers of the API use. Pure, except for random characters.

A secret begins with `lockbox_<kind>_`. So a secret scanner can recognise the product and the kind of the secret. The
last six characters are a checksum: it shows without a database query that a secret is mistyped, or is only an example
from a document.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from enum import StrEnum

#: Base 62: no character must be escaped anywhere, and a double click selects the whole secret.
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: 62**40 is more than 2**238.
_RANDOM, _SUM = 40, 6
PATTERN = re.compile(r"lockbox_(pat|cs|at|oc)_[0-9A-Za-z]{46}")


class Kind(StrEnum):
    PERSONAL = "pat"
    CLIENT_SECRET = "cs"  # noqa: S105 - a kind
    ACCESS = "at"
    ONE_TIME_CODE = "oc"


def make(kind: Kind) -> str:
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return f"lockbox_{kind}_{body}{_checksum(body)}"


def is_whole(secret: str, *kinds: Kind) -> bool:
    """Return whether this text has the form of a secret of one of these kinds, and its checksum is right."""
    found = PATTERN.fullmatch(secret)
    if found is None or found[1] not in kinds:
        return False
    body, checksum = secret[-_RANDOM - _SUM : -_SUM], secret[-_SUM:]
    return _checksum(body) == checksum


def hashed(secret: str) -> str:
    """Return the SHA-256 hash of a secret, in hex. The secret is random, so a slow hash would not make it safer."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hint(secret: str) -> str:
    return secret[-4:]


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(_SUM):
        rest, digit = divmod(rest, 62)
        digits = _ALPHABET[digit] + digits
    return digits
