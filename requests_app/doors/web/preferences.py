"""A person's own settings: time zone, appearance, and a link to set a new password."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from requests_app import operations
from requests_app.domain.errors import Malformed, Unacceptable
from requests_app.doors.web._step_up import local
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.preferences import PreferencesForm, ThemeForm
from requests_app.doors.web.middleware import actor_in
from requests_app.models import Person
from requests_app.platform import time_zones


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    person = cast(Person, request.user)
    if request.method != "POST":
        form = PreferencesForm(initial={"time_zone": person.time_zone, "theme": person.theme})
        return _page(request, form)
    form = PreferencesForm(request.POST)
    form.require_known()
    if form.is_valid():
        try:
            operations.set_preferences(actor=actor_in(request), **form.cleaned_data)
        except Unacceptable as refusal:
            form.refuse(refusal)
        else:
            zone = form.cleaned_data["time_zone"]
            messages.success(request, _("Saved. Times are shown for %(zone)s.") % {"zone": zone})
            return redirect("web:preferences")
    return _page(request, form, status=Unacceptable.status)


def _page(request: HttpRequest, form: PreferencesForm, *, status: int = 200) -> HttpResponse:
    context = {"now": instant(request), "form": form, "zones": sorted(time_zones.names())}
    return render(request, "preferences/preferences.html", context, status=status)


@login_required
@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Set the appearance, and redirect to the page from which this was sent. An address of another site is refused."""
    form = ThemeForm(request.POST)
    form.require_known()
    if not form.is_valid():
        raise Malformed
    target = form.cleaned_data["next"]
    if target and not local(target):
        raise Malformed(_("You can’t return to this address, because it belongs to another site."))
    operations.set_preferences(actor=actor_in(request), theme=form.cleaned_data["theme"])
    return redirect(target) if target else redirect("web:preferences")


urlpatterns = [
    path("preferences/", preferences, name="preferences"),
    path("preferences/theme/", set_theme, name="set_theme"),
]
