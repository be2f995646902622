"""Encrypts secrets that the product must read again.

The first key of the settings encrypts. Any key of the settings decrypts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Unreadable(Exception):
    """No key in the settings decrypts this value: probably the key was changed, and the former key is not listed."""


class Sealer:
    """Encrypts values for one purpose. A value that was encrypted for another purpose can't be decrypted."""

    def __init__(self, keys: Sequence[str], purpose: bytes) -> None:
        # A key in the settings may have any length. Fernet needs 32 bytes.
        self._keys = [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(purpose + b"\n" + key.encode()).digest())) for key in keys
        ]

    def seal(self, text: str) -> str:
        return self._keys[0].encrypt(text.encode()).decode()

    def opened(self, sealed: str) -> str:
        """Return the decrypted secret. Raises Unreadable."""
        try:
            return MultiFernet(self._keys).decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise Unreadable from None

    def is_outdated(self, sealed: str) -> bool:
        """Return whether a former key encrypted this value. It must be encrypted again before that key is removed."""
        try:
            self._keys[0].decrypt(sealed.encode())
        except InvalidToken:
            return True
        return False
