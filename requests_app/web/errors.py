"""How the pages say no: one place turns a refusal of the domain into a page, or a fragment for htmx."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from requests_app import outcome
from requests_app.errors import Busy, ChangeProposed, DomainError, NotFound, OutcomeUnknown

security_log = structlog.get_logger("security")

_TEMPLATES = {403: "403.html", 404: "404.html", 409: "409.html", 429: "429.html", 503: "503.html"}


#: Where people look at what an act was about.
_PAGES = {"access_request": "web:access_request", "ticket": "web:ticket", "tenant": "web:tenant"}


def page_about(about: Mapping[str, str]) -> str:
    """The page of what an act was about, or the first one: there everybody finds what is theirs."""
    try:
        return reverse(_PAGES[about["subject_type"]], args=[about["subject_id"]])
    except (KeyError, NoReverseMatch):
        return reverse("web:home")


def way_to_look(request: HttpRequest, about: Mapping[str, str]) -> dict[str, Any]:
    """What a page needs that can't say whether an act was saved."""
    is_sent_once = getattr(request, "once", None) is not None
    return {"back_url": page_about(about), "back_label": _("See how it is now"), "is_sent_once": is_sent_once}


def refusal(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Render the refusal with its own status. Absent and foreign give the very same page."""
    # Whether or not a tenant's log has it: an operator sees who is refused what, and how often.
    person = getattr(request, "user", None)
    security_log.info("page.refused", code=error.code, path=request.path, user_id=str(getattr(person, "pk", None)))
    if isinstance(error, ChangeProposed) and "tenant" in error.current:
        # Done, as far as one person can do it: the page lists what waits for somebody else.
        messages.success(request, str(error.message))
        return redirect("web:proposals", error.current["tenant"])
    if isinstance(error, NotFound):
        return render(request, "404.html", status=404)
    context = {"code": error.code, "message": error.message, "current": error.current}
    if isinstance(error, OutcomeUnknown):
        context |= way_to_look(request, error.current)
    template = _TEMPLATES.get(error.status, "400.html")
    response = render(request, template, context, status=error.status)
    if isinstance(error, Busy):
        outcome.current().is_put_off = True
        response["Retry-After"] = "5"
    return response
