"""Reads the signature of a decision from its log entry, for people and for other systems.

Nothing is verified here. The verifier checks the same bytes that are read here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The prefix of the signed text (docs/evidence.md).
_PREFIX = b"lockbox-decision-v1\n"
_FLAGS, _BACKUP_ELIGIBLE = 32, 0x08  # W3C Web Authentication, Level 3, section 6.1


@dataclass(frozen=True, kw_only=True)
class DecisionSignature:
    """The key with which a decision was signed. If the decision was not signed, all fields are empty.

    `digest` is the SHA-256 hash of the signed text, and `key` is the SHA-256 hash of the public key
    (SubjectPublicKeyInfo), both in hexadecimal. `is_device_bound` can be unknown (None).
    """

    is_signed: bool
    passkey: str = ""
    name: str = ""
    rp_id: str = ""
    key: str = ""
    digest: str = ""
    is_device_bound: bool | None = None

    @property
    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON for programs."""
        if not self.is_signed:
            return {"signed": False}
        return {
            "signed": True,
            "passkey": self.passkey,
            "rp_id": self.rp_id,
            "key_sha256": self.key,
            "device_bound": self.is_device_bound,
            "digest": self.digest,
        }


def of(detail: Mapping[str, Any]) -> DecisionSignature | None:
    """Return the signature that an entry's detail describes.

    Return None for an entry that is not a decision, or that was written before signatures were recorded.
    """
    is_signed, signature = detail.get("signed"), detail.get("signature")
    if not isinstance(is_signed, bool):
        return None
    if not is_signed or not isinstance(signature, dict):
        return DecisionSignature(is_signed=is_signed)
    assertion = signature.get("assertion")
    data = _bytes(assertion.get("authenticatorData") if isinstance(assertion, dict) else None)
    return DecisionSignature(
        is_signed=True,
        passkey=_text(signature, "passkey"),
        name=_text(signature, "passkey_name"),
        rp_id=_text(signature, "rp_id"),
        key=_digest(b"", _bytes(signature.get("public_key"))),
        digest=_digest(_PREFIX, _text(signature, "manifest").encode(errors="backslashreplace")),
        is_device_bound=not data[_FLAGS] & _BACKUP_ELIGIBLE if len(data) > _FLAGS else None,
    )


def _text(signature: Mapping[str, Any], name: str) -> str:
    found = signature.get(name)
    return found if isinstance(found, str) else ""


def _bytes(text: object) -> bytes:
    """Decode Base64 in either alphabet. Return no bytes if the text is not Base64."""
    plain = text.replace("-", "+").replace("_", "/") if isinstance(text, str) else ""
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return b""


def _digest(prefix: bytes, raw: bytes) -> str:
    return hashlib.sha256(prefix + raw).hexdigest() if raw else ""
