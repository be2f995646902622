"""Finds rows by id only among the rows that an actor can see: `visible_to(actor).find(id)`.

A missing row and a hidden row raise the same error.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from operator import or_
from typing import Any, Self
from uuid import UUID

from django.db import connections, models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from requests_app.domain.actors import Actor, Side
from requests_app.domain.errors import NotFound
from requests_app.domain.ids import as_id
from requests_app.platform.database.compiled import CompiledQuery

#: For this number of places of an actor, the text of a query is stored. Nearly everybody has fewer.
MOST_PLACES = 10
#: If there are more rows than this, they are locked in one statement.
EACH_FOR_ITSELF = 20
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


#: The references of practice tickets and practice access requests begin with this, and no other references do.
PRACTICE_PREFIX = "P-"


def new_reference(prefix: str, *, is_practice: bool = False) -> str:
    """Return a random reference that people can read aloud and type. No two characters of its alphabet look alike."""
    return f"{PRACTICE_PREFIX if is_practice else ''}{prefix}-{_four()}-{_four()}"


def _four() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(4))


#: A column and its values, or None.
Scope = tuple[str, list[UUID]] | None


class ScopedQuerySet(models.QuerySet[Any]):
    """A queryset of rows that belong to a tenant, to a service, or to both.

    `tenant_path` and `service_path` name the columns with the tenant and the service.
    """

    tenant_path = "tenant_id"
    service_path: str | None = None

    def visible_to(self, actor: Actor) -> Self:
        """Return the rows that the actor can see.

        Customers see the rows of their tenants. The provider's people see the rows of their queues. Staff and the
        system see all rows.
        """
        scope = self.scope_of(actor)
        return self if scope is None else self.filter(**{f"{scope[0]}__in": scope[1]})

    def visible_in_order(self, actor: Actor) -> Self:
        """Return the rows that the actor can see, for a list in an order that an index of all rows has.

        Without statistics, SQLite would take the index of the queues instead, and read and sort all of their rows.
        """
        return self.visible_to(actor) if actor.side is Side.CUSTOMER else self.visible_in_parts(actor)

    def visible_in_parts(self, actor: Actor) -> Self:
        """Return the rows that the actor can see, for a list in parts. A part names its tenant if its index has it."""
        scope = self.scope_of(actor)
        if scope is None or connections[self.db].vendor != "sqlite":
            return self.visible_to(actor)
        return self.alias(of=without_index(scope[0])).filter(of__in=scope[1])

    def listed_for(self, actor: Actor, *, few: models.QuerySet[Any, Any] | None) -> Self:
        """Return the rows that the actor can see, for a list. With `few`, return only rows with these keys."""
        return self.visible_in_order(actor) if few is None else self.visible_in_parts(actor).filter(pk__in=few)

    def with_state_alone(self) -> Self:
        """Return the rows with their state as `state_alone`, for a condition in a list that an index has in its order.

        With a condition on `state` itself, SQLite would read and sort all rows.
        """
        is_sqlite = connections[self.db].vendor == "sqlite"
        return self.alias(state_alone=without_index("state") if is_sqlite else F("state"))

    def of_visible(self, actor: Actor, pks: Iterable[UUID], column: str) -> dict[UUID, Any]:
        """Return the values of this column for those of the rows with these ids that the actor can see.

        The rows are found by their ids alone. With the tenant in the condition, too, SQLite would read all rows of the
        tenant, and look for the ids among them.
        """
        place, places = self.scope_of(actor) or ("pk", None)
        rows = self.filter(pk__in=pks).order_by().values_list("pk", column, place)
        return {pk: value for pk, value, found in rows if places is None or found in places}

    def scope_of(self, actor: Actor) -> Scope:
        """Return the column that decides whether the actor can see a row, and its values. None means every row."""
        if actor.is_system or (actor.is_staff and actor.side is Side.PROVIDER):
            return None
        if actor.side is Side.CUSTOMER:
            return self.tenant_path, sorted(actor.tenant_ids)
        return self._in_queues_of(actor)

    def _in_queues_of(self, actor: Actor) -> Scope:
        return ("pk", []) if self.service_path is None else (self.service_path, sorted(actor.service_ids))

    def find(self, pk: object) -> Any:
        """Return the row with this id. Raise NotFound if there is no such row, or if `pk` is not an id."""
        key = as_id(pk)
        if key is None:
            raise NotFound
        with self._awaiting(key):
            # first() would order the rows, and at most one row has this key.
            row = next(iter(self.filter(pk=key).order_by()[:1]), None)
        if row is None:
            raise NotFound
        return row

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Return the one matching row.

        If the queryset locks rows and `pk` is the only condition, a wait for the lock counts as a wait for this row.
        The number of threads that can wait for one row is limited.
        """
        waits = self._awaiting(kwargs["pk"]) if kwargs.keys() == {"pk"} and not args else nullcontext()
        with waits:
            return super().get(*args, **kwargs)

    def locked_in_turn(self) -> list[Any]:
        """Lock these rows in the order of their keys, and return them.

        The rows are locked one by one, so that a wait counts as a wait for one row. The number of threads that can wait
        for one row is limited. More than EACH_FOR_ITSELF rows are locked in one statement; its wait counts for the
        table.
        """
        rows = self.order_by("pk").locked()
        if not self._locks():
            return list(rows)
        keys = list(dict.fromkeys(self.order_by("pk").values_list("pk", flat=True)))
        if len(keys) > EACH_FOR_ITSELF:
            with rows._awaiting():
                return list(rows)
        found: list[Any] = []
        for key in keys:
            with rows._awaiting(key):
                found += rows.filter(pk=key)
        return found

    def _awaiting(self, *key: Hashable) -> AbstractContextManager[None]:
        if not self.query.select_for_update:
            return nullcontext()
        waits: AbstractContextManager[None] = connections[self.db].awaiting(self.model._meta.db_table, *key)  # type: ignore[attr-defined]  # our own backends
        return waits

    def locked(self) -> Self:
        """Lock the rows of this table, but not the joined rows.

        SQLite has no row locks and needs none (BEGIN IMMEDIATE). The lock is FOR NO KEY UPDATE. It does not block acts
        that only refer to the row with a foreign key. A full lock caused deadlocks: one act had locked a tenant and
        waited for the log, while another had locked the log and needed a reference to the tenant.
        """
        return self.select_for_update(of=("self",), no_key=True) if self._locks() else self

    def claimed(self, *joined: str, waits: bool = False) -> Self:
        """Lock those rows that nobody else has locked, and skip the others. Lock the `joined` rows, too.

        This is for sweeps that run at the same time. With `waits`, wait for the others.
        """
        if not self._locks():
            return self
        return self.select_for_update(of=("self", *joined), no_key=True, skip_locked=not waits)

    def _locks(self) -> bool:
        return connections[self.db].features.has_select_for_update_of


