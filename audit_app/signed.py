"""What the entry of a decision says of its signature: for people and other systems. Nothing is verified here.

Whoever wants to know whether it holds runs the verifier; what stands here is read out of the very bytes that it checks.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: A decision's text is signed after this (docs/evidence.md).
_PREFIX = b"lockbox-decision-v1\n"
_FLAGS, _BACKUP_ELIGIBLE = 32, 0x08  # W3C Web Authentication, Level 3, section 6.1


@dataclass(frozen=True, kw_only=True)
class Signature:
    """By which key a decision was signed; all empty where nothing was signed.

    `digest` is SHA-256 of what was signed, `key` of the public key (SubjectPublicKeyInfo), both in hexadecimal.
    `is_device_bound` is None where the entry's bytes do not tell.
    """

    is_signed: bool
    passkey: str = ""
    name: str = ""
    rp_id: str = ""
    key: str = ""
    digest: str = ""
    is_device_bound: bool | None = None

    @property
    def told(self) -> dict[str, Any]:
        """The same for a program."""
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


def of(detail: Mapping[str, Any]) -> Signature | None:
    """None for what is no decision, or one of a log whose entries did not say it yet."""
    is_signed, said = detail.get("signed"), detail.get("signature")
    if not isinstance(is_signed, bool):
        return None
    if not is_signed or not isinstance(said, dict):
        return Signature(is_signed=is_signed)
    assertion = said.get("assertion")
    data = _bytes(assertion.get("authenticatorData") if isinstance(assertion, dict) else None)
    return Signature(
        is_signed=True,
        passkey=_text(said, "passkey"),
        name=_text(said, "passkey_name"),
        rp_id=_text(said, "rp_id"),
        key=_digest(b"", _bytes(said.get("public_key"))),
        digest=_digest(_PREFIX, _text(said, "manifest").encode(errors="backslashreplace")),
        is_device_bound=not data[_FLAGS] & _BACKUP_ELIGIBLE if len(data) > _FLAGS else None,
    )


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) else ""


def _bytes(text: object) -> bytes:
    """Base64 in either alphabet; empty where it is none."""
    plain = text.replace("-", "+").replace("_", "/") if isinstance(text, str) else ""
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return b""


def _digest(prefix: bytes, raw: bytes) -> str:
    return hashlib.sha256(prefix + raw).hexdigest() if raw else ""
