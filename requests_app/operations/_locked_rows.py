"""Locks access requests and their windows, and reads what belongs to them under these locks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

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

#: An access request that is due: the ids of its tenant and of itself.
Due = tuple[UUID, UUID]

#: What the end of an access request needs, and of a window. A column that is missing here would be fetched for each row
#: by itself.
_OF_ROW, _OF_GRANT = ("reference", "state", "decide_by", "is_practice"), ("id", "closes_at", "closed_at")
#: The place of the window's id in what is read, after the place of the key and the columns of the access request.
_ID_OF_GRANT = 1 + len(_OF_ROW) + _OF_GRANT.index("id")
_ROWS, _GRANTS = AccessRequest._meta.db_table, Grant._meta.db_table
#: The keys come as one value, each with its place. Rows are found by their keys alone. With the state or the end in the
#: condition, PostgreSQL would read all access requests that are open, and sort all windows.
_KEYS = {
    "postgresql": "(SELECT id, place - 1 FROM unnest(%s::uuid[]) WITH ORDINALITY AS given(id, place)) AS k(id, place)",
    "sqlite": "(SELECT value AS id, key AS place FROM json_each(%s)) AS k",
}


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


@cache
def _statement(vendor: str, *, has_grant: bool, waits: bool) -> str:
    is_postgresql = vendor == "postgresql"
    selected = [*(f"q.{name}" for name in _OF_ROW), *(f"g.{name}" for name in _OF_GRANT if has_grant)]
    # SQLite reads the tables in the order of a CROSS JOIN.
    join = "JOIN" if is_postgresql else "CROSS JOIN"
    grants = f" {join} {_GRANTS} g ON g.access_request_id = q.id" if has_grant else ""
    lock = f" FOR NO KEY UPDATE OF q{', g' * has_grant}{' SKIP LOCKED' * (not waits)}" if is_postgresql else ""
    read = f"SELECT k.place, {', '.join(selected)} FROM {_KEYS[vendor]}"  # noqa: S608 - names of the models
    return f"{read} {join} {_ROWS} q ON q.id = k.id{grants}{lock}"


def claimed(due: Sequence[Due], *, has_grant: bool, waits: bool) -> list[AccessRequest]:
    """Lock these access requests, with their windows if they have any, and return them in this order.

    What somebody else has locked is left out, unless it waits. Each row has only the columns that its end needs.
    """
    rows, before = [], len(_OF_ROW)
    for place, *columns in sorted(_locked(due, has_grant=has_grant, waits=waits)):
        tenant_id, pk = due[place]
        row = AccessRequest.from_db(connection.alias, ("id", "tenant_id", *_OF_ROW), (pk, tenant_id, *columns[:before]))
        if has_grant:
            of_grant = Grant.from_db(connection.alias, ("access_request_id", *_OF_GRANT), (pk, *columns[before:]))
            # As `row.grant = …` does, without Django's checks.
            row._state.fields_cache["grant"] = of_grant
        rows.append(row)
    return rows


def _locked(due: Sequence[Due], *, has_grant: bool, waits: bool) -> list[list[Any]]:
    statement = _statement(connection.vendor, has_grant=has_grant, waits=waits)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            keys = ",".join(str(pk) for _tenant, pk in due)
            cursor.execute(connection.prepared(statement), [f"{{{keys}}}"])  # type: ignore[attr-defined]  # our own
            return list(cursor.fetchall())
        cursor.execute(statement, [json.dumps([pk.hex for _tenant, pk in due])])
        return [_read(row) for row in cursor.fetchall()]


def _read(columns: Sequence[Any]) -> list[Any]:
    """Return the columns of a row of SQLite with instants in UTC, and with the id of the window as an id."""
    found: list[Any] = [each.replace(tzinfo=UTC) if type(each) is datetime else each for each in columns]
    if len(found) > _ID_OF_GRANT:
        found[_ID_OF_GRANT] = UUID(found[_ID_OF_GRANT])
    return found
