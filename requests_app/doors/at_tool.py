"""The reserved path at the host of a web tool, which the proxy sends here: a browser's way in, and its session.

The proxy guards every other path. A browser gets a random value in a cookie, comes to this product for a one-time code,
and exchanges the code for a session. So a code is worth nothing in another browser.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _lazy

from requests_app import operations
from requests_app.domain import clock, gate_rules, one_time_codes
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError, WindowNotOpen
from requests_app.models import Service
from requests_app.operations.gates import UNAVAILABLE, is_host_of
from requests_app.queries import actor_of, receivers
from requests_app.queries import gates as queries

BEGINNING = "/.lockbox/"
TRY_COOKIE, TRY_FOR = "__Host-lockbox-try", 300
#: A path of the tool, which a browser can't read as another host.
_TO = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*|/")
_HOSTS = ("x-original-host", "x-forwarded-host")
Headers = Mapping[str, str]

#: In place of all other codes. From these, an engineer could learn which resources exist.
NOT_ALLOWED = "not_allowed"
#: What an engineer with a session reads about a refusal, by its code.
REFUSED: dict[str, Promise] = {
    **gate_rules.WORDS,
    WindowNotOpen.code: _lazy("Your window is closed, or does not allow this. To go on, ask for access in Lockbox."),
    NOT_ALLOWED: _lazy("Your window does not allow this. It can be for another resource, or for a lower level."),
    UNAVAILABLE: _lazy("Lockbox can’t check your window at the moment. Try again in a minute."),
}
#: What everybody else reads.
_REFUSED = _lazy("Lockbox does not allow this.")


def answer(request: HttpRequest, headers: Headers, service: Service) -> HttpResponse:
    """Answer a request below the reserved path. Only the host of the proxy's own tool has such a path."""
    word = request.path_info.removeprefix(BEGINNING)
    method, view = WORDS.get(word, ("", _unknown))
    hosts = {headers[name] for name in _HOSTS if name in headers}
    if len(hosts) != 1 or not is_host_of(service, hosts.pop()) or request.method != method:
        response = HttpResponse(status=403)
    else:
        response = view(request, headers, service)
    response["Referrer-Policy"] = "no-referrer"
    response["X-Content-Type-Options"] = "nosniff"
    response.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    return response


def no_session(application: str) -> HttpResponse:
    """Return the page for a browser without a session at the tool. It leads only to this product."""
    return _page("content/no_session.html", 401, application=application)


def shown_code(reason: str, *, has_session: bool) -> str:
    """Return the code that the asker may learn, or "" without a session."""
    return str(reason if reason in REFUSED else NOT_ALLOWED) if has_session else ""


def refused(words: object, status: int) -> HttpResponse:
    """Return the page for a browser whose request is refused. It leads only to this product."""
    return _page("content/tool_refused.html", status, words=words or _REFUSED)


def _page(template: str, status: int, **shown: object) -> HttpResponse:
    style = loader.get_template("content/no_session.css").render()
    context = {**shown, "lockbox": settings.BASE_URL + "/", "style": format_html("<style>{}</style>", style)}
    response = HttpResponse(loader.get_template(template).render(context), status=status)
    # The page can load nothing of this product at the tool's host, so its style is in it, and only this style.
    digest = b64encode(sha256(style.encode()).digest()).decode()
    response["Content-Security-Policy"] = f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
    return response


def _open(request: HttpRequest, headers: Headers, service: Service) -> HttpResponse:
    """Begin: give the browser a random value, and send it to this product, which gets only the value's hash."""
    receiver, to = receivers.of_service(service), request.GET.get("to", "/")
    if receiver is None or _TO.fullmatch(to) is None:
        return HttpResponse(status=403)
    verifier = secrets.token_urlsafe(32)
    asked = {
        "response_type": "code",
        "client_id": receiver.client_id,
        "redirect_uri": receiver.redirect_uri,
        "state": to,
        "code_challenge": one_time_codes.challenge_of(verifier),
        "code_challenge_method": one_time_codes.METHOD,
        "grant": request.GET.get("grant", ""),
    }
    response = _to(f"{settings.BASE_URL}{reverse('web:authorize')}?{urlencode(asked)}")
    _set(response, TRY_COOKIE, verifier, TRY_FOR)
    return response


def _code(request: HttpRequest, headers: Headers, service: Service) -> HttpResponse:
    """Exchange the code for a session, in the browser that began. In another one, this uses the code up."""
    receiver, to = receivers.of_service(service), request.GET.get("state", "")
    # Without the cookie, no verifier is right. The code may be known to others now, so it must not stay valid.
    verifier, code = queries.cookie(headers, TRY_COOKIE) or "", request.GET.get("code", "")
    if receiver is None or _TO.fullmatch(to) is None or not code:
        return no_session(service.application)
    secret = secrets.token_urlsafe(32)
    try:
        row = operations.redeem_code(
            code,
            receiver=receiver,
            redirect_uri=receiver.redirect_uri,
            verifier=verifier,
            actor=Actor.system("gate"),
            keep=operations.gate_session(secret),
        )
    except DomainError:
        return no_session(service.application)
    response = _to(to)
    _set(response, queries.SESSION_COOKIE, secret, int((row.grant.closes_at - clock.now()).total_seconds()))
    _set(response, TRY_COOKIE, "", 0)
    return response


def _status(request: HttpRequest, headers: Headers, service: Service) -> HttpResponse:
    """Say whether the browser's window is open, and for how long."""
    asker = queries.session(service, headers)
    grant = queries.window_of(asker, service) if asker is not None else None
    if grant is None:
        return JsonResponse({"open": False})
    left = (grant.closes_at - clock.now()).total_seconds()
    return JsonResponse(
        {
            "open": True,
            "grant": str(grant.pk),
            "reference": grant.access_request.reference,
            "level": str(grant.level),
            "engineer": grant.engineer.name,
            "closes_at": f"{grant.closes_at:%Y-%m-%dT%H:%M:%SZ}",
            "seconds_left": max(0, int(left)),
        }
    )


def _done(request: HttpRequest, headers: Headers, service: Service) -> HttpResponse:
    """Release the engineer's window. Only a page of the tool itself can do this."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    receiver, asker = receivers.of_service(service), queries.session(service, headers)
    if receiver is None or (origin != receiver.origin and site != "same-origin"):
        return HttpResponse(status=403)
    grant = queries.window_of(asker, service) if asker is not None else None
    if grant is None:
        return no_session(service.application)
    try:
        operations.release(grant.access_request_id, actor=actor_of(grant.engineer, door="api"))
    except DomainError:
        return HttpResponse(status=403)
    response = _to(settings.BASE_URL + reverse("web:window", args=[grant.pk]), status=303)
    _set(response, queries.SESSION_COOKIE, "", 0)
    return response


def _unknown(request: HttpRequest, headers: Headers, service: Service) -> HttpResponse:
    return HttpResponse(status=403)


#: What the reserved path answers, each with its method.
WORDS: dict[str, tuple[str, Callable[[HttpRequest, Headers, Service], HttpResponse]]] = {
    "open": ("GET", _open),
    "code": ("GET", _code),
    "status": ("GET", _status),
    "done": ("POST", _done),
}


def _to(url: str, *, status: int = 302) -> HttpResponse:
    return HttpResponse(status=status, headers={"Location": url})


def _set(response: HttpResponse, name: str, value: str, seconds: int) -> None:
    more: dict[str, Any] = {"secure": True, "httponly": True, "samesite": "Lax", "path": "/"}
    response.set_cookie(name, value, max_age=seconds, **more)
