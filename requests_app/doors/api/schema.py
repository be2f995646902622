"""Makes the OpenAPI 3.1 document from the code. Adds how to authenticate, and the answers that all routes share."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import django_filters
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from requests_app.doors.api.errors import MEDIA_TYPE
from requests_app.doors.api.fields import IdFilter, InstantFilter, WholeFilter, YesNoFilter
from requests_app.doors.api.pages import CURSOR
from requests_app.doors.api.shapes import Problem

WORDS = {
    202: "Proposed, and not done yet: another person must confirm it. `current.proposal` names the proposal",
    400: "The call could not be read",
    401: "No token was sent, or the token is not valid",
    403: "The caller's role or the token's scope does not allow this call",
    404: "The object does not exist, or the caller does not have access to it",
    406: "The API can't answer in the format that was asked for",
    409: "The present state does not allow this act; `current` has the present state",
    412: "The object has changed since the caller read it",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "Well-formed, but not allowed; `errors` names each field",
    428: "A decision without If-Match",
    429: "Too many calls, or too many at the same time",
    503: (
        "The service can't reach its database: nothing was changed (`store_unavailable`), or it is not known whether "
        "anything was changed (`outcome_unknown`)"
    ),
}

_DONE = {"200": "What was asked for", "201": "The object was made. `Location` has its address", "204": "Done"}

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, required=True, description="The ETag of the object that you have read."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-\\[\\]-~]+$"},
    OpenApiParameter.HEADER,
    description="The same call with the same key is done only once, even after a 503. The key is stored for 48 hours.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that the caller has."
)


def problems(*statuses: int) -> dict[Any, Any]:
    return {(status, MEDIA_TYPE): OpenApiResponse(Problem, description=WORDS[status]) for status in statuses}


def one(serializer: Any) -> dict[Any, Any]:
    """Return the responses of a route that answers 200 with one row."""
    return {200: serializer}


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


def filters_of(filterset: Any, *, only: Iterable[str] = ()) -> list[OpenApiParameter]:
    """Return all filters of a filterset as parameters, or only the filters in `only`."""
    wanted = frozenset(only) or frozenset(filterset.base_filters)
    return [OpenApiParameter(name, **_kind(each)) for name, each in filterset.base_filters.items() if name in wanted]


def _kind(filtered: Any) -> dict[str, Any]:
    if isinstance(filtered, YesNoFilter):
        return {"type": bool}
    if isinstance(filtered, WholeFilter):
        return {"type": {"type": "integer", "minimum": 0, "maximum": WholeFilter.most}}
    if isinstance(filtered, django_filters.ChoiceFilter):
        return {"type": str, "enum": [str(value) for value, _label in filtered.extra["choices"]]}
    kinds: dict[type[Any], Any] = {
        IdFilter: {"type": "string", "format": "uuid"},
        InstantFilter: {"type": "string", "format": "date-time"},
        django_filters.NumberFilter: {"type": "integer"},
    }
    # An empty filter is refused: see ApiView.filtered().
    words = {"type": "string", "minLength": 1, "maxLength": filtered.extra.get("max_length", 200), "pattern": r"\S"}
    return {"type": kinds.get(type(filtered), words)}


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
