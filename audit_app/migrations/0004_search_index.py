"""The search index of the logs, which is derived from their entries. Other tenants' rows of it are hidden as entries are."""

from django.db import migrations, models

TABLES = ("audit_app_indexedsegment", "audit_app_indexpart")


def hide(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in TABLES:
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        schema_editor.execute(
            f"CREATE POLICY own_tenants ON {table} USING ("
            "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
            " OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
            ")"
        )


class Migration(migrations.Migration):
    dependencies = [("audit_app", "0003_heads_place")]

    operations = [
        migrations.CreateModel(
            name="IndexedSegment",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("segment", models.PositiveIntegerField()),
                ("form", models.CharField(max_length=40)),
            ],
            options={
                "verbose_name": "indexed segment",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id", "segment"), name="indexed_segment_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="IndexPart",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("segment", models.PositiveIntegerField()),
                ("part", models.PositiveSmallIntegerField()),
                ("bits", models.BinaryField()),
            ],
            options={
                "verbose_name": "part of the search index",
                "verbose_name_plural": "parts of the search index",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id", "segment", "part"), name="index_part_once"),
                ],
            },
        ),
        migrations.RunPython(hide, migrations.RunPython.noop),
    ]
