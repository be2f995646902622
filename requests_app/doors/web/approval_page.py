"""The address of the customer's own approval page. Everybody in the tenant sees it, and an administrator can set it."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.acts.tenants import SET_APPROVAL_PAGE
from requests_app.domain.errors import Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.approval_page import ApprovalPageForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.models import Tenant
from requests_app.queries import readers
from requests_app.queries import tenant as queries


@login_required
@require_http_methods(["GET", "HEAD"])
def approval_page(request: HttpRequest, tenant: UUID) -> HttpResponse:
    row = queries.tenant(tenant, actor=actor_in(request))
    context = {**about(actor_in(request), row), "now": instant(request), "base_url": settings.BASE_URL}
    return render(request, "tenant/approval_page.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def set_approval_page(request: HttpRequest, tenant: UUID) -> HttpResponse:
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    if request.method != "POST":
        readers.require_administrator(row.pk, actor=actor)
        return _form(request, row, ApprovalPageForm(tenant=row))
    form = ApprovalPageForm(request.POST, tenant=row)
    form.require_known()
    if form.is_valid():
        try:
            operations.set_approval_page(row.pk, actor=actor, **form.cleaned_data)
        except Unacceptable as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, str(SET_APPROVAL_PAGE.done))
            return redirect("web:approval_page", row.pk)
    readers.require_administrator(row.pk, actor=actor)
    return _form(request, row, form, status=Unacceptable.status)


def _form(request: HttpRequest, row: Tenant, form: ApprovalPageForm, *, status: int = 200) -> HttpResponse:
    context = {**about(actor_in(request), row), "now": instant(request), "form": form}
    return render(request, "tenant/approval_page_set.html", context, status=status)


urlpatterns = [
    path("tenant/<uuid:tenant>/approval-page/", approval_page, name="approval_page"),
    path("tenant/<uuid:tenant>/approval-page/set/", set_approval_page, name="set_approval_page"),
]
