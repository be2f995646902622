"""A tenant's witnesses: their states, how to add and remove them, and whether windows depend on them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from audit_app import checkpoints, keys, witnesses
from audit_app.checkpoints import LogState
from audit_app.models import LogKey
from audit_app.witnesses import WitnessStatus
from requests_app import operations
from requests_app.domain.acts.log import ADD_WITNESS, REMOVE_WITNESS
from requests_app.domain.errors import NotFound, Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.log_rules import RuleForm, WitnessForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.models import Tenant
from requests_app.queries import readers
from requests_app.queries import tenant as queries
from requests_app.words.text import visible_single
from requests_app.words.times import duration_words

_PAGE_METHODS = ["GET", "HEAD", "POST"]


@login_required
@require_http_methods(_PAGE_METHODS)
def log_rules(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Show the list to everybody in the tenant. The administrator can add a witness and set the rule."""
    row = queries.tenant(tenant, actor=actor_in(request))
    if request.method != "POST":
        return _page(request, row)
    return _set_rule(request, row) if "hours" in request.POST else _add(request, row)


def _add(request: HttpRequest, row: Tenant) -> HttpResponse:
    actor = actor_in(request)
    form = WitnessForm(request.POST)
    form.require_known()
    if form.is_valid():
        values = form.cleaned_data
        try:
            witness = operations.add_witness(row.pk, vkey=values["vkey"], url=values["url"], actor=actor)
        except Unacceptable as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, _about(str(ADD_WITNESS.done), str(witness)))
            return redirect("web:log_rules", row.pk)
    readers.require_administrator(row.pk, actor=actor)
    return _page(request, row, form=form, status=Unacceptable.status)


def _set_rule(request: HttpRequest, row: Tenant) -> HttpResponse:
    actor = actor_in(request)
    form = RuleForm(request.POST, tenant=row)
    form.require_known()
    if form.is_valid():
        hours = form.cleaned_data["hours"]
        try:
            operations.set_cosigning(row.pk, hours=hours, actor=actor)
        except Unacceptable as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, _rule_words(hours))
            return redirect("web:log_rules", row.pk)
    readers.require_administrator(row.pk, actor=actor)
    return _page(request, row, rule=form, status=Unacceptable.status)


def _rule_words(hours: int | None) -> str:
    if hours is None:
        return _("From now on a window opens even if no witness cosigned the log.")
    words = _("From now on a window opens only if a witness cosigned the log within the last %(time)s.")
    return words % {"time": duration_words(hours * 3600)}


def _page(
    request: HttpRequest,
    row: Tenant,
    *,
    form: WitnessForm | None = None,
    rule: RuleForm | None = None,
    status: int = 200,
) -> HttpResponse:
    at, log = instant(request), checkpoints.state(row.pk)
    context: dict[str, Any] = {
        **about(actor_in(request), row),
        "now": at,
        "form": form or WitnessForm(),
        "rule": rule or RuleForm(tenant=row),
        "witnesses": witnesses.of(log),
        "within": None,
        "doubt": None,
        "vkey": _vkey(log),
        "is_later_shard": log.shard > 0,
    }
    if row.cosigned_within is not None:
        context["within"] = row.cosigned_within * 3600
        context["doubt"] = witnesses.doubt(row.pk, row.cosigned_within, at)
    return render(request, "tenant/log_rules.html", context, status=status)


def _vkey(log: LogState) -> str:
    """Return the key that a new witness of this tenant needs, or "" before the first checkpoint."""
    public = LogKey.objects.order_by("-first_used_at").values_list("pk", flat=True).first()
    return str(keys.log_key(log.origin, bytes(public))) if public else ""


@login_required
@require_http_methods(_PAGE_METHODS)
def remove_witness(request: HttpRequest, tenant: UUID, witness: UUID) -> HttpResponse:
    """On GET, explain the act. On POST, remove the witness."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    standing = _one(row, witness)
    if request.method == "POST":
        require_nothing(request.POST)
        operations.remove_witness(row.pk, witness, actor=actor)
        messages.success(request, _about(str(REMOVE_WITNESS.done), standing.name))
        return redirect("web:log_rules", row.pk)
    readers.require_administrator(row.pk, actor=actor)
    is_last = row.cosigned_within is not None and len(witnesses.of(checkpoints.state(row.pk))) == 1
    context = {**about(actor, row), "now": instant(request), "witness": standing, "is_last": is_last}
    return render(request, "tenant/remove_witness.html", context)


def _about(words: str, name: str) -> SafeString:
    """Return words with the witness's name.

    The witness chose the name, and it could change the direction of the text around it. So the name is isolated.
    """
    return format_html(words, name=visible_single(name))


def _one(row: Tenant, witness_id: UUID) -> WitnessStatus:
    found = next((each for each in witnesses.of(checkpoints.state(row.pk)) if each.witness.pk == witness_id), None)
    if found is None:
        raise NotFound
    return found


urlpatterns = [
    path("tenant/<uuid:tenant>/witnesses/", log_rules, name="log_rules"),
    path("tenant/<uuid:tenant>/witnesses/<uuid:witness>/remove/", remove_witness, name="remove_witness"),
]
