"""Writes rows of other models in the same statement as entries of a log, on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from types import NoneType
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, connections, transaction
from django.db.models import BinaryField, CharField, Field, IntegerField, JSONField, Model, TextField

#: From this number of rows on, the driver makes the array of each column, and a column is one value if all rows
#: have the same one. For fewer rows, the driver needs several times as long as `_array`. COPY would be even faster, but
#: is not allowed for a role with row-level security.
ARRAYS_FROM = 100
SKIPPING = " ON CONFLICT DO NOTHING"


class NotUpdated(DatabaseError):
    """A row that was to be updated is not there, or is hidden. Nothing of the caller's transaction is stored."""


def require_updated(found: int, expected: int) -> None:
    """Raise NotUpdated unless exactly so many rows were updated. The caller can't commit what it has done so far."""
    if found != expected:
        transaction.set_rollback(True)
        raise NotUpdated(f"{found} of {expected} rows were updated")


class Changed:
    """Rows of one model, with the names of the fields whose new values are to be stored."""

    def __init__(self, rows: Sequence[Model], *names: str) -> None:
        self.rows, self.model, self.names = rows, type(rows[0]), names

    @property
    def columns(self) -> tuple[str, ...]:
        return _columns(self.model, self.names)

    @property
    def count(self) -> int:
        return len({row.pk for row in self.rows})

    def together(self) -> tuple[str, list[Any]]:
        """Return one statement for all rows, and its values."""
        key = str(self.model._meta.pk.column)
        table, columns = self.model._meta.db_table, (key, *self.columns)
        source, values = _source(self.rows, columns)
        sets = ", ".join(f"{column} = new.{column}" for column in self.columns)
        statement = f"UPDATE {table} AS old SET {sets} FROM ({source}) AS new WHERE old.{key} = new.{key}"  # noqa: S608 - names of the model
        return statement, values

    def alone(self) -> tuple[str, list[list[Any]]]:
        """Return a statement for one row, and its values for each row."""
        columns = self.columns
        return _updated(self.model, columns), values_of(self.rows, _written(self.model, columns))

    def update(self) -> None:
        statement, values = self.alone()
        with connection.cursor() as cursor:
            cursor.executemany(statement, values)
            require_updated(cursor.rowcount, len(values))


def merged(changes: Iterable[Changed]) -> list[Changed]:
    """Return these changes, with one for all that are about the same fields of the same model."""
    found: dict[tuple[type[Model], tuple[str, ...]], list[Model]] = {}
    for change in changes:
        found.setdefault((change.model, change.names), []).extend(change.rows)
    return [Changed(rows, *names) for (_model, names), rows in found.items()]


class Beside:
    """Rows of the caller that are written together with an entry. On PostgreSQL, one statement writes all of them.

    A row in `once` is left out if its key is known. `changed` has single rows whose fields get new values.
    """

    def __init__(self, *rows: Model, once: Sequence[Model] = (), changed: Sequence[Changed] = ()) -> None:
        self.rows, self.once, self.changed = rows, tuple(once), tuple(changed)

    @property
    def values(self) -> list[Any]:
        changed = [value for change in self.changed for value in change.alone()[1][0]]
        new = [value for row in (*self.rows, *self.once) for value in values_of([row], _inserted(type(row)))[0]]
        return [*changed, *new]

    def before(self, entry: str) -> str:
        """Return the statement of an entry with those of the rows before it. It inserts no entry if a row is missing.

        The entry's statement must begin with WITH, and end with a condition.
        """
        changed = tuple((change.model, change.columns) for change in self.changed)
        return _one_beside(entry, changed, tuple(map(type, self.rows)), tuple(map(type, self.once)))

    def insert(self) -> None:
        for change in self.changed:
            change.update()
        for row in self.rows:
            insert([row])
        for row in self.once:
            insert([row], skips_known=True)
        self.note()

    def note(self) -> None:
        """Mark the rows as stored."""
        for row in (*self.rows, *self.once):
            row._state.adding, row._state.db = False, connection.alias


