"""The authorization endpoint (RFC 6749, section 4.1): sends an engineer's browser to an application with a code.

A GET, because the application sends the browser here. It opens nothing: the code gives no more than the engineer's open
window, and only to the application, for the browser that holds the proof key (RFC 7636).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET

from requests_app import operations
from requests_app.domain import one_time_codes
from requests_app.domain.actors import Side
from requests_app.domain.errors import WindowNotOpen
from requests_app.domain.ids import as_id
from requests_app.doors.web.content import closed_page
from requests_app.doors.web.middleware import actor_in
from requests_app.queries import receivers
from requests_app.queries.receivers import Receiver

#: Parameters that decide something. RFC 6749, section 3.1: none may be sent twice, and others are ignored.
_READ = ("response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "grant")


@login_required
@require_GET
@cache_control(no_store=True, private=True)
def authorize(request: HttpRequest) -> HttpResponse:
    """Answer with a code, or with an error of RFC 6749, section 4.1.2.1.

    An unknown client and an address that is not registered get a page here: the browser is sent to no such address. So
    does a person who has no such window.
    """
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        return HttpResponse(status=425)
    repeated = [name for name in _READ if len(request.GET.getlist(name)) > 1]
    asked = {name: request.GET.get(name, "") for name in _READ}
    # Only the provider's people have windows. For a customer, PostgreSQL hides the provider's clients, too.
    receiver = receivers.find(asked["client_id"]) if actor_in(request).side is Side.PROVIDER else None
    if (
        receiver is None
        or asked["redirect_uri"] != receiver.redirect_uri
        or {"client_id", "redirect_uri"} & {*repeated}
    ):
        return render(request, "content/no_receiver.html", status=400)
    error = _error_in(asked, repeated)
    if error:
        return _back(request, receiver, {**error, "state": asked["state"]})
    try:
        code = operations.issue_code(
            asked["grant"],
            receiver=receiver,
            redirect_uri=asked["redirect_uri"],
            challenge=asked["code_challenge"],
            actor=actor_in(request),
        )
    except WindowNotOpen:
        return closed_page(request, asked["grant"])
    return _back(request, receiver, {"code": code, "state": asked["state"]})


def _error_in(asked: Mapping[str, str], repeated: list[str]) -> dict[str, str]:
    """Return the error of a request that is not well-formed, or {}. The words are for the application's developer."""
    if repeated:
        return _invalid(f"{repeated[0]} is sent twice.")
    if not asked["response_type"]:
        return _invalid("response_type is missing.")
    if asked["response_type"] != "code":
        return {"error": "unsupported_response_type"}
    if asked["code_challenge_method"] != one_time_codes.METHOD:
        return _invalid("code_challenge_method must be S256.")
    if not one_time_codes.is_challenge(asked["code_challenge"]):
        return _invalid("code_challenge must be a SHA-256 hash in base64url.")
    if as_id(asked["grant"]) is None:
        return _invalid("grant must be the id of a window.")
    return {}


def _invalid(words: str) -> dict[str, str]:
    return {"error": "invalid_request", "error_description": words}


def _back(request: HttpRequest, receiver: Receiver, answer: Mapping[str, str]) -> HttpResponse:
    """Send the browser to the receiver, with the issuer in the answer (RFC 9207).

    After a form of this site (the sign-in), the page's policy lets no redirect lead to another site (`form-action`). So
    if this site began the navigation, a small page continues. No answer tells the next site the address with the code.
    """
    filled = {name: value for name, value in answer.items() if value}
    url = f"{receiver.redirect_uri}?{urlencode({**filled, 'iss': settings.BASE_URL})}"
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        context = {"url": url, "application": receiver.service.application}
        response = render(request, "content/going.html", context)
    else:
        response = HttpResponse(status=302, headers={"Location": url})
    response["Referrer-Policy"] = "no-referrer"
    return response


urlpatterns = [path("oauth/authorize", authorize, name="authorize")]
