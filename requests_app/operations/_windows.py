"""The rule for a whole window: whether its engineer may use it now, wherever its content is."""

from __future__ import annotations

from typing import Any

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import NotCovered
from requests_app.domain.policy import ContentAccessFacts
from requests_app.models import AccessRequestResource, Grant, Person
from requests_app.operations._change import Step
from requests_app.words import sentences


def find_window(current: Step, grant_id: object) -> Grant:
    """Lock the window that the act is about, and take the turn at its tenant's log.

    The lock of the row puts a revocation and the act in order, as for an access to content.
    """
    grant: Grant = windows(current.actor).locked().find(grant_id)
    concern(current, grant)
    return grant


def windows(actor: Actor) -> Any:
    return Grant.objects.visible_to(actor).select_related("access_request__ticket", "access_request__service", "tenant")


def concern(current: Step, grant: Grant) -> None:
    """Name the locked window as the row of the act."""
    current.correlation_id = grant.access_request_id
    current.row = grant.access_request
    current.head = current.concerns("grant", grant, grant.tenant_id, service_id=grant.access_request.service_id)


def require_window(current: Step, grant: Grant, engineer: Actor) -> None:
    """Raise NotAllowed, or a subclass, unless this engineer has this window and may use it at this instant."""
    asked = grant.access_request
    resources = AccessRequestResource.objects.filter(access_request=asked).select_related("resource__service")
    roles = engineer.roles_on(tenant_id=grant.tenant_id, service_id=asked.service_id)
    look = ContentAccessFacts(
        is_engineer=Role.ENGINEER in roles,
        is_requesters=asked.requester_human == engineer.human_id,
        lacks_second_factor=policy.needs_second_factor(engineer) and not _has_second_factor(engineer),
        is_closed=grant.closed_at is not None,
        opens_at=grant.opens_at,
        closes_at=grant.closes_at,
        ticket_state=asked.ticket.state if asked.ticket else None,
        is_own_place=True,
        is_active=any(line.resource.is_in_use for line in resources),
        is_in_scope=True,
        granted=grant.level,
        needed=grant.level,
    )
    policy.require_content_access(look, at=current.at)
    # The act that rules a level out closes its windows. This does not depend on that.
    if not grant.tenant.allows(grant.level):
        raise NotCovered(sentences.ruled_out(grant.tenant, grant.level))


def _has_second_factor(engineer: Actor) -> bool:
    return Person.objects.get_queryset().get(pk=engineer.person).has_second_factor
