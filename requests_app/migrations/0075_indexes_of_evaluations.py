from django.db import migrations, models
from django.db.models import Q

from audit_app.migrations._indexes import AddIndexBeside

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
