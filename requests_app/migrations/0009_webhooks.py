"""Webhooks: endpoints, how far each has been told of each log, and what came of every attempt."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

#: As migration 0003 does for the tables that it knew.
TABLES = ("requests_app_webhook", "requests_app_webhookattempt")


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
        ("requests_app", "0008_integrations"),
    ]

    operations = [
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(verbose_name="at")),
                ("status", models.PositiveSmallIntegerField(null=True, verbose_name="status")),
                ("problem", models.CharField(blank=True, max_length=24, verbose_name="problem")),
                ("milliseconds", models.PositiveIntegerField(verbose_name="milliseconds")),
                ("answer", models.CharField(blank=True, max_length=200, verbose_name="beginning of the answer")),
            ],
            options={
                "verbose_name": "webhook attempt",
                "verbose_name_plural": "webhook attempts",
            },
        ),
        migrations.CreateModel(
            name="WebhookCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("log_id", models.UUIDField(verbose_name="log")),
                ("next_seq", models.PositiveBigIntegerField(verbose_name="next number")),
            ],
            options={
                "verbose_name": "place of a webhook in a log",
                "verbose_name_plural": "places of webhooks in logs",
            },
        ),
        migrations.AddField(
            model_name="outboxmessage",
            name="seq",
            field=models.PositiveBigIntegerField(blank=True, null=True, verbose_name="number in the log"),
        ),
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("url", models.CharField(max_length=1000, verbose_name="address")),
                ("label", models.CharField(blank=True, max_length=80, verbose_name="label")),
                ("events", models.JSONField(default=list, verbose_name="events")),
                ("sealed", models.TextField(blank=True, verbose_name="sealed keys")),
                ("public_key", models.CharField(max_length=80, verbose_name="public key")),
                ("former_sealed", models.TextField(blank=True, verbose_name="former sealed keys")),
                ("former_until", models.DateTimeField(blank=True, null=True, verbose_name="former keys until")),
                ("created_at", models.DateTimeField(verbose_name="added")),
                ("from_at", models.DateTimeField(verbose_name="told from")),
                ("is_on", models.BooleanField(default=True, verbose_name="on")),
                ("off_at", models.DateTimeField(blank=True, null=True, verbose_name="switched off")),
                (
                    "off_because",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("person", "switched off by somebody"),
                            ("gone", "it answered that it is gone (410)"),
                            ("failing", "it failed for days"),
                        ],
                        max_length=8,
                        verbose_name="why it is off",
                    ),
                ),
                ("failures", models.PositiveIntegerField(default=0, verbose_name="failures in a row")),
                ("failing_since", models.DateTimeField(blank=True, null=True, verbose_name="failing since")),
                ("resume_at", models.DateTimeField(blank=True, null=True, verbose_name="rests until")),
                ("removed_at", models.DateTimeField(blank=True, null=True, verbose_name="removed")),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="webhooks",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook",
                "verbose_name_plural": "webhooks",
                "ordering": ["created_at"],
            },
        ),
        migrations.AddField(
            model_name="outboxmessage",
            name="webhook",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="messages",
                to="requests_app.webhook",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("state", "waiting"), ("webhook__isnull", False)),
                fields=["webhook", "next_attempt_at"],
                name="outbox_webhook_waiting",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("state", "waiting"), ("webhook__isnull", False)),
                fields=["webhook", "mark", "seq"],
                name="outbox_webhook_order",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("webhook__isnull", False)),
                fields=["webhook", "-created_at"],
                name="outbox_webhook_newest",
            ),
        ),
        migrations.AddField(
            model_name="webhookattempt",
            name="message",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="webhook_attempts",
                to="requests_app.outboxmessage",
            ),
        ),
        migrations.AddField(
            model_name="webhookattempt",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="requests_app.tenant",
            ),
        ),
        migrations.AddField(
            model_name="webhookattempt",
            name="webhook",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="attempts",
                to="requests_app.webhook",
            ),
        ),
        migrations.AddField(
            model_name="webhookcursor",
            name="webhook",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="cursors", to="requests_app.webhook"
            ),
        ),
        migrations.AddIndex(
            model_name="webhook",
            index=models.Index(fields=["tenant", "created_at"], name="webhook_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="webhookattempt",
            index=models.Index(fields=["webhook", "-at"], name="webhook_attempt_by_webhook"),
        ),
        migrations.AddIndex(
            model_name="webhookattempt",
            index=models.Index(fields=["-at"], name="webhook_attempt_newest"),
        ),
        migrations.AddConstraint(
            model_name="webhookcursor",
            constraint=models.UniqueConstraint(fields=("webhook", "log_id"), name="webhook_cursor_once"),
        ),
        migrations.RunPython(seal, unseal),
    ]
