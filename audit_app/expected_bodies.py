"""Checks that the bytes of stored entries are canonical, and are those that the columns of the entries require.

The bytes of an entry follow from its columns, except for its actor and its detail. So the rest is compared as text.
Only the first actor and the first detail of each form are parsed and written again. Another actor is the same text. A
detail of a known form differs only in texts without escaped characters and in whole numbers, which have one way to be
written. So it is as canonical as the first one.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring as quoted  # type: ignore[attr-defined]  # the function of Python's encoder
from typing import TYPE_CHECKING, Any
from uuid import UUID

from audit_app import canonical

if TYPE_CHECKING:
    from audit_app.batches import StoredBatch

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
        before = f"{start}{actors.get(key, '')}{middle}"
        if not text.startswith(before):
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
