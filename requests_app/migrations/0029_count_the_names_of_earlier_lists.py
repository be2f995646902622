"""Counts the names of the lists that were shown before each name was counted once; the log says which they were."""

import json
from hashlib import sha256

from django.db import migrations, transaction

LISTED_ID = 16
#: Windows that are counted in one transaction.
GRANTS = 100


def names_of(entries, row):
    """The names that a list showed, or None where its entry was removed after its time."""
    found = entries.filter(
        tenant_id=row.tenant_id, correlation_id=row.grant.access_request_id, event="content.listed", at=row.at
    )
    for entry in found:
        detail = json.loads(bytes(entry.canonical))["detail"]
        if detail.get("access") == str(row.pk):
            return [
                sha256(item["id"].encode("utf-8", "surrogatepass")).digest()[:LISTED_ID] for item in detail["items"]
            ]
    return None


def count(apps, schema_editor):
    """A hundred windows at a time: one transaction over all of them would keep every writer out of SQLite."""
    entries = apps.get_model("audit_app", "AuditEntry").objects
    rows = apps.get_model("requests_app", "ContentAccess").objects.filter(kind="listed")
    grants = rows.order_by("grant_id").values_list("grant_id", flat=True).distinct()
    batch = list(grants[:GRANTS])
    while batch:
        with transaction.atomic():
            _count(entries, rows.filter(grant_id__in=batch))
        batch = list(grants.filter(grant_id__gt=batch[-1])[:GRANTS])


def _count(entries, rows):
    place, known = None, set()
    for row in rows.select_related("grant").order_by("grant_id", "resource_id", "at", "pk").iterator():
        if place != (row.grant_id, row.resource_id):
            place, known = (row.grant_id, row.resource_id), set()
        ids = names_of(entries, row)
        row.new_names = row.count if ids is None else len({*ids} - known)
        row.listed_ids = b"".join(ids or [])
        known.update(ids or [])
        row.save(update_fields=["new_names", "listed_ids"])


class Migration(migrations.Migration):
    # It can be broken off: it counts anew what it has counted.
    atomic = False

    dependencies = [
        ("requests_app", "0028_names_are_counted_once"),
        ("audit_app", "0007_lock_head"),
    ]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
