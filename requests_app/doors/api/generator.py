"""Makes the OpenAPI 3.1 document from the code. Adds how to authenticate, and the answers that all routes share.

Only what makes or checks the document imports this module: its library takes four megabytes of memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django.urls import get_resolver
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from requests_app.doors.api import azure_shapes, schema
from requests_app.doors.api.errors import MEDIA_TYPE
from requests_app.doors.api.pages import CURSOR
from requests_app.doors.api.schema import WORDS, filters_of
from requests_app.doors.api.shapes import Problem

_DONE = {"200": "What was asked for", "201": "The object was made. `Location` has its address", "204": "Done"}

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-\\[\\]-~]+$"},
    OpenApiParameter.HEADER,
    description="The same call with the same key is done only once, even after a 503. The key is stored for 48 hours.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that the caller has."
)


class Generator(SchemaGenerator):
    """Makes the document. All routes are loaded first, and their descriptions are read."""

    def __init__(self, **options: Any) -> None:
        get_resolver().url_patterns  # noqa: B018 - loads them
        schema.describe()
        super().__init__(**options)


class Schema(AutoSchema):
    """Adds to each operation the answers and parameters that all routes have."""

    def get_description(self) -> str:
        """Return the route's own description. The docstring of a base class is for developers, so it is not used."""
        text = getattr(self.view, self.method.lower()).__doc__ or type(self.view).__dict__.get("__doc__") or ""
        return inspect.cleandoc(text)

    def get_override_parameters(self) -> list[Any]:
        found = list(super().get_override_parameters())
        if self._is_list_view():
            found += _of_a_list(self.view)
        elif self.method == "GET" and self._has_etag():
            found.append(IF_NONE_MATCH)
        if self.method == "POST" and getattr(self.view, "changes", False):
            found.append(IDEMPOTENCY_KEY)
        return found

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        found = super().get_operation(*args, **kwargs)
        if found is None or not hasattr(self.view, "scopes"):
            return found
        for fault in self._faults():
            found["responses"].setdefault(str(fault), self._problem(fault))
        for done, words in _DONE.items():
            if done in found["responses"] and not found["responses"][done].get("description"):
                found["responses"][done]["description"] = words
        for status, response in found["responses"].items():
            headers = response.setdefault("headers", {})
            headers["X-Request-ID"] = _header("The id of this call in the provider's logs.")
            if status not in ("401",):
                headers["RateLimit"] = _header("How many calls are left, and when the limit is reset.")
                headers["RateLimit-Policy"] = _header("How many calls are allowed in a minute.")
            if status in ("200", "201", "304") and self._has_etag():
                headers["ETag"] = _header("The version of the object in the answer.")
        if "requestBody" in found and self._needs_body():
            found["requestBody"]["required"] = True
        scope = self.view.scope_of(self.method)
        found["security"] = [{"bearer": []}]
        if scope is not None:
            found["description"] = f"{found.get('description', '')}\n\nScope: `{scope}`.".strip()
            found["x-scope"] = str(scope)
        return found

    def _needs_body(self) -> bool:
        """Return whether an empty body is refused.

        The generator can't see this if any one of the members is enough.
        """
        wanted = self.get_request_serializer()
        return isinstance(wanted, dict) or bool(getattr(wanted, "needs_a_member", False))

    def _faults(self) -> list[int]:
        found = [400, 401, 403, 404, 406, 422, 429, 503]
        if self.method in ("POST", "PATCH", "PUT", "DELETE"):
            found += [409, 413, 415] + ([202] if self.view.may_be_proposed() else [])
        return sorted(found)

    def _problem(self, status: int) -> dict[str, Any]:
        component = self.resolve_serializer(Problem(), "response")
        return {"content": {MEDIA_TYPE: {"schema": component.ref}}, "description": WORDS[status]}

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.method == "GET" and hasattr(self.view, "orders")

    def _has_etag(self) -> bool:
        return not self._is_list_view() and not getattr(self.view, "has_no_etag", False)


