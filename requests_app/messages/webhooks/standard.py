"""Standard Webhooks 1.0: the keys as text to copy, and the three headers of a message.

All functions are pure, except `Keys.new`.
"""

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
    """The keys of one webhook: a secret that the receiver also has, and a key pair."""

    secret: bytes
    private: bytes

    @classmethod
    def new(cls) -> Keys:
        return cls(secrets.token_bytes(SECRET_BYTES), Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, shared: str, private: str) -> Keys:
        """Parse keys from the texts that people copy. Raise ValueError if a text is not such a key."""
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
    """Return the three headers of one attempt to deliver a message.

    Each key signs twice: as `v1`, because most libraries know only this, and as `v1a`, which needs no shared secret.
    While keys are being replaced, there are two sets of keys, so a receiver that has one of them finds its signature.
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
