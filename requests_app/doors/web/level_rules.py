"""Which levels of access a tenant allows. Everybody in the tenant sees it, and the administrator changes it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.acts.tenants import ALLOW_LEVEL, RULE_OUT_LEVEL
from requests_app.domain.errors import Malformed
from requests_app.domain.levels import Level, can_change
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.tenant import LevelForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.queries import tenant as queries
from requests_app.words import sentences

_ACTS = {
    RULE_OUT_LEVEL.name: (RULE_OUT_LEVEL, operations.rule_out_level),
    ALLOW_LEVEL.name: (ALLOW_LEVEL, operations.allow_level),
}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def level_rules(request: HttpRequest, tenant: UUID) -> HttpResponse:
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    if request.method == "POST":
        form = LevelForm(request.POST)
        form.require_known()
        if not form.is_valid():
            raise Malformed
        act, operation = _ACTS[form.cleaned_data["act"]]
        operation(row.pk, level=form.cleaned_data["level"], actor=actor)
        messages.success(request, str(act.done))
        return redirect("web:level_rules", row.pk)
    levels = [(level, sentences.level_meaning(level), row.allows(level), can_change(level)) for level in Level]
    context = {**about(actor, row), "now": instant(request), "levels": levels}
    return render(request, "tenant/levels.html", context)


urlpatterns = [path("tenant/<uuid:tenant>/levels/", level_rules, name="level_rules")]
