"""Describes the routes for the OpenAPI document, which is made only when somebody asks for it (generator.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import django_filters
import drf_spectacular.utils
from django.utils.module_loading import import_string
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from requests_app.doors.api.errors import MEDIA_TYPE
from requests_app.doors.api.fields import IdFilter, InstantFilter, WholeFilter, YesNoFilter
from requests_app.doors.api.shapes import Problem

#: A view, or one of its methods.
View = TypeVar("View", bound=Callable[..., Any])
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

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, required=True, description="The ETag of the object that you have read."
)


def problems(*statuses: int) -> dict[Any, Any]:
    return {(status, MEDIA_TYPE): OpenApiResponse(Problem, description=WORDS[status]) for status in statuses}


def one(serializer: Any) -> dict[Any, Any]:
    """Return the responses of a route that answers 200 with one row."""
    return {200: serializer}


#: The descriptions that were not yet read, in the order of the code.
_waiting: list[Callable[[], object]] = []
_describing = threading.Lock()


def extend_schema(**options: Any) -> Callable[[View], View]:
    """Describe a route, as the library's decorator of this name does. Nothing is done before the document is made.

    The library makes a class of 17 methods for each description, and imports Django's tools for tests.
    """

    def decorate(view: View) -> View:
        _waiting.append(lambda: drf_spectacular.utils.extend_schema(**options)(view))
        return view

    return decorate


def described_by(name: str) -> Callable[[View], View]:
    """Describe the routes of a class of views with this class of generator.py, and not with `Schema`."""

    def decorate(view: View) -> View:
        path = f"requests_app.doors.api.generator.{name}"
        _waiting.append(lambda: setattr(view, "schema", import_string(path)()))
        return view

    return decorate


def describe() -> None:
    """Give the descriptions to the library. Call this before the library makes the document.

    Two threads can make the document at the same time, and neither may begin before all descriptions are given.
    """
    with _describing:
        while _waiting:
            _waiting.pop(0)()


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
