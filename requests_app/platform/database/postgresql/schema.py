"""Changes PostgreSQL's tables so that people wait for them as briefly as possible.

Between two operations of a migration, Django makes the classes of many models again. This takes much longer than the
statements. If each statement ran at once, the first table would be locked during all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.transaction import atomic


class SchemaEditor(DatabaseSchemaEditor):
    """Gathers the statements of a transaction, and sends them together at its end.

    If a migration reads or writes rows in between, the statements before it are sent first. The tables are then locked
    from there until the end.
    """

    def __enter__(self) -> SchemaEditor:
        self.deferred_sql = []
        self._gathered: list[str] = []
        self._stack = ExitStack()
        if self.atomic_migration:
            # Django's savepoint would begin the transaction on the server long before it is needed.
            self._stack.enter_context(atomic(self.connection.alias, savepoint=False))
            self._stack.enter_context(self.connection.execute_wrapper(self._after_the_gathered))
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            for sql in self.deferred_sql:
                self.execute(sql, None)
            self._send()

    def execute(self, sql: Any, params: Any = ()) -> None:
        if self.collect_sql or not self.atomic_migration:
            super().execute(sql, params)
            return
        text = str(sql)
        self._gathered.append(text if params is None else self.connection.ops.compose_sql(text, params))

    def _after_the_gathered(self, execute: Callable[..., Any], *statement: Any) -> Any:
        self._send()
        return execute(*statement)

    def _send(self) -> None:
        """Run what was gathered as one statement, so that one time limit of the server applies to all of it."""
        if not self._gathered:
            return
        steps = [f"EXECUTE {self.quote_value(each)};" for each in self._gathered]
        self._gathered = []
        with self.connection.cursor() as cursor:
            cursor.execute("DO " + self.quote_value("\n".join(["BEGIN", *steps, "END"])))
