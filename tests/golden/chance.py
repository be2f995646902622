"""Random bytes and keys that are the same in each run.

The product gets all its random bytes from the operating system, through one function, which is replaced here. The bytes
depend on three things: the step of the history, what is drawn (the id of a model, or a number of bytes), and
how often this was drawn earlier in the step. So if an act draws one id less than before, other steps do not change.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import threading
import uuid
from collections import Counter
from types import FrameType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_NAMESPACE = uuid.UUID("6f0f4f2c-1f0e-4b6e-9d5a-3c1b2a190807")


def bytes_for(label: str, size: int) -> bytes:
    """Return bytes that depend only on the label."""
    return hashlib.shake_256(f"golden {label}".encode()).digest(size)


def id_for(label: str) -> uuid.UUID:
    """Return an id that depends only on the label."""
    return uuid.uuid5(_NAMESPACE, label)


def key_for(label: str) -> Ed25519PrivateKey:
    """Return a signing key that depends only on the label."""
    return Ed25519PrivateKey.from_private_bytes(bytes_for(label, 32))


class Chance:
    """Replaces the operating system's random bytes in the main thread."""

    def __init__(self) -> None:
        self.step = "before"
        self._drawn: Counter[str] = Counter()
        self._urandom = os.urandom

    def begin(self, step: str) -> None:
        self.step = step
        self._drawn.clear()

    def install(self, patch: Any) -> None:
        """Replace the functions. `patch` is pytest's `monkeypatch`."""
        patch.setattr(os, "urandom", self.urandom)
        patch.setattr(random, "_urandom", self.urandom)
        patch.setattr(Ed25519PrivateKey, "generate", staticmethod(lambda: key_for(self._next("key"))))

    def urandom(self, size: int) -> bytes:
        if threading.current_thread() is not threading.main_thread():
            return self._urandom(size)
        return bytes_for(self._next(_model(sys._getframe(1)) or str(size)), size)

    def _next(self, kind: str) -> str:
        self._drawn[kind] += 1
        return f"{self.step} / {kind} / {self._drawn[kind]}"


def _model(frame: FrameType | None) -> str:
    """Return the name of the model field that draws a default, for example `Ticket.id`. Return "" if it is no field."""
    for _ in range(4):
        if frame is None:
            return ""
        if frame.f_code.co_name == "get_default":
            field = frame.f_locals["self"]
            return f"{field.model.__name__}.{field.name}"
        frame = frame.f_back
    return ""
