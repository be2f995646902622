"""What a migration may do while the previous release works on the same database (docs/upgrades.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations
from django.db.models import NOT_PROVIDED, CheckConstraint

#: The tables that stay small: a few rows for the installation, for each tenant or for each place that enforces windows.
#: To read all rows of another table would take too long under a lock.
SMALL = frozenset(
    {
        *("installation", "headsplace", "signerlease", "heartbeat", "logorigin", "logkey", "closedshard", "witness"),
        *("plan", "service", "queueassignment", "staffterm", "client", "signalstream", "guard", "gateproxy"),
        *("signon", "domain", "webhook", "webhookcursor", "tokenkey", "mute", "notificationaddress", "grouprole"),
        *("restoration", "restoredtenant", "restoredconfirmation"),
    }
)
_REMOVES = {
    migrations.RemoveField: "removes a column",
    migrations.RenameField: "renames a column",
    migrations.DeleteModel: "removes a table",
    migrations.RenameModel: "renames a table",
    migrations.AlterModelTable: "renames a table",
}
_SQL = {
    r"\bDROP\s+(TABLE|COLUMN)\b": "removes a table or a column",
    r"\bRENAME\b": "renames a table or a column",
    r"\bSET\s+NOT\s+NULL\b": "makes a column NOT NULL",
    r"\bLOCK\s+TABLE\b": "locks a table",
    r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)": "builds an index under a lock",
    r"\bADD\s+CONSTRAINT\b(?![^;]*\bNOT\s+VALID\b)": "checks all rows under a lock",
}


#: These let others read and write while they wait and work. Code has a transaction for each portion of rows.
_BESIDE = (AddIndexConcurrently, RemoveIndexConcurrently, ValidateConstraint, migrations.RunPython)


def without_a_transaction(operations: Iterable[Any]) -> Iterator[str]:
    """Yield one sentence for each operation of a migration with `atomic = False` that others might wait for.

    Nothing limits how long such a migration waits for a table.
    """
    for operation in operations:
        is_beside = isinstance(operation, migrations.RunSQL) and "CONCURRENTLY" in str(operation.sql).upper()
        if not is_beside and not isinstance(operation, _BESIDE):
            yield f"{operation.describe()}: put it into a migration with a transaction"


def problems(operations: Iterable[Any], *, state: Any = None, made: set[str] | None = None) -> Iterator[str]:
    """Yield one sentence for each operation that the previous release, or the work of people, would not survive.

    `state` is the project's state before the migration, if there is one. Tables that the same release makes are free.
    """
    made = set() if made is None else made
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from problems(operation.database_operations, state=state, made=made)
            continue
        if isinstance(operation, migrations.CreateModel):
            made.add(operation.name_lower)
        if isinstance(operation, migrations.RunSQL):
            yield from _in_sql(str(operation.sql))
        table = getattr(operation, "model_name_lower", getattr(operation, "old_name_lower", ""))
        if table in made:
            continue
        yield from (f"{table} {why}" for why in _in_operation(operation, table, state))


def _in_operation(operation: Any, table: str, state: Any) -> Iterator[str]:
    for kind, why in _REMOVES.items():
        if isinstance(operation, kind):
            yield f"{why}: {getattr(operation, 'name', '')}"
    if isinstance(operation, migrations.AddField) and not _is_optional(operation.field):
        yield f"gets the column {operation.name}, which the previous release does not fill: add null=True or db_default"
    if isinstance(operation, migrations.AlterField):
        yield from _in_altered(operation, state)
    if _is(operation, migrations.AddIndex, but_not=AddIndexConcurrently) and table not in SMALL:
        yield f"gets the index {operation.index.name} under a lock: use AddIndexConcurrently in its own migration"
    if _is(operation, migrations.AddConstraint, but_not=AddConstraintNotValid):
        # A unique constraint can also refuse what the previous release writes.
        may_be_refused = table not in SMALL or not isinstance(operation.constraint, CheckConstraint)
        if may_be_refused:
            yield f"gets the constraint {operation.constraint.name}, which its rows must fit: add it NOT VALID first"


def _is(operation: Any, kind: type, *, but_not: type) -> bool:
    return isinstance(operation, kind) and not isinstance(operation, but_not)


def _is_optional(field: Any) -> bool:
    return field.null or field.many_to_many or field.db_default is not NOT_PROVIDED


def _in_altered(operation: Any, state: Any) -> Iterator[str]:
    if state is None:
        return
    before = state.models[operation.app_label, operation.model_name_lower].fields[operation.name]
    after = operation.field
    if before.null and not after.null:
        yield f"makes the column {operation.name} NOT NULL"
    if type(before) is not type(after):
        yield f"changes the type of the column {operation.name}"
    if (before.max_length or 0) > (after.max_length or before.max_length or 0):
        yield f"makes the column {operation.name} shorter"


def _in_sql(sql: str) -> Iterator[str]:
    for pattern, why in _SQL.items():
        if re.search(pattern, sql, re.IGNORECASE):
            yield f"a statement {why}: {' '.join(sql.split())[:80]}"
