"""Stores a form that was sent after the session had ended. The same person can send it again after the sign-in."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from requests_app.doors.web import signed_out
from requests_app.doors.web._secrets import sentences_in
from requests_app.doors.web._step_up import local
from requests_app.doors.web.context import instant
from requests_app.identity import factors
from requests_app.platform import outcome
from requests_app.platform.sealing import Unreadable
from requests_app.templatetags.once import FIELD

_FORM = "kept_form"
#: This is longer than a sign-in takes, even if the person must first find their telephone.
STORED_FOR = timedelta(minutes=30)


def keep(request: HttpRequest, fields: list[tuple[str, str]], *, person_id: object, at: datetime) -> None:
    """Store the fields, encrypted, in the session that begins now. Only this person can read them."""
    where = {"to": request.get_full_path(), "page": signed_out.page_of(request)}
    stored = {"person": str(person_id), **where, "fields": fields, "at": at.isoformat()}
    request.session[_FORM] = factors.seal(json.dumps(stored))


@login_required
@require_safe
def resume(request: HttpRequest) -> HttpResponse:
    """Show the stored form once, with a button that sends it again. Nothing is sent automatically.

    The second time, the page redirects to the home page. So after the form was sent, nobody can read its text
    or send it again with the back button.
    """
    stored = _taken(request)
    if stored is None:
        return redirect("web:home")
    # The form may have been sent before the session ended. Its one-time token makes sure that its act is done only
    # once.
    outcome.current().token = next((value for name, value in stored["fields"] if name == FIELD), "")
    stored["fields"] = [(name, value) for name, value in stored["fields"] if name != FIELD]
    context = {"now": instant(request), "fields": stored["fields"], "action": stored["to"]}
    # A form that was stored before an upgrade can lack the page.
    page = signed_out.address_after_sign_in(stored.get("page", stored["to"]))
    context |= {"shown": sentences_in(stored["fields"]), "page": page}
    response = render(request, "security/resume.html", context)
    patch_cache_control(response, no_store=True, private=True)
    return response


def _taken(request: HttpRequest) -> dict[str, Any] | None:
    sealed = request.session.pop(_FORM, None)
    if not sealed:
        return None
    try:
        stored: dict[str, Any] = json.loads(factors.opened(sealed))
    except (Unreadable, ValueError):
        return None
    is_theirs = stored["person"] == str(request.user.pk) and local(stored["to"])
    is_recent = instant(request) < datetime.fromisoformat(stored["at"]) + STORED_FOR
    return stored if is_theirs and is_recent else None


urlpatterns = [path("resume/", resume, name="resume")]
