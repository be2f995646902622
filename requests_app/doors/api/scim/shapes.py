"""SCIM's media type, and its formats of lists, errors, a person (User) and a role (Group)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from audit_app import canonical
from requests_app.domain.errors import Malformed
from requests_app.doors.api import errors
from requests_app.models import DirectoryGroup, GroupMember, Membership, Person, Tenant

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
_MESSAGES = "urn:ietf:params:scim:api:messages:2.0"
LIST, ERROR, PATCH = f"{_MESSAGES}:ListResponse", f"{_MESSAGES}:Error", f"{_MESSAGES}:PatchOp"
MEDIA_TYPE = "application/scim+json"


class ScimParser(JSONParser):
    media_type = MEDIA_TYPE


class ScimRenderer(JSONRenderer):
    media_type, format = MEDIA_TYPE, "scim"


class Fault(Malformed):
    """A call that is refused. `scim_type` is one of the error types of RFC 7644, section 3.12."""

    def __init__(self, scim_type: str, message: Any) -> None:
        super().__init__(message)
        self.scim_type = scim_type


def folded(body: Any) -> dict[str, Any]:
    """Return the attributes with lower-case names, because case does not matter in names (RFC 7643, section 2.1)."""
    if not isinstance(body, dict):
        raise Fault("invalidSyntax", _("Send a JSON object here."))
    return {str(name).lower(): value for name, value in body.items()}


# --- Answers -------------------------------------------------------------------------------------------------


def user(person: Person) -> dict[str, Any]:
    """Return one of a tenant's people as a User, with their roles.

    The person must come from `queries.directory.people()`, which also reads the roles.
    """
    held = _held(person)
    roles = {"roles": [{"value": each.role} for each in held], "groups": [_role_ref(each) for each in held]}
    return versioned(_described(person, roles))


def provider_user(person: Person) -> dict[str, Any]:
    """Return one of the provider's people as a User, with their groups. Their roles come through these groups.

    The person must come from `queries.directory.provider_people()`, which also reads the groups.
    """
    shown: list[GroupMember] = person.shown_groups  # type: ignore[attr-defined]  # prefetched by the query
    groups = [_group_ref(each.group_id, each.group.name) for each in shown]
    return versioned(_described(person, {"groups": groups}))


def _described(person: Person, roles: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that all Users have, with one address and one name."""
    record = getattr(person, "directory", None)
    changed_at = record.changed_at if record else person.created_at
    found: dict[str, Any] = {
        "schemas": [USER],
        "id": str(person.pk),
        "userName": record.user_name if record else person.email,
        "displayName": person.name,
        "active": person.is_active,
        "emails": [{"value": person.email, "type": "work", "primary": True}],
        **roles,
        "meta": {
            "resourceType": "User",
            "created": canonical.instant(person.created_at),
            "lastModified": canonical.instant(changed_at),
            "location": location(person.pk),
        },
    }
    if record and record.external_id:
        found["externalId"] = record.external_id
    names = {"givenName": record.given_name, "familyName": record.family_name} if record else {}
    if names := {name: value for name, value in names.items() if value}:
        found["name"] = names
    return found


def group(tenant: Tenant, role: str, members: Iterable[Person]) -> dict[str, Any]:
    """Return a role of the tenant as a Group, with the people who have it (RFC 7643, section 4.2)."""
    return _group(group_id(tenant.pk, role), role, [each.pk for each in members])


def provider_group(row: DirectoryGroup) -> dict[str, Any]:
    """Return a group of the provider's directory. Its members are those whom the directory has put into it.

    The group must come from `queries.directory.provider_groups()`, which also reads the members.
    """
    shown: list[GroupMember] = row.shown_members  # type: ignore[attr-defined]  # prefetched by the query
    return _group(row.pk, row.name, [each.person_id for each in shown])


def _group(pk: UUID, name: str, members: Iterable[UUID]) -> dict[str, Any]:
    return versioned(
        {
            "schemas": [GROUP],
            "id": str(pk),
            "displayName": name,
            "members": [{"value": str(each), "$ref": location(each), "type": "User"} for each in members],
            "meta": {"resourceType": "Group", "location": group_location(pk)},
        }
    )


def group_id(tenant_id: UUID, role: str) -> UUID:
    """Return the id of the role's Group. A role has no row with an id, so the same id is computed each time."""
    return uuid5(tenant_id, role)


