"""The canonical bytes of a record, which are hashed: JSON in the form of RFC 8785 (JCS)."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import c_make_encoder  # type: ignore[attr-defined]  # not in the stubs
from json.encoder import encode_basestring as quoted
from typing import Any
from uuid import UUID

import rfc8785

from audit_app import tree

VERSION = 1
#: In the bytes of an entry, its time follows where these bytes occur first. In texts, quotation marks are escaped, and
#: no member of an actor has this name.
BEFORE_TIME = b'"at":"'
#: The largest integer that a double stores exactly (RFC 8785, section 3.2.2.3).
_SAFE = 2**53 - 1
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
#: `_ENCODER` makes this again for each record, which takes as long as writing a small one. Some Pythons do not have it.
#: It does not look for values that contain themselves, because `_is_plain` fails at them.
_WRITER = c_make_encoder and c_make_encoder(None, _ENCODER.default, quoted, None, ":", ",", True, False, False)


@lru_cache(maxsize=256)
def instant(at: datetime) -> str:
    """Return the time in UTC (RFC 3339), always with six decimal digits, so that equal times have equal bytes."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def encode(record: dict[str, Any]) -> bytes:
    """Return the canonical bytes (RFC 8785) of the record. Raise an error for a value that RFC 8785 can't express.

    Python's encoder in C is ten times as fast as the library. It writes the same bytes for ASCII names, texts,
    safe integers, booleans and null, also in dicts and lists: such names have the same order by code point and
    by UTF-16. The library encodes every record that contains anything else.
    """
    return text(record).encode()


def entry(
    *,
    tenant: UUID,
    seq: int,
    at: datetime,
    event: str,
    door: str,
    actor: dict[str, Any],
    subject_type: str,
    subject_id: str,
    access_request: UUID | None,
    detail: dict[str, Any],
    who: str | None = None,
) -> bytes:
    """Return the canonical bytes of an entry of a log, as `encode` makes them of the whole record.

    Only the actor and the detail have values of many types. The other members of an entry are always the same, in this
    order. `who` is the `text` of the actor, if the caller has it already. Raise TypeError for a number or null where a
    text belongs.
    """
    request = f'"{_id(access_request)}"' if access_request else "null"
    return (
        f'{{"access_request":{request},"actor":{who or text(actor)},"at":"{instant(at)}","detail":{text(detail)}'
        f',"door":{quoted(door)},"event":{quoted(event)},"seq":{seq}'
        f',"subject":{{"id":{quoted(subject_id)},"type":{quoted(subject_type)}}}'
        f',"tenant":"{_id(tenant)}","v":{VERSION}}}'
    ).encode()


#: Texts of ids. The entries of a batch have the same ones.
_id = lru_cache(maxsize=1024)(str)


def text(value: Any) -> str:
    """Return the canonical text of one value of a record."""
    if not _is_plain(value):
        return rfc8785.dumps(value).decode()
    return "".join(_WRITER(value, 0)) if _WRITER else _ENCODER.encode(value)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return -_SAFE <= value <= _SAFE
    if kind is dict:
        # A loop takes half the time of a generator, and most values are texts.
        for name, each in value.items():
            if type(name) is not str or not name.isascii() or not (type(each) is str or _is_plain(each)):
                return False
        return True
    return kind is list and all(map(_is_plain, value))


def leaf_hash(entry: bytes) -> bytes:
    """Return the leaf hash of RFC 6962, section 2.1: SHA-256(0x00 + entry)."""
    return tree.leaf(entry)


def digest(record: dict[str, Any]) -> bytes:
    """Return the SHA-256 hash of the canonical bytes.

    Use it for digests that people see, and not for leaves of the tree.
    """
    return hashlib.sha256(encode(record)).digest()
