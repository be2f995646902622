from django.db import migrations, models
from django.db.models import Q

from audit_app.migrations._indexes import AddIndexBeside, RemoveIndexBeside


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