def without_index(column: str) -> Coalesce:
    """Return the column as an expression that no index has, for a condition that must not choose the index.

    SQLite has no statistics here, and prefers the index of the tenant to one that has few rows.
    """
    return Coalesce(column, column)


def one_of(column: str, ids: Iterable[Any]) -> list[Q]:
    """Return the condition that the column has one of these values, for a compiled query. Without values, [].

    Django takes no parameters in an IN for a foreign key.
    """
    return [reduce(or_, found)] if (found := [Q(**{column: each}) for each in ids]) else []


class CompiledScope:
    """A query that is compiled once for each number of tenants or queues of an actor.

    `make` gets the condition for them, as a list, and a Parameter for each name in `fields`. With `is_by_key`, it looks
    for its rows by a key. Use this only for what runs all the time (ADR 86).
    """

    def __init__(self, make: Callable[..., Any], *, is_by_key: bool = False, **fields: models.Field[Any, Any]) -> None:
        self._make, self._fields = make, fields
        self._new = CompiledQuery.by_key if is_by_key else CompiledQuery
        self._queries: dict[tuple[str, int], CompiledQuery] = {}

    def ready(self, scope: Scope) -> tuple[CompiledQuery, dict[str, UUID]]:
        """Return the query for a scope, and the values of its places. A scope without values needs no query."""
        column, ids = scope or ("", [])
        query = self._queries.get((column, len(ids))) or self._compiled(column, len(ids))
        return query, {f"place_{n}": each for n, each in enumerate(ids)}

    def _compiled(self, column: str, count: int) -> CompiledQuery:
        names = [f"place_{n}" for n in range(count)]

        def make(**values: Any) -> Any:
            return self._make(one_of(column, [values.pop(name) for name in names]), **values)

        fields = {**self._fields, **{name: models.UUIDField() for name in names}}
        # Another thread may have made the same one meanwhile.
        return self._queries.setdefault((column, count), self._new(make, **fields))


