"""Answers the proxies of web tools, which ask about each request before they pass it on (forward authentication).

A proxy gets exactly 200 for a request that may pass, 401 without a session, and 403 for everything else: for a refusal,
a fault, and a limit. nginx turns any other status into an error page, and Envoy might treat one as a reason to go on.
The addresses are answered before all other middleware: they have no session of ours, no cookies, no pages and no host
of ours.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.doors import at_tool
from requests_app.models import GateProxy
from requests_app.operations.gates import Pass
from requests_app.queries import gates as queries

security_log = structlog.get_logger("security")

PROXY, IDENTITY = "x-lockbox-proxy", "X-Lockbox-Identity"
#: Tells the proxy whether the tool may answer with a stream of events. A request does not show this for certain.
STREAM = "X-Lockbox-Stream"
#: Tells the proxy why an engineer with a session is refused, for its own page. Without a session, nobody learns it.
REFUSED = "X-Lockbox-Refused"
_BEGINNING = "/forward-auth/"
#: The web server of this product puts here the names of the headers that it left out (lockbox_site.serving.environ).
_LEFT_OUT = "lockbox.left_out"


@dataclass(frozen=True)
class Style:
    """The headers with which a kind of proxy describes the original request."""

    method: str
    target: str
    host: str


#: nginx, and Envoy with the header mutation of the shipped configuration; Caddy and Traefik.
STYLES = {
    "original": Style("x-original-method", "x-original-uri", "x-original-host"),
    "forwarded": Style("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host"),
}


class ForwardAuthMiddleware:
    """Answers the addresses for proxies, and passes on all other requests."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        where = request.path_info
        if not where.startswith((_BEGINNING, at_tool.BEGINNING)):
            return self.get_response(request)
        try:
            return _uncached(_answer(request, where))
        except Exception as error:
            security_log.error("gate.failed", error=type(error).__name__)
            return _uncached(_refused("unavailable"))


def _answer(request: HttpRequest, where: str) -> HttpResponse:
    headers = headers_of(request)
    proxy = _proxy(request, headers)
    if proxy is None:
        security_log.warning("gate.unknown_proxy", ip=request.META.get("REMOTE_ADDR", ""))
        return _refused("unknown_proxy")
    if where.startswith(at_tool.BEGINNING):
        return at_tool.answer(request, headers, proxy.service)
    style = _style(where)
    return _refused("unknown_address") if style is None else _judged(headers, proxy, style)


def _style(where: str) -> Style | None:
    """Return how the proxy that asks at this address describes the request. Envoy appends the path of the request.

    Return None if the path leads out of the address. A proxy passes on everything below the reserved path, with its
    secret, and some read "/forward-auth/original/../../.lockbox/" as such a path. That would be a question that a
    browser has written itself, and the browser would get the identity.
    """
    name = where.removeprefix(_BEGINNING).partition("/")[0]
    is_below = f"{posixpath.normpath(where)}/".startswith(f"{_BEGINNING}{name}/")
    return STYLES.get(name) if is_below else None


def _judged(headers: Mapping[str, str], proxy: GateProxy, style: Style) -> HttpResponse:
    of_style = {style.method, style.target, style.host}
    asker = queries.session(proxy.service, headers)
    found = operations.judge(
        proxy.service,
        host=headers.get(style.host, ""),
        method=headers.get(style.method, ""),
        target=headers.get(style.target, ""),
        headers={name: value for name, value in headers.items() if name not in of_style},
        session=asker,
        proxy=proxy,
    )
    if isinstance(found, Pass):
        response = HttpResponse(status=200)
        response[STREAM] = "yes" if found.allows_stream else "no"
        if found.identity:
            response[IDENTITY] = found.identity
        return response
    is_page = headers.get(style.method) == "GET" and "text/html" in headers.get("accept", "")
    if found.needs_session:
        return at_tool.no_session(proxy.service) if is_page else _refused(found.reason, status=401)
    code = at_tool.shown_code(found.reason, has_session=asker is not None)
    response = at_tool.refused(at_tool.REFUSED.get(code), 403) if is_page else _refused(found.reason)
    if code:
        response[REFUSED] = code
    return response


def headers_of(request: HttpRequest) -> dict[str, str]:
    """Return the headers with their names in small letters.

    Of the headers with underscores in their names, the web server tells only the names. They are here without a value:
    the gate refuses them.
    """
    meta = request.META
    found = {name[5:].lower().replace("_", "-"): str(meta[name]) for name in meta if name.startswith("HTTP_")}
    left_out = str(meta.get(_LEFT_OUT, "")).lower().split(",")
    return {**found, **{name: "" for name in left_out if name}}


def _proxy(request: HttpRequest, headers: Mapping[str, str]) -> GateProxy | None:
    """Return the proxy that asks. Its secret is not accepted if it could be read on the network."""
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        return None
    return queries.trusted_proxy(headers.get(PROXY, ""))


def _refused(reason: str, *, status: int = 403) -> HttpResponse:
    words = {401: _("Open this tool from your window in Lockbox."), 403: _("Lockbox does not allow this.")}
    body = json.dumps({"code": reason, "title": words[status]})
    return HttpResponse(body, status=status, content_type="application/json")


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


def answered_earlier(request: HttpRequest, **_named: object) -> HttpResponse:
    """Refuse. ForwardAuthMiddleware answers these addresses earlier; they are routes so that the list is complete."""
    return _refused("unavailable")


urlpatterns = [
    path("forward-auth/original", answered_earlier, name="gate_original"),
    path("forward-auth/forwarded", answered_earlier, name="gate_forwarded"),
    *(path(f".lockbox/{word}", answered_earlier, name=f"gate_{word}") for word in at_tool.WORDS),
]
