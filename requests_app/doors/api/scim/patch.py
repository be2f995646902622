"""Reads the operations of a PATCH (RFC 7644, section 3.5.2), in the same way for users and for groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from requests_app.doors.api.scim.shapes import PATCH, Fault, folded

#: The most operations in one call.
MOST_OPERATIONS = 100


def changes(body: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield the kind, the path and the value of each change.

    An operation without a path has an object as its value. It is one change for each member of the object.
    """
    body = folded(body)
    asked = body.get("operations")
    if PATCH not in (body.get("schemas") or []) or not isinstance(asked, list) or not asked:
        raise Fault("invalidSyntax", _("A change must be a PatchOp with its Operations."))
    if len(asked) > MOST_OPERATIONS:
        raise Fault("invalidValue", _("One call can have at most %(max)d operations.") % {"max": MOST_OPERATIONS})
    for each in asked:
        each = folded(each)
        kind, path, value = str(each.get("op", "")).lower(), each.get("path"), each.get("value")
        if kind not in ("add", "replace", "remove"):
            raise Fault("invalidSyntax", _("An operation must be “add”, “replace” or “remove”."))
        if path is None:
            if kind == "remove" or not isinstance(value, dict):
                words = _("Send a path. Without a path, send “add” or “replace”, with an object as the value.")
                raise Fault("noTarget", words)
            for name, inner in value.items():
                yield kind, str(name), inner
        elif isinstance(path, str):
            yield kind, path, value
        else:
            raise Fault("invalidPath", _("A path must be text."))
