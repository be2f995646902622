"""Reads a User, or a change of a User (RFC 7644, sections 3.3 and 3.5), and builds the Profile for the operation.

Only a few attributes are stored. Other attributes of the standard are ignored, as the standard allows: directories send
everything that their administrators have mapped. A change of an unknown attribute is refused.
"""

from __future__ import annotations

import copy
from typing import Any

from django.utils.translation import gettext as _

from requests_app.doors.api.scim import filters, patch
from requests_app.doors.api.scim.shapes import USER, Fault, folded
from requests_app.operations import Profile

MOST_VALUES = 20
_STORED = ("userName", "externalId", "displayName", "name", "active", "emails", "roles")
_BY_FOLDED = {name.lower(): name for name in _STORED}
_PARTS = {each.lower(): each for each in ("givenName", "familyName", "formatted", "value", "type", "primary")}
_READ_ONLY = frozenset({"id", "meta", "groups"})
#: Attributes of RFC 7643, section 4.1, that are never stored. Above all, the password is never stored.
_PASSED_OVER: frozenset[str] = frozenset(
    {
        *("schemas", "nickname", "profileurl", "title", "usertype", "preferredlanguage", "locale", "timezone"),
        *("password", "phonenumbers", "ims", "photos", "addresses", "entitlements", "x509certificates"),
    }
)
_EXTENSION = "urn:ietf:params:scim:schemas:extension:"
#: Entra ID selects a role by its `primary` part. Answers do not show this part.
_NOT_SHOWN = {"roles": {"primary": {"name": "primary", "type": "boolean"}}}

State = dict[str, Any]


def profile_of(state: State, *, before: State | None = None) -> Profile:
    """Return the Profile for the operation. `before` is the User before a change.

    The person's name is `displayName`, unless only other names have changed. Then the person's name is the full name
    (`name.formatted`), or else the given name and the family name.
    """
    names = state.get("name") or {}
    given, family = _text(names, "givenName"), _text(names, "familyName")
    old = (before or {}).get("name") or {}
    shown, formatted = _text(state, "displayName"), _text(names, "formatted")
    is_new = shown != _text(before or {}, "displayName")
    if not (shown and is_new):
        if formatted and formatted != _text(old, "formatted"):
            shown = formatted
        elif (given, family) != (_text(old, "givenName"), _text(old, "familyName")) and f"{given}{family}".strip():
            shown = f"{given} {family}".strip()
    user_name = _text(state, "userName")
    return Profile(
        user_name=user_name,
        email=_address(state.get("emails")) or user_name,
        name=shown or user_name.partition("@")[0],
        given_name=given,
        family_name=family,
        external_id=_text(state, "externalId"),
        is_active=_yes(state.get("active", True)),
        roles=None if "roles" not in state else _roles(state["roles"]),
    )


def difference(was: Profile, wanted: Profile) -> Profile:
    """Return a Profile with only those fields of `wanted` that differ from `was`."""
    return Profile(**{name: value for name, value in vars(wanted).items() if value != getattr(was, name)})


def replaced(body: Any, before: State | None = None) -> State:
    """Read a whole User. Missing attributes become empty, except `active`, `externalId`, `roles` and `emails`.

    If these four are missing, they keep their values from `before`.
    """
    state = _whole(body)
    for name in ("active", "externalId", "roles", "emails"):
        if before is not None and name in before and state.get(name) is None:
            state[name] = before[name]
    return state


def patched(before: State, body: Any) -> State:
    """Return the User after a PATCH, with its operations applied in order. `before` does not change.

    The spellings of Entra ID and of Okta are accepted too.
    """
    state = copy.deepcopy(before)
    for kind, path, value in patch.changes(body):
        _change(state, kind, path, value)
    return state


# --- One change ----------------------------------------------------------------------------------------------


def _change(state: State, kind: str, path: str, value: Any) -> None:
    if path.lower().startswith(_EXTENSION):
        return
    target = filters.target(path, USER, more=_NOT_SHOWN, unread=_PASSED_OVER)
    folded, part = target.name, target.part and _PARTS.get(target.part)
    if folded in _READ_ONLY:
        raise Fault("mutability", _("This is read-only."))
    if folded in _PASSED_OVER:
        return
    name = _BY_FOLDED.get(folded)
    if name is None or (target.part and (part is None or name not in ("emails", "roles", "name"))):
        raise Fault("invalidPath", _("There is no such path."))
    if name in ("emails", "roles"):
        _change_values(state, kind, name, target.chooses, part, value)
    elif name == "name":
        _change_name(state, kind, part, value)
    elif kind == "remove":
        if name in ("userName", "active"):
            raise Fault("mutability", _("This is required."))
        state.pop(name, None)
    else:
        state[name] = value


