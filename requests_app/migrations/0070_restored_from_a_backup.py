import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_OWN = (
    "coalesce(current_setting('lockbox.tenants', true), '') = ''"
    " OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
)


def hide(apps, schema_editor):
    """Hide the rows of other tenants, and the confirmations of staff, from a connection that serves one tenant."""
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in ("requests_app_restoredtenant", "requests_app_restoredconfirmation"):
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # FORCE: the application owns its tables, and PostgreSQL exempts an owner otherwise.
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        schema_editor.execute(f"CREATE POLICY own_tenants ON {table} USING ({_OWN})")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0069_callbacks"),
    ]

    operations = [
        migrations.CreateModel(
            name="Restoration",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False, verbose_name="backup")),
                ("taken_at", models.DateTimeField(verbose_name="backup taken")),
                ("restored_at", models.DateTimeField(verbose_name="restored")),
                ("people_needed", models.PositiveSmallIntegerField(verbose_name="confirmations needed")),
                (
                    "confirmed_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="provider’s people confirmed"),
                ),
            ],
            options={
                "verbose_name": "restoration from a backup",
                "verbose_name_plural": "restorations from a backup",
                "ordering": ["-restored_at"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("confirmed_at", None)), fields=["restored_at"], name="restoration_open"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RestoredConfirmation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("human_id", models.UUIDField()),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("is_administrator", models.BooleanField(default=False, verbose_name="administrator")),
                ("digest", models.CharField(max_length=64, verbose_name="digest")),
                ("confirmed", models.JSONField(default=dict, verbose_name="what was confirmed")),
                ("at", models.DateTimeField(verbose_name="at")),
                (
                    "of",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="confirmations",
                        to="requests_app.restoration",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "confirmation after a restoration",
                "verbose_name_plural": "confirmations after a restoration",
                "ordering": ["at"],
                "indexes": [models.Index(fields=["of", "tenant"], name="restored_confirmation_of")],
            },
        ),
        migrations.CreateModel(
            name="RestoredTenant",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("people_needed", models.PositiveSmallIntegerField(verbose_name="confirmations needed")),
                ("confirmed_at", models.DateTimeField(blank=True, null=True, verbose_name="confirmed")),
                (
                    "of",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tenants",
                        to="requests_app.restoration",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="restorations",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "restored tenant",
                "verbose_name_plural": "restored tenants",
                "indexes": [
                    models.Index(
                        condition=models.Q(("confirmed_at", None)), fields=["tenant"], name="restored_tenant_open"
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("of", "tenant"), name="restored_tenant_once")],
            },
        ),
        migrations.RunPython(hide, migrations.RunPython.noop),
    ]
