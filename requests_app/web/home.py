"""The first page of each side: what waits for this person, what is open, what came of it lately."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from requests_app.actors import Actor, Role, Side
from requests_app.models import AccessRequest, Tenant
from requests_app.queries import home as queries
from requests_app.queries import inbox, menu
from requests_app.web._access import Window, lines, window
from requests_app.web.context import counted, instant
from requests_app.web.middleware import actor_in

WAITING, WINDOWS, LATELY, TICKETS, OWN = 20, 20, 8, 10, 30
#: How many open windows renew themselves on this page, and how many of their looks they show.
RENEWED, LOOKS = 5, 3


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    actor, at = actor_in(request), instant(request)
    context: dict[str, Any] = {"now": at}
    context |= _everybody(actor, at)
    if actor.side is Side.CUSTOMER:
        context |= _customer(actor, at)
    elif Role.ENGINEER in actor.roles:
        context |= _engineer(actor, at)
    context["heading"] = _heading(actor, context)
    return render(request, "home/home.html", context)


def _everybody(actor: Actor, at: datetime) -> dict[str, Any]:
    """What waits for this person, and the open windows of others that concern them."""
    waiting = lines(inbox.waiting(actor, at=at, limit=WAITING), actor=actor, at=at)
    count = inbox.count_waiting_for(actor, at=at)
    is_queue = Role.PROVIDER_APPROVER in actor.roles
    if is_queue:
        last = queries.last_here([line.row for line in waiting])
        for line in waiting:
            line.last_here = last.get(line.row.pk)
    windows: list[Window] = []
    if actor.side is Side.CUSTOMER or is_queue or actor.is_staff:
        windows = _windows(queries.open_windows(actor, at=at, limit=WINDOWS), actor, at)
    return {
        "waiting": waiting,
        "waiting_count": count,
        "waiting_words": counted(count),
        "windows": windows,
        "may_decide": bool(actor.roles & {Role.APPROVER, Role.PROVIDER_APPROVER}),
        "is_queue": is_queue,
    }


def _customer(actor: Actor, at: datetime) -> dict[str, Any]:
    tenants = menu.tenants(actor)
    who = queries.who_can_answer(tenants)
    pending = lines(queries.under_way(actor, at=at, limit=WAITING), actor=actor, at=at)
    return {
        # What waits for this very person stands above already.
        "pending": [line for line in pending if not line.word],
        "is_customer": True,
        "answer_seconds": settings.CUSTOMER_DECISION_SECONDS,
        "tenants": [
            {
                "row": tenant,
                "who": _names(tenant, who),
                "alone": who[tenant.pk] == [],
                "own_roles": _held(actor, tenant),
            }
            for tenant in tenants
        ],
        "lately": lines(queries.lately(actor, at=at, limit=LATELY), actor=actor, at=at),
        "tickets": queries.customers_tickets(actor, limit=TICKETS),
        "may_open_tickets": bool(actor.roles & {Role.MEMBER, Role.APPROVER, Role.ADMINISTRATOR}),
    }


def _engineer(actor: Actor, at: datetime) -> dict[str, Any]:
    own = lines(queries.own(actor, at=at, limit=OWN), actor=actor, at=at)
    return {
        "is_engineer": True,
        "own_windows": [line for line in own if line.grant],
        "own_pending": [line for line in own if not line.grant],
        "own_lately": lines(queries.own_lately(actor, at=at, limit=LATELY), actor=actor, at=at),
        "tickets": queries.own_tickets(actor, limit=TICKETS),
        "new_tickets": queries.new_tickets(actor, limit=TICKETS),
    }


def _windows(rows: list[AccessRequest], actor: Actor, at: datetime) -> list[Window]:
    """The first few renew themselves: each of them is a poll of its own."""
    found = lines(rows, actor=actor, at=at)
    looks = queries.latest_looks([line.grant.pk for line in found if line.grant and line.sees_looks], lines=LOOKS)
    with_tenant = actor.side is Side.PROVIDER or len(actor.tenant_ids) > 1
    return [
        window(
            line,
            looks.get(line.grant.pk, []) if line.grant else [],
            polls=LOOKS if place < RENEWED else 0,
            with_tenant=with_tenant,
        )
        for place, line in enumerate(found)
    ]


def _names(tenant: Tenant, who: dict[Any, list[Any]]) -> str:
    return str(get_text_list([person.name for person in who[tenant.pk]], _("or")))


def _held(actor: Actor, tenant: Tenant) -> frozenset[Role]:
    return actor.tenant_roles.get(tenant.pk, frozenset())


def _heading(actor: Actor, context: dict[str, Any]) -> str:
    """One sentence that answers the question with which this person came."""
    count = context["waiting_count"]
    if count >= inbox.COUNTED:
        return _("More than %(n)d access requests wait for your answer") % {"n": inbox.COUNTED - 1}
    if count:
        return ngettext(
            "%(n)d access request waits for your answer", "%(n)d access requests wait for your answer", count
        ) % {"n": count}
    windows = len(context["windows"])
    if windows:
        return ngettext("%(n)d window is open now", "%(n)d windows are open now", windows) % {"n": windows}
    if context["may_decide"]:
        return _("Nothing is waiting for you")
    if context.get("is_engineer"):
        return _("Your tickets and access requests")
    if actor.side is Side.CUSTOMER:
        return _("Nothing of yours is open to %(provider)s") % {"provider": settings.PROVIDER_NAME}
    return _("Welcome, %(name)s") % {"name": actor.name}


urlpatterns = [path("", home, name="home")]
