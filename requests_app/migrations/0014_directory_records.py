"""What a tenant's directory says of its people."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

#: As migration 0003 does for the tables that it knew.
TABLES = ("requests_app_directoryrecord",)


def seal(apps, schema_editor):
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


def unseal(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in TABLES:
        schema_editor.execute(f"DROP POLICY own_tenants ON {table}")
        schema_editor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        schema_editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0013_passkeys"),
    ]

    operations = [
        migrations.CreateModel(
            name="DirectoryRecord",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("user_name", models.CharField(max_length=254, verbose_name="user name")),
                ("user_key", models.CharField(max_length=254)),
                ("external_id", models.CharField(blank=True, max_length=254, verbose_name="key in the directory")),
                ("given_name", models.CharField(blank=True, max_length=120, verbose_name="given name")),
                ("family_name", models.CharField(blank=True, max_length=120, verbose_name="family name")),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
                ("removed_at", models.DateTimeField(blank=True, null=True, verbose_name="removed")),
                (
                    "person",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="directory",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="directory_records",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "directory record",
                "verbose_name_plural": "directory records",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at", None)),
                        fields=("tenant", "user_key"),
                        name="directory_user_name_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at", None), models.Q(("external_id", ""), _negated=True)),
                        fields=("tenant", "external_id"),
                        name="directory_external_id_once",
                    ),
                ],
            },
        ),
        migrations.RunPython(seal, unseal),
    ]
