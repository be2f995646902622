"""The round trip to an identity provider: the encrypted cookie that has its state, for ten minutes."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from requests_app.domain import clock
from requests_app.identity.sso import sealing

FLOW_SECONDS = 600


def cookie() -> tuple[str, str]:
    """Return the name and the path of the round trip's cookie. With TLS, only this host can set the cookie."""
    return ("__Host-lockbox_sso", "/") if settings.SESSION_COOKIE_SECURE else ("lockbox_sso", "/sign-in/")


def without_cookie(response: HttpResponse) -> HttpResponse:
    name, path_of_it = cookie()
    response.delete_cookie(name, path=path_of_it, samesite="Lax")
    return response


def stored_trip(request: HttpRequest) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(sealing.opened_flow(request.COOKIES.get(cookie()[0], "")))
    except sealing.Unreadable:
        return {}
    return found if clock.now().timestamp() < found["until"] else {}
