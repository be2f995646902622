"""Decides on each request of the proxy, in a thread, and makes the answers that the proxy gives itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.errors import TooMany
from requests_app.domain.link_templates import origin_of
from requests_app.doors import at_tool
from requests_app.models import Service
from requests_app.operations.gates import NO_SESSION, OTHER_HOST, UNAVAILABLE, Pass
from requests_app.platform.slots import Slot, Slots
from requests_app.queries import gates as queries
from requests_app.queries.gates import Asker

security_log = structlog.get_logger("security")

#: The most requests of one window that run at the same time.
MOST_PER_GRANT = 128
#: What the proxy answers itself, with the status of the answer.
BUSY, UNCLEAR, UPSTREAM_DOWN, UPSTREAM_SLOW = "too_many", "bad_request", "upstream_down", "upstream_slow"
_STATUSES = {NO_SESSION: 401, UNAVAILABLE: 503, OTHER_HOST: 421, UNCLEAR: 400, UPSTREAM_DOWN: 502, UPSTREAM_SLOW: 504}
_WORDS: dict[str, Promise] = {
    NO_SESSION: _("Open this tool from your window in Lockbox."),
    BUSY: _("Too many requests of this window run at the same time. Try again in a minute."),
    UNCLEAR: _("Two programs could read this request differently."),
    UPSTREAM_DOWN: _("The tool does not answer. Try again in a minute."),
    UPSTREAM_SLOW: _("The tool takes too long to answer. Try again in a minute."),
}
SLOTS = Slots(own_taken=_WORDS[BUSY], all_taken=_WORDS[BUSY], share=4)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request at the proxy. `headers` has the names in small letters."""

    host: str
    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def wants_page(self) -> bool:
        return self.method == "GET" and "text/html" in self.headers.get("accept", "")


@dataclass(frozen=True)
class Answer:
    """What the proxy answers without the tool."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A request that may reach the tool now. Its entry is committed. `slot` is released at its end."""

    upstream: str
    scheme: str
    asker: Asker
    passed: Pass
    slot: Slot


def decided(asked: Asked) -> Answer | Admitted:
    """Decide on a request. This never raises an error: what can't be decided is refused."""
    close_old_connections()
    try:
        return _decided(asked)
    except (DatabaseError, InterfaceError) as error:
        security_log.error("gate.unavailable", error=type(error).__name__)
        return refusal(UNAVAILABLE, asked)
    except Exception as error:
        security_log.error("gate.failed", error=type(error).__name__)
        return refusal(UNAVAILABLE, asked)
    finally:
        close_old_connections()


def _decided(asked: Asked) -> Answer | Admitted:
    if settings.SECURE_SSL_REDIRECT and asked.headers.get("x-forwarded-proto") != "https":
        return refusal(OTHER_HOST, asked)
    service = queries.tool_at(asked.host)
    if service is None:
        return refusal(OTHER_HOST, asked)
    if asked.target.startswith(at_tool.BEGINNING):
        return _at_reserved_path(asked, service)
    asker, slot = queries.session(service, asked.headers), Slot(SLOTS, most=MOST_PER_GRANT)
    if asker is not None:
        try:
            slot.take(asker.grant_id)
        except TooMany:
            security_log.warning("gate.too_many", grant=str(asker.grant_id))
            return refusal(BUSY, asked)
    passed: Any = None
    try:
        of: dict[str, Any] = {"host": asked.host, "method": asked.method, "target": asked.target, "session": asker}
        passed = operations.judge(service, **of, headers=asked.headers, cuts=True)
    finally:
        if not isinstance(passed, Pass):
            slot.leave()
    if asker is None or not isinstance(passed, Pass):
        if passed.reason == NO_SESSION and asked.wants_page:
            return _as_answer(at_tool.no_session(service.application))
        return refusal(passed.reason, asked)
    scheme = urlsplit(origin_of(service.link_template)).scheme
    return Admitted(upstream=service.gate_upstream, scheme=scheme, asker=asker, passed=passed, slot=slot)


def _at_reserved_path(asked: Asked, service: Service) -> Answer:
    request = HttpRequest()
    path, _mark, query = asked.target.partition("?")
    request.method, request.path, request.path_info = asked.method, path, path
    request.GET = QueryDict(query)
    headers = {name: value for name, value in asked.headers.items() if name != "x-forwarded-host"}
    return _as_answer(at_tool.answer(request, {**headers, "x-original-host": asked.host}, service))


def refusal(reason: str, asked: Asked | None = None, *, status: int = 0) -> Answer:
    """Return the answer to a request that does not reach the tool, or that the tool does not answer."""
    found = status or _STATUSES.get(reason, 429 if reason == BUSY else 403)
    words = str(_WORDS.get(reason) or at_tool.REFUSED.get(reason) or at_tool.REFUSED[at_tool.NOT_ALLOWED])
    if asked is not None and asked.wants_page:
        response = at_tool.refused(words, found)
    else:
        body = json.dumps({"code": reason, "title": words})
        response = HttpResponse(body, status=found, content_type="application/json")
    if found in (429, 503):
        response["Retry-After"] = "5"
    return _as_answer(response)


def _as_answer(response: HttpResponse) -> Answer:
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    cookies = [("Set-Cookie", each.OutputString()) for each in response.cookies.values()]
    return Answer(response.status_code, [*response.items(), *cookies], response.content)


def in_thread(work: Callable[..., Any], *args: Any) -> Any:
    """Do this with a connection to the database that is not broken."""
    close_old_connections()
    try:
        return work(*args)
    finally:
        close_old_connections()
