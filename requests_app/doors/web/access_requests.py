"""The list of access requests, the page of one access request, and the live list of its accesses."""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from audit_app import witnesses
from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor, Role, Side
from requests_app.domain.errors import DomainError, Malformed, NotAllowed, WrongState
from requests_app.domain.lifecycle import Transition
from requests_app.domain.states import PENDING, State
from requests_app.doors.web._access import (
    Window,
    again_url,
    excerpt,
    grant_of,
    has_short_reason,
    lines,
    look_lines,
    newest,
    outcome,
    takes_evidence,
    whose_turn,
    window,
)
from requests_app.doors.web._held import held
from requests_app.doors.web._history import how_closed, last_change, needs_customer, steps, timeline
from requests_app.doors.web._refusals import noted
from requests_app.doors.web._step_up import approval_words
from requests_app.doors.web.context import instant
from requests_app.doors.web.middleware import actor_in
from requests_app.models import AccessRequest, Decision, Mute
from requests_app.models.scoping import PRACTICE_PREFIX
from requests_app.queries import access, guards, inbox, restored, review
from requests_app.queries.practice import next_in_trial
from requests_app.templatetags.rows import live_items
from requests_app.words import sentences

#: htmx stops polling at this status.
STOP_POLLING = 286
#: How often a page that waits checks whether the guard of an application has become silent.
SILENCE_SECONDS = 3.0

GROUP_WORDS = {
    "waiting": gettext_lazy("Waiting for an answer"),
    "open": gettext_lazy("Open now"),
    "closed": gettext_lazy("Closed"),
    "denied": gettext_lazy("Denied"),
    "expired": gettext_lazy("Expired"),
    "withdrawn": gettext_lazy("Withdrawn"),
}
_ALLOWED = frozenset({"state", "service", "tenant", "q", "before", "after"})
_REFERENCE_HINT = gettext_lazy(
    "The reference of an access request looks like AR-7K2M-Q4XD. The reference of a ticket looks like T-7K2M-Q4XD."
)
#: A shorter text would match too many names.
SHORTEST_NAME = 3
_REFERENCE = re.compile(r"(?:(P-?)?(AR|T)-?)?([2-9A-HJ-NP-Z]{4})-?([2-9A-HJ-NP-Z]{4})")


# --- The list ------------------------------------------------------------------------------------------------


@login_required
@require_safe
def access_requests(request: HttpRequest) -> HttpResponse:
    actor, at = actor_in(request), instant(request)
    asked = _asked(request)
    search, problem = _search(actor, asked)
    found = inbox.Page([]) if problem else inbox.page(actor, search, at=at, cursor=_cursor(request))
    if search.named and not found.rows:
        problem = _(
            "No access request was found for a resource with this name or an engineer with this address. %(hint)s"
        ) % {"hint": _REFERENCE_HINT}
    context = {
        "now": at,
        "asked": asked,
        "is_filtered": any(asked.values()),
        "problem": problem,
        "lines": lines(found.rows, actor=actor, at=at),
        "groups": GROUP_WORDS.items(),
        "services": inbox.services(actor),
        "by_tenant": actor.side is Side.PROVIDER,
        "may_demand": Role.ENGINEER in actor.roles,
        "newer_url": _page_url(asked, "after", found.newer),
        "older_url": _page_url(asked, "before", found.older),
    }
    return render(request, "access_requests/list.html", context)


def _asked(request: HttpRequest) -> dict[str, str]:
    """Return the filters in the address. Unknown names are refused, not ignored."""
    if not set(request.GET) <= _ALLOWED:
        raise Malformed
    return {
        name: request.GET.get(name, "").replace("\0", "").strip()[:200] for name in ("state", "service", "tenant", "q")
    }


def _search(actor: Actor, asked: dict[str, str]) -> tuple[inbox.Search, str]:
    """Return the filters for the query, and a text that says why they can't match anything, or ""."""
    if asked["state"] and asked["state"] not in inbox.GROUPS:
        raise Malformed
    service_id, tenant_ids, reference, named = None, None, "", ""
    if asked["service"]:
        service_id = next((s.pk for s in inbox.services(actor) if s.key == asked["service"]), None)
        if service_id is None:
            raise Malformed
    if asked["tenant"] and actor.side is Side.PROVIDER:
        tenant_ids = inbox.tenants_named(actor, asked["tenant"])
        if not tenant_ids:
            return inbox.Search(), _("There is no tenant whose name begins with this text.")
    if asked["q"]:
        match = _REFERENCE.fullmatch(asked["q"].upper())
        if match is not None:
            practice = PRACTICE_PREFIX if match[1] else ""
            reference = f"{practice}{match[2] or 'AR'}-{match[3]}-{match[4]}"
        elif len(asked["q"]) < SHORTEST_NAME:
            return inbox.Search(), str(_REFERENCE_HINT)
        else:
            named = asked["q"]
    return inbox.Search(
        group=asked["state"], service_id=service_id, tenant_ids=tenant_ids, reference=reference, named=named
    ), ""


