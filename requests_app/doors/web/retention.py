"""How long a tenant's log is stored. Everybody in the tenant can see this, and the administrator can set it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from audit_app import checkpoints
from requests_app import operations
from requests_app.domain.errors import Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.retention import RetentionForm, days_words
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.models import Tenant
from requests_app.queries import readers
from requests_app.queries import tenant as queries


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def log_retention(request: HttpRequest, tenant: UUID) -> HttpResponse:
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    if request.method != "POST":
        return _page(request, row, RetentionForm(tenant=row))
    form = RetentionForm(request.POST, tenant=row)
    form.require_known()
    if form.is_valid():
        days = form.cleaned_data["days"]
        try:
            operations.set_log_retention(row.pk, days=days, actor=actor)
        except Unacceptable as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, _days_in_words(days))
            return redirect("web:log_retention", row.pk)
    readers.require_administrator(row.pk, actor=actor)
    return _page(request, row, form, status=Unacceptable.status)


def _days_in_words(days: int | None) -> str:
    if days is None:
        return _("From now on every entry is stored permanently.")
    return _("From now on each entry is stored for %(time)s. Older entries are removed within hours.") % {
        "time": days_words(days)
    }


def _page(request: HttpRequest, row: Tenant, form: RetentionForm, *, status: int = 200) -> HttpResponse:
    context = {
        **about(actor_in(request), row),
        "now": instant(request),
        "form": form,
        "kept_for": days_words(row.log_retention_days) if row.log_retention_days else "",
        "removed": checkpoints.state(row.pk).pruned_to,
    }
    return render(request, "tenant/log_retention.html", context, status=status)


urlpatterns = [path("tenant/<uuid:tenant>/retention/", log_retention, name="log_retention")]
