"""Statements whose SQL text is made only once in each process, instead of at each call.

Only the text of the SQL statement is stored. Each call passes its own values, and reads the rows from the database or
writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from datetime import date
from functools import cache
from typing import Any, cast

from django.db import DatabaseError, connections, router
from django.db.models import Field, Model, QuerySet, Value
from django.db.models.expressions import ColPairs
from django.db.models.query import ModelIterable, RelatedPopulator, ValuesListIterable, get_related_populators
from django.db.models.sql.compiler import SQLCompiler
from django.db.transaction import TransactionManagementError

from requests_app.platform.database.compiler import converted_rows
from requests_app.platform.database.prepared import Prepared, prepared

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
    database. So the query can't contain a time, because all later calls would use the time of the first call. A query
    that locks rows runs only inside a transaction, as everywhere in Django.

    PostgreSQL plans the query once for each connection (ADR 123), unless it is limited to a few rows.
    """

    def __init__(self, make: Callable[..., QuerySet[Any, Any]], **fields: Field[Any, Any]) -> None:
        self._make, self._fields = make, fields
        self._is_by_key = False
        self._queryset: QuerySet[Any, Any] | None = None
        self._compiled: dict[str, _Compiled] = {}

    @classmethod
    def by_key(cls, make: Callable[..., QuerySet[Any, Any]], **fields: Field[Any, Any]) -> CompiledQuery:
        """Return a query that is planned once although it is limited, because it looks for its rows by a key."""
        query = cls(make, **fields)
        query._is_by_key = True
        return query

    def __call__(self, **values: Any) -> list[Any]:
        return self.ready(values).rows(values)

    def with_others(self, values: Mapping[str, Any], *reads: Reads) -> tuple[list[Any], list[Any]]:
        """Return the rows of this query, and of each of `reads` the row or None. One statement reads all of them.

        Each of `reads` finds one row at most. The rows have no order. If this query finds nothing, no row of the others
        is returned either.
        """
        if not reads:
            return self(**values), []
        return self.ready(values).rows_with(values, [(query.ready(others), others) for query, others in reads])

    def ready(self, values: Mapping[str, Any]) -> _Compiled:
        if values.keys() != self._fields.keys() or None in values.values():
            # Compared with None, a column would have to be IS NULL, which is another text.
            raise TypeError(f"This query needs a value for each of {sorted(self._fields)}.")
        if self._queryset is None:
            self._queryset = self._made()
        using = self._queryset.db
        if using not in self._compiled:
            # Several threads can be here at once. Each needs its own query, because Django changes a query while it
            # makes the text.
            self._compiled[using] = _Compiled(self._made(), using, is_by_key=self._is_by_key)
        return self._compiled[using]

    def _made(self) -> QuerySet[Any, Any]:
        return self._make(**{name: Parameter(name, field) for name, field in self._fields.items()})


#: A query that finds one row at most, and its values.
Reads = tuple[CompiledQuery, dict[str, Any]]

#: A query of several in one statement, and its values.
Asked = tuple[CompiledQuery, Mapping[str, Any]]

#: With more ids than this, the text of a query is made at each call.
_IDS = 64


