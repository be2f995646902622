"""Answers the proxies of web tools, which ask about each request before they pass it on (forward authentication).

A proxy gets exactly 200 for a request that may pass, 401 without a session, and 403 for everything else: for a refusal,
a fault, and a limit. nginx turns any other status into an error page, and Envoy might treat one as a reason to go on.
The addresses are answered before all other middleware: they have no session of ours, no cookies, no pages and no host
of ours. The web server answers the questions without Django (`lockbox_site.serving.fast_gate`), with the same `steps`.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _

from requests_app.doors import at_tool
from requests_app.models.gate_calls import GateQuery
from requests_app.operations.gates import UNAVAILABLE, UNKNOWN_PROXY, GateCall, GateRequest, Pass, Refusal
from requests_app.queries import gates as queries
from requests_app.queries.gates import Asker

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCall:
    """A question of a proxy. `headers` has the names in small letters (`with_left_out`)."""

    path: str
    headers: Mapping[str, str]
    #: Whether the proxy has used TLS, where that is needed.
    is_safe: bool
    ip: str


#: Making an answer yields a call for the decision lane, or a function that needs a thread. It gets the result of this.
Steps = Generator[GateCall | Callable[[], Any], Any, HttpResponse]


def is_question(path: str) -> bool:
    """Return whether a proxy asks at this address."""
    return path.startswith(_BEGINNING)


def steps(call: ProxyCall) -> Steps:
    """Make the answer. The web server does these steps on its event loop, and the middleware in one thread."""
    try:
        response = yield from _answered(call)
    except Exception as error:
        response = _failed(error)
    return _uncached(response)


def too_busy() -> HttpResponse:
    """Return the answer if nobody can begin with a call."""
    return _uncached(_refused(UNAVAILABLE))


class ForwardAuthMiddleware:
    """Answers the addresses for proxies, and passes on all other requests."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        where = request.path_info
        if is_question(where):
            return _in_this_thread(steps(_call_of(request)))
        if not where.startswith(at_tool.BEGINNING):
            return self.get_response(request)
        try:
            return _uncached(_at_tool(request, _call_of(request)))
        except Exception as error:
            return _uncached(_failed(error))


def _in_this_thread(steps: Steps) -> HttpResponse:
    go_on: Callable[[Any], Any] = steps.send
    result: Any = None
    while True:
        try:
            wanted = go_on(result)
        except StopIteration as end:
            return cast(HttpResponse, end.value)
        try:
            work = wanted.decide_here if isinstance(wanted, GateCall) else wanted
            go_on, result = steps.send, work()
        except Exception as error:
            go_on, result = steps.throw, error


def _call_of(request: HttpRequest) -> ProxyCall:
    meta = request.META
    headers = {name[5:].lower().replace("_", "-"): str(meta[name]) for name in meta if name.startswith("HTTP_")}
    left_out = str(meta.get(_LEFT_OUT, "")).lower().split(",")
    return ProxyCall(
        path=request.path_info,
        headers=with_left_out(headers, left_out),
        is_safe=request.is_secure() or not settings.SECURE_SSL_REDIRECT,
        ip=request.META.get("REMOTE_ADDR", ""),
    )