def _role_ref(membership: Membership) -> dict[str, str]:
    return _group_ref(group_id(membership.tenant_id, membership.role), membership.role)


def _group_ref(pk: UUID, name: str) -> dict[str, str]:
    return {"value": str(pk), "$ref": group_location(pk), "display": name, "type": "direct"}


def versioned(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the resource with its version (RFC 7644, section 3.14): a digest of all that is shown.

    The digest does not include the time of the last change.
    """
    meta = {name: value for name, value in resource["meta"].items() if name != "lastModified"}
    plain = json.dumps({**resource, "meta": meta}, sort_keys=True, separators=(",", ":")).encode()
    version = f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"'
    return {**resource, "meta": {**resource["meta"], "version": version}}


def _held(person: Person) -> list[Membership]:
    held: list[Membership] = person.shown_memberships  # type: ignore[attr-defined]  # prefetched by the query
    return held


def location(pk: Any) -> str:
    return settings.BASE_URL.rstrip("/") + reverse("api:scim_user", args=[pk])


def group_location(pk: Any) -> str:
    return settings.BASE_URL.rstrip("/") + reverse("api:scim_group", args=[pk])


def listed(rows: list[dict[str, Any]], *, total: int, start: int = 1) -> dict[str, Any]:
    """Return a ListResponse (RFC 7644, section 3.4.2)."""
    return {
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(rows),
        "Resources": rows,
    }


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_$.-]{0,99}")
#: The attributes that are in every answer ("returned": "always" in RFC 7643, section 7).
_ALWAYS = ("schemas", "id")


def selected(resource: dict[str, Any], wanted: str | None, excluded: str | None) -> dict[str, Any]:
    """Return only the `wanted` attributes, or all except the `excluded` attributes (RFC 7644, section 3.9)."""
    if wanted is not None and excluded is not None:
        raise Fault("invalidValue", "attributes and excludedAttributes can’t be used together.")
    if wanted is not None:
        names = _names(wanted)
        return dict(_parts(resource, lambda path: _is_named(path, names)))
    if excluded is not None:
        names = _names(excluded)
        return dict(_parts(resource, lambda path: path not in names, whole=True))
    return resource


def _names(raw: str) -> frozenset[str]:
    plain = (each.strip().removeprefix(f"{USER}:").removeprefix(f"{GROUP}:") for each in raw.split(","))
    found = frozenset(each.lower() for each in plain)
    if len(found) > 50 or not all(_NAME.fullmatch(each) for each in found):
        raise Fault("invalidValue", "This is not a list of attributes.")
    return found


def _is_named(path: str, names: frozenset[str]) -> bool:
    return path in names or path.partition(".")[0] in names


def _parts(resource: dict[str, Any], keeps: Any, *, whole: bool = False) -> Iterable[tuple[str, Any]]:
    """Yield the attributes whose path `keeps` accepts.

    In a complex attribute, keep only the accepted sub-attributes.
    """
    for name, value in resource.items():
        path = name.lower()
        if name in _ALWAYS:
            yield name, value
        elif whole and not keeps(path):
            continue
        elif isinstance(value, dict):
            if inner := {sub: each for sub, each in value.items() if keeps(f"{path}.{sub.lower()}")}:
                yield name, inner
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [{sub: each for sub, each in row.items() if keeps(f"{path}.{sub.lower()}")} for row in value]
            if any(rows):
                yield name, rows
        elif keeps(path):
            yield name, value


# --- Errors ---------------------------------------------------------------------------------------------------

#: The error types of RFC 7644, section 3.12, by this API's codes.
_TYPES = {"taken": "uniqueness", "unacceptable": "invalidValue", "malformed": "invalidSyntax"}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer with the same refusal as the rest of the API, in SCIM's error format."""
    found = errors.handle(error, context)
    if found is None:
        return None
    problem = found.data
    # SCIM does not use the status 422.
    found.status_code = 400 if found.status_code == 422 else found.status_code
    faults = [f"{each['field']}: {each['detail']}" for each in problem.get("errors", [])]
    scim_type = error.scim_type if isinstance(error, Fault) else _TYPES.get(problem["code"], "")
    found.data = {
        "schemas": [ERROR],
        "status": str(found.status_code),
        **({"scimType": scim_type} if scim_type else {}),
        "detail": " ".join(faults) or problem["title"],
    }
    found.content_type = None
    return found
