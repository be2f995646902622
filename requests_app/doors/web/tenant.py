"""A tenant's own settings: Lockbox on or off, and the maximum length of windows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, register_converter
from django.urls.converters import StringConverter
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import Unacceptable, WrongState
from requests_app.domain.levels import Level
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.forms.tenant import CapForm
from requests_app.doors.web.middleware import actor_in
from requests_app.models import Proposal, Tenant
from requests_app.queries import imports, invitations, readers, restored
from requests_app.queries import tenant as queries
from requests_app.queries.guide_of_tenant import tenant_guide
from requests_app.words import proposals
from requests_app.words.times import duration_words

ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})
_PAGE_METHODS = ["GET", "HEAD", "POST"]
#: How many changes of one import a page lists. The log of the tenant has an entry about each.
CHANGES_SHOWN = 50
#: How many approvers a sentence names.
NAMES_SHOWN = 10


def administers(actor: Actor, tenant: Tenant) -> bool:
    """Return whether pages offer changes of the tenant to this actor.

    The operations decide which changes are allowed.
    """
    return bool(ADMINISTRATOR & actor.roles_on(tenant_id=tenant.pk, service_id=None))


def about(actor: Actor, tenant: Tenant) -> dict[str, Any]:
    """Return the values that the templates of all pages of a tenant need."""
    may_edit = administers(actor, tenant)
    reads_log = bool((operations.LOG_READERS | {Role.STAFF}) & actor.roles_on(tenant_id=tenant.pk, service_id=None))
    return {"tenant": tenant, "may_edit": may_edit, "reads_log": reads_log}


@login_required
@require_http_methods(_PAGE_METHODS)
def tenant(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Show the state of Lockbox to everybody in the tenant. The administrator can limit the length of windows here."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    if request.method != "POST":
        return _tenant_page(request, row, CapForm(tenant=row))
    form = CapForm(request.POST, tenant=row)
    form.require_known()
    if form.is_valid():
        seconds = form.cleaned_data["window_cap"]
        try:
            operations.set_window_cap(row.pk, seconds=seconds, actor=actor)
        except Unacceptable as refusal:
            form.refuse(refusal)
        else:
            words = _("From now on no window is longer than %(length)s.")
            messages.success(request, words % {"length": duration_words(seconds)})
            return redirect("web:tenant", row.pk)
    readers.require_administrator(row.pk, actor=actor)
    return _tenant_page(request, row, form, status=Unacceptable.status)


def _tenant_page(request: HttpRequest, row: Tenant, form: CapForm, *, status: int = 200) -> HttpResponse:
    actor, at = actor_in(request), instant(request)
    context = {
        **about(actor, row),
        "now": at,
        "form": form,
        **_services(actor),
        "approvers": list(queries.approvers(row)),
        "ruled_out": [level.label for level in Level if not row.allows(level)],
        "under_way": queries.under_way(row, at=at),
        "waits": restored.waiting(row.pk),
        "customer_seconds": settings.CUSTOMER_DECISION_SECONDS,
        "announced": announcements([row.pk], at=at),
        "wait_seconds": settings.STAFF_CHANGE_WAIT_SECONDS,
    }
    return render(request, "tenant/tenant.html", context, status=status)


def _services(actor: Actor) -> dict[str, Any]:
    """Return the services, and whether one of them is enforced by the provider's application or is not covered."""
    services = queries.services(actor)
    return {
        "services": services,
        "has_external": any(one.is_external for one in services),
        "has_uncovered": not all(one.is_covered for one in services),
    }


def announcements(tenant_ids: Iterable[UUID], *, at: datetime) -> list[dict[str, Any]]:
    """Return the changes that the provider's staff have announced to these tenants, each with a description."""
    tenants = list(tenant_ids)
    if not queries.has_announced(tenants, at=at):
        return []
    return [
        {"row": one, "words": proposals.words(one.act, one.said), **_changes(one, tenants)}
        for one in queries.announced(tenants)
    ]


def _changes(row: Proposal, tenant_ids: list[UUID]) -> dict[str, Any]:
    """Return the changes of an import that concern these tenants, the one that weakens a tenant most first.

    `n` is how many changes there are. Any other proposal is one change, and `changes` is empty.
    """
    rows = imports.held_rows(row, tenant_ids).filter(outcome="")
    first = rows.order_by(imports.by_weight(), "line")[:CHANGES_SHOWN]
    changes = [proposals.words(held.act, held.terms) for held in first]
    n = len(changes) if len(changes) < CHANGES_SHOWN else rows.count()
    return {"changes": changes, "n": n or 1, "more": max(n - CHANGES_SHOWN, 0)}


@login_required
@require_http_methods(_PAGE_METHODS)
def lockbox(request: HttpRequest, tenant: UUID, to: str) -> HttpResponse:
    """On GET, explain the switch and its effect on access requests that are under way. On POST, switch Lockbox."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    if request.method == "POST":
        require_nothing(request.POST)
        operations.switch_lockbox(row.pk, on=to == "on", actor=actor)
        messages.success(request, _("Lockbox is on.") if to == "on" else _("Lockbox is off."))
        # Who has come from the list of the set-up returns to it, until it is complete.
        is_set_up = to == "off" or tenant_guide(row.pk, actor=actor, at=instant(request)).is_complete
        return redirect("web:tenant" if is_set_up else "web:guide", row.pk)
    readers.require_administrator(row.pk, actor=actor)
    if row.lockbox_on == (to == "on"):
        raise WrongState(_("Lockbox is on already.") if to == "on" else _("Lockbox is off already."))
    at, approvers = instant(request), list(queries.approvers(row))
    invited = invitations.expected_of_provider(row, at=at) if to == "on" else []
    context = {
        **about(actor, row),
        "now": at,
        "to_on": to == "on",
        "invited": invited,
        "invited_people": len({one.email for one in invited}),
        **_services(actor),
        "approvers": approvers,
        "names": ", ".join([*(one.name for one in approvers[:NAMES_SHOWN]), *["…"][: len(approvers) > NAMES_SHOWN]]),
        "under_way": queries.under_way(row, at=at),
        "customer_seconds": settings.CUSTOMER_DECISION_SECONDS,
    }
    return render(request, "tenant/lockbox.html", context)


class _Switch(StringConverter):
    regex = "on|off"


register_converter(_Switch, "switch")

urlpatterns = [
    path("tenant/<uuid:tenant>/", tenant, name="tenant"),
    path("tenant/<uuid:tenant>/lockbox/<switch:to>/", lockbox, name="lockbox"),
]
