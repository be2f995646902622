"""Base64url without padding (RFC 4648, section 5), as in WebAuthn's JSON."""

from __future__ import annotations

import base64
import binascii

from requests_app.domain import errors

#: The longest text that is read, in characters.
MOST = 64 * 1024


def to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_text(text: object) -> bytes:
    """Return the bytes. Raises PasskeyUnreadable for any spelling other than the one of `to_text`."""
    if not isinstance(text, str) or len(text) > MOST:
        raise errors.PasskeyUnreadable
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise errors.PasskeyUnreadable from error
    if to_text(raw) != text:
        raise errors.PasskeyUnreadable
    return raw
