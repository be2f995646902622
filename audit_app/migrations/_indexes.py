"""Adds and removes indexes while people work. Migrations of both applications use it."""

from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations


def is_beside(connection):
    """Return whether an index can change while people work: only on PostgreSQL, and outside a transaction.

    A restore makes all tables in one transaction. Nobody else sees them yet, so nobody waits for an index.
    """
    return connection.vendor == "postgresql" and not connection.in_atomic_block


class AddIndexBeside(AddIndexConcurrently):
    """On PostgreSQL, add an index while people work. SQLite has one writer, so it adds the index in its turn."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if is_beside(schema_editor.connection):
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index.name}")
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if is_beside(schema_editor.connection):
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)


class RemoveIndexBeside(RemoveIndexConcurrently):
    """On PostgreSQL, remove an index while people work."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        self._base(schema_editor.connection).database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self._base(schema_editor.connection).database_backwards(self, app_label, schema_editor, from_state, to_state)

    @staticmethod
    def _base(connection):
        return RemoveIndexConcurrently if is_beside(connection) else migrations.RemoveIndex
