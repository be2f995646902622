from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class AddIndexBeside(AddIndexConcurrently):
    """On PostgreSQL, add an index while people work. SQLite has one writer, so it adds the index in its turn.

    A restore makes all tables in one transaction. Nobody else sees them yet, so nobody waits for an index.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if self._is_beside(schema_editor.connection):
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.index.name}")
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if self._is_beside(schema_editor.connection):
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)

    @staticmethod
    def _is_beside(connection):
        return connection.vendor == "postgresql" and not connection.in_atomic_block


INDEXES = (
    (
        "grant",
        models.Index(fields=["tenant", "engineer", "closes_at"], condition=Q(closed_at=None), name="grant_open_by_end"),
    ),
    (
        "grant",
        models.Index(
            fields=["tenant", "engineer", "closed_at"],
            condition=Q(closed_at__isnull=False),
            name="grant_closed_by_end",
        ),
    ),
    (
        "idempotencykey",
        models.Index(fields=["begun_at"], condition=Q(subject_type="entry"), name="idempotency_key_of_entry"),
    ),
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0074_evaluations"),
    ]

    operations = [
        # An interrupted attempt leaves an index that PostgreSQL does not use, so each one is dropped first.
        *(AddIndexBeside(table, index) for table, index in INDEXES),
    ]
