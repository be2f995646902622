"""Writes a stored head as text, for places that store files or objects: one line of JSON, and its checksum."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from audit_app.stored_heads import HeadsUnavailable, StoredHead, stored

_VERSION = 1


def folder_of(origin: str) -> str:
    """Return a name for a log that every file system and bucket accepts, in one of 256 folders."""
    digest = hashlib.sha256(origin.encode()).hexdigest()
    return f"{digest[:2]}/{digest}"


def written(head: StoredHead, *, by: str) -> bytes:
    """Return the text. `by` is different for each attempt to write, so that a writer recognises its own text."""
    text = json.dumps(
        {
            "version": _VERSION,
            "origin": head.head.origin,
            "generation": head.generation,
            "size": head.head.size,
            "root": base64.b64encode(head.head.root).decode(),
            "frontier": base64.b64encode(b"".join(head.frontier.hashes)).decode(),
            "note": head.note,
            "by": by,
        },
        ensure_ascii=True,
        sort_keys=True,
    ).encode()
    return text + b"\n" + _sum(text) + b"\n"


def read(content: bytes, *, at: str) -> StoredHead:
    """Return the head in the text. Raise HeadsUnavailable if it is damaged; `at` names the place."""
    text, _, rest = content.partition(b"\n")
    if rest != _sum(text) + b"\n":
        raise HeadsUnavailable(f"the stored head {at} is damaged")
    try:
        row = json.loads(text)
        if row["version"] != _VERSION:
            raise HeadsUnavailable(f"the stored head {at} was written by a newer version")
        root, frontier = (base64.b64decode(row[name], validate=True) for name in ("root", "frontier"))
        return stored(str(row["origin"]), int(row["size"]), root, frontier, str(row["note"]), int(row["generation"]))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise HeadsUnavailable(f"the stored head {at} is damaged") from error


def _sum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
