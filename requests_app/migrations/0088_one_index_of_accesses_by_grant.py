from importlib import import_module

from django.db import migrations, models
from django.db.models import PROTECT, Index

AddIndexBeside = import_module("requests_app.migrations.0075_indexes_of_evaluations").AddIndexBeside
RemoveIndexBeside = import_module("requests_app.migrations.0077_indexes_of_pages").RemoveIndexBeside
RemoveColumnIndex = import_module("requests_app.migrations.0080_fewer_indexes").RemoveColumnIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0087_access_requests_under_way_by_ticket"),
    ]

    operations = [
        # The new one first, so that there is always an index for the column.
        AddIndexBeside("contentaccess", Index(fields=["grant", "-at"], name="content_access_of_grant")),
        RemoveIndexBeside("contentaccess", "content_access_by_grant"),
        RemoveColumnIndex(
            "contentaccess",
            "grant",
            models.ForeignKey("requests_app.grant", on_delete=PROTECT, related_name="content_accesses", db_index=False),
        ),
    ]
