"""A tenant's rule for approvals: signed or not, always signed, or signed with a passkey that can't leave its device."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.acts.tenants import SET_YES_RULE
from requests_app.domain.errors import StepUpRequired, Unacceptable
from requests_app.doors.web._step_up import is_fresh, to_step_up
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.tenant import YesRuleForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.queries import readers
from requests_app.queries import tenant as queries


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def yes_rule(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """On GET, show the rule. On POST, set the rule. Both need a step-up."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    form = YesRuleForm(request.POST or None, tenant=row)
    status = 200
    if request.method == "POST":
        form.require_known()
        if form.is_valid():
            try:
                operations.set_yes_rule(row.pk, rule=form.cleaned_data["rule"], actor=actor)
            except StepUpRequired:
                return to_step_up(request)
            messages.success(request, str(SET_YES_RULE.done))
            return redirect("web:tenant", row.pk)
        status = Unacceptable.status
    readers.require_administrator(row.pk, actor=actor)
    at = instant(request)
    if request.method != "POST" and not is_fresh(request, at=at):
        return to_step_up(request)
    context = {**about(actor, row), "now": at, "form": form}
    return render(request, "tenant/yes_rule.html", context, status=status)


urlpatterns = [path("tenant/<uuid:tenant>/yes/", yes_rule, name="yes_rule")]
