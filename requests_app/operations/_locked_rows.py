"""Locks access requests and their windows, and reads what belongs to them under these locks."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet, UUIDField

from requests_app.domain.states import PENDING, State
from requests_app.models import AccessRequest, Decision, Grant, Service, Tenant
from requests_app.models.scoping import CompiledFind, CompiledLock
from requests_app.platform.database.compiled import CompiledQuery, Reads

#: Finds and locks an access request that an actor can see.
FIND = CompiledFind(
    lambda: AccessRequest.objects.select_related("tenant", "service", "ticket", "requested_by").locked()
)
_TENANT = CompiledLock(lambda: Tenant.objects.all())
_SERVICE = CompiledLock(lambda: Service.objects.all())
_GRANT = CompiledQuery(lambda row: Grant.objects.locked().filter(access_request=row).order_by(), row=UUIDField())
_DECISIONS = CompiledQuery(
    lambda row: Decision.objects.select_related("decider", "client__account").filter(access_request_id=row),
    row=UUIDField(),
)
#: A constraint allows one decision for each stage.
_FIRST_DECISION = CompiledQuery(
    lambda row: Decision.objects.select_related("decider", "client__account").filter(
        access_request_id=row, stage=Decision.Stage.PROVIDER
    ),
    row=UUIDField(),
)


def earlier_decision(row: AccessRequest) -> list[Reads]:
    """Return the query for the one decision that an access request has while it waits for the customer.

    Read it together with the actor, and pass it to `read_decisions`. In each other state, return [].
    """
    return [(_FIRST_DECISION, {"row": row.pk})] if row.state == State.PENDING_CUSTOMER else []


def read_decisions(row: AccessRequest, earlier: Decision | None) -> None:
    """Read the decisions of an access request, as `prefetch_related` does, so that they are read only once.

    `earlier` is what the query of `earlier_decision` has found.
    """
    decisions: Any = Decision.objects.all()
    if row.state in PENDING:
        # The decision of each stage ends its state, and is made under this lock.
        decisions._result_cache = [earlier] if earlier is not None else []
    else:
        decisions._result_cache = _DECISIONS(row=row.pk)
    decisions._prefetch_done = True
    vars(row)["_prefetched_objects_cache"] = {"decisions": decisions}


def lock_places(row: AccessRequest) -> None:
    """Lock the tenant and the service of an access request, and read them under these locks."""
    row.tenant, row.service = _TENANT(row.tenant_id), _SERVICE(row.service_id)


def locked_grant(row: AccessRequest) -> Grant | None:
    """Lock the grant of a locked access request and return it. Return None if there is no grant.

    A grant is created only while its access request is locked, so no grant can appear meanwhile.
    """
    with connection.awaiting("grant", row.pk):  # type: ignore[attr-defined]  # our own backends
        grant: Grant | None = next(iter(_GRANT(row=row.pk)), None)
    if grant is not None:
        row.grant = grant
    return grant


def lock_access(which: QuerySet[Any]) -> None:
    """Lock the access requests that the act might end, then the grants that it might end.

    Call this before the act takes its turn at the log.
    """
    held = which.filter(state__in=[*PENDING, State.OPEN]).locked_in_turn()  # type: ignore[attr-defined]  # ScopedQuerySet
    if held:
        Grant.objects.filter(access_request__in=held).locked_in_turn()