class AzureSchema(Schema):
    """Describes the Azure routes in the OpenAPI document, with the parameter `api-version` and Azure's error format."""

    def get_override_parameters(self) -> list[Any]:
        version = OpenApiParameter(
            "api-version", str, enum=[azure_shapes.API_VERSION], required=getattr(self.view, "needs_version", True)
        )
        return [version, *super().get_override_parameters()]

    def _problem(self, status: int) -> dict[str, Any]:
        component = self.resolve_serializer(azure_shapes.AzureError(), "response")
        return {**super()._problem(status), "content": {"application/json": {"schema": component.ref}}}


class AuthZenSchema(Schema):
    """Describes the AuthZEN routes: the standard's statuses, and 503 if the product can't answer."""

    def _faults(self) -> list[int]:
        return [400, 401, 403, 406, 413, 429, 503]


def _of_a_list(view: Any) -> list[OpenApiParameter]:
    """Return the parameters of a list: the filters, the order and the page."""
    names = "|".join(view.serializer_class().fields)
    found = [
        OpenApiParameter(
            "cursor",
            {"type": "string", "pattern": f"^{CURSOR.pattern}$"},
            description="Where the previous page ended; taken from `next` or `previous`.",
        ),
        OpenApiParameter(
            "limit", {"type": "integer", "minimum": 1, "maximum": 200}, description="The number of items on a page."
        ),
        OpenApiParameter(
            "fields",
            {"type": "string", "pattern": f"^({names})(,({names}))*$"},
            description="The members to return, with commas between them.",
        ),
    ]
    if len(view.orders) > 1:
        found.append(OpenApiParameter("order", str, enum=view.orders, default=view.orders[0]))
    return found + (filters_of(view.filterset_class) if view.filterset_class is not None else [])


def _header(words: str) -> dict[str, Any]:
    return {"description": words, "schema": {"type": "string"}}


def close_bodies(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """Forbid unknown members in bodies, and link each new row to its routes. The generator calls this hook."""
    schemas = result["components"]["schemas"]
    for path, item in result["paths"].items():
        for operation in item.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            if "$ref" in body:  # a body without a reference follows another standard, so it stays open
                _close(schemas, body)
            _loosen(schemas, operation)
        made = item.get("post", {}).get("responses", {}).get("201")
        if made is not None:
            made["links"] = dict(_links(result["paths"], path))
    return result


def _close(schemas: dict[str, Any], shape: dict[str, Any]) -> None:
    name = shape.get("$ref", "").rpartition("/")[2]
    shape = schemas.get(name, shape)
    if shape.get("type") != "object" or "properties" not in shape or "additionalProperties" in shape:
        return
    shape["additionalProperties"] = False
    for inner in shape["properties"].values():
        for each in (inner, inner.get("items", {}), *inner.get("allOf", []), *inner.get("oneOf", [])):
            _close(schemas, each)


def _loosen(schemas: dict[str, Any], operation: dict[str, Any]) -> None:
    """Make the members of a list's items optional, because the caller selects them with `fields`."""
    page = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    page = schemas.get(page.get("$ref", "").rpartition("/")[2], page)
    items = page.get("properties", {}).get("items", {}).get("items")
    if items is None or not items.get("$ref") or items["$ref"].endswith("Item"):
        return
    name = items["$ref"].rpartition("/")[2]
    loose = {key: value for key, value in schemas[name].items() if key != "required"}
    schemas[f"{name}Item"] = loose
    items["$ref"] = f"#/components/schemas/{name}Item"


def _links(paths: dict[str, Any], made_at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a link to each route whose address begins with the address of a new row, `{collection}/{id}`."""
    collection = made_at.rpartition("/")[2]
    for path, item in paths.items():
        head, _slash, _rest = path.partition(f"/{collection}/{{id}}")
        if not _slash or "{" in head:
            continue
        for operation in item.values():
            link = {"operationId": operation["operationId"], "parameters": {"id": "$response.body#/id"}}
            yield operation["operationId"], link


class Bearer(OpenApiAuthenticationExtension):
    target_class = "requests_app.doors.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "A personal token, or an access token of a client."}
