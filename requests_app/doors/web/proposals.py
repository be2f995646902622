"""Two-person control: whether it is on, and the proposals that wait for a second person."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import WrongState
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.tenant import ControlForm, ProposalForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.identity import factors
from requests_app.models import Proposal, Tenant
from requests_app.models.row_security import own_account
from requests_app.queries import tenant as queries
from requests_app.words import proposals as words

_SECONDS = frozenset({Role.ADMINISTRATOR, Role.APPROVER})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def proposals(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Show the list to everybody in the tenant. Administrators and approvers can confirm and withdraw proposals."""
    row = queries.tenant(tenant, actor=actor_in(request))
    if request.method != "POST":
        return _page(request, row)
    try:
        message = _switched(request, row) if "control" in request.POST else _answered(request, row)
    except WrongState as refusal:
        return _page(request, row, refusal)
    messages.success(request, message)
    return redirect("web:proposals", row.pk)


def _switched(request: HttpRequest, row: Tenant) -> str:
    form = ControlForm(request.POST)
    form.require_known()
    form.require_valid()
    on = form.cleaned_data["control"] == "on"
    operations.set_two_person_control(row.pk, on=on, actor=actor_in(request))
    return _("Two-person control is on.") if on else _("Two-person control is off.")


def _answered(request: HttpRequest, row: Tenant) -> str:
    form = ProposalForm(request.POST)
    form.require_known()
    form.require_valid()
    found = queries.proposal(row, form.cleaned_data["proposal"])
    if form.cleaned_data["act"] == "confirm":
        # The confirmed act may remove a key whose entry is in the provider's log, which needs `own_account`.
        with own_account():
            operations.confirm_proposal(found.pk, actor=actor_in(request), keep=factors.drops_all)
        return _("You confirmed the change, and it takes effect now.")
    operations.withdraw_proposal(found.pk, actor=actor_in(request))
    return _("The proposal is withdrawn. Nothing was changed.")


def _page(request: HttpRequest, row: Tenant, refusal: WrongState | None = None) -> HttpResponse:
    actor, at = actor_in(request), instant(request)
    # Read the tenant again, because somebody else may have changed it meanwhile.
    row = queries.tenant(row.pk, actor=actor)
    context = {
        **about(actor, row),
        "now": at,
        "proposals": [_line(one, actor, row) for one in queries.proposals(row, at=at)],
        "refusal": refusal,
    }
    return render(request, "tenant/proposals.html", context, status=refusal.status if refusal else 200)


def _line(one: Proposal, actor: Actor, row: Tenant) -> dict[str, Any]:
    is_second = bool(_SECONDS & actor.tenant_roles.get(row.pk, frozenset()))
    is_proposer = actor.human_id in (one.proposed_human, one.proposed_by.human_id)
    return {
        "row": one,
        "words": words.words(one.act, one.said),
        "may_confirm": is_second and not is_proposer,
        "may_withdraw": is_second,
        "is_proposer": is_proposer,
    }


urlpatterns = [path("tenant/<uuid:tenant>/proposals/", proposals, name="proposals")]
