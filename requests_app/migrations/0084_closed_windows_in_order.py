from importlib import import_module

from django.db import migrations
from django.db.models import Index, Q

AddIndexBeside = import_module("requests_app.migrations.0075_indexes_of_evaluations").AddIndexBeside

CLOSED = Q(closed_at__isnull=False)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0083_policies_hide_few_rows"),
    ]

    operations = [
        AddIndexBeside("grant", Index(fields=["tenant", "closes_at"], condition=CLOSED, name="grant_closed_of_tenant")),
        AddIndexBeside("grant", Index(fields=["closes_at"], condition=CLOSED, name="grant_closed_in_order")),
    ]
