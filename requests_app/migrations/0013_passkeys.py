"""The keys that people sign with."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def seal(apps, schema_editor):
    """As 0003 does it. A key of the provider's people, which has no tenant, is nothing that a customer sees."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute("ALTER TABLE requests_app_passkey ENABLE ROW LEVEL SECURITY")
    schema_editor.execute("ALTER TABLE requests_app_passkey FORCE ROW LEVEL SECURITY")
    schema_editor.execute(
        "CREATE POLICY own_tenants ON requests_app_passkey USING ("
        "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
        " OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
        ")"
    )


def unseal(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute("DROP POLICY own_tenants ON requests_app_passkey")
    schema_editor.execute("ALTER TABLE requests_app_passkey NO FORCE ROW LEVEL SECURITY")
    schema_editor.execute("ALTER TABLE requests_app_passkey DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0012_evaluation_reads_the_asker"),
    ]

    operations = [
        migrations.CreateModel(
            name="Passkey",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("credential_id", models.BinaryField(max_length=1023, unique=True)),
                ("public_key", models.BinaryField(max_length=4096)),
                ("algorithm", models.CharField(max_length=8, verbose_name="algorithm")),
                ("rp_id", models.CharField(max_length=253, verbose_name="site")),
                ("origin", models.CharField(max_length=300, verbose_name="added on")),
                ("aaguid", models.CharField(max_length=36, verbose_name="model (AAGUID)")),
                ("is_backup_eligible", models.BooleanField(verbose_name="can be copied")),
                ("is_backed_up", models.BooleanField(verbose_name="has been copied")),
                ("sign_count", models.PositiveBigIntegerField(default=0, verbose_name="counter")),
                ("enrolled", models.JSONField(default=dict, verbose_name="entries in the logs")),
                ("created_at", models.DateTimeField(verbose_name="added")),
                ("removed_at", models.DateTimeField(blank=True, null=True, verbose_name="removed")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="passkeys",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "removed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="passkeys",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "passkey",
                "verbose_name_plural": "passkeys",
                "ordering": ["created_at"],
                "indexes": [
                    models.Index(condition=models.Q(("removed_at", None)), fields=["person"], name="passkey_in_use")
                ],
            },
        ),
        migrations.RunPython(seal, unseal),
    ]
