"""Whom a tenant does not want to be asked by for a while."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

#: As migration 0003 does for the tables that it knew.
TABLE = "requests_app_mute"


def seal(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    schema_editor.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    schema_editor.execute(
        f"CREATE POLICY own_tenants ON {TABLE} USING ("
        "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
        " OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
        ")"
    )


def unseal(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(f"DROP POLICY own_tenants ON {TABLE}")
    schema_editor.execute(f"ALTER TABLE {TABLE} NO FORCE ROW LEVEL SECURITY")
    schema_editor.execute(f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0026_addresses_in_use_are_verified"),
    ]

    operations = [
        migrations.CreateModel(
            name="Mute",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("note", models.TextField(blank=True, verbose_name="comment")),
                ("denied", models.PositiveIntegerField(default=0, verbose_name="denied")),
                ("set_at", models.DateTimeField(verbose_name="set")),
                ("until_at", models.DateTimeField(verbose_name="until")),
                ("lifted_at", models.DateTimeField(blank=True, null=True, verbose_name="lifted early")),
                (
                    "engineer",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="engineer",
                    ),
                ),
                (
                    "set_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="set by",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="mutes", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "mute",
                "verbose_name_plural": "mutes",
                "ordering": ["until_at"],
                "indexes": [models.Index(fields=["tenant", "-until_at"], name="mute_by_tenant")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("until_at__gt", models.F("set_at"))), name="mute_ends_after_it_begins"
                    )
                ],
            },
        ),
        migrations.RunPython(seal, unseal),
    ]
