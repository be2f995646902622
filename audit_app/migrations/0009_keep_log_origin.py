"""A database that has signed keeps the name under which it did: that of most logs' newest checkpoints."""

from collections import Counter

from django.db import migrations
from django.db.models import Max, OuterRef, Subquery


def keep(apps, schema_editor):
    model = {name: apps.get_model("audit_app", name) for name in ("Checkpoint", "LogOrigin", "SignedHead")}
    newest = model["Checkpoint"].objects.filter(tenant_id=OuterRef("pk")).order_by("-shard", "-size")
    notes = model["SignedHead"].objects.annotate(note=Subquery(newest.values("note")[:1])).exclude(note=None)
    # The first line of a checkpoint is NAME/log/TENANT, or NAME/log/TENANT/SHARD.
    names = Counter(note.partition("\n")[0].rpartition("/log/")[0] for note in notes.values_list("note", flat=True))
    if names:
        [(origin, _count)] = names.most_common(1)
        at = model["Checkpoint"].objects.aggregate(at=Max("signed_at"))["at"]
        rows = model["LogOrigin"].objects
        rows.bulk_create([rows.model(origin=origin, is_mixed=len(names) > 1, kept_at=at)], ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [("audit_app", "0008_log_origin")]

    operations = [migrations.RunPython(keep, migrations.RunPython.noop)]
