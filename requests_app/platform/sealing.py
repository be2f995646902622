"""Encrypts those secrets that the product must be able to read again.

The first key in the settings encrypts. Every key in the settings can decrypt.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Unreadable(Exception):
    """No key in the settings can decrypt this value. Probably the key was changed and the former key is not listed."""


class Sealer:
    """Encrypts and decrypts values for one purpose. It can't decrypt a value that was encrypted for another purpose."""

    def __init__(self, keys: Sequence[str], purpose: bytes) -> None:
        # A key in the settings may have any length. Fernet needs 32 bytes.
        self._keys = [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(purpose + b"\n" + key.encode()).digest())) for key in keys
        ]

    def seal(self, text: str) -> str:
        return self._keys[0].encrypt(text.encode()).decode()

    def opened(self, sealed: str) -> str:
        """Return the decrypted secret. Raise Unreadable if no key can decrypt it."""
        try:
            return MultiFernet(self._keys).decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise Unreadable from None

    def is_outdated(self, sealed: str) -> bool:
        """Return whether this value was encrypted with a former key.

        Such a value must be encrypted again before the former key is removed from the settings.
        """
        try:
            self._keys[0].decrypt(sealed.encode())
        except InvalidToken:
            return True
        return False
