"""Groups: a tenant's roles, and who has them (RFC 7643, section 4.2). Only their members can be changed.

The wanted members are compared with the present members, and the operation gets only the difference.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.domain.ids import as_id
from requests_app.doors.api.scim import filters, patch
from requests_app.doors.api.scim.shapes import GROUP, Fault, folded

#: A directory sends some hundred members in each call.
MOST_MEMBERS = 1000
#: Attributes that are not stored or can't change.
_PASSED_OVER = frozenset({"schemas", "externalid", "meta"})

Members = frozenset[UUID]


def patched(resource: dict[str, Any], body: Any) -> Members:
    """Return the members of a Group after a PATCH, with its operations applied in order (RFC 7644, section 3.5.2)."""
    members = members_of(resource)
    for kind, path, value in patch.changes(body):
        members = _changed(resource, members, kind, path, value)
    return members


def replaced(resource: dict[str, Any], body: Any) -> Members:
    """Return the members after a PUT of a whole Group. If the body has no `members`, return the present members."""
    body = folded(body)
    if GROUP not in (body.get("schemas") or []):
        raise Fault("invalidSyntax", _("The schemas of a Group must contain %(schema)s.") % {"schema": GROUP})
    _require_name(resource, body.get("displayname"))
    return members_of(resource) if body.get("members") is None else _listed(body["members"])


def members_of(resource: dict[str, Any]) -> Members:
    return frozenset(UUID(each["value"]) for each in resource["members"])


# --- One change ----------------------------------------------------------------------------------------------


def _changed(resource: dict[str, Any], members: Members, kind: str, path: str, value: Any) -> Members:
    target = filters.target(path, GROUP)
    name = target.name
    if name in _PASSED_OVER:
        return members
    if name in ("displayname", "id"):
        _require_name(resource, value, of=name) if kind != "remove" else _refuse_name()
        return members
    if name != "members" or target.part not in (None, "value"):
        raise Fault("invalidPath", _("There is no such path."))
    if target.chooses is not None:
        rows = [{"value": str(each), "type": "User"} for each in members]
        chosen = frozenset(UUID(row["value"]) for row in rows if target.chooses(row))
        if not chosen:
            raise filters.no_target()
        if kind == "remove":
            return members - chosen
        # To replace one member with another, remove the first and add the second.
        return (members - chosen) | _listed(value)
    if kind == "add":
        return members | _listed(value)
    if kind == "replace":
        return _listed(value)
    # Entra ID names the members to remove in the operation's value. Without a value, all members are removed.
    return members - _listed(value) if value else frozenset()


def _require_name(resource: dict[str, Any], given: Any, *, of: str = "displayname") -> None:
    held = resource["id" if of == "id" else "displayName"]
    if given is not None and str(given).lower() != held.lower():
        _refuse_name()


def _refuse_name() -> None:
    raise Fault("mutability", _("Each group is a role, so the name of a group never changes."))


def _listed(value: Any) -> Members:
    values = value if isinstance(value, list) else [value]
    if len(values) > MOST_MEMBERS:
        raise Fault("invalidValue", _("There are too many values."))
    found = set()
    for each in values:
        row = folded({"value": each} if isinstance(each, str) else each)
        if str(row.get("type", "User")).lower() != "user":
            raise Fault("invalidValue", _("Only people can be members: a group can’t be a member of another group."))
        found.add(_key(row.get("value")))
    return frozenset(found)


def _key(value: Any) -> UUID:
    found = as_id(value)
    if found is None:
        raise Fault("invalidValue", _("Identify a member by the id of a User."))
    return found