@cache
def _one_beside(
    entry: str,
    changed: tuple[tuple[type[Model], tuple[str, ...]], ...],
    models: tuple[type[Model], ...],
    once: tuple[type[Model], ...],
) -> str:
    updates = [f"changed_{number} AS ({_updated(*each)} RETURNING 1)" for number, each in enumerate(changed)]
    inserts = [_one_row(model) for model in models] + [_one_row(model) + SKIPPING for model in once]
    parts = ", ".join([*updates, *(f"beside_{number} AS ({each})" for number, each in enumerate(inserts))])
    conditions = "".join(f" AND (SELECT count(*) FROM changed_{number}) = 1" for number in range(len(changed)))  # noqa: S608 - a number
    return entry.replace("WITH ", f"WITH {parts}, ", 1) + conditions


@cache
def _updated(model: type[Model], columns: tuple[str, ...]) -> str:
    sets = ", ".join(f"{column} = %s" for column in columns)
    return f"UPDATE {model._meta.db_table} SET {sets} WHERE {model._meta.pk.column} = %s"  # noqa: S608 - names of the model


@cache
def _one_row(model: type[Model]) -> str:
    columns = columns_of(model)
    return (
        f"INSERT INTO {model._meta.db_table} ({', '.join(columns)})"  # noqa: S608 - names of the model
        f" VALUES ({', '.join(['%s'] * len(columns))})"
    )


@cache
def columns_of(model: type[Model]) -> tuple[str, ...]:
    return tuple(str(field.column) for field in model._meta.concrete_fields)


@cache
def _by_column(model: type[Model]) -> dict[str, Field[Any, Any]]:
    return {str(field.column): field for field in model._meta.concrete_fields}


@cache
def _columns(model: type[Model], names: tuple[str, ...]) -> tuple[str, ...]:
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    return tuple(str(field.column) for field in fields)


class Fields:
    """Fields of a model, with the types of their values that the driver takes as they are.

    Make this once for each statement. Django computes the hash of a field in Python, so to look the types up at each
    call takes longer than to pass the value.
    """

    def __init__(self, fields: Iterable[Any]) -> None:
        fields = list(fields)
        self.names = [str(field.column) for field in fields]
        #: For SQLite and for other databases: each field, the name of its attribute, and these types.
        self.usual = {
            is_sqlite: [(field, str(field.attname), _usual(field, is_sqlite)) for field in fields]
            for is_sqlite in (True, False)
        }


@cache
def _inserted(model: type[Model], *, has_key: bool = True) -> Fields:
    """Return the fields of a new row. Without `has_key`, the database makes the key."""
    return Fields(field for field in model._meta.concrete_fields if has_key or not field.primary_key)


@cache
def _written(model: type[Model], columns: tuple[str, ...]) -> Fields:
    """Return the fields of these columns, and the key."""
    return Fields([*(_by_column(model)[column] for column in columns), model._meta.pk])


def values_of(rows: Sequence[Model], fields: Fields) -> list[list[Any]]:
    """Return the values of these fields of each row, as Django passes them to the driver.

    Django needs longer for one value than SQLite needs for a column. So it converts only numbers on PostgreSQL, JSON,
    and values of unusual types.
    """
    # Each use of `connection` costs as much as a value.
    here, is_sqlite = connections[connection.alias], connection.vendor == "sqlite"
    if len(rows) == 1:
        [row] = rows
        return [
            [
                _value_of(getattr(row, name), field, usual, is_sqlite, here)
                for field, name, usual in fields.usual[is_sqlite]
            ]
        ]
    columns = []
    for field, name, usual in fields.usual[is_sqlite]:
        found = [*map(attrgetter(name), rows)]
        kinds = set(map(type, found))
        if not all(issubclass(kind, usual) for kind in kinds):
            found = _converted(found, kinds, field, usual, is_sqlite, here)
        columns.append(found)
    return [*map(list, zip(*columns, strict=True))]


