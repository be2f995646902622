"""Reads and writes copies of the log's key, encrypted with a passphrase, in a standard format: PKCS#8 (RFC 5958).

Other programs can open a copy too, for example `openssl pkey -in log_key_copy.pem`. During a rotation, the copy has
several keys, one PEM block for each, with the current key first.
"""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from audit_app.keys import BadKey, Keys

_BLOCK = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----.+?-----END ENCRYPTED PRIVATE KEY-----\n?", re.DOTALL)


def sealed(keys: Keys, passphrase: str) -> bytes:
    """Return the content of a copy, encrypted with the passphrase. Raise BadKey if a key is in an HSM."""
    encryption = BestAvailableEncryption(passphrase.encode())
    found = [key for key in keys.keys if isinstance(key, Ed25519PrivateKey)]
    if len(found) < len(keys.keys):
        raise BadKey("a key in an HSM can't be copied: back up the HSM as its maker says")
    return b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption) for key in found)


def opened(content: bytes, passphrase: str) -> Keys:
    """Return the keys in a copy. Raise BadKey if it is not a copy, or if the passphrase is wrong."""
    blocks = _BLOCK.findall(content)
    if not blocks:
        raise BadKey("this file is not an encrypted copy of a log key")
    try:
        found = [load_pem_private_key(block, passphrase.encode()) for block in blocks]
    except ValueError:
        raise BadKey("the passphrase is wrong, or the copy is damaged") from None
    keys = tuple(key for key in found if isinstance(key, Ed25519PrivateKey))
    if len(keys) < len(found):
        raise BadKey("the copy contains a key that is not an Ed25519 key")
    return Keys(keys)
