"""The versioned bytes that are hashed: RFC 8785 (JCS) JSON of one record."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import rfc8785

VERSION = 1


def instant(at: datetime) -> str:
    """RFC 3339 in UTC with six digits, always, so that equal instants have equal bytes."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(record: dict[str, Any]) -> bytes:
    """Return the canonical bytes (RFC 8785) of the record."""
    return rfc8785.dumps(record)


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry): the leaf of RFC 6962, section 2.1."""
    return hashlib.sha256(b"\x00" + entry).digest()


def digest(record: dict[str, Any]) -> bytes:
    """SHA-256 of the canonical bytes; for digests that are shown to people, not for leaves."""
    return hashlib.sha256(encode(record)).digest()
