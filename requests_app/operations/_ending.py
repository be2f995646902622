"""Ends access requests and windows when a ticket is closed, a person is switched off, or a role is taken away."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from audit_app import canonical
from audit_app.beside import Changed
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import CLOSE, EXPIRE, REVOKE, WITHDRAW
from requests_app.domain.acts.tenants import TENANT_SWITCHED_OFF, TENANT_SWITCHED_ON
from requests_app.domain.states import PENDING, State
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import AccessRequest, Grant, Tenant
from requests_app.operations._change import Move, Step, apply, begin

EVERYBODY = (Audience.ENGINEER, Audience.PROVIDER_APPROVERS, Audience.CUSTOMER)


def end_access(current: Step, which: QuerySet[Any], *, cause: str, also_over: bool = False) -> int:
    """End these access requests inside the current act: withdraw the pending ones, and close the open windows.

    All rows are locked before the first one is changed: first the access requests, then the grants, then the logs. So
    two such acts never wait for each other in a circle. Access requests and windows that are past their deadline are
    left for the sweep, unless `also_over`: if the clock is set back later, they would be live again until it runs. They
    end as in the sweep, because nobody can withdraw or revoke what is over. Return how many ended.
    """
    rows = which.filter(state__in=[*PENDING, State.OPEN]).locked_in_turn()  # type: ignore[attr-defined]  # ScopedQuerySet
    grants = {g.access_request_id: g for g in Grant.objects.filter(access_request__in=rows).locked_in_turn()}
    by = current.actor
    ended = 0
    for row in sorted(rows, key=lambda row: (str(row.tenant_id), str(row.pk))):
        grant = grants.get(row.pk)
        is_over = row.state_at(current.at) != row.state
        if is_over and not also_over:
            continue
        how = (CLOSE if grant else EXPIRE) if is_over else (REVOKE if grant else WITHDRAW)
        step = begin(Actor.system(cause), row, grant, how, current.at)
        step.detail = {"cause": cause, "by": by.name, "by_id": str(by.person_id) if by.person_id else None}
        if grant:
            close_grant(step, Grant.CloseReason.ELAPSED if is_over else Grant.CloseReason.REVOKED)
        else:
            tell_ended(step)
        apply(step)
        current.notes.extend(step.notes)
        ended += 1
    return ended


def close_grant(step: Move, reason: Grant.CloseReason) -> None:
    """Close the grant of this step. `apply` stores it together with the entry.

    If the time of a window is already over, the grant stores the window's own end as the closing time, no matter when
    the sweep runs.
    """
    grant = step.grant
    assert grant is not None
    grant.closed_at = min(step.at, grant.closes_at)
    grant.close_reason = reason
    grant.closed_by_id = step.actor.person_id
    step.changed.append(Changed([grant], "closed_at", "close_reason", "closed_by"))
    closed_at = canonical.instant(grant.closed_at)
    step.detail = {**step.detail, "grant": str(grant.pk), "closed_at": closed_at, "how": str(reason)}
    step.tell(about(step.row, Topic.WINDOW_CLOSED, *EVERYBODY))


def tell_ended(step: Move) -> None:
    """Send the outcome to the engineer, and to everybody who was asked to decide."""
    asked = EVERYBODY if step.row.state == State.PENDING_CUSTOMER else EVERYBODY[:2]
    step.tell(about(step.row, Topic.ACCESS_REQUEST_ENDED, *asked))


def about(row: AccessRequest, topic: Topic, *audiences: Audience) -> Note:
    return Note(topic=topic, tenant_id=row.tenant_id, about=row.pk, audiences=audiences)


def switch_tenant(current: Step, tenant: Tenant, *, on: bool) -> None:
    """Switch a tenant on or off. Switching it off ends all access."""
    tenant.is_active = on
    tenant.save(update_fields=["is_active"])
    current.witness(TENANT_SWITCHED_ON if on else TENANT_SWITCHED_OFF, detail={"name": tenant.name}, text=tenant.name)
    if not on:
        end_access(current, AccessRequest.objects.filter(tenant=tenant), cause="tenant-switched-off")
