"""What decisions were signed with, and what a tenant wants its yes to be."""

import django.db.models.deletion
from django.db import migrations, models


def seal(apps, schema_editor):
    """As 0003 does it."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute("ALTER TABLE requests_app_signeddecision ENABLE ROW LEVEL SECURITY")
    schema_editor.execute("ALTER TABLE requests_app_signeddecision FORCE ROW LEVEL SECURITY")
    schema_editor.execute(
        "CREATE POLICY own_tenants ON requests_app_signeddecision USING ("
        "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
        " OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
        ")"
    )


def unseal(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute("DROP POLICY own_tenants ON requests_app_signeddecision")
    schema_editor.execute("ALTER TABLE requests_app_signeddecision NO FORCE ROW LEVEL SECURITY")
    schema_editor.execute("ALTER TABLE requests_app_signeddecision DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0019_single_sign_on"),
    ]

    operations = [
        migrations.AddField(
            model_name="decision",
            name="manifest_digest",
            field=models.CharField(blank=True, default="", max_length=64, verbose_name="digest of what was signed"),
        ),
        migrations.AddField(
            model_name="tenant",
            name="yes_rule",
            field=models.CharField(
                choices=[
                    ("any", "signed or not"),
                    ("signed", "signed with a passkey"),
                    ("device_bound", "signed with a passkey that can’t leave its device"),
                ],
                default="any",
                editable=False,
                max_length=12,
                verbose_name="what a yes takes",
            ),
        ),
        migrations.CreateModel(
            name="SignedDecision",
            fields=[
                (
                    "decision",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="signature",
                        serialize=False,
                        to="requests_app.decision",
                    ),
                ),
                ("manifest", models.TextField(verbose_name="what was signed")),
                ("assertion", models.JSONField(verbose_name="what the passkey answered")),
                ("nonce", models.CharField(max_length=128)),
                (
                    "passkey",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="signed", to="requests_app.passkey"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "signed decision",
                "verbose_name_plural": "signed decisions",
                "constraints": [models.UniqueConstraint(fields=("nonce",), name="signed_decision_nonce_once")],
            },
        ),
        migrations.RunPython(seal, unseal),
    ]
