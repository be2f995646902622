"""Checks a batch of stored entries at once. It needs neither Django nor a database.

`is_good` asks the same of each entry as `entries.flaws_of`, in a fraction of the time. It knows only "all are good".
For everything else, the caller asks `flaws_of`, entry by entry, and learns which entry is bad, and why.

The bytes of an entry follow from its columns, except for its actor and its detail. So the rest is compared as text.
Only the first actor and the first detail of each form are parsed and written again. Another actor is the same text. A
detail of a known form differs only in texts without escaped characters and in whole numbers, which have one way to be
written. So it is as canonical as the first one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from json.encoder import encode_basestring as quoted
from operator import le
from typing import Any, NamedTuple
from uuid import UUID

from audit_app import canonical

#: How many actors are known, and how many forms: of one event, and of all events.
_ACTORS, _FORMS_OF_EVENT, _FORMS = 4096, 4, 256
#: A longer actor or detail is not remembered.
_LONGEST = 2000
#: A text, a number that a double stores exactly, and a name of JSON.
_TEXT, _NUMBER, _NAMED = r'"[^"\\\x00-\x1f]*+"', "(?:0|-?[1-9][0-9]{0,14})", "(?:true|false|null)"

#: The text of an actor, by its kind, id and name.
_actors: dict[tuple[Any, Any, Any], str] = {}
#: The forms of the details of an event.
_forms: dict[str, list[re.Pattern[str]]] = {}


class StoredBatch(NamedTuple):
    """Rows of entries with consecutive numbers, as one tuple for each column.

    Ids and times are texts, in the form that they have in the entries' bytes.
    """

    seqs: tuple[int, ...]
    times: tuple[str, ...]
    events: tuple[str, ...]
    doors: tuple[str, ...]
    actor_kinds: tuple[str, ...]
    actor_ids: tuple[str | None, ...]
    actor_names: tuple[str, ...]
    subject_types: tuple[str, ...]
    subject_ids: tuple[str, ...]
    access_requests: tuple[str | None, ...]
    bodies: tuple[bytes, ...]
    leaf_hashes: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return len(self.seqs)


def is_good(batch: StoredBatch, tenant_id: UUID, seq: int, last_at: str) -> bool:
    """Return True if `flaws_of` finds nothing in these entries. False is no verdict.

    The first entry must have the number `seq`. `last_at` is the time of the entry before it, or "".
    """
    if batch.seqs != tuple(range(seq, seq + batch.size)):
        return False
    if not all(map(le, (last_at, *batch.times), batch.times)) or leaves_of(batch.bodies) != [*batch.leaf_hashes]:
        return False
    try:
        return are_expected(batch, tenant_id)
    except (TypeError, ValueError, RecursionError):
        return False


def leaves_of(bodies: Sequence[bytes]) -> list[bytes]:
    """Return the leaf hashes of these bytes (see tree.leaf)."""
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + body).digest() for body in bodies]


def are_expected(batch: StoredBatch, tenant_id: UUID) -> bool:
    """Return True if these bytes are canonical and agree with their columns. False is no verdict.

    Bytes or columns that are no good text can raise ValueError, TypeError or RecursionError. That is no verdict either.
    """
    actors, forms, quote = _actors, _forms, quoted
    end = f'}},"tenant":"{tenant_id}","v":{canonical.VERSION}}}'
    for seq, at, event, door, kind, actor_id, name, subject_type, subject_id, request, body in zip(
        *batch[: len(batch) - 1], strict=True
    ):
        text = str(body, "utf-8")
        start = '{"access_request":' + ("null" if request is None else quote(request)) + ',"actor":'
        middle = ',"at":' + quote(at) + ',"detail":'
        key = kind, actor_id, name
        known = actors.get(key)
        before = f"{start}{known}{middle}"
        if known is None or not text.startswith(before):
            actor = text[len(start) : text.find(middle, len(start))]
            before = f"{start}{actor}{middle}"
            if not text.startswith(before) or not _is_actor(actor, key):
                return False
        after = (
            f',"door":{quote(door)},"event":{quote(event)},"seq":{seq}'
            f',"subject":{{"id":{quote(subject_id)},"type":{quote(subject_type)}{end}'
        )
        if not text.endswith(after):
            return False
        begin, past = len(before), len(text) - len(after)
        for form in forms.get(event, ()):
            if form.fullmatch(text, begin, past):
                break
        else:
            if not _is_detail(text[begin:past], event):
                return False
    return True


def _is_actor(text: str, key: tuple[Any, Any, Any]) -> bool:
    """Return whether this is a canonical object with this kind, id and name. If so, remember it."""
    actor = _object(text)
    if actor is None or tuple(map(actor.get, ("kind", "id", "name"))) != key:
        return False
    if len(text) <= _LONGEST:
        if len(_actors) >= _ACTORS:
            _actors.clear()
        _actors[key] = text
    return True


def _is_detail(text: str, event: str) -> bool:
    """Return whether this is a canonical object. If so, remember its form, unless there are too many of them."""
    detail = _object(text)
    if detail is None:
        return False
    known = _forms.get(event, [])
    if len(text) <= _LONGEST and len(known) < _FORMS_OF_EVENT and sum(map(len, _forms.values())) < _FORMS:
        _forms[event] = [re.compile(_pattern(detail)), *known]
    return True


def _object(text: str) -> dict[str, Any] | None:
    found = json.loads(text)
    return found if isinstance(found, dict) and canonical.encode(found) == text.encode() else None


def _pattern(value: Any) -> str:
    """Return an expression for the canonical text of this value, and of all values that have the same form."""
    if isinstance(value, dict):
        return r"\{" + ",".join(f"{re.escape(quoted(name))}:{_pattern(each)}" for name, each in value.items()) + r"\}"
    if isinstance(value, list):
        return r"\[" + ",".join(map(_pattern, value)) + r"\]"
    if isinstance(value, str):
        return _TEXT
    if value is None or isinstance(value, bool):
        return _NAMED
    # A fraction has many forms, so only this one is known.
    return _NUMBER if isinstance(value, int) else re.escape(canonical.encode(value).decode())
