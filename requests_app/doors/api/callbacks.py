"""Reads what a submission over AuthZEN adds for its client: the callback, and the address of the client's own ticket.

The members are those of the Callback Notifications Profile (draft 1) and of `client.source`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from requests_app.domain.access_tasks import CALLBACK_EVENTS, CALLBACK_STATE_MAX, Callback
from requests_app.domain.errors import Malformed
from requests_app.models.access import SOURCE_URL_MAX

_TEXT = {"type": "string"}
CALLBACK: dict[str, Any] = {
    "type": "object",
    "required": ["endpoint"],
    "properties": {
        "endpoint": {**_TEXT, "format": "uri", "description": "An address that staff registered for your client."},
        "state": {**_TEXT, "maxLength": CALLBACK_STATE_MAX, "description": "You get it back unchanged."},
        "events": {
            "type": "array",
            "minItems": 1,
            "items": {**_TEXT, "enum": list(CALLBACK_EVENTS)},
            "description": "The ends that you want to know. Without it: all of them.",
        },
    },
    "description": "Where you get a message when the task has ended.",
}
CLIENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "source": {
            "type": "object",
            "properties": {
                "external_url": {
                    **_TEXT,
                    "format": "uri",
                    "maxLength": SOURCE_URL_MAX,
                    "description": "The https address of your own ticket or page. People see it as text.",
                }
            },
        }
    },
    "description": "All other members are ignored: the token says who you are.",
}


def callback_in(body: Mapping[str, Any]) -> Callback | None:
    """Return the callback that the client wants. Raise Malformed if a member has the wrong type."""
    if "callback" not in body:
        return None
    wanted = object_in(body, "callback")
    events = wanted.get("events")
    if events is not None and not (isinstance(events, list) and all(isinstance(each, str) for each in events)):
        raise Malformed(_("%(member)s must be a list of texts.") % {"member": "callback.events"})
    endpoint, state = (text_in(wanted, name, member="callback") for name in ("endpoint", "state"))
    return Callback(endpoint=endpoint, state=state, events=None if events is None else tuple(events))


def source_in(body: Mapping[str, Any]) -> str:
    """Return `client.source.external_url`, or "". Raise Malformed if a member has the wrong type."""
    source = object_in(object_in(body, "client"), "source", member="client.source")
    return text_in(source, "external_url", member="client.source")


def object_in(body: Mapping[str, Any], name: str, *, member: str = "") -> Mapping[str, Any]:
    found = body.get(name, {})
    if not isinstance(found, dict):
        raise Malformed(_("%(member)s must be an object.") % {"member": member or name})
    return found


def text_in(part: Mapping[str, Any], name: str, *, member: str) -> str:
    found = part.get(name, "")
    if not isinstance(found, str):
        raise Malformed(_("%(member)s must be text.") % {"member": f"{member}.{name}"})
    return found
