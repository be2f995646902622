"""What this server says of itself to a directory: RFC 7643, sections 5 to 7, and RFC 7644, section 4."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse

from requests_app.api.scim.shapes import USER
from requests_app.models import Membership

_CORE = "urn:ietf:params:scim:schemas:core:2.0"
#: Of one page of a list.
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
        "etag": {"supported": False},
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth Bearer Token",
                "description": "An access token of one of the tenant's clients, with the scope members:provision.",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": _here("scim_config")},
    }


def resource_type() -> dict[str, Any]:
    return {
        "schemas": [f"{_CORE}:ResourceType"],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "description": "Somebody of the tenant",
        "schema": USER,
        "schemaExtensions": [],
        "meta": {"resourceType": "ResourceType", "location": _here("scim_resource_type", "User")},
    }


def user_schema() -> dict[str, Any]:
    return {
        "schemas": [f"{_CORE}:Schema"],
        "id": USER,
        "name": "User",
        "description": "Somebody of the tenant",
        "attributes": [
            _attribute("userName", "The name in the directory", required=True, uniqueness="server"),
            _attribute("displayName", "The name that is shown"),
            _attribute(
                "name",
                "The parts of the name",
                kind="complex",
                parts=[_attribute("givenName", "The given name"), _attribute("familyName", "The family name")],
            ),
            _attribute("active", "Whether the account may be used", kind="boolean"),
            _attribute(
                "emails",
                "The address; one is kept",
                kind="complex",
                many=True,
                required=True,
                parts=[
                    _attribute("value", "The address", required=True),
                    _attribute("type", "Always the one at work", mutability="readOnly", canonical=["work"]),
                    _attribute("primary", "Always, for it is the only one", kind="boolean", mutability="readOnly"),
                ],
            ),
            _attribute(
                "roles",
                "What somebody may do for the tenant",
                kind="complex",
                many=True,
                parts=[_attribute("value", "The role", canonical=list(Membership.Role.values))],
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
    if canonical:
        found["canonicalValues"] = canonical
    if parts:
        found["subAttributes"] = parts
    return found


def _here(name: str, *args: str) -> str:
    return settings.BASE_URL.rstrip("/") + reverse(f"api:{name}", args=args)
