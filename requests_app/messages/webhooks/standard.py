"""Standard Webhooks 1.0: the keys in the form that people copy, and the three headers of a message. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SECRET, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
#: The standard requires 24 to 64 random bytes.
SECRET_BYTES = 32
#: The standard requires bodies of less than 20 KB.
MOST_BODY = 20_000


@dataclass(frozen=True, repr=False)
class Keys:
    """The keys of one endpoint: a secret that the receiver has too, and a key pair."""

    secret: bytes
    private: bytes

    @classmethod
    def new(cls) -> Keys:
        return cls(secrets.token_bytes(SECRET_BYTES), Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, shared: str, private: str) -> Keys:
        """Return keys from the form in which they are written. Raises ValueError."""
        return cls(_bytes_of(SECRET, shared), _bytes_of(PRIVATE, private))

    @property
    def whsec(self) -> str:
        return _text(SECRET, self.secret)

    @property
    def whsk(self) -> str:
        return _text(PRIVATE, self.private)

    @property
    def whpk(self) -> str:
        return _text(PUBLIC, self._pair.public_key().public_bytes_raw())

    @property
    def _pair(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private)

    def v1(self, signed: bytes) -> str:
        return _text("v1,", hmac.new(self.secret, signed, hashlib.sha256).digest())

    def v1a(self, signed: bytes) -> str:
        return _text("v1a,", self._pair.sign(signed))


def headers(message_id: str, at: datetime, body: bytes, keys: Sequence[Keys]) -> dict[str, str]:
    """Return the headers of one attempt.

    Each key signs twice: most libraries know only `v1`, and `v1a` needs no shared secret. During a rotation there are
    two keys, and a receiver with one of them finds its signature.
    """
    timestamp = str(int(at.timestamp()))
    signed = b".".join([message_id.encode(), timestamp.encode(), body])
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join([*(each.v1(signed) for each in keys), *(each.v1a(signed) for each in keys)]),
    }


def _text(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


def _bytes_of(prefix: str, text: str) -> bytes:
    if not text.startswith(prefix):
        raise ValueError(f"it does not begin with {prefix}")
    return base64.b64decode(text.removeprefix(prefix), validate=True)
