"""The page of the set-up link, on which the first staff member makes an account. Opening the page changes nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.acts.set_up import MAKE_FIRST_STAFF
from requests_app.domain.errors import NotAllowed, NotFound, TooMany, Unacceptable
from requests_app.doors.web._step_up import remember_sign_in
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.set_up import FirstStaffForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.invitations import stranger
from requests_app.platform import program, time_zones
from requests_app.platform.loopback import is_loopback
from requests_app.queries import installation as facts
from requests_app.words.times import duration_words

security_log = structlog.get_logger("security")


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, secret: str) -> HttpResponse:
    """Show a button, which binds the link to this browser. In this browser, then show the form.

    Before the button was used, the page is the same for every link, so it reveals nothing about a link.
    """
    try:
        if request.method != "POST":
            return _shown(request, secret)
        if "password" in request.POST:
            return _made(request, secret)
        return _opened(request, secret)
    except (NotAllowed, NotFound, TooMany) as refusal:
        # The command names a directory of the server. It is shown only while somebody can need it.
        command = "" if facts.has_staff() else program.command("setup-link")
        context = {"now": instant(request), "refusal": refusal, "link_for": _link_for(), "command": command}
        return render(request, "set_up/refused.html", context, status=refusal.status)


def _shown(request: HttpRequest, secret: str) -> HttpResponse:
    if not is_private(request):
        security_log.warning("setup_link.refused", why="not_private", ip=request.META.get("REMOTE_ADDR", ""))
        raise NotAllowed
    if facts.has_staff():
        # No link works any more. Nobody is asked to begin first.
        raise NotFound
    if facts.is_setup_begun(secret, _browser(request), at=instant(request)):
        return _form_page(request, FirstStaffForm())
    return render(request, "set_up/begin.html", {"now": instant(request), "link_for": _link_for()})


def _opened(request: HttpRequest, secret: str) -> HttpResponse:
    require_nothing(request.POST)
    browser = operations.open_setup_link(
        secret, browser=_browser(request), is_private=is_private(request), actor=stranger(request)
    )
    response = redirect("web:set_up", secret)
    response.set_cookie(
        cookie(),
        browser,
        max_age=limits.SETUP_LINK_FOR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )
    return response


def _made(request: HttpRequest, secret: str) -> HttpResponse:
    form = FirstStaffForm(request.POST)
    form.require_known()
    if not form.is_valid():
        return _form_page(request, form)
    try:
        person = operations.make_first_staff(
            secret,
            browser=_browser(request),
            is_private=is_private(request),
            actor=stranger(request),
            **form.cleaned_data,
        )
    except Unacceptable as refusal:
        form.refuse(refusal)
        return _form_page(request, form)
    login(request, person, backend=settings.AUTHENTICATION_BACKENDS[0])
    security_log.info("sign_in.done", user_id=str(person.pk), ip=request.META.get("REMOTE_ADDR", ""))
    # The person has just chosen the password, which counts as the proof for the first second factor.
    remember_sign_in(request, by_link=True)
    messages.success(request, str(MAKE_FIRST_STAFF.done))
    # The next page is the set-up of a second factor. Until that is done, no other page opens (gate.py). Then the
    # checklist follows.
    response = redirect("admin:set_up")
    response.delete_cookie(cookie(), samesite="Strict")
    return response


def _form_page(request: HttpRequest, form: FirstStaffForm) -> HttpResponse:
    context = {"now": instant(request), "form": form, "zones": sorted(time_zones.names())}
    return render(request, "set_up/account.html", context, status=Unacceptable.status if form.errors else 200)


def is_private(request: HttpRequest) -> bool:
    """Return whether nobody on the network can read this request: it has TLS, or never leaves this machine.

    Without TLS, it is not enough that the client is on this machine, because a proxy here may forward requests from
    other machines. So the address of the site must lead to this machine too, and no proxy may have named itself.
    """
    if request.is_secure():
        return True
    is_local = is_loopback(request.META.get("REMOTE_ADDR", "")) and "HTTP_X_FORWARDED_FOR" not in request.META
    return is_local and is_loopback(urlsplit(settings.BASE_URL).hostname or "")


def cookie() -> str:
    """Return the name of the cookie with the browser's secret. With TLS, only this host can set the cookie."""
    return "__Host-lockbox_setup" if settings.SESSION_COOKIE_SECURE else "lockbox_setup"


def _browser(request: HttpRequest) -> str:
    return request.COOKIES.get(cookie(), "")


def _link_for() -> str:
    return duration_words(int(limits.SETUP_LINK_FOR.total_seconds()))


urlpatterns = [path("set-up/<str:secret>/", set_up, name="set_up")]
