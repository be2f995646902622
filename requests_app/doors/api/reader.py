"""The API's documentation for people. This server makes it from the document that machines read."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from requests_app.domain import clock
from requests_app.domain.errors import DomainError, SentAlready
from requests_app.domain.scopes import LABELS, Scope
from requests_app.doors.api import components, errors
from requests_app.doors.api.schema import WORDS

#: The framework's refusals, by code. This product has no classes for them.
_OF_THE_FRAMEWORK = {
    "invalid_token": (401, "No token was sent, or the token is not valid."),
    "method_not_allowed": (405, "The route does not accept this method."),
    "tls_required": (403, "Use https for this call."),
    "not_acceptable": (406, "The API can't answer in the format that was asked for."),
    "too_large": (413, "The body is larger than the API accepts."),
    "unsupported_media_type": (415, "The body is not JSON."),
    "rate_limited": (429, "Too many calls. Wait for the time in the Retry-After header."),
    "request_timeout": (408, "The body of the call did not arrive in time. This attempt changed nothing."),
    "streams_full": (503, "There are too many open downloads and waiting calls. Try again in a minute."),
}
#: Refusals of a form that was sent before. The API has no such refusal: a repeated call gets the first answer.
_OF_PAGES = frozenset({SentAlready.code})


#: The statuses that any route can answer. The page lists them once.
EVERYWHERE = ("400", "401", "403", "404", "406", "409", "413", "415", "422", "429", "503")


@dataclass(frozen=True)
class Member:
    """One parameter, or one member of a body."""

    name: str
    kind: str
    is_required: bool
    words: str = ""


@dataclass(frozen=True)
class Route:
    id: str
    method: str
    path: str
    summary: str
    words: str
    scope: str
    parameters: list[Member] = field(default_factory=list)
    body: list[Member] = field(default_factory=list)
    example: str = ""
    answers: list[tuple[str, str]] = field(default_factory=list)


#: The headings of the document's tags, in the order of the page.
GROUPS = {
    "caller": _("The caller"),
    "tenants": _("Tenants"),
    "members": _("Members"),
    "single sign-on": _("Single sign-on"),
    "services": _("Services and resources"),
    "provider": _("The provider"),
    "tickets": _("Tickets"),
    "access requests": _("Access requests"),
    "grants": _("Access windows"),
    "log": _("The log"),
    "events": _("Events"),
    "webhooks": _("Webhooks"),
    "shared signals": _("Shared signals"),
    "callers": _("Clients and tokens"),
    "decision point": _("The decision point"),
    "guards": _("Guards of applications"),
    "azure": _("Azure’s contract"),
}


@dataclass(frozen=True)
class Group:
    tag: str
    routes: list[Route]

    @property
    def anchor(self) -> str:
        return self.tag.replace(" ", "-")

    @property
    def name(self) -> str:
        return str(GROUPS[self.tag])


@dataclass(frozen=True)
class Code:
    code: str
    status: int
    words: str

    @property
    def anchor(self) -> str:
        return self.code.replace("_", "-")


@require_safe
def reader(request: HttpRequest) -> HttpResponse:
    description = described(translation.get_language())
    context = {"now": clock.now(), "description": description, "base_url": settings.BASE_URL}
    return render(request, "api/reader.html", context)


@lru_cache
def described(_language: str | None) -> SafeString:
    """Return the part of the page that is the same for all readers. The cache has one result for each language.

    It has nearly 500 kB. To make it takes ten times as long as the rest of the page.
    """
    context = {
        "groups": groups(),
        "codes": codes(),
        "everywhere": [(status, WORDS[int(status)].replace("`", "")) for status in EVERYWHERE],
        "scopes": [(str(scope), LABELS[scope]) for scope in Scope],
    }
    return render_to_string("api/_description.html", context)


#: The library loads its own classes at their first use. If two threads do so at the same time, both fail.
_making = threading.Lock()


def document() -> dict[str, Any]:
    """Return the OpenAPI document. The first thread that asks makes it, and the others wait until it is made.

    The document changes only with the code.
    """
    with _making:
        return _made()


@lru_cache(maxsize=1)
def _made() -> dict[str, Any]:
    # Imported late, because few processes ever make the document.
    from requests_app.doors.api.generator import Generator

    return components.share(Generator().get_schema(request=None, public=True))


@lru_cache(maxsize=1)
def as_json() -> bytes:
    """Return the document as bytes. The document is public and has 300 kB, so it is made once and stays in memory."""
    return JsonResponse(document(), json_dumps_params={"ensure_ascii": False}).content


def groups() -> list[Group]:
    """Return the routes in one group for each tag."""
    found: dict[str, list[Route]] = {}
    schema = document()
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "operationId" in operation:
                tag = operation["tags"][0]
                found.setdefault(tag, []).append(_route(schema, path, method, operation))
    return [Group(tag, found[tag]) for tag in sorted(found, key=list(GROUPS).index)]


def codes() -> list[Code]:
    """Return every code that a problem can have, each code once."""
    kinds = [each for each in _kinds(DomainError) if each.code not in _OF_PAGES]
    found = {each.code: Code(each.code, each.status, _in_words(each)) for each in kinds}
    found |= {code: Code(code, status, words) for code, (status, words) in _OF_THE_FRAMEWORK.items()}
    return sorted(found.values(), key=lambda each: (each.status, each.code))


def _in_words(kind: type[DomainError]) -> str:
    if kind.default is DomainError.default and kind is not DomainError:
        return " ".join((kind.__doc__ or "").split())
    return str(kind.default)


def _kinds(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    assert errors.MEDIA_TYPE  # importing `errors` defines its subclasses of DomainError, so that they are found
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def _route(schema: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Route:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = [each.get("value") for each in content.get("examples", {}).values()]
    words = operation.get("description", "").partition("\n\nScope:")[0]
    return Route(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        words="" if words.startswith("Scope:") else words.replace("`", ""),
        scope=operation.get("x-scope", ""),
        parameters=[
            Member(
                each["name"], _kind(schema, each["schema"]), each.get("required", False), each.get("description", "")
            )
            for each in (components.resolved(schema, parameter) for parameter in operation.get("parameters", []))
        ],
        body=list(_members(schema, content.get("schema", {}))),
        example=json.dumps(examples[0], indent=2, ensure_ascii=False) if examples else "",
        answers=[
            (status, components.resolved(schema, answer).get("description", "").replace("`", ""))
            for status, answer in operation["responses"].items()
            if status not in EVERYWHERE
        ],
    )


def _members(schema: dict[str, Any], shape: dict[str, Any]) -> Iterator[Member]:
    shape = _resolved(schema, shape)
    required = shape.get("required", [])
    for name, each in shape.get("properties", {}).items():
        yield Member(name, _kind(schema, each), name in required, each.get("description", ""))


def _kind(schema: dict[str, Any], shape: dict[str, Any]) -> str:
    shape = _resolved(schema, shape)
    if "enum" in shape:
        return " | ".join(str(each) for each in shape["enum"])
    kind = shape.get("type", "object")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    if kind == "array":
        return f"[{_kind(schema, shape.get('items', {}))}]"
    return str(shape.get("format", kind))


def _resolved(schema: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    for wrapped in ("allOf", "oneOf", "anyOf"):
        if wrapped in shape:
            shape = shape[wrapped][0]
    return components.resolved(schema, shape)
