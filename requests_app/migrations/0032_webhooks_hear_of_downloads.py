"""Webhooks that hear of what is opened go on hearing of what is downloaded, which was the same event before."""

from django.db import migrations


def add(apps, schema_editor):
    for row in apps.get_model("requests_app", "Webhook").objects.all().iterator(chunk_size=500):
        if "content.opened" in row.events and "content.downloaded" not in row.events:
            row.events = [*row.events, "content.downloaded"]
            row.save(update_fields=["events"])


class Migration(migrations.Migration):
    dependencies = [("requests_app", "0031_downloads_are_told_apart")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop, elidable=True)]
