"""Out of office: who is away until when, and who decides in their place."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.tenant import EndForm, OutOfOfficeForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.models import Tenant
from requests_app.queries import tenant as queries
from requests_app.words.text import visible_single

_APPROVER = frozenset({Role.APPROVER})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def out_of_office(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """The list, for everybody of the tenant; an approver names a deputy below it."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    if request.method != "POST":
        return _page(request, row, OutOfOfficeForm(deputies=queries.deputies(row, actor=actor)))
    if "end" in request.POST:
        return _end(request, row)
    form = OutOfOfficeForm(request.POST, deputies=queries.deputies(row, actor=actor))
    form.require_known()
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = operations.set_out_of_office(
                row.pk, deputy_id=data["deputy"], from_at=data["from_at"], until_at=data["until_at"], actor=actor
            )
        except (Unacceptable, WrongState) as refusal:
            form.refuse(refusal)
            return _page(request, row, form, status=refusal.status)
        words = _("{name} decides in your place for that time.")
        messages.success(request, format_html(words, name=visible_single(made.deputy.name)))
        return redirect("web:out_of_office", row.pk)
    policy.require_role(actor, _APPROVER, tenant_id=row.pk)
    return _page(request, row, form, status=Unacceptable.status)


def _end(request: HttpRequest, row: Tenant) -> HttpResponse:
    form = EndForm(request.POST)
    form.require_known()
    form.require_valid()
    found = queries.absence(row, form.cleaned_data["end"])
    done = operations.end_out_of_office(found.pk, actor=actor_in(request))
    words = _("{name} no longer decides for {approver}.")
    said = {"name": visible_single(done.deputy.name), "approver": visible_single(done.approver.name)}
    messages.success(request, format_html(words, **said))
    return redirect("web:out_of_office", row.pk)


def _page(request: HttpRequest, row: Tenant, form: OutOfOfficeForm, *, status: int = 200) -> HttpResponse:
    actor, at = actor_in(request), instant(request)
    context = {
        **about(actor, row),
        "now": at,
        "form": form,
        "absences": [_line(one, actor, row) for one in queries.absences(row, at=at)],
        "may_name": _may_name(actor, row),
        "has_deputies": bool(form.fields["deputy"].choices),  # type: ignore[attr-defined]  # a ChoiceField
    }
    return render(request, "tenant/out_of_office.html", context, status=status)


def _line(one: Any, actor: Actor, row: Tenant) -> dict[str, Any]:
    administers = Role.ADMINISTRATOR in actor.tenant_roles.get(row.pk, frozenset())
    return {"row": one, "may_end": administers or one.approver_id == actor.person_id}


def _may_name(actor: Actor, row: Tenant) -> bool:
    return Role.APPROVER in actor.tenant_roles.get(row.pk, frozenset()) and row.pk not in actor.stands_in_for


urlpatterns = [path("tenant/<uuid:tenant>/out-of-office/", out_of_office, name="out_of_office")]
