from importlib import import_module

from django.db import migrations, models
from django.db.models import Q

AddIndexBeside = import_module("requests_app.migrations.0075_indexes_of_evaluations").AddIndexBeside


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0077_indexes_of_pages"),
    ]

    operations = [
        AddIndexBeside(
            "ticket",
            models.Index(fields=["-opened_at"], condition=Q(is_practice=True), name="ticket_practice"),
        ),
    ]
