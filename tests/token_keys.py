"""The RSA keys with which the product signs tokens in tests: each process makes only a few.

Making such a key, and reading one, takes longer than most tests that need one.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from requests_app.models import token_keys
from tests.remembered import MEMORY


class _Keys:
    """Takes the place of `RSAKey` in the product. No test gets the same key twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: list[RSAKey] = []
        self._known: dict[str, RSAKey] = {}
        self._given = 0

    def begin(self) -> None:
        """Give the next test the keys from the first one on."""
        self._given = 0

    def generate_key(self, bits: int) -> RSAKey:
        # The row of this key may be in another test, which must not get the key once more.
        if MEMORY.is_making:
            return self._noted(RSAKey.generate_key(bits))
        with self._lock:
            if self._given == len(self._made):
                self._made.append(self._noted(RSAKey.generate_key(bits)))
            self._given += 1
            return self._made[self._given - 1]

    def import_key(self, found: dict[str, Any]) -> RSAKey:
        if "d" not in found:
            # The public part, which is all that is left of a former key. Its private key must stay known.
            return RSAKey.import_key(found)
        known = self._known.get(found["n"])
        is_same = known is not None and known.as_dict(private=True).items() <= found.items()
        return known if known is not None and is_same else self._noted(RSAKey.import_key(found))

    def _noted(self, key: RSAKey) -> RSAKey:
        self._known[str(key.as_dict()["n"])] = key
        return key


KEYS = _Keys()


def install(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(token_keys, "RSAKey", KEYS)
