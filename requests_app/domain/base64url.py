"""Base64url without padding (RFC 4648, section 5), as in the JSON of WebAuthn."""

from __future__ import annotations

import base64
import binascii

from requests_app.domain import errors

#: The longest text that is read, in characters.
MOST = 64 * 1024


def to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_text(text: object) -> bytes:
    """Return the decoded bytes. Raise PasskeyUnreadable unless the text is exactly as `to_text` would write it."""
    if not isinstance(text, str) or len(text) > MOST:
        raise errors.PasskeyUnreadable
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise errors.PasskeyUnreadable from error
    if to_text(raw) != text:
        raise errors.PasskeyUnreadable
    return raw
