"""Encrypts secrets that must be readable: with the first key of the settings, and decrypts with any of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Unreadable(Exception):
    """No key in the settings opens this: a key was changed and the former one is not listed."""


class Sealer:
    """Encrypts for one purpose. A value that was sealed for another purpose does not open."""

    def __init__(self, keys: Sequence[str], purpose: bytes) -> None:
        # The settings' keys have any length; Fernet's have 32 bytes.
        self._keys = [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(purpose + b"\n" + key.encode()).digest())) for key in keys
        ]

    def seal(self, text: str) -> str:
        return self._keys[0].encrypt(text.encode()).decode()

    def opened(self, sealed: str) -> str:
        """Return the secret in plain. Raises Unreadable."""
        try:
            return MultiFernet(self._keys).decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise Unreadable from None

    def is_outdated(self, sealed: str) -> bool:
        """Return whether a former key sealed this, so that it must be sealed again before that key is removed."""
        try:
            self._keys[0].decrypt(sealed.encode())
        except InvalidToken:
            return True
        return False
