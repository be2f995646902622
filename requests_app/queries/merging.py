"""Reads a page of a list with indexes that have its order: with one, or with the first rows of several together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import F, Q, QuerySet

from requests_app.domain.actors import Actor, Side
from requests_app.models import Service
from requests_app.models.scoping import MOST_PLACES, CompiledScope, Scope, without_index

#: SQLite allows 500 parts of one statement.
_PARTS = 400
#: With a limit below six, SQLite sorts all rows, and does not follow the index.
FEWEST = 10
#: Up to this number, rows in one state are found by the state, and sorted.
FEW = 5_000
#: How many texts of the first page of one list are stored. Callers choose the length of a page.
_TEXTS = 32


class Parts(NamedTuple):
    """The parts of a list, one for each value that a column or a condition can have. Each has an index with the order.

    For `values`, the index begins with the tenant or the service. For `values_of_all`, one index has all rows in the
    order.
    """

    column: str
    values: Sequence[Any]
    values_of_all: Sequence[Any] = ()
    #: Whether the provider reads `values`, too, from an index that has all rows, because no index has each queue.
    has_all_queues: bool = False


def merged(rows: Any, parts: Parts, *, actor: Actor, states: Collection[str] = ()) -> Any:
    """Return rows that the actor can see, so that a page of them is read with the indexes of its parts.

    `states` are the stored states of the rows, if only some are wanted. The parts for other states are not read.
    """
    of_all, of_each = list(parts.values_of_all), parts.values
    if parts.column == "state" and states:
        of_each = [value for value in of_each if value in states]
    if parts.has_all_queues and actor.side is Side.PROVIDER:
        of_all, of_each = [*of_all, *of_each], ()
    place, places = _places(rows, actor)
    found = [rows.filter(**{parts.column: value}) for value in of_all]
    if of_each:
        found += [rows.filter(**{place: each, parts.column: value}) for each in places for value in of_each]
    return Merged(rows, found) if 0 < len(found) <= _PARTS else rows


def _places(rows: Any, actor: Actor) -> tuple[str, Iterable[UUID]]:
    """Return the column with which an index begins, and its values: the tenants or the services that the actor sees."""
    return rows.scope_of(actor) or ("service_id", Service.objects.order_by("pk").values_list("pk", flat=True))


def few(rows: Any, *, actor: Actor) -> Any:
    """Return the keys of those of these rows that the actor can see if there are few, as a query. Otherwise, None.

    No index has rows in one state in the order of a list, and SQLite does not know how many there are. So a few rows
    are found by their states, and sorted. Of many, the first ones are not far from the beginning of the order.
    """
    if connections[rows.db].vendor != "sqlite":
        return None
    place, places = _places(rows, actor)
    found = rows.filter(**{f"{place}__in": list(places)}).order_by().values("pk")
    # The query has no limit: rows that others add meanwhile must not push out any.
    return found if found[: FEW + 1].count() <= FEW else None


def in_order(rows: Any, *, actor: Actor, states: Collection[str] = ()) -> Any:
    """Return rows of a list in an order that an index of all rows has, so that a page of them is read with it.

    SQLite would begin with the smallest of the joined tables, and then sort all rows of the list. A customer's rows are
    found by the index of the tenant, which has the order, too, unless they are the `few` in one of these states.
    """
    if not isinstance(rows, QuerySet) or not rows.query.select_related or connections[rows.db].vendor != "sqlite":
        return rows
    return KeysFirst(rows) if states or actor.side is Side.PROVIDER else rows


class KeysFirst:
    """Rows whose page is selected by its keys, before other tables are joined. It has the methods of `Merged`."""

    def __init__(self, rows: QuerySet[Any]) -> None:
        self._rows = rows

    def order_by(self, *names: str) -> KeysFirst:
        return KeysFirst(self._rows.order_by(*names))

    def filter(self, **conditions: Any) -> KeysFirst:
        return KeysFirst(self._rows.filter(**conditions))

    def __getitem__(self, page: slice) -> QuerySet[Any]:
        return _with_keys(self._rows, self._rows.values("pk")[: max(page.stop, FEWEST)])[page]


class FirstPage:
    """The first page of a list without filters, which most calls read. Its SQL text is made once (ADR 86).

    `rows` returns the rows of the list for everybody. There is one text for each order, length, and number of tenants
    or queues of an actor. `make` makes the rows of the page of what the query returns.
    """

    def __init__(self, rows: Callable[[], Any], make: Callable[[Any], Any] | None = None) -> None:
        self._rows, self._make = rows, make
        self._query = lru_cache(maxsize=_TEXTS)(self._new_query)

    @cached_property
    def _scoped(self) -> Any:
        """A queryset that is only asked who can see its rows. To make it takes long if it names its columns."""
        return self._rows()

    def of(self, rows: Any, *, actor: Actor) -> Any:
        """Return the rows of the list that the actor can see, with the methods of `Merged`."""
        scope = self._scoped.scope_of(actor)
        if scope is not None and not 0 < len(scope[1]) <= MOST_PLACES:
            return rows
        return _WithFirstPage(rows, partial(self._read, actor.side, scope))

    def _read(self, side: Side, scope: Scope, order: tuple[str, ...], count: int) -> list[Any]:
        column, places = scope or ("", [])
        query, values = self._query(side, column, order, count).ready(("of", places) if places else None)
        found: list[Any] = query(**values)
        return found if self._make is None else list(map(self._make, found))

    def _new_query(self, side: Side, column: str, order: tuple[str, ...], count: int) -> CompiledScope:
        def make(places: list[Q]) -> Any:
            rows: Any = self._rows()
            is_of_all = side is Side.PROVIDER and connections[rows.db].vendor == "sqlite"
            if column:
                # As `visible_in_order` does it.
                rows = rows.alias(of=without_index(column) if is_of_all else F(column)).filter(*places)
            return (KeysFirst(rows) if is_of_all else rows).order_by(*order)[:count]

        return CompiledScope(make)


class _WithFirstPage:
    """Rows of a list in an order. `first` reads their first page. Any other page is read as for every list."""

    def __init__(self, rows: Any, first: Callable[[tuple[str, ...], int], list[Any]]) -> None:
        self._rows, self._first = rows, first
        self._order: tuple[str, ...] = ()

    def order_by(self, *names: str) -> _WithFirstPage:
        self._order = names
        return self

    def filter(self, **conditions: Any) -> Any:
        return self._rows.order_by(*self._order).filter(**conditions)

    def __getitem__(self, page: slice) -> Any:
        return self._rows.order_by(*self._order)[page] if page.start else self._first(self._order, page.stop)


class Merged:
    """Rows as the union of parts. It has those methods of a queryset that a list with pages needs."""

    def __init__(self, rows: QuerySet[Any], parts: list[QuerySet[Any]]) -> None:
        self._rows, self._parts = rows, parts

    def order_by(self, *names: str) -> Merged:
        return Merged(self._rows.order_by(*names), [each.order_by(*names) for each in self._parts])

    def filter(self, **conditions: Any) -> Merged:
        return Merged(self._rows.filter(**conditions), [each.filter(**conditions) for each in self._parts])

    def __getitem__(self, page: slice) -> QuerySet[Any]:
        """Find the keys of a page with one statement, which reads at most so many rows of each part."""
        return _with_keys(self._rows, self._first(page.stop)[page.start :])

    def _first(self, count: int) -> list[UUID]:
        names: Any = self._rows.query.order_by
        columns = [name.lstrip("-") for name in names]
        connection: Any = connections[self._rows.db]
        made: list[tuple[str, Any]] = []
        for each in self._parts:
            # A filter may leave nothing of a part.
            with suppress(EmptyResultSet):
                made.append(each.values_list(*columns)[:count].query.get_compiler(self._rows.db).as_sql())
        if not made:
            return []
        quoted = connection.ops.quote_name
        order = ", ".join(f"{quoted(name.lstrip('-'))} {'DESC' if name.startswith('-') else 'ASC'}" for name in names)
        # SQLite takes an order and a limit only in a subquery.
        union = " UNION ALL ".join(f"SELECT * FROM ({sql}) part" for sql, _params in made)  # noqa: S608 - our columns
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {quoted('pk')} FROM ({union}) parts ORDER BY {order} LIMIT %s",  # noqa: S608 - our columns
                [*(value for _sql, params in made for value in params), count],
            )
            return [key for (key,) in cursor.fetchall()]


def _with_keys(rows: Any, keys: Any) -> QuerySet[Any]:
    """Return the rows with these keys, which match the conditions of `rows`.

    With the tenant in the condition, too, SQLite would read all rows of the tenant, and look for the keys among them.
    """
    found = rows.all()
    found.query.clear_where()
    return cast(QuerySet[Any], found.filter(pk__in=keys))