class CompiledFind:
    """Finds a row by its id among those that an actor can see, as `visible_to(actor).find(id)` does.

    The SQL text is made once for each number of places of the actor. `rows` returns the queryset: its joined rows, its
    conditions, and whether the row is locked. The model's queryset must not replace `visible_to`. Use this only for
    what runs all the time (ADR 86).
    """

    def __init__(self, rows: Callable[[], Any]) -> None:
        self._rows = rows
        self._scoped = CompiledScope(self._found, is_by_key=True, pk=models.UUIDField())
        self._plain: Any = None

    def __call__(self, pk: object, *, actor: Actor) -> Any:
        if self._plain is None:
            self._plain = self._rows()
        key, scope = as_id(pk), self._plain.scope_of(actor)
        if key is None or (scope is not None and len(scope[1]) > MOST_PLACES):
            return self._rows().visible_to(actor).find(pk)
        if scope is not None and not scope[1]:
            raise NotFound
        query, places = self._scoped.ready(scope)
        with self._plain._awaiting(key):
            rows = query(pk=key, **places)
        if not rows:
            raise NotFound
        return rows[0]

    def _found(self, places: list[Q], *, pk: Any) -> Any:
        return self._rows().filter(*places, pk=pk).order_by()[:1]


class CompiledLock:
    """Locks a row by its id and returns it, as `locked().find(id)` does. The SQL text is made once (ADR 86)."""

    def __init__(self, rows: Callable[[], Any]) -> None:
        self._rows = rows
        self._plain: Any = None
        self._query = CompiledQuery.by_key(self._found, pk=models.UUIDField())

    def __call__(self, pk: UUID) -> Any:
        if self._plain is None:
            self._plain = self._rows().locked()
        with self._plain._awaiting(pk):
            rows = self._query(pk=pk)
        if not rows:
            raise NotFound
        return rows[0]

    def _found(self, *, pk: Any) -> Any:
        return self._rows().locked().filter(pk=pk).order_by()[:1]


class CompiledVisible:
    """A query among the rows that an actor can see, which is compiled once for each number of tenants or queues.

    `make` gets the rows that the actor can see, and a Parameter for each name in `fields`. The model's queryset must
    not replace `visible_to`. Use this only for what runs all the time (ADR 86).
    """

    def __init__(self, rows: Callable[[], Any], make: Callable[..., Any], **fields: Any) -> None:
        self._rows, self._make = rows, make
        self._scoped = CompiledScope(lambda places, **values: make(rows().filter(*places), **values), **fields)

    def __call__(self, actor: Actor, **values: Any) -> list[Any]:
        scope = self._rows().scope_of(actor)
        if scope is not None and not scope[1]:
            return []
        if scope is not None and len(scope[1]) > MOST_PLACES:
            return list(self._make(self._rows().visible_to(actor), **values))
        query, places = self._scoped.ready(scope)
        return query(**values, **places)