def with_left_out(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the headers with those that have an underscore in their name, and no value: the gate refuses them."""
    return {**headers, **{name: "" for name in names if name}}


def _at_tool(request: HttpRequest, call: ProxyCall) -> HttpResponse:
    proxy = queries.trusted_proxy(_secret(call))
    return _unknown_proxy(call) if proxy is None else at_tool.answer(request, call.headers, proxy.service)


def _answered(call: ProxyCall) -> Steps:
    style, secret = _style(call.path), _secret(call)
    if not queries.may_be_secret(secret):
        return _unknown_proxy(call)
    found: dict[str, Any] = {"proxy": queries.hash_of(secret)}
    cookie = queries.cookie(call.headers, queries.SESSION_COOKIE)
    if style is not None and cookie is not None:
        found["session"] = queries.hash_of(cookie)
    elif style is None or queries.has_token(call.headers):
        # The audience of a token is the tool, so the proxy must be known before.
        known = yield partial(_identified, secret, call.headers)
        if known is None:
            return _unknown_proxy(call)
        if style is None:
            return _refused("unknown_address")
        if known.asker is not None:
            found |= {"person": known.asker.person_id, "grant": known.asker.grant_id}
    return (yield from _judged(call, style, GateQuery(**found)))


def _judged(call: ProxyCall, style: Style, query: GateQuery) -> Steps:
    headers, of_style = call.headers, {style.method, style.target, style.host}
    asked = GateCall(
        GateRequest(
            host=headers.get(style.host, ""),
            method=headers.get(style.method, ""),
            target=headers.get(style.target, ""),
            headers={name: value for name, value in headers.items() if name not in of_style},
        ),
        query,
    )
    yield asked
    found: Pass | Refusal = (yield asked.found) if asked.needs_thread else asked.found()
    if isinstance(found, Pass):
        response = HttpResponse(status=200)
        response[STREAM] = "yes" if found.allows_stream else "no"
        if found.identity:
            response[IDENTITY] = found.identity
        return response
    if found.reason == UNKNOWN_PROXY:
        return _unknown_proxy(call)
    is_page = headers.get(style.method) == "GET" and "text/html" in headers.get("accept", "")
    if found.needs_session:
        if not is_page:
            return _refused(found.reason, status=401)
        return cast(HttpResponse, (yield partial(at_tool.no_session, asked.application)))
    code = at_tool.shown_code(found.reason, has_session=asked.has_asker)
    if is_page:
        response = yield partial(at_tool.refused, at_tool.REFUSED.get(code), 403)
    else:
        response = _refused(found.reason)
    if code:
        response[REFUSED] = code
    return response


@dataclass(frozen=True)
class _Known:
    """A proxy that Lockbox trusts, and the asker whom the token proves, if it does."""

    asker: Asker | None


def _identified(secret: str, headers: Mapping[str, str]) -> _Known | None:
    proxy = queries.trusted_proxy(secret)
    return None if proxy is None else _Known(queries.session(proxy.service, headers))


def _style(where: str) -> Style | None:
    """Return how the proxy that asks at this address describes the request. Envoy appends the path of the request.

    Return None if the path leads out of the address. A proxy passes on everything below the reserved path, with its
    secret, and some read "/forward-auth/original/../../.lockbox/" as such a path. That would be a question that a
    browser has written itself, and the browser would get the identity.
    """
    name = where.removeprefix(_BEGINNING).partition("/")[0]
    is_below = f"{posixpath.normpath(where)}/".startswith(f"{_BEGINNING}{name}/")
    return STYLES.get(name) if is_below else None


def _secret(call: ProxyCall) -> str:
    """Return the secret of the proxy. It is not accepted if it could be read on the network."""
    return call.headers.get(PROXY, "") if call.is_safe else ""


def _unknown_proxy(call: ProxyCall) -> HttpResponse:
    security_log.warning("gate.unknown_proxy", ip=call.ip)
    return _refused(UNKNOWN_PROXY)


def _failed(error: Exception) -> HttpResponse:
    security_log.error("gate.failed", error=type(error).__name__)
    return _refused(UNAVAILABLE)


def _refused(reason: str, *, status: int = 403) -> HttpResponse:
    words = {401: _("Open this tool from your window in Lockbox."), 403: _("Lockbox does not allow this.")}
    body = json.dumps({"code": reason, "title": words[status]})
    return HttpResponse(body, status=status, content_type="application/json")


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


def answered_earlier(request: HttpRequest, **_named: object) -> HttpResponse:
    """Refuse. ForwardAuthMiddleware answers these addresses earlier; they are routes so that the list is complete."""
    return _refused(UNAVAILABLE)


urlpatterns = [
    path("forward-auth/original", answered_earlier, name="gate_original"),
    path("forward-auth/forwarded", answered_earlier, name="gate_forwarded"),
    *(path(f".lockbox/{word}", answered_earlier, name=f"gate_{word}") for word in at_tool.WORDS),
]
