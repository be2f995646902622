"""Leads calls of the API with a token past the middlewares that only browsers need."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from allauth.core import context as sign_in
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed, PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.module_loading import import_string

from lockbox_site.middleware import GetResponse

#: The middlewares that such a call passes by, from the outside in, and why it does not need them.
PASSED_BY = {
    "django.contrib.sessions.middleware.SessionMiddleware": "has no cookie; the header Vary is added here",
    "django.middleware.locale.LocaleMiddleware": "the language is chosen and named here",
    "django.middleware.common.CommonMiddleware": "its checks are made here",
    "django.middleware.csrf.CsrfViewMiddleware": "its cookie is for forms; its check of the view is still made",
    "django.contrib.auth.middleware.AuthenticationMiddleware": "without a session, nobody is signed in",
    "lockbox_site.middleware.SessionLimitsMiddleware": "there is no session to end",
    "django.contrib.messages.middleware.MessageMiddleware": "messages are in the session",
    "requests_app.doors.web.middleware.ActorMiddleware": "the view makes the actor of the token",
    "requests_app.doors.web.signed_out.SignedOutMiddleware": "is about redirects to the sign-in",
    "requests_app.doors.web.once.OnceMiddleware": "is about forms",
    "requests_app.doors.web.gate.SecondFactorMiddleware": "only checks views, which is still done",
    "requests_app.doors.web.stepping.StepUpMiddleware": "only checks views, which is still done",
    "allauth.account.middleware.AccountMiddleware": "its context is set here",
    "django_htmx.middleware.HtmxMiddleware": "is about pages",
}
#: A browser sends at least one of these, as soon as a page or another site is involved.
_OF_BROWSERS = ("HTTP_COOKIE", "HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_MODE", "HTTP_SEC_FETCH_DEST")
_BEGINNING, _SCHEME = "/api/v1/", "bearer "


def is_token_call(request: HttpRequest) -> bool:
    """Return whether a program calls the API with a token and without anything that browsers send."""
    meta = request.META
    return (
        request.path_info.startswith(_BEGINNING)
        and meta.get("HTTP_AUTHORIZATION", "")[: len(_SCHEME)].lower() == _SCHEME
        and not any(map(meta.get, _OF_BROWSERS))
    )


class _Made(threading.local):
    #: What comes after all middlewares that this thread is making.
    after_all: GetResponse | None = None


_made = _Made()


class AfterAllMiddleware:
    """Is the last one. Remembers what comes after all middlewares, and does nothing with requests."""

    def __init__(self, get_response: GetResponse) -> None:
        _made.after_all = get_response
        raise MiddlewareNotUsed


class TokenCallMiddleware:
    """Answers calls with a token without the middlewares of `PASSED_BY`, which all come after this one.

    A call and its answer are the same as with them. Every other request goes through all of them.
    """

    def __init__(self, get_response: GetResponse) -> None:
        assert _made.after_all is not None
        self.get_response, self._after_all, _made.after_all = get_response, _made.after_all, None
        self._common: Any = CommonMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_token_call(request) or not self._is_accepted(request):
            return self.get_response(request)
        _prepare(request)
        with sign_in.request_context(request), timezone.override(None):
            response = self._after_all(request)
        # The view has put the account of the token there.
        if request.user.is_authenticated and not response.has_header("Cache-Control"):
            response["Cache-Control"] = "private, no-store"
        response = self._common.process_response(request, response)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        response.headers.setdefault("Content-Language", translation.get_language())
        return response

    def _is_accepted(self, request: HttpRequest) -> bool:
        """Return whether nothing refuses or redirects this request for its host or its program."""
        try:
            return self._common.process_request(request) is None
        except (DisallowedHost, PermissionDenied):
            return False


def _prepare(request: Any) -> None:
    """Set what the middlewares set."""
    request.session = _sessions()()
    request.user = AnonymousUser()
    translation.activate(translation.get_language_from_request(request))
    request.LANGUAGE_CODE = translation.get_language()


@cache
def _sessions() -> Any:
    return import_string(f"{settings.SESSION_ENGINE}.SessionStore")
