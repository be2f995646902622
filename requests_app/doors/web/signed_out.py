"""Leads a person who sent a form without a session to the sign-in, and from there to the page with the form.

The address of a form often takes only forms, so the person could not open it after the sign-in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, QueryDict
from django.shortcuts import redirect, resolve_url
from django.urls import Resolver404, path, resolve, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from requests_app.doors.web._step_up import local
from requests_app.doors.web.sent import address_of

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: The session's key for the page to which `not_sent` leads.
_PAGE = "not_sent_page"


class SignedOutMiddleware:
    """Changes the redirect to the sign-in if a form was sent without a session. The form has done nothing.

    Every view asks for the sign-in with such a redirect, also in the administration.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.method not in _SAFE:
            return to_sign_in(request) if _asks_to_sign_in(request, response) else response
        if isinstance(response, HttpResponseNotAllowed) and request.user.is_authenticated:
            return _page_above(request) or response
        return response


def _asks_to_sign_in(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Return whether this is the answer to somebody who is not signed in. The sign-in's own forms get other answers."""
    return (
        response.status_code == 302
        and response["Location"].startswith(f"{resolve_url(settings.LOGIN_URL)}?next=")
        and not request.user.is_authenticated
    )


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect to the sign-in, which leads back to the page with the form. A script gets 401: it shows no page."""
    if is_by_script(request):
        return HttpResponse(status=401)
    return redirect_to_login(address_after_sign_in(page_of(request)))


def address_after_sign_in(page: str) -> str:
    """Return the address that says that nothing was sent, and then leads to this page."""
    query = QueryDict(mutable=True)
    query["page"] = page
    return f"{reverse('web:not_sent')}?{query.urlencode(safe='/')}"


def is_by_script(request: HttpRequest) -> bool:
    """Return whether a script of a page made this request, and not the browser itself."""
    return request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"


def page_of(request: HttpRequest) -> str:
    """Return the address of the page from which the form was sent. Without it, return where the form was sent.

    Only the path counts, so the address never leads to another site. The CSRF check refuses forms of other sites.
    """
    try:
        sent_from = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return address_of(request)
    return local(urlunsplit(("", "", sent_from.path, sent_from.query, ""))) or address_of(request)


@login_required
@require_safe
def not_sent(request: HttpRequest) -> HttpResponse:
    """After the sign-in, redirect to the page with the form, which then says that nothing was sent."""
    page = local(request.GET.get("page", "")) or "/"
    request.session[_PAGE] = urlsplit(page).path
    messages.warning(
        request,
        _(
            "Nothing was sent, because the session in which you opened the form had ended. "
            "Check the form, fill in what is missing, and send the form again."
        ),
    )
    return redirect(page)


def _page_above(request: HttpRequest) -> HttpResponse | None:
    """Return a redirect to the nearest page above an address that takes only forms, if `not_sent` leads there."""
    if request.session.pop(_PAGE, None) != request.path:
        return None
    above = request.path
    while above != "/":
        above = above.rstrip("/").rpartition("/")[0] + "/"
        try:
            resolve(above)
        except Resolver404:
            continue
        break
    request.session[_PAGE] = above
    return cast(HttpResponse, redirect(above))


urlpatterns = [path("not-sent/", not_sent, name="not_sent")]
