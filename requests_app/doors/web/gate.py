"""Redirects people to the set-up page if their role needs a second factor and they have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse

from requests_app.domain import policy
from requests_app.doors.web.middleware import actor_in
from requests_app.platform import webauthn

security_log = structlog.get_logger("security")

#: The pages that need no second factor: the set-up, signing out, and everything that is open to everybody.
OPEN = frozenset(
    {
        *("web:security_set_up", "web:security_add_passkey", "web:step_up", "web:set_theme", "web:limits"),
        *("web:sso", "web:sso_callback"),
        *("account_login", "account_logout", "account_inactive", "mfa_authenticate"),
        *("account_reset_password", "account_reset_password_done"),
        *("account_reset_password_from_key", "account_reset_password_from_key_done"),
        *("healthz", "readyz", "metrics"),
    }
)


class SecondFactorMiddleware:
    """Redirects a person who lacks a needed second factor to the set-up page.

    After the set-up, the person returns to the page that they wanted.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.view_name in OPEN or "api" in match.app_names or not lacks_second_factor(request):
            return None
        if request.headers.get("HX-Request") == "true":
            # This makes htmx load the whole page again. That request is then redirected to the set-up.
            return HttpResponse(status=401, headers={"HX-Refresh": "true"})
        security_log.info("second_factor.missing", user_id=str(request.user.pk), path=request.path)
        target = request.get_full_path() if request.method in ("GET", "HEAD") else "/"
        return redirect_to_login(target, second_factor_page())


def second_factor_page() -> str:
    """Return the address of the page for a first second factor: a passkey, or an app if this site can't have passkeys.

    Each of the two pages has a link to the other.
    """
    return reverse("web:security_add_passkey" if webauthn.site_has_name() else "web:security_set_up")


def lacks_second_factor(request: HttpRequest) -> bool:
    """Return whether this person needs a second factor and has none.

    Nearly everybody has a second factor. For them, this needs no query.
    """
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
        return False
    return not request.user.has_second_factor and policy.needs_second_factor(actor_in(request))
