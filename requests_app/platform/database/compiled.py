"""Queries that Django compiles to SQL only once in each process, instead of at each call.

Only the text of the SQL statement is stored. Each call passes its own values and reads the rows from the database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import copy
from datetime import date
from typing import Any

from django.db import connections
from django.db.models import Field, QuerySet, Value
from django.db.models.sql.compiler import SQLCompiler

#: A date or an instant, as Django passes it to SQLite.
_AS_TEXT = re.compile(r"\d{4}-\d\d-\d\d\b")


class Parameter(Value):
    """A place in a queryset for a value that each call passes."""

    def __init__(self, name: str, field: Field[Any, Any]) -> None:
        super().__init__(None, output_field=field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> Any:
        return "%s", [self]

    def bound(self, values: Mapping[str, Any], connection: Any) -> Any:
        """Return the value of this call, converted for the database."""
        return self.output_field.get_db_prep_value(values[self.name], connection)


class CompiledQuery:
    """A query with a fixed SQL text. Call it with its values to get the list of its rows.

    `make` gets one Parameter for each name in `fields` and returns the queryset. A parameter's field must be of the
    same kind as the field that its value is compared with, because the parameter's field converts the value for the
    database.

    Use this class only for the few queries that run all the time (ADR 86). The SQL text must depend on nothing but the
    database. So the query can't lock rows, because Django checks at each call that a lock is inside a transaction. And
    it can't contain a time, because all later calls would use the time of the first call.
    """

    def __init__(self, make: Callable[..., QuerySet[Any, Any]], **fields: Field[Any, Any]) -> None:
        self._make, self._fields = make, fields
        self._queryset: QuerySet[Any, Any] | None = None
        self._compiled: dict[str, _Compiled] = {}

    def __call__(self, **values: Any) -> list[Any]:
        if values.keys() != self._fields.keys() or None in values.values():
            # Compared with None, a column would have to be IS NULL, which is another text.
            raise TypeError(f"This query needs a value for each of {sorted(self._fields)}.")
        if self._queryset is None:
            self._queryset = self._made()
        using = self._queryset.db
        if using not in self._compiled:
            # Several threads can be here at once. Each needs its own query, because Django changes a query while it
            # makes the text.
            self._compiled[using] = _Compiled(self._made(), using)
        return self._compiled[using].rows(values)

    def _made(self) -> QuerySet[Any, Any]:
        return self._make(**{name: Parameter(name, field) for name, field in self._fields.items()})


class _Compiled:
    """Holds the SQL text for one database, and the Django compiler that made it.

    Django needs the compiler to make model instances from the columns.
    """

    def __init__(self, queryset: QuerySet[Any, Any], using: str) -> None:
        self._queryset, self._using = queryset, using
        if queryset.query.select_for_update:
            raise ValueError("A compiled query can't lock rows.")
        self._compiler: Any = queryset.query.get_compiler(using=using)
        self._sql, self._params = self._compiler.as_sql()
        if any(map(_is_time, self._params)):
            raise ValueError("A compiled query can't contain a time. Use a parameter.")
        # All copies of the compiler have these columns, so the functions that convert values are looked up once.
        self._compiler.converters_in = {}, ()
        # Connections belong to one thread, and this object to all threads.
        self._compiler.connection = None

    def rows(self, values: Mapping[str, Any]) -> list[Any]:
        connection = connections[self._using]
        params = tuple(
            param.bound(values, connection) if isinstance(param, Parameter) else param for param in self._params
        )
        # Django runs the statement and makes the rows as for every queryset. Only this compiler's text is made already.
        compiler: Any = copy(self._compiler)
        compiler.connection = connection
        compiler.as_sql = lambda *_args, **_options: (self._sql, params)
        query: Any = _Query(compiler)
        rows: Any = self._queryset._iterable_class
        return list(rows(QuerySet(self._queryset.model, query, self._using)))


def _is_time(param: object) -> bool:
    """Return whether this value in a statement is a date or an instant, or a text that looks like one."""
    return isinstance(param, date) or (isinstance(param, str) and _AS_TEXT.match(param) is not None)


class _Query:
    """Takes the place of a queryset's query, and returns a compiler that already has its SQL text."""

    def __init__(self, compiler: SQLCompiler) -> None:
        self._compiler = compiler

    def get_compiler(self, using: str) -> SQLCompiler:
        return self._compiler
