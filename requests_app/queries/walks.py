"""Walks through the indexes of access requests: several are read in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import DateTimeField, QuerySet, UUIDField

from requests_app.domain.states import State
from requests_app.models import AccessRequest
from requests_app.models.access import AccessRequestQuerySet
from requests_app.platform.database.compiled import CompiledQuery, together


class Walk(NamedTuple):
    """Access requests in the order of one index: a query for (whether it is practice, the instant, the id).

    Several walks are read in one statement (`walked`).
    """

    query: CompiledQuery
    values: dict[str, Any]
    is_newest_first: bool = False
    #: Whether all practice requests come after all real ones.
    practice_last: bool = False


def walked(parts: Mapping[str, tuple[list[Walk], int]]) -> dict[str, list[UUID]]:
    """Return the ids for each part: the first of its walks together, up to its limit."""
    found = iter(together([(walk.query, walk.values) for walks, _limit in parts.values() for walk in walks]))
    result = {}
    for name, (walks, limit) in parts.items():
        rows = [row for _walk in walks for row in next(found)]
        if any(walk.practice_last for walk in walks):
            rows.sort()
        else:
            rows.sort(key=itemgetter(1, 2), reverse=any(walk.is_newest_first for walk in walks))
        result[name] = [row[2] for row in rows[:limit]]
    return result


@cache
def walk_where(
    column: str, state: State, late: bool | None, *, limit: int, is_newest_first: bool = False
) -> CompiledQuery:
    """Return the walk through the access requests of one tenant or queue in one state, by deadline."""

    def make(key: Any, at: Any = None) -> QuerySet[Any, Any]:
        rows = in_part(AccessRequest.objects.filter(**{column: key}), state, late, at)
        order = ("-decide_by", "-pk") if is_newest_first else ("decide_by", "pk")
        return rows.order_by(*order).values_list("is_practice", "decide_by", "pk")[:limit]

    more = {} if late is None else {"at": DateTimeField()}
    return CompiledQuery(make, key=UUIDField(), **more)


def in_part(rows: AccessRequestQuerySet, state: State, late: bool | None, at: datetime) -> AccessRequestQuerySet:
    """Return those of the rows in this state whose deadline has passed, or has not. With None, it does not matter."""
    rows = rows.filter(state=state)
    if late is None:
        return rows
    until = "grant__closes_at" if state is State.OPEN else "decide_by"
    return rows.filter(**{f"{until}__lte" if late else f"{until}__gt": at})