def _change_name(state: State, kind: str, part: str | None, value: Any) -> None:
    names = dict(state.get("name") or {})
    if part is None and kind != "remove":
        if not isinstance(value, dict):
            raise Fault("invalidValue", _("A name must be an object, for example with givenName and familyName."))
        sent = {_PARTS[each.lower()]: inner for each, inner in value.items() if each.lower() in _PARTS}
        names = {**names, **sent} if kind == "add" else sent
    elif part is None:
        names = {}
    elif kind == "remove":
        names.pop(part, None)
    else:
        names[part] = value
    state["name"] = names


def _change_values(
    state: State, kind: str, name: str, chooses: filters.Test | None, part: str | None, value: Any
) -> None:
    """Change the values of `emails` or `roles`, or only the values that the path's filter chooses."""
    rows = [dict(row) for row in state.get(name) or []]
    chosen = rows
    if chooses is not None:
        # Among several roles, the first counts as the primary one.
        shown = [{**row, "primary": row is rows[0]} if name == "roles" else row for row in rows]
        chosen = [row for row, seen in zip(rows, shown, strict=True) if chooses(seen)]
        if not chosen:
            raise filters.no_target()
    if kind == "remove":
        if name == "emails":
            raise Fault("mutability", _("This is required."))
        # Entra ID names the values to remove in the operation's value.
        named = {each["value"] for each in _rows(value or [])} if chooses is None else set()
        state[name] = [row for row in rows if row not in chosen or (named and row["value"] not in named)]
    elif part is not None:
        if part == "value" and not chosen:
            rows.append({"value": value})
        for row in chosen:
            row[part] = value
        state[name] = rows
    else:
        new = _rows(value)
        if name == "emails":
            state[name] = new or rows
        elif kind == "add":
            state[name] = rows + [row for row in new if row["value"] not in {each["value"] for each in rows}]
        else:
            state[name] = [row for row in rows if row not in chosen] + new
    if len(state[name]) > MOST_VALUES:
        raise Fault("invalidValue", _("There are too many values."))


# --- Reading -------------------------------------------------------------------------------------------------


def _whole(body: Any) -> State:
    body = folded(body)
    if USER not in (body.get("schemas") or []):
        raise Fault("invalidSyntax", _("The schemas of a User must contain %(schema)s.") % {"schema": USER})
    state: State = {name: body[name.lower()] for name in _STORED if body.get(name.lower()) is not None}
    if not _text(state, "userName"):
        raise Fault("invalidValue", _("%(member)s is missing.") % {"member": "userName"})
    if "name" in state:
        state["name"] = {_PARTS[key]: each for key, each in folded(state["name"]).items() if key in _PARTS}
    for name in ("emails", "roles"):
        if name in state:
            state[name] = _rows(state[name])
    return state


def _rows(value: Any) -> list[dict[str, Any]]:
    values = value if isinstance(value, list) else [value]
    if len(values) > MOST_VALUES:
        raise Fault("invalidValue", _("There are too many values."))
    rows = [folded({"value": each} if isinstance(each, str) else each) for each in values]
    if not all(isinstance(row.get("value"), str) for row in rows):
        raise Fault("invalidValue", _("A value must be text."))
    return rows


def _text(state: State, name: str) -> str:
    value = state.get(name)
    if value is not None and not isinstance(value, str):
        raise Fault("invalidValue", _("%(member)s must be text.") % {"member": name})
    return (value or "").strip()


def _address(rows: Any) -> str:
    """Return the primary address, or else the work address, or else any address."""
    found = rows or []
    by_rank = sorted(found, key=lambda row: (not _is_yes(row.get("primary")), row.get("type") != "work"))
    return _text(by_rank[0], "value") if by_rank else ""


def _roles(rows: Any) -> frozenset[str]:
    return frozenset(_text(row, "value").lower() for row in rows)


def _yes(value: Any) -> bool:
    """Read a boolean. Entra ID's spelling, "True" and "False", is accepted too."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Fault("invalidValue", _("%(member)s must be true or false.") % {"member": "active"})


def _is_yes(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")
