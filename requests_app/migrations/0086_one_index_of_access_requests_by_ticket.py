from importlib import import_module

from django.db import migrations, models
from django.db.models import PROTECT, Index

AddIndexBeside = import_module("requests_app.migrations.0075_indexes_of_evaluations").AddIndexBeside
RemoveIndexBeside = import_module("requests_app.migrations.0077_indexes_of_pages").RemoveIndexBeside
RemoveColumnIndex = import_module("requests_app.migrations.0080_fewer_indexes").RemoveColumnIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0085_tickets_of_a_tenant_in_order"),
    ]

    operations = [
        # The new one first, so that there is always an index for the column.
        AddIndexBeside(
            "accessrequest",
            Index(fields=["ticket", "tenant", "-submitted_at"], name="access_request_by_ticket_age"),
        ),
        RemoveIndexBeside("accessrequest", "access_request_of_ticket"),
        RemoveColumnIndex(
            "accessrequest",
            "ticket",
            models.ForeignKey(
                "requests_app.ticket",
                on_delete=PROTECT,
                related_name="access_requests",
                db_index=False,
                null=True,
                blank=True,
            ),
        ),
    ]
