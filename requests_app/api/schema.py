"""The OpenAPI 3.1 document, from the code: what every route may answer beside its own, and how to prove who calls."""

from __future__ import annotations

import inspect
from typing import Any

import django_filters
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from requests_app.api.errors import MEDIA_TYPE
from requests_app.api.shapes import Problem

_WORDS = {
    400: "This could not be read",
    401: "No token, or none that is live",
    403: "The caller's role or the token's scope does not allow it",
    404: "Absent, or not the caller's to see",
    406: "No such form of answer",
    409: "The state does not allow it any more; `current` says how it is",
    412: "What is decided on has changed since it was read",
    413: "The body is too large",
    415: "The body is no JSON",
    422: "Well-formed, and not allowed; `errors` names each field",
    428: "A decision without If-Match",
    429: "Too many",
    503: "The store does not answer; nothing was changed",
}

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, required=True, description="The ETag of what was read."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-\\[\\]-~]+$"},
    OpenApiParameter.HEADER,
    description="The same call with the same key gets the same answer, and is done once. Kept for 48 hours.",
)
IF_NONE_MATCH = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that is held.")


def problems(*statuses: int) -> dict[Any, Any]:
    return {(status, MEDIA_TYPE): OpenApiResponse(Problem, description=_WORDS[status]) for status in statuses}


def one(serializer: Any) -> dict[Any, Any]:
    """One row with its ETag."""
    return {200: serializer}


class Schema(AutoSchema):
    """Adds to each operation what the base of all routes may answer, and what it takes."""

    def get_description(self) -> str:
        """What the route says of itself, and not what its base classes say to those who write routes."""
        said = getattr(self.view, self.method.lower()).__doc__ or type(self.view).__dict__.get("__doc__") or ""
        return inspect.cleandoc(said)

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
        for status in self._faults():
            found["responses"].setdefault(str(status), self._problem(status))
        for status, response in found["responses"].items():
            headers = response.setdefault("headers", {})
            headers["X-Request-ID"] = _header("The id of this call in the provider's logs.")
            if status not in ("401",):
                headers["RateLimit"] = _header("How many calls are left, and for how long.")
                headers["RateLimit-Policy"] = _header("How many calls a minute has.")
            if status in ("200", "201", "304") and self._has_etag():
                headers["ETag"] = _header("The version of what is shown.")
        scope = self.view.scopes.get(self.method)
        found["security"] = [{"bearer": []}]
        if scope is not None:
            found["description"] = f"{found.get('description', '')}\n\nScope: `{scope}`.".strip()
            found["x-scope"] = str(scope)
        return found

    def _faults(self) -> list[int]:
        found = [400, 401, 403, 404, 406, 422, 429, 503]
        if self.method in ("POST", "PATCH", "PUT", "DELETE"):
            found += [409, 413, 415]
        return sorted(found)

    def _problem(self, status: int) -> dict[str, Any]:
        component = self.resolve_serializer(Problem(), "response")
        return {"content": {MEDIA_TYPE: {"schema": component.ref}}, "description": _WORDS[status]}

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.method == "GET" and hasattr(self.view, "orders")

    def _has_etag(self) -> bool:
        return not self._is_list_view() and not getattr(self.view, "has_no_etag", False)


def _of_a_list(view: Any) -> list[OpenApiParameter]:
    """The filters, the order and the page: all that a list takes."""
    found = [
        OpenApiParameter("cursor", str, description="Where the page before ended; taken from `next` or `previous`."),
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 200}, description="Items of a page."),
        OpenApiParameter("fields", str, description="The members that are wanted, with commas between them."),
    ]
    if len(view.orders) > 1:
        found.append(OpenApiParameter("order", str, enum=view.orders, default=view.orders[0]))
    filters = view.filterset_class.base_filters if view.filterset_class is not None else {}
    return found + [OpenApiParameter(name, **_kind(each)) for name, each in filters.items()]


def _kind(filtered: Any) -> dict[str, Any]:
    if isinstance(filtered, django_filters.ChoiceFilter):
        return {"type": str, "enum": [str(value) for value, _label in filtered.extra["choices"]]}
    kinds: dict[type[Any], Any] = {
        django_filters.UUIDFilter: {"type": "string", "format": "uuid"},
        django_filters.IsoDateTimeFilter: {"type": "string", "format": "date-time"},
        django_filters.BooleanFilter: {"type": "boolean"},
        django_filters.NumberFilter: {"type": "integer"},
    }
    return {"type": kinds.get(type(filtered), {"type": "string", "maxLength": filtered.extra.get("max_length", 200)})}


def _header(words: str) -> dict[str, Any]:
    return {"description": words, "schema": {"type": "string"}}


class Bearer(OpenApiAuthenticationExtension):
    target_class = "requests_app.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "A personal token, or an access token of a client."}
