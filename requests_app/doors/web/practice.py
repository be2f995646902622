"""A tenant's practice: how far it has got, and a form that starts a practice request."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.acts.tickets import START_PRACTICE
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.practice import PracticeForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.queries import practice as queries
from requests_app.queries import readers
from requests_app.queries import tenant as tenants


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def practice(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Show the state of the practice to everybody in the tenant. The administrator can start a practice request."""
    actor = actor_in(request)
    row = tenants.tenant(tenant, actor=actor)
    form = PracticeForm(request.POST or None, tenant=row)
    status = 200
    if request.method == "POST":
        form.require_known()
        readers.require_administrator(row.pk, actor=actor)
        if form.is_valid():
            try:
                ticket = operations.start_practice(row.pk, service_id=form.cleaned_data["service"].pk, actor=actor)
            except (Unacceptable, WrongState) as refusal:
                form.refuse(refusal)
            else:
                words = str(START_PRACTICE.done)
                messages.success(request, words.format(reference=ticket.reference, service=ticket.service.name))
                return redirect("web:ticket", ticket.pk)
        status = Unacceptable.status
    context = {
        **about(actor, row),
        "now": instant(request),
        "form": form,
        "state": queries.state_of(row, at=instant(request)),
        "explains": START_PRACTICE.explains,
        "label": START_PRACTICE.title,
        "is_practice": True,
    }
    return render(request, "tenant/practice.html", context, status=status)


urlpatterns = [
    path("tenant/<uuid:tenant>/practice/", practice, name="practice"),
]