def _converted(
    values: list[Any], kinds: set[type], field: Any, usual: tuple[type, ...], is_sqlite: bool, here: Any
) -> list[Any]:
    if kinds == {UUID}:
        # A call for each value takes longer than its digits.
        return [f"{value.int:032x}" for value in values] if is_sqlite else values
    if isinstance(field, JSONField) and len(set(map(repr, values))) == 1:
        return [field.get_db_prep_save(values[0], here)] * len(values)
    return [_value_of(value, field, usual, is_sqlite, here) for value in values]


def _value_of(value: Any, field: Any, usual: tuple[type, ...], is_sqlite: bool, here: Any) -> Any:
    kind = type(value)
    if isinstance(value, usual):
        return value
    if kind is UUID:
        return value.hex if is_sqlite else value
    if kind is datetime:
        return _as_sqlite_has_it(value) if is_sqlite else value
    return field.get_db_prep_save(value, here)


def _usual(field: Field[Any, Any], is_sqlite: bool) -> tuple[type, ...]:
    """Return the types of the field's values that the driver takes as they are."""
    if isinstance(field, JSONField):
        return ()
    if isinstance(field, CharField | TextField):
        return NoneType, str
    # An id or a time can be a text, too, which Django converts.
    return (NoneType, int) if is_sqlite and isinstance(field, IntegerField) else (NoneType, bool, bytes)


@lru_cache(maxsize=256)
def _as_sqlite_has_it(at: datetime) -> Any:
    """Return an instant as Django's fields store it in SQLite."""
    if at.tzinfo is UTC and connection.timezone is UTC:
        # Django needs several times as long, and each window has an end of its own.
        return str(at.replace(tzinfo=None))
    return connection.ops.adapt_datetimefield_value(at)


def inserted(rows: Sequence[Model], columns: tuple[str, ...]) -> tuple[str, list[Any]]:
    """Return the statement that inserts these rows of one model into PostgreSQL, and its values."""
    source, values = _source(rows, columns)
    return f"INSERT INTO {type(rows[0])._meta.db_table} ({', '.join(columns)}) {source}", values


def _source(rows: Sequence[Model], columns: tuple[str, ...]) -> tuple[str, list[Any]]:
    """Return a SELECT of these columns of the rows, and its values."""
    model = type(rows[0])
    if len(rows) < ARRAYS_FROM:
        return _of_few(model, columns), [
            values if isinstance(_by_column(model)[column], BinaryField) else _array(values)
            for column, values in zip(columns, _lists(rows, columns), strict=True)
        ]
    lists = _lists(rows, columns)
    constant = _constant(model, columns, lists)
    selected, arrays, same, differing = [], [], [], []
    for column, values in zip(columns, lists, strict=True):
        field = _by_column(model)[column]
        is_json = isinstance(field, JSONField)
        if column in constant:
            selected.append(f"%s::{type_of(field)} AS {column}")
            same.append(field.get_db_prep_save(getattr(rows[0], column), connection))
            continue
        selected.append(f"new.{column}::jsonb" if is_json else f"new.{column}")
        arrays.append((column, _type_of_array(field)))
        differing.append(values)
    marks = ", ".join(f"%b::{kind}[]" for _column, kind in arrays)
    names = ", ".join(column for column, _kind in arrays)
    source = f"SELECT {', '.join(selected)} FROM unnest({marks}) AS new({names})"  # noqa: S608 - names of the model
    return source, [*same, *differing]


def _lists(rows: Sequence[Model], columns: tuple[str, ...]) -> list[list[Any]]:
    """Return the values of each column, with JSON as texts."""
    fields = _by_column(type(rows[0]))
    return [
        [None if each is None else json.dumps(each) for each in values]
        if isinstance(fields[column], JSONField)
        else list(values)
        for column, values in zip(columns, zip(*map(attrgetter(*columns), rows), strict=True), strict=True)
    ]


