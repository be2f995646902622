"""Makes recovery keys that people write on paper, and hashes what people type. Pure, except for random characters."""

from __future__ import annotations

import hashlib
import secrets

from django.utils.crypto import salted_hmac

#: No two of these characters look alike. 30**28 is more than 2**137.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
_LENGTH, _GROUP = 28, 4


def make() -> str:
    """Return a new key: seven groups of four characters, which people can write down and type."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return "-".join(text[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def ending_of(key: str) -> str:
    """Return the last four characters of a key, as they count for `hashed`: in upper case, without hyphens."""
    return "".join(char for char in key.upper() if char in _ALPHABET)[-_GROUP:]


def ending_hashed(row_id: object, ending: str) -> str:
    """Return a keyed hash of a key's last four characters.

    Four characters can be guessed from a plain hash. Without the secret key of the installation, nobody can guess them
    from this one.
    """
    return salted_hmac("lockbox.recovery-ending", f"{row_id}:{ending}", algorithm="sha256").hexdigest()


def hashed(key: str) -> str:
    """Return the SHA-256 hash of a key, in hex. Lower case, spaces and hyphens in the key make no difference."""
    plain = "".join(char for char in key.upper() if char in _ALPHABET)
    return hashlib.sha256(f"lockbox-recovery-v1\n{plain}".encode()).hexdigest()