class CompiledIn:
    """A query for rows with one of several ids. `make` gets a list of Parameters for an `__in` condition.

    One text is compiled for 1, 2, 4 … ids, and the last id fills the places that are left.
    """

    def __init__(self, make: Callable[[list[Any]], QuerySet[Any, Any]], field: Field[Any, Any]) -> None:
        self._make, self._field = make, field
        self._queries: dict[int, CompiledQuery] = {}

    def __call__(self, ids: Sequence[Any]) -> list[Any]:
        if not ids:
            return []
        if len(ids) > _IDS:
            return list(self._make(list(ids)))
        query, values = self._asked(ids)
        return query(**values)

    def within(self, text: str, ids: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that has this query in the place of `{}`, as the database gives them.

        More than 64 ids are asked in parts, so what the statement counts must be counted for each id. `text` must be
        one of a few.
        """
        found: list[tuple[Any, ...]] = []
        for begin in range(0, len(ids), _IDS):
            query, values = self._asked(ids[begin : begin + _IDS])
            compiled = query.ready(values)
            connection = connections[compiled.using]
            sql, params = compiled.statement(values, connection)
            with connection.cursor() as cursor:
                cursor.execute(prepared(text.format(sql)), params)
                found += cursor.fetchall()
        return found

    def _asked(self, ids: Sequence[Any]) -> Asked:
        count = 1 << (len(ids) - 1).bit_length()
        query = self._queries.get(count)
        if query is None:
            fields = {f"id_{n}": self._field for n in range(count)}
            query = self._queries[count] = CompiledQuery(lambda **ids: self._make(list(ids.values())), **fields)
        return query, {f"id_{n}": ids[min(n, len(ids) - 1)] for n in range(count)}


#: A statement with more parts is sent as several. SQLite allows 500 parts.
_PARTS = 100


def together(asked: Sequence[Asked]) -> list[list[tuple[Any, ...]]]:
    """Run several compiled queries in one statement, and return the rows of each. The rows have no order.

    All queries select values (`values_list`) of the same kinds of columns.
    """
    found: list[list[tuple[Any, ...]]] = []
    for begin in range(0, len(asked), _PARTS):
        found += _together(asked[begin : begin + _PARTS])
    return found


def counts(asked: Sequence[Asked], *, most: int) -> list[int]:
    """Run several compiled queries in one statement, and return how many rows each has. Stop counting at `most`."""
    found: list[int] = []
    for begin in range(0, len(asked), _PARTS):
        part = asked[begin : begin + _PARTS]
        sizes = dict(_read(f"count(*) FROM (SELECT 1 FROM ({{}}) one LIMIT {most}) counted", part))  # noqa: S608 - a number
        found += [sizes[n] for n in range(len(part))]
    return found


def are_any(asked: Sequence[Asked]) -> bool:
    """Return whether one of these queries finds a row. One statement asks them all. Its text must be one of a few."""
    queries = [(query.ready(values), values) for query, values in asked]
    connection = connections[queries[0][0].using]
    made = [query.statement(values, connection) for query, values in queries]
    text = "SELECT " + " OR ".join(f"EXISTS ({sql})" for sql, _params in made)
    [row] = _rows_of(connection, prepared(text), [value for _sql, params in made for value in params])
    return bool(row[0])


def _together(asked: Sequence[Asked]) -> list[list[tuple[Any, ...]]]:
    rows = _read("one.* FROM ({}) one", asked)
    query = asked[0][0].ready(asked[0][1])
    found: list[list[tuple[Any, ...]]] = [[] for _ in asked]
    for (part, *_), row in zip(rows, query.converted([row[1:] for row in rows], connections[query.using]), strict=True):
        found[part].append(row)
    return found


def _read(wanted: str, asked: Sequence[Asked]) -> list[Any]:
    """Select something from each of these queries with one statement. The first column is the query's number."""
    queries = [query.ready(values) for query, values in asked]
    connection = connections[queries[0].using]
    made = [one.statement(values, connection) for one, (_query, values) in zip(queries, asked, strict=True)]
    parts = [f"SELECT {n} AS part, {wanted.format(sql)}" for n, (sql, _params) in enumerate(made)]
    return _rows_of(connection, " UNION ALL ".join(parts), [value for _sql, params in made for value in params])


def _rows_of(connection: Any, sql: str, params: Sequence[Any]) -> list[Any]:
    rows: list[Any] = connection.rows_of(sql, params)
    return rows


class _Compiled:
    """Holds the SQL text for one database, and the Django compiler that made it.

    Django needs the compiler to make model instances from the columns.
    """

    def __init__(self, queryset: QuerySet[Any, Any], using: str, *, is_by_key: bool) -> None:
        self._queryset, self._using = queryset, using
        self._locks = queryset.query.select_for_update
        self._compiler: Any = queryset.query.get_compiler(using=using)
        self._sql, self._params = self._compiler.as_sql()
        if is_by_key or not queryset.query.is_sliced:
            self._sql = Prepared(self._sql)
        if any(map(_is_time, self._params)):
            raise ValueError("A compiled query can't contain a time. Use a parameter.")
        # All copies of the compiler have these columns, so the functions that convert values are looked up once.
        self._compiler.converters_in = {}, ()
        self._columns = [column[0] for column in self._compiler.select[: self._compiler.col_count]]
        self._converters = self._compiler.get_converters(self._columns)
        # Connections belong to one thread, and this object to all threads.
        self._compiler.connection = None
        self._makes = _maker(queryset, self._compiler, using)

    @property
    def using(self) -> str:
        return self._using

    def statement(self, values: Mapping[str, Any], connection: Any) -> tuple[str, tuple[Any, ...]]:
        bound = (param.bound(values, connection) if isinstance(param, Parameter) else param for param in self._params)
        return self._sql, tuple(bound)

    def converted(self, rows: Iterable[Sequence[Any]], connection: Any) -> list[tuple[Any, ...]]:
        """Convert the values of rows that another statement has read."""
        return list(map(tuple, self._with_values(rows, connection)))

    def rows(self, values: Mapping[str, Any]) -> list[Any]:
        connection = connections[self._using]
        if self._locks and connection.get_autocommit():
            # Django checks this when it makes the text.
            raise TransactionManagementError("A query that locks rows runs only inside a transaction.")
        sql, params = self.statement(values, connection)
        return self._made(_rows_of(connection, sql, params), connection)

    def rows_with(
        self, values: Mapping[str, Any], others: Sequence[tuple[_Compiled, Mapping[str, Any]]]
    ) -> tuple[list[Any], list[Any]]:
        connection = connections[self._using]
        sql, params = self.statement(values, connection)
        made = [other.statement(its, connection) for other, its in others]
        whole = f"SELECT * FROM ({sql}) one"  # noqa: S608 - texts that Django made
        whole += "".join(f" LEFT JOIN ({more}) other_{n} ON true" for n, (more, _further) in enumerate(made))
        values_of_all = [*params, *(value for _more, further in made for value in further)]
        found = _rows_of(connection, prepared(whole), values_of_all)
        end, ones = len(self._columns), list[Any]()
        rows = self._made([row[:end] for row in found], connection)
        for other, _its in others:
            begin, end = end, end + len(other._columns)
            # The first column is the key, which is empty only if there is no such row.
            its = [row[begin:end] for row in found[:1] if row[begin] is not None]
            ones.append(next(iter(other._made(its, connection)), None))
        return rows, ones

    def _made(self, found: list[Sequence[Any]], connection: Any) -> list[Any]:
        if self._makes is not None:
            return self._makes(self._with_values(found, connection))
        # Django makes the rows as for every queryset. Only they are read already.
        compiler: Any = copy(self._compiler)
        compiler.connection = connection
        compiler.execute_sql = lambda *_args, **_options: [found]
        rows: Any = self._queryset._iterable_class
        return list(rows(QuerySet(self._queryset.model, cast(Any, _Query(compiler)), self._using)))

    def _with_values(self, rows: Iterable[Sequence[Any]], connection: Any) -> Iterable[Sequence[Any]]:
        """Convert the values of rows from the database's kinds to Python's."""
        return converted_rows(rows, self._converters, connection) if self._converters else rows


def _maker(queryset: Any, compiler: Any, using: str) -> Callable[[Iterable[Sequence[Any]]], Any] | None:
    """Return the function that makes a queryset's results of the values of its rows, or None for a rare kind.

    Django finds the attribute and the model of each column again for each query.
    """
    kind = queryset._iterable_class
    if any(isinstance(column[0], ColPairs) for column in compiler.select) or queryset._known_related_objects:
        return None
    if kind is ValuesListIterable and not compiler.query.extra_select:
        return lambda rows: list(map(tuple, rows))
    if kind is not ModelIterable:
        return None
    model, fields = compiler.klass_info["model"], compiler.klass_info["select_fields"]
    begin, end = fields[0], fields[-1] + 1
    names = [column[0].target.attname for column in compiler.select[begin:end]]
    get_populators: Any = get_related_populators
    populators = get_populators(compiler.klass_info, compiler.select, using)
    if not _are_plain(populators):
        return None
    annotations = list(compiler.annotation_col_map.items())

    def make(rows: Iterable[Sequence[Any]]) -> list[Any]:
        related = [_Related(each) for each in populators]
        made = []
        for row in rows:
            one = model.from_db(using, names, row[begin:end])
            for each in related:
                each.put(row, one)
            for name, place in annotations:
                setattr(one, name, row[place])
            made.append(one)
        return made

    return make


def _are_plain(populators: Iterable[Any]) -> bool:
    """Return whether the columns of each related row come one after the other. Those of a model's parent do not."""
    return all(each.reorder_for_init is None and _are_plain(each.related_populators) for each in populators)


class _Related:
    """Makes the rows of one relation that select_related() reads. Rows that refer to the same row get the same object.

    Rows of a list have the same tenants, services and people. prefetch_related() shares objects in the same way.
    """

    __slots__ = ("_below", "_key", "_known", "_populator")

    def __init__(self, populator: RelatedPopulator) -> None:
        self._populator: Any = populator
        self._key = self._populator.cols_start + self._populator.pk_idx
        self._below = [_Related(each) for each in self._populator.related_populators]
        self._known: dict[Any, Any] = {}

    def put(self, row: Sequence[Any], one: Model) -> None:
        """Put the related row into `one`, or None if there is no such row."""
        populator, key = self._populator, row[self._key]
        related = self._known.get(key)
        if related is None and key is not None:
            columns = row[populator.cols_start : populator.cols_end]
            related = self._known[key] = populator.model_cls.from_db(populator.db, populator.init_list, columns)
            for each in self._below:
                each.put(row, related)
        populator.local_setter(one, related)
        if related is not None:
            populator.remote_setter(related, one)


def insert(rows: Sequence[Model], *, skips_known: bool = False, without_keys: bool = False) -> None:
    """Insert a few new rows of one model with one statement. No signal is sent.

    With `skips_known`, leave out a row whose key the table already has. With `without_keys`, the database makes the
    keys, and the rows do not get them.
    """
    _write(rows, "ON CONFLICT DO NOTHING" if skips_known else "", without_keys=without_keys)


def store(rows: Sequence[Model]) -> None:
    """Write a few rows of one model with one statement. A row whose key the table already has is replaced.

    No signal is sent.
    """
    model: Any = type(rows[0])
    quoted = connections[router.db_for_write(model)].ops.quote_name
    key = model._meta.pk.column
    columns = [quoted(field.column) for field in _inserted(model) if field.column != key]
    changed = ", ".join(f"{column} = EXCLUDED.{column}" for column in columns)
    _write(rows, f"ON CONFLICT ({quoted(key)}) DO UPDATE SET {changed}")


def _write(rows: Sequence[Model], on_conflict: str, *, without_keys: bool = False) -> None:
    model = type(rows[0])
    using = router.db_for_write(model)
    connection = connections[using]
    fields = _inserted(model, without_keys)
    values = [
        field.get_db_prep_save(field.pre_save(row, add=True), connection=connection) for row in rows for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(_insert_text(model, using, len(rows), on_conflict, without_keys), values)
    for row in rows:
        row._state.adding, row._state.db = False, using


def update(row: Model, *names: str) -> None:
    """Save these fields of one row, as `save(update_fields=names)` does. No signal is sent.

    Raise DatabaseError if there is no such row.
    """
    model: Any = type(row)
    using = router.db_for_write(model)
    connection = connections[using]
    fields = [*(model._meta.get_field(name) for name in names), model._meta.pk]
    values = [field.get_db_prep_save(getattr(row, field.attname), connection=connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(_update_text(model, using, names), values)
        if cursor.rowcount != 1:
            raise DatabaseError(f"This {model._meta.object_name} was not saved, because its row is gone.")


@cache
def _inserted(model: type[Model], without_keys: bool = False) -> list[Any]:
    """Return the fields of a new row. The row must have its key, because none is read back."""
    made = model._meta.auto_field
    if made is not None and not without_keys:
        raise TypeError(f"The database itself makes the key of a {model._meta.object_name}.")
    return [field for field in model._meta.local_concrete_fields if field is not made]


@cache
def _insert_text(model: type[Model], using: str, count: int, on_conflict: str, without_keys: bool) -> Prepared:
    quoted = connections[using].ops.quote_name
    fields = _inserted(model, without_keys)
    names = ", ".join(quoted(field.column) for field in fields)
    places = ", ".join([f"({', '.join(['%s'] * len(fields))})"] * count)
    text = f"INSERT INTO {quoted(model._meta.db_table)} ({names}) VALUES {places}"  # noqa: S608 - names of the model
    return prepared(f"{text} {on_conflict}".strip())


@cache
def _update_text(model: type[Model], using: str, names: tuple[str, ...]) -> Prepared:
    quoted = connections[using].ops.quote_name
    changed = ", ".join(f"{quoted(str(getattr(model._meta.get_field(name), 'column', '')))} = %s" for name in names)
    key = quoted(str(model._meta.pk.column))
    return prepared(
        f"UPDATE {quoted(model._meta.db_table)} SET {changed} WHERE {key} = %s"  # noqa: S608 - names of the model
    )


def _is_time(param: object) -> bool:
    """Return whether this value in a statement is a date or an instant, or a text that looks like one."""
    return isinstance(param, date) or (isinstance(param, str) and _AS_TEXT.match(param) is not None)


class _Query:
    """Takes the place of a queryset's query, and returns a compiler that already has its SQL text."""

    def __init__(self, compiler: SQLCompiler) -> None:
        self._compiler = compiler

    def get_compiler(self, using: str) -> SQLCompiler:
        return self._compiler