def _cursor(request: HttpRequest) -> inbox.Cursor | None:
    if "before" in request.GET:
        return inbox.Cursor.read(request.GET["before"], is_older=True)
    if "after" in request.GET:
        return inbox.Cursor.read(request.GET["after"], is_older=False)
    return None


def _page_url(asked: dict[str, str], name: str, cursor: inbox.Cursor | None) -> str:
    if cursor is None:
        return ""
    filled = {key: value for key, value in asked.items() if value}
    return "?" + urlencode({**filled, name: str(cursor)})


# --- One access request --------------------------------------------------------------------------------------


@login_required
@require_safe
def access_request(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show the review page to people who can decide, and the whole history to everybody else who can see it."""
    actor, at = actor_in(request), instant(request)
    row = access.access_request(pk, actor=actor)
    context = facts(row, actor=actor, at=at)
    grant, with_items = context["grant"], context["sees_looks"]
    activities = []
    if grant is not None:
        looks = context["accessed"] or access.looks_by_resource([grant.pk])
        activities = review.resource_activity(grant, looks, with_items=with_items)
    before = review.earlier(row, actor=actor)
    if context["may_decide"]:
        context["approval_words"] = approval_words(request, tenant_id=row.tenant_id, at=at)
    context |= {
        "steps": steps(row, at=at),
        "timeline": timeline(row, review.history(row), activities),
        "earlier": before,
        "earlier_lines": lines(before.recent, actor=actor, at=at),
        "counted": inbox.COUNTED,
        "window": _window(row, actor=actor, at=at) if context["is_open"] and with_items else None,
        "waits": restored.waiting(row.tenant_id) if context["is_pending"] and not context["may_decide"] else None,
        "is_provider": actor.side is not Side.CUSTOMER,
    }
    return render(request, "access_requests/detail.html", context)


def facts(row: AccessRequest, *, actor: Actor, at: datetime) -> dict[str, Any]:
    """Return the values that all templates about one access request need."""
    state, grant = row.state_at(at), grant_of(row)
    resources = [line.resource for line in row.scope.all()]
    actions = {edge.act.name: edge for edge in access.allowed_actions(row, actor=actor, at=at)}
    decisions = {decision.stage: decision for decision in row.decisions.all()}
    deciding = [edge for edge in actions.values() if edge.moves.is_decision]
    is_closed = grant is not None and state == State.CLOSED
    accessed = access.looks_by_resource([grant.pk]) if grant is not None and is_closed else []
    seen = access.seen_resources([grant.pk], accessed) if grant is not None and is_closed else {}
    return {
        "now": at,
        "row": row,
        "state": state,
        "is_pending": state in PENDING,
        "is_open": state == State.OPEN,
        "grant": grant,
        "resources": resources,
        "act": sentences.reading(row.level, resources),
        "reason": excerpt(row),
        "is_reason_whole": has_short_reason(row),
        "enforcement": sentences.enforcement(row.enforced_by, has_gate=row.has_gate),
        "promise": sentences.promise(row.level, row.enforced_by, row.tenant.name),
        "approve_words": sentences.button(row),
        "actions": actions,
        "other_acts": [edge for edge in actions.values() if not edge.moves.targets],
        "may_decide": bool(deciding),
        "held_up": _held_up(row, deciding, at),
        "is_provider_stage": state == State.PENDING_PROVIDER,
        "needs_customer": needs_customer(row),
        "provider_decision": decisions.get(Decision.Stage.PROVIDER),
        "customer_decision": decisions.get(Decision.Stage.CUSTOMER),
        "turn": whose_turn(row, state),
        "next_in_trial": next_in_trial(row.ticket, actor=actor, at=at) if row.ticket else "",
        "accessed": accessed,
        "seen": seen,
        "outcome": outcome(row, state, seen.get(grant.pk) if grant else None),
        "how_closed": how_closed(grant) if grant and state == State.CLOSED else "",
        "sees_looks": policy.sees_looks(actor, row),
        "may_take_evidence": takes_evidence(actor, row.tenant_id),
        "again_url": again_url(row, actor=actor, state=state),
        "is_own": Role.ENGINEER in actor.roles and actor.human_id == row.requester_human,
        "is_customer": actor.side is Side.CUSTOMER,
        # The provider keeps resources reachable. The customer reads the tests in the log.
        **(access.reached(resources, at) if actor.side is Side.PROVIDER and state in (*PENDING, State.OPEN) else {}),
        "kinds": {resource.kind for resource in resources},
    }


def _held_up(row: AccessRequest, deciding: list[Transition], at: datetime) -> str:
    """Return why an approval would be refused now, or "". `deciding` has the decisions that this person can make.

    This is only a notice for people who can approve: the operation itself refuses the approval.
    """
    if deciding and (waits := restored.waiting(row.tenant_id)) is not None:
        return sentences.not_confirmed(row.tenant, at_tenant=waits.tenant)
    if row.state_at(at) == State.PENDING_PROVIDER and deciding and needs_customer(row):
        mute = Mute.objects.longest(row.tenant_id, row.requester_human, at)
        return sentences.muted(mute, at) if mute else ""
    hours = row.tenant.cosigned_within
    opens = any(State.OPEN in edge.moves.targets for edge in deciding)
    if hours is None or not opens:
        return ""
    doubt = witnesses.doubt(row.tenant_id, hours, at)
    return sentences.not_cosigned(row.tenant, hours, doubt) if doubt else ""


def changed(
    request: HttpRequest, row: AccessRequest, edge: Transition, error: DomainError | None = None
) -> HttpResponse:
    """Answer 409 with a page that shows why the act is not possible, the present state, and the last change."""
    actor, at = actor_in(request), clock.now()
    row = access.access_request(row.pk, actor=actor)
    error = error or access.refusal(row, edge.act.name, actor=actor, at=at)
    message = error.message if error else ""
    is_early = row.state == State.PENDING_PROVIDER and edge.stage == Decision.Stage.CUSTOMER
    context = {**facts(row, actor=actor, at=at), "message": message, "is_early": is_early}
    context["last_events"] = last_change(row)
    return render(request, "access_requests/changed.html", context, status=WrongState.status)


# --- Live ----------------------------------------------------------------------------------------------------


@login_required
@require_safe
def live(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show the accesses, the newest first. For htmx, wait for a new access or the end, and send only the list."""
    actor, at = actor_in(request), instant(request)
    row = review.watched(pk, actor=actor)
    if not policy.sees_looks(actor, row):
        with noted(row, "watch", actor):
            raise NotAllowed
    if request.htmx:  # type: ignore[attr-defined]  # set by HtmxMiddleware
        first, grant = _fragment(request, row, at=at), grant_of(row)
        if grant is None:
            return first
        # An application that is enforced by a guard can become silent, which changes no row.
        every = SILENCE_SECONDS if row.enforced_by else None
        again = partial(_live_again, request, pk)
        return held(request, first, again, every=every, tenant_id=row.tenant_id, grant_id=grant.pk)
    row = access.access_request(pk, actor=actor)
    context = facts(row, actor=actor, at=at)
    context["window"] = _window(row, actor=actor, at=at, seen=context["seen"])
    return render(request, "access_requests/live.html", context)


def _live_again(request: HttpRequest, pk: UUID) -> HttpResponse:
    actor = actor_in(request)
    row = review.watched(pk, actor=actor)
    if not policy.sees_looks(actor, row):
        raise NotAllowed
    return _fragment(request, row, at=clock.now())


def _window(
    row: AccessRequest, *, actor: Actor, at: datetime, seen: dict[UUID, dict[str, Any]] | None = None
) -> Window:
    grant = grant_of(row)
    polls = review.LIVE if row.state_at(at) == State.OPEN else 0
    [line] = lines([row], actor=actor, at=at, seen=seen)
    with_tenant = actor.side is Side.PROVIDER
    looks, since = review.live(grant) if grant else [], guards.silence_of(row, at) if polls else None
    return window(line, looks, polls=polls, with_tenant=with_tenant, silence=since)


def _fragment(request: HttpRequest, row: AccessRequest, *, at: datetime) -> HttpResponse:
    # Rendered without the request, because the menu with its counts would take longer than the list.
    grant, is_open = grant_of(row), row.state_at(at) == State.OPEN
    looks = review.live(grant, limit=_limit(request)) if grant else []
    since = guards.silence_of(row, at) if is_open else None
    seen = newest(looks, since)
    if is_open and request.GET.get("seen") == seen:
        return HttpResponse(status=204)
    shown = live_items(
        {"now": at},
        look_lines(looks, enforced_by=row.enforced_by),
        enforced_by=row.enforced_by,
        has_gate=row.has_gate,
        seen=seen,
        silence=since,
    )
    response = HttpResponse(shown)
    if not is_open:
        # The rest of the page still shows an open window with its close button, so the page must be loaded again.
        response.status_code = STOP_POLLING
        response["HX-Refresh"] = "true"
    return response


def _limit(request: HttpRequest) -> int:
    asked = request.GET.get("lines", "")
    return min(int(asked), review.LIVE) if asked.isdecimal() and len(asked) < 4 and int(asked) else review.LIVE


urlpatterns = [
    path("access-requests/", access_requests, name="access_requests"),
    path("access-requests/<uuid:pk>/", access_request, name="access_request"),
    path("access-requests/<uuid:pk>/live/", live, name="live"),
]
