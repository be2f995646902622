from importlib import import_module

from django.db import migrations
from django.db.models import Index, Q

AddIndexBeside = import_module("requests_app.migrations.0075_indexes_of_evaluations").AddIndexBeside
RemoveIndexBeside = import_module("requests_app.migrations.0077_indexes_of_pages").RemoveIndexBeside


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0086_one_index_of_access_requests_by_ticket"),
    ]

    operations = [
        # The new one first, so that there is always an index for the column.
        AddIndexBeside(
            "accessrequest",
            Index(
                fields=["ticket", "state"],
                condition=Q(state__in=["OPEN", "PENDING_CUSTOMER", "PENDING_PROVIDER"]),
                name="access_request_under_way",
            ),
        ),
        RemoveIndexBeside("accessrequest", "access_request_going_on"),
    ]
