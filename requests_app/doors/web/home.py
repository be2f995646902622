"""The first page of each side: what waits for this person, what is open, and recent results."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from requests_app.domain.actors import Actor, Role, Side
from requests_app.doors.web._access import Line, Window, lines, window
from requests_app.doors.web._places import places
from requests_app.doors.web.context import counted, instant, tenants_of, waiting_count
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import announcements
from requests_app.models import Tenant
from requests_app.queries import asking, guards, inbox, menu, receivers, second_person
from requests_app.queries import home as queries
from requests_app.queries.guide import Guide
from requests_app.queries.guide_of_provider import provider_guide
from requests_app.queries.guide_of_tenant import tenant_guide
from requests_app.queries.walks import walked

WAITING, WINDOWS, RECENT, TICKETS, RAISED = 10, 5, 8, 8, 20
#: How many accesses each open window shows. Each window polls separately for new accesses.
LOOKS = 3


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    actor, at = actor_in(request), instant(request)
    parts = _parts(actor, at)
    rows = [row for part in queries.rows_of(parts).values() for row in part]
    by_pk = {line.row.pk: line for line in lines({row.pk: row for row in rows}.values(), actor=actor, at=at)}
    shown = {name: [by_pk[pk] for pk in part if pk in by_pk] for name, part in parts.items()}
    notes = queries.notes(actor)
    context = {"now": at, **vars(notes), **_everybody(actor, shown, waiting_count(request), at)}
    if actor.side is Side.CUSTOMER:
        context |= _customer(actor, shown, tenants_of(request), at)
    elif Role.ENGINEER in actor.roles:
        context |= _engineer(actor, shown, at)
    if actor.is_staff:
        context["unconfirmed"] = second_person.count_unconfirmed(at)
        context["through_groups"] = second_person.count_through_groups()
    context["guides"] = _guides(actor, at)
    context["heading"] = _heading(actor, context)
    return render(request, "home/home.html", context)


def _parts(actor: Actor, at: datetime) -> dict[str, list[UUID]]:
    """Return the ids of the access requests in each part of the page.

    A person with several roles sees the parts of all their roles.
    """
    parts = {"waiting": (inbox.waiting_walks(actor, at=at, limit=WAITING), WAITING)}
    closes_windows = Role.PROVIDER_APPROVER in actor.roles or actor.is_staff
    if actor.side is Side.CUSTOMER:
        parts["windows"] = queries.open_windows(actor, at=at, limit=WINDOWS + 1), WINDOWS + 1
        parts["pending"] = queries.under_way(actor, at=at, limit=RECENT), RECENT
        parts["recent"] = inbox.ended_walks(actor, at=at, limit=RECENT), RECENT
    elif Role.ENGINEER in actor.roles:
        parts["own_pending"] = queries.under_way_of_engineer(actor, at=at, limit=RAISED), RAISED
        parts["own_recent"] = queries.recent_of_engineer(actor, at=at, limit=RECENT), RECENT
    if actor.side is Side.PROVIDER and closes_windows:
        parts |= queries.next_windows(actor, at=at, limit=WINDOWS + 1)
        return queries.found_windows(walked(parts), actor, at=at, limit=WINDOWS + 1)
    return walked(parts)


def _everybody(actor: Actor, shown: dict[str, list[Line]], count: int, at: datetime) -> dict[str, Any]:
    """Return what every home page shows: what waits for this person, and the open windows that concern this person."""
    is_queue = Role.PROVIDER_APPROVER in actor.roles
    if is_queue:
        last = queries.last_here([line.row for line in shown["waiting"]])
        for line in shown["waiting"]:
            line.last_here = last.get(line.row.pk)
    windows = shown.get("windows", [])
    return {
        "waiting": shown["waiting"],
        "waiting_count": count,
        "waiting_words": _with_practice(counted(count), shown["waiting"]),
        "windows": _windows(windows[:WINDOWS], actor, at),
        "windows_words": _words(windows, most=WINDOWS),
        "has_more_windows": len(windows) > WINDOWS,
        "has_more_real_windows": len(_real(windows)) > WINDOWS,
        "may_decide": bool(actor.roles & {Role.APPROVER, Role.PROVIDER_APPROVER}),
        "is_queue": is_queue,
    }


def _with_practice(words: str, waiting: list[Line]) -> str:
    """Return the number of access requests that wait. Practice requests are in the list, but not in the number."""
    n = len(waiting) - len(_real(waiting))
    if not words or not n:
        return words
    counted_words = ngettext("%(real)s, and %(n)d for practice", "%(real)s, and %(n)d for practice", n)
    return counted_words % {"real": words, "n": n}


def _customer(actor: Actor, shown: dict[str, list[Line]], tenants: list[Tenant], at: datetime) -> dict[str, Any]:
    who = queries.who_can_answer(tenants)
    announced = announcements((tenant.pk for tenant in tenants), at=at)
    recent = sorted(shown["recent"], key=lambda line: line.row.submitted_at, reverse=True)
    return {
        "is_customer": True,
        "announced": announced,
        "announced_count": sum(one["n"] for one in announced),
        "mutes": _mutes(_real(shown["waiting"])),
        "answer_seconds": settings.CUSTOMER_DECISION_SECONDS,
        "away": _where(actor, tenants, Role.APPROVER),
        "switch_on": _switchable(actor, tenants),
        "tenants": [{"row": tenant, "who": _names(tenant, who), "alone": who[tenant.pk] == []} for tenant in tenants],
        "pending": shown["pending"],
        "recent": recent,
        "last": next(iter(_real(recent)), None),
        "tickets": queries.customers_tickets(actor, limit=TICKETS),
        "may_open_tickets": bool(actor.roles & {Role.MEMBER, Role.APPROVER, Role.ADMINISTRATOR}),
    }


def _switchable(actor: Actor, tenants: list[Tenant]) -> list[Tenant]:
    """Return the tenants in which this person can switch Lockbox on."""
    administered = _where(actor, tenants, Role.ADMINISTRATOR)
    return [tenant for tenant in administered if not tenant.lockbox_on and tenant.plan.includes_lockbox]


def _guides(actor: Actor, at: datetime) -> list[Guide[Any]]:
    """Return the set-ups that this person can continue and that are not complete: the provider's, or of tenants."""
    found: list[Guide[Any]] = [provider_guide(actor=actor, at=at)] if actor.is_staff else []
    administered = [pk for pk, roles in actor.tenant_roles.items() if Role.ADMINISTRATOR in roles]
    found += [tenant_guide(pk, actor=actor, at=at) for pk in sorted(administered)]
    return [guide for guide in found if not guide.is_complete]


