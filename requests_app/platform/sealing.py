"""Secrets that must be read again, encrypted with keys of the settings: with the first, and opened with any."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Unreadable(Exception):
    """No key of the settings opens this: one was changed, and the former one is named nowhere."""


class Sealer:
    """Encrypts for one purpose: what was sealed for another does not open."""

    def __init__(self, keys: Sequence[str], purpose: bytes) -> None:
        # The settings' keys have any length; Fernet's have 32 bytes.
        self._keys = [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(purpose + b"\n" + key.encode()).digest())) for key in keys
        ]

    def seal(self, text: str) -> str:
        return self._keys[0].encrypt(text.encode()).decode()

    def opened(self, sealed: str) -> str:
        """Raises Unreadable."""
        try:
            return MultiFernet(self._keys).decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise Unreadable from None

    def is_outdated(self, sealed: str) -> bool:
        """Whether a former key sealed this, so that it must be sealed anew before that one can go."""
        try:
            self._keys[0].decrypt(sealed.encode())
        except InvalidToken:
            return True
        return False
