"""Whom a tenant takes no access requests from now; deny all that waits, and add somebody to it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.tenant import LiftForm, MuteForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.models import Mute, Person, Tenant
from requests_app.queries import tenant as queries
from requests_app.words import sentences
from requests_app.words.text import visible_single
from requests_app.words.times import when_words


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def mutes(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """The list, for everybody of the tenant; an approver denies all and mutes below it."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    if request.method != "POST":
        form = MuteForm(initial={"engineer": request.GET.get("engineer")}, askers=_askers(request, row))
        return _page(request, row, form)
    if "lift" in request.POST:
        return _lift(request, row)
    form = MuteForm(request.POST, askers=_askers(request, row))
    form.require_known()
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = operations.deny_all_and_mute(
                row.pk, engineer_id=form.engineer_id, hours=data["hours"], note=data["note"], actor=actor
            )
        except Unacceptable as refusal:
            form.refuse(refusal)
            return _page(request, row, form, status=refusal.status)
        done = ngettext("%(n)d access request is denied.", "%(n)d access requests are denied.", made.denied)
        until = when_words(made.until_at, instant(request))
        none = format_html(_("None from {muted} is put to you until {until}."), muted=_muted(made), until=until)
        said = done % {"n": made.denied} if made.denied else _("Nothing waited for your answer.")
        messages.success(request, format_html("{} {}", said, none))
        return redirect("web:mutes", row.pk)
    if not _may_mute(actor, row):
        # The operation refuses whoever may not, and the log says who tried.
        operations.deny_all_and_mute(row.pk, engineer_id=None, hours=0, actor=actor)
    return _page(request, row, form, status=Unacceptable.status)


def _lift(request: HttpRequest, row: Tenant) -> HttpResponse:
    form = LiftForm(request.POST)
    form.require_known()
    form.require_valid()
    found = queries.mute(row, form.cleaned_data["lift"])
    done = operations.lift_mute(found.pk, actor=actor_in(request))
    messages.success(request, format_html(_("The mute of {muted} is lifted."), muted=_muted(done)))
    return redirect("web:mutes", row.pk)


def _askers(request: HttpRequest, row: Tenant) -> list[Person]:
    return list(queries.askers(row, at=instant(request)))


def _muted(row: Mute) -> str:
    return visible_single(sentences.muted_name(row))


def _page(request: HttpRequest, row: Tenant, form: MuteForm, *, status: int = 200) -> HttpResponse:
    actor, at = actor_in(request), instant(request)
    context = {
        **about(actor, row),
        "now": at,
        "form": form,
        "mutes": queries.mutes(row, at=at),
        "may_mute": _may_mute(actor, row),
    }
    return render(request, "tenant/mutes.html", context, status=status)


def _may_mute(actor: Actor, row: Tenant) -> bool:
    return Role.APPROVER in actor.tenant_roles.get(row.pk, frozenset())


urlpatterns = [path("tenant/<uuid:tenant>/mutes/", mutes, name="mutes")]