def _where(actor: Actor, tenants: list[Tenant], role: Role) -> list[Tenant]:
    return menu.tenants_where(actor, tenants, frozenset({role}))


def _mutes(waiting: list[Line]) -> list[dict[str, Any]]:
    """Return the tenants with several pending access requests.

    On the page at `url`, an approver can deny all requests of the tenant together.
    """
    tenants = {line.row.tenant_id: line.row.tenant for line in waiting}
    counted = Counter(line.row.tenant_id for line in waiting)
    asked_often = [tenant for pk, tenant in tenants.items() if counted[pk] > 1]
    return [{"tenant": tenant, "url": reverse("web:mutes", args=[tenant.pk])} for tenant in asked_often]


def _engineer(actor: Actor, shown: dict[str, list[Line]], at: datetime) -> dict[str, Any]:
    windows = [line for line in shown["own_pending"] if line.grant]
    _find_ways_in(windows)
    return {
        "is_engineer": True,
        "drafts": asking.drafts(actor, at=at),
        "own_windows": windows,
        "own_windows_words": _words(windows, most=RAISED),
        "own_pending": [line for line in shown["own_pending"] if not line.grant],
        "own_recent": shown["own_recent"],
        "tickets": queries.tickets_of_engineer(actor, limit=TICKETS),
        "new_tickets": queries.new_tickets(actor, limit=TICKETS),
    }


def _find_ways_in(windows: list[Line]) -> None:
    """Give each window of another application the links into it, if a receiver signs the engineer in there."""
    elsewhere = [line for line in windows if line.row.enforced_by]
    found = receivers.of_services(line.row.service for line in elsewhere)
    for line in elsewhere:
        receiver, scope = found.get(line.row.service_id), [each.resource for each in line.row.scope.all()]
        if line.grant is not None and receiver is not None:
            line.ways_in = [place for place in places(line.row, line.grant, scope, receiver) if place.signs_in]


def _real(lines: list[Line]) -> list[Line]:
    """Leave out practice requests. They are shown, but no number counts them."""
    return [line for line in lines if not line.row.is_practice]


def _words(found: list[Line], *, most: int) -> str:
    """Return the number of real rows, and whether there are practice rows beside them. Without real rows, return ""."""
    count = len(_real(found))
    if not count:
        return ""
    words = f"{most}+" if count > most else counted(count)
    return words if count == len(found) else _("%(number)s, and practice") % {"number": words}


def _windows(found: list[Line], actor: Actor, at: datetime) -> list[Window]:
    looks = queries.latest_looks([line.grant.pk for line in found if line.grant and line.sees_looks], lines=LOOKS)
    silent = guards.silent_services([line.row for line in found], at)
    with_tenant = actor.side is Side.PROVIDER or len(actor.tenant_ids) > 1
    return [
        window(
            line,
            looks.get(line.grant.pk, []),
            polls=LOOKS,
            with_tenant=with_tenant,
            silence=silent.get(line.row.service_id),
        )
        for line in found
        if line.grant
    ]


def _names(tenant: Tenant, who: dict[Any, list[Any]]) -> str:
    return str(get_text_list([person.name for person in who[tenant.pk]], _("or")))


def _heading(actor: Actor, context: dict[str, Any]) -> str:
    """Return one sentence that says what waits for this person."""
    count = context["waiting_count"]
    if count >= inbox.COUNTED:
        return _("More than %(n)d access requests wait for your answer") % {"n": inbox.COUNTED - 1}
    if count:
        return ngettext(
            "%(n)d access request waits for your answer", "%(n)d access requests wait for your answer", count
        ) % {"n": count}
    if context["waiting"]:
        return _("A practice request waits for your answer")
    windows = len(_real([window.line for window in context["windows"]]))
    if context["has_more_real_windows"]:
        return _("More than %(n)d access windows are open now") % {"n": windows}
    if windows:
        return ngettext("%(n)d access window is open now", "%(n)d access windows are open now", windows) % {
            "n": windows
        }
    if context["restored"]:
        return _("What was restored from a backup must be confirmed")
    if context["may_decide"]:
        return _("Nothing is waiting for you")
    if context.get("is_engineer"):
        return _("Your tickets and access requests")
    if actor.side is Side.CUSTOMER:
        return _("%(provider)s has no open window to your content") % {"provider": settings.PROVIDER_NAME}
    return _("Welcome, %(name)s") % {"name": actor.name}


urlpatterns = [path("", home, name="home")]
