"""Django's compiler of SELECT statements, which makes the columns of a model only once in each process.

Django makes the text of every column again for every query. For a model with 20 columns and joined rows, this is two
thirds of the time that Django needs for the text of a short query. And before it reads the rows, it asks every column
for the functions that convert its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from operator import is_
from typing import Any, NamedTuple
from uuid import UUID

from django.apps import apps
from django.db import connections
from django.db.models import Model
from django.db.models.options import Options
from django.db.models.sql.compiler import SQLCompiler


class _Join(NamedTuple):
    """A table that select_related() joins. `name` is the relation, seen from the table with the index `table`."""

    table: int
    name: str
    opts: Options[Any]


#: For a kind of database and for aliases of tables: the columns, and the functions that convert their values.
Converters = dict[tuple[str, ...], tuple[list[Any], dict[int, Any]]]


class _Columns:
    """The columns of a model and of its select_related() rows."""

    def __init__(self, joins: list[_Join], klass_info: dict[str, Any]) -> None:
        self.joins, self.klass_info = joins, klass_info
        #: The selected columns for each combination of the tables' aliases. If a table is joined twice, its second
        #: alias has a number, which depends on the rest of the query.
        self.selected: dict[tuple[str, ...], list[Any]] = {}
        self.converters: Converters = {}


#: The columns that were made, by model, joined rows, and columns that are read later (`only`, `defer`).
_known: dict[tuple[type[Model], Any, Any], _Columns] = {}


class ColumnsOnce(SQLCompiler):
    """Makes the columns of a plain query only once. Every other query gets its columns from Django each time."""

    query: Any
    #: Where to store the functions that convert values, and the aliases of the tables.
    converters_in: tuple[Converters, tuple[str, ...]] | None = None

    def get_select(self, with_col_aliases: bool = False) -> Any:
        self.converters_in = None
        if with_col_aliases or not self._is_plain():
            return super().get_select(with_col_aliases)
        names, is_deferred = self.query.deferred_loading
        key = self.query.model, _frozen(self.query.select_related), (frozenset(names), is_deferred)
        if known := _known.get(key):
            aliases = self._joined(known)
            if selected := known.selected.get(aliases):
                self.converters_in = known.converters, aliases
                return list(selected), known.klass_info, {}
        selected, klass_info, annotations = super().get_select()
        assert klass_info is not None
        joins: list[_Join] = []
        if _can_be_joined_again(klass_info, self.query.get_meta(), joins):
            known = _known.setdefault(key, _Columns(joins, klass_info))
            aliases = self._joined(known)
            known.selected[aliases] = list(selected)
            self.converters_in = known.converters, aliases
        return selected, klass_info, annotations

    def get_converters(self, expressions: Any) -> dict[int, Any]:
        """Return the functions that convert the values of each column, by its place. They are found only once.

        Some of them are methods of the backend, which belong to a connection. All threads use those of one connection
        that is never opened.
        """
        djangos: Any = super()
        if self.converters_in is None:
            return dict(djangos.get_converters(expressions))
        stored, aliases = self.converters_in
        key, wanted = (self.connection.vendor, *aliases), list(expressions)
        columns, converters = stored.get(key, ([], {}))
        if len(columns) == len(wanted) and all(map(is_, columns, wanted)):
            return converters
        opened, self.connection = self.connection, _unopened(self.using, self.connection.vendor)
        try:
            converters = dict(djangos.get_converters(wanted))
        finally:
            self.connection = opened
        stored[key] = wanted, converters
        return converters

    def apply_converters(self, rows: Any, converters: dict[int, Any]) -> Any:
        return converted_rows(rows, converters, self.connection)

    def _order_by_pairs(self) -> Any:
        """Return what Django returns, but do not search for the orderings among the selected columns.

        Django hashes all selected columns for this search. It finds only an alias, or an expression that is also
        selected. The columns of a plain query have no aliases, and no expression equals one of them.
        """
        djangos: Any = super()
        if not self._is_plain():
            return djangos._order_by_pairs()
        selected, self.select = self.select, None
        try:
            return list(djangos._order_by_pairs())
        finally:
            self.select = selected

    def _is_plain(self) -> bool:
        """Return whether the query selects only columns of its model and of joined rows.

        A filtered relation has a condition, and functions of one query, which no other query may get. Models
        of migrations are another state of the schema, and do not count.
        """
        query = self.query
        return (
            query.default_cols
            and query.select_related is not True
            and not query.annotation_select
            and not query.extra_select
            and not query._filtered_relations
            and not query.combinator
            and query.model._meta.apps is apps
        )

    def _joined(self, known: _Columns) -> tuple[str, ...]:
        """Join the tables as Django's get_select() does. Return their aliases, beginning with the model's table."""
        aliases = [self.query.get_initial_alias()]
        for join in known.joins:
            aliases.append(self.query.setup_joins([join.name], join.opts, aliases[join.table]).joins[-1])
        return tuple(aliases)


def converted_rows(rows: Iterable[Any], converters: Mapping[int, Any], connection: Any) -> Iterator[list[Any]]:
    """Convert the values of rows, and an id or an instant that occurs again in the same column only once.

    Rows of a list have the same tenants, services and people.
    """
    columns: list[tuple[int, Any, Any, dict[str, Any]]] = [(n, *found, {}) for n, found in converters.items()]
    for row in map(list, rows):
        for n, functions, expression, known in columns:
            read = value = row[n]
            is_text = type(read) is str
            if is_text and (found := known.get(read)) is not None:
                row[n] = found
                continue
            for function in functions:
                value = function(value, expression, connection)
            row[n] = value
            # Other values can be changed by their reader, as those of JSON.
            if is_text and type(value) in (UUID, datetime):
                known[read] = value
        yield row


@cache
def _unopened(using: str, _vendor: str) -> Any:
    return connections.create_connection(using)


def _frozen(related: Any) -> Any:
    """Return the names that select_related() got, as a value that can be the key of a dict."""
    return tuple((name, _frozen(below)) for name, below in related.items()) if related else ()


def _can_be_joined_again(klass_info: dict[str, Any], opts: Options[Any], joins: list[_Join]) -> bool:
    """Append to `joins` the joins that Django has made, in its order. Return whether these are all of them.

    A model with a parent has columns in more tables.
    """
    if opts.parents:
        return False
    table = len(joins)
    for related in klass_info.get("related_klass_infos", ()):
        field = related["field"]
        joins.append(_Join(table, field.related_query_name() if related["reverse"] else field.name, opts))
        if not _can_be_joined_again(related, related["model"]._meta, joins):
            return False
    return True
