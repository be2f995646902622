from importlib import import_module

from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

AddIndexBeside = import_module("requests_app.migrations.0075_indexes_of_evaluations").AddIndexBeside


class RemoveIndexBeside(RemoveIndexConcurrently):
    """On PostgreSQL, remove an index while people work. In a transaction, as in a restore, nobody waits for it."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        self._base(schema_editor.connection).database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self._base(schema_editor.connection).database_backwards(self, app_label, schema_editor, from_state, to_state)

    @staticmethod
    def _base(connection):
        is_beside = connection.vendor == "postgresql" and not connection.in_atomic_block
        return RemoveIndexConcurrently if is_beside else migrations.RemoveIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0076_evaluations_of_one_window"),
    ]

    operations = [
        AddIndexBeside(
            "accessrequest",
            models.Index(fields=["tenant", "ticket", "-submitted_at"], name="access_request_of_ticket"),
        ),
        AddIndexBeside(
            "accessrequest",
            models.Index(
                fields=["ticket"],
                condition=Q(state__in=["OPEN", "PENDING_CUSTOMER", "PENDING_PROVIDER"]),
                name="access_request_going_on",
            ),
        ),
        AddIndexBeside("accessrequestresource", models.Index(fields=["resource", "-id"], name="scope_by_resource")),
        AddIndexBeside("ticket", models.Index(fields=["external_reference"], name="ticket_by_external_reference")),
        RemoveIndexBeside("accessrequest", "access_request_by_ticket"),
    ]
