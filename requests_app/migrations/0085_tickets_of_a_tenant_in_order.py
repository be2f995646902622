from importlib import import_module

from django.db import migrations, models
from django.db.models import PROTECT, Index

AddIndexBeside = import_module("requests_app.migrations.0075_indexes_of_evaluations").AddIndexBeside
RemoveColumnIndex = import_module("requests_app.migrations.0080_fewer_indexes").RemoveColumnIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0084_closed_windows_in_order"),
    ]

    operations = [
        # The new one first, so that there is always an index for the column.
        AddIndexBeside("ticket", Index(fields=["tenant", "-opened_at"], name="ticket_by_age")),
        RemoveColumnIndex(
            "ticket",
            "tenant",
            models.ForeignKey("requests_app.tenant", on_delete=PROTECT, related_name="tickets", db_index=False),
        ),
    ]
