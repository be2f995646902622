"""How this server describes itself to a directory (RFC 7643, sections 5 to 7, and RFC 7644, section 4)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse

from requests_app.doors.api.scim.shapes import GROUP, USER
from requests_app.models import Membership

_CORE = "urn:ietf:params:scim:schemas:core:2.0"
#: How many resources one page of a list contains at most.
MOST = 200


def service_provider_config() -> dict[str, Any]:
    return {
        "schemas": [f"{_CORE}:ServiceProviderConfig"],
        "documentationUri": f"{settings.BASE_URL.rstrip('/')}/api/",
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": MOST},
        "changePassword": {"supported": False},
        "sort": {"supported": False},
        "etag": {"supported": True},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth Bearer Token",
                "description": "A token of a client that has the scope members:provision.",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": _here("scim_config")},
    }


_DESCRIBED = {"User": "A person", "Group": "A role or a group that gives roles, and its people"}
_SCHEMAS = {"User": USER, "Group": GROUP}


def resource_types() -> dict[str, dict[str, Any]]:
    return {
        name: {
            "schemas": [f"{_CORE}:ResourceType"],
            "id": name,
            "name": name,
            "endpoint": f"/{name}s",
            "description": _DESCRIBED[name],
            "schema": schema,
            "schemaExtensions": [],
            "meta": {"resourceType": "ResourceType", "location": _here("scim_resource_type", name)},
        }
        for name, schema in _SCHEMAS.items()
    }


def schemas(*, of_provider: bool = False) -> dict[str, dict[str, Any]]:
    """Return the schemas. The provider's people have no attribute `roles`, and staff choose the names of the groups."""
    user, group = user_schema(), group_schema()
    if of_provider:
        user["attributes"] = [each for each in user["attributes"] if each["name"] != "roles"]
        group["attributes"][0].pop("canonicalValues", None)
    return {USER: user, GROUP: group}


def group_schema() -> dict[str, Any]:
    return {
        "schemas": [f"{_CORE}:Schema"],
        "id": GROUP,
        "name": "Group",
        "description": _DESCRIBED["Group"],
        "attributes": [
            _attribute(
                "displayName",
                "The role, or the name of the group",
                required=True,
                mutability="readOnly",
                uniqueness="server",
                canonical=list(Membership.Role.values),
            ),
            _attribute(
                "members",
                "The people who have the role, or are in the group",
                kind="complex",
                many=True,
                parts=[
                    _attribute("value", "The id of a User", mutability="immutable"),
                    _attribute(
                        "$ref", "The address of the User", kind="reference", mutability="immutable", to=["User"]
                    ),
                    _attribute("type", "Always a User", mutability="immutable", canonical=["User"]),
                ],
            ),
        ],
        "meta": {"resourceType": "Schema", "location": _here("scim_schema", GROUP)},
    }


def user_schema() -> dict[str, Any]:
    return {
        "schemas": [f"{_CORE}:Schema"],
        "id": USER,
        "name": "User",
        "description": _DESCRIBED["User"],
        "attributes": [
            _attribute("userName", "The name in the directory", required=True, uniqueness="server"),
            _attribute("displayName", "The name that is shown"),
            _attribute(
                "name",
                "The parts of the name",
                kind="complex",
                parts=[_attribute("givenName", "The given name"), _attribute("familyName", "The family name")],
            ),
            _attribute("active", "Whether the account can be used", kind="boolean"),
            _attribute(
                "emails",
                "The email address; only one is stored",
                kind="complex",
                many=True,
                required=True,
                parts=[
                    _attribute("value", "The address", required=True),
                    _attribute("type", "Always work", mutability="readOnly", canonical=["work"]),
                    _attribute(
                        "primary",
                        "Always true, because there is only one address",
                        kind="boolean",
                        mutability="readOnly",
                    ),
                ],
            ),
            _attribute(
                "roles",
                "What a person is allowed to do for the tenant",
                kind="complex",
                many=True,
                parts=[_attribute("value", "The role", canonical=list(Membership.Role.values))],
            ),
            _attribute(
                "groups",
                "The person's groups. A tenant's groups are its roles",
                kind="complex",
                many=True,
                mutability="readOnly",
                parts=[
                    _attribute("value", "The id of a Group", mutability="readOnly"),
                    _attribute(
                        "$ref", "The address of the Group", kind="reference", mutability="readOnly", to=["Group"]
                    ),
                    _attribute("display", "The name of the group", mutability="readOnly"),
                    _attribute("type", "Always directly", mutability="readOnly", canonical=["direct"]),
                ],
            ),
        ],
        "meta": {"resourceType": "Schema", "location": _here("scim_schema", USER)},
    }


def _attribute(
    name: str,
    description: str,
    *,
    kind: str = "string",
    many: bool = False,
    required: bool = False,
    mutability: str = "readWrite",
    uniqueness: str = "none",
    canonical: list[str] | None = None,
    to: list[str] | None = None,
    parts: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name,
        "type": kind,
        "multiValued": many,
        "description": description,
        "required": required,
        "mutability": mutability,
        "returned": "default",
    }
    if kind == "string":
        found |= {"caseExact": False, "uniqueness": uniqueness}
    if to:
        found |= {"referenceTypes": to, "caseExact": True}
    if canonical:
        found["canonicalValues"] = canonical
    if parts:
        found["subAttributes"] = parts
    return found


def _here(name: str, *args: str) -> str:
    return settings.BASE_URL.rstrip("/") + reverse(f"api:{name}", args=args)