@cache
def _of_few(model: type[Model], columns: tuple[str, ...]) -> str:
    """Return a SELECT of these columns from one array for each of them. Bytes are sent as they are (`%b`)."""
    fields = [_by_column(model)[column] for column in columns]
    selected = ", ".join(f"new.{each.column}{'::jsonb' * isinstance(each, JSONField)}" for each in fields)
    marks = ", ".join(
        "%b::bytea[]" if isinstance(each, BinaryField) else f"%s::{_type_of_array(each)}[]" for each in fields
    )
    return f"SELECT {selected} FROM unnest({marks}) AS new({', '.join(columns)})"  # noqa: S608 - names of the model


def _type_of_array(field: Field[Any, Any]) -> str:
    return "text" if isinstance(field, JSONField) else type_of(field)


def _array(values: Sequence[Any]) -> str:
    """Return the text of an array. PostgreSQL converts each element to the type of the column."""
    kinds = set(map(type, values))
    text = _TEXTS.get(kinds.pop(), _element) if len(kinds) == 1 else _element
    if text is _quoted:
        inside = '","'.join(values)
        if "\\" not in inside and inside.count('"') == 2 * len(values) - 2:
            return f'{{"{inside}"}}'
    return f"{{{','.join(map(text, values))}}}"


def _element(value: Any) -> str:
    text = _TEXTS.get(type(value))
    if text is not None:
        return text(value)
    # A member of an enumeration.
    return _quoted(str.__str__(value)) if isinstance(value, str) else int.__repr__(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_TEXTS: dict[type, Callable[[Any], str]] = {
    NoneType: lambda _: "NULL",
    str: _quoted,
    int: repr,
    bool: repr,
    float: repr,
    UUID: lambda value: f"{value.int:032x}",
    datetime: lru_cache(maxsize=256)(datetime.isoformat),
}


#: The columns that had one value in all rows of every statement so far, by the model and the columns of the statement.
_CONSTANT: dict[tuple[type[Model], tuple[str, ...]], frozenset[str]] = {}


def _constant(model: type[Model], columns: tuple[str, ...], lists: Sequence[list[Any]]) -> frozenset[str]:
    """Return the columns that are sent as one value, because all rows have it. JSON is compared as text.

    A column whose values once differed is never one of them again. Otherwise each combination of columns would be
    another statement, which every connection prepares.
    """
    if len(lists[0]) == 1:
        return frozenset()
    now = frozenset(
        column
        for column, values in zip(columns, lists, strict=True)
        if values[0] == values[-1] and values.count(values[0]) == len(values)
    )
    found = _CONSTANT[model, columns] = _CONSTANT.get((model, columns), now) & now
    return found


def type_of(field: Field[Any, Any]) -> str:
    """Return the type of the field in PostgreSQL, without a length.

    A cast to a type with a length would cut a long text without an error. A cast without a length does not
    change the text, and then the column refuses it.
    """
    return str(field.db_type(connection)).partition("(")[0]


def insert(rows: Sequence[Model], *, skips_known: bool = False) -> None:
    """Insert rows of one model with one statement that SQLite compiles once."""
    model, has_key = type(rows[0]), rows[0].pk is not None
    with connection.cursor() as cursor:
        values = values_of(rows, _inserted(model, has_key=has_key))
        cursor.executemany(_insert_text(model, has_key=has_key, skips_known=skips_known), values)


@cache
def _insert_text(model: type[Model], *, has_key: bool, skips_known: bool) -> str:
    names = _inserted(model, has_key=has_key).names
    into = f"{model._meta.db_table} ({', '.join(names)})"
    return f"INSERT INTO {into} VALUES ({', '.join(['%s'] * len(names))}){SKIPPING * skips_known}"  # noqa: S608 - names of the model
