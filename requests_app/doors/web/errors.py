"""Turns a refusal of the domain into a page, or into a fragment for htmx."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import structlog
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from requests_app.domain.errors import Busy, ChangeProposed, DomainError, NotFound, OutcomeUnknown, StoreUnavailable
from requests_app.doors.web.again import form_of
from requests_app.doors.web.sent import address_of
from requests_app.platform import outcome

security_log = structlog.get_logger("security")

_TEMPLATES = {403: "403.html", 404: "404.html", 409: "409.html", 429: "429.html", 503: "503.html"}


#: The page of the row that an act was about, by the kind of row.
_PAGES = {"access_request": "web:access_request", "ticket": "web:ticket", "tenant": "web:tenant"}
#: The end of the address of an act on a row in the administration.
_TO_THE_ROW = re.compile(r"act/[^/]+/$")


def page_about(about: Mapping[str, str]) -> str:
    """Return the address of the page about the row of an act, or of the home page if this row has no page."""
    try:
        return reverse(_PAGES[about["subject_type"]], args=[about["subject_id"]])
    except (KeyError, NoReverseMatch):
        return reverse("web:home")


def way_on(request: HttpRequest, error: DomainError) -> dict[str, Any]:
    """Return what a page about an outage needs: a link to continue or to try again, and the form to send again."""
    is_read = request.method in ("GET", "HEAD")
    if isinstance(error, OutcomeUnknown):
        is_look = is_read and _view_of(request).startswith("web:window")
        target, label = _page_to_look_at(request, error.current), _("See the current state")
        if is_look:
            target, label = address_of(request), _("Open the item again")
        return {"back_url": target, "back_label": label, "is_look": is_look, **form_of(request)}
    if is_read:
        return {"back_url": address_of(request), "back_label": _("Try again")}
    if isinstance(error, Busy):
        return _way_back(request)
    return form_of(request)


def _page_to_look_at(request: HttpRequest, about: Mapping[str, str]) -> str:
    """Return the address of the page that shows what has happened to the row.

    In the administration, it is the row's form.
    """
    if request.path_info.startswith("/admin/"):
        return _TO_THE_ROW.sub("change/", request.path)
    return page_about(about)


def _way_back(request: HttpRequest) -> dict[str, str]:
    """Return the link back to a form that a busy server did not accept.

    The link keeps `next`, so that the person still gets to the page that they wanted. Return {} for signed-in people.
    """
    if request.user.is_authenticated:
        # Some addresses accept only POST.
        return {}
    wanted = request.POST.get("next", "")
    query = f"?{urlencode({'next': wanted})}" if wanted and not request.GET else ""
    return {"back_url": address_of(request) + query, "back_label": _("Back to the form")}


def _view_of(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


def refusal(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Render the refusal with its own status. A missing row and another tenant's row get exactly the same page."""
    # Log it even if a tenant's log has an entry, so that an operator sees who is refused, and how often.
    person = getattr(request, "user", None)
    security_log.info("page.refused", code=error.code, path=request.path, user_id=str(getattr(person, "pk", None)))
    if isinstance(error, ChangeProposed) and "tenant" in error.current:
        # This person has done their part. The page lists what waits for a second person.
        messages.success(request, str(error.message))
        return redirect("web:proposals", error.current["tenant"])
    if isinstance(error, NotFound):
        return render(request, "404.html", status=404)
    context = {"code": error.code, "message": error.message, "current": error.current}
    if error.status == StoreUnavailable.status:
        context |= way_on(request, error)
    template = _TEMPLATES.get(error.status, "400.html")
    response = render(request, template, context, status=error.status)
    if isinstance(error, Busy):
        outcome.current().is_put_off = True
        response["Retry-After"] = "5"
    return response
