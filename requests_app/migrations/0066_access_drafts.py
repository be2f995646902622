import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

TABLE = "requests_app_accessdraft"


def hide(apps, schema_editor):
    """Hide the drafts from a connection that works for a customer. A draft is not an access request yet."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    # FORCE: the application owns its tables, and PostgreSQL exempts an owner otherwise.
    schema_editor.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    schema_editor.execute(
        f"CREATE POLICY own_tenants ON {TABLE} USING (coalesce(current_setting('lockbox.tenants', true), '') = '')"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0065_gate_upstream"),
    ]

    operations = [
        migrations.AddField(
            model_name="accesstask",
            name="was_draft",
            field=models.BooleanField(db_default=False, default=False, verbose_name="was a draft"),
        ),
        migrations.CreateModel(
            name="AccessDraft",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "level",
                    models.CharField(
                        choices=[
                            ("names", "names only"),
                            ("view", "view"),
                            ("read", "view and download"),
                            ("act_as", "act as (can change things)"),
                        ],
                        max_length=8,
                        verbose_name="how much",
                    ),
                ),
                ("window_for", models.PositiveIntegerField(verbose_name="window (seconds)")),
                ("tried", models.TextField(verbose_name="what was tried")),
                ("justification", models.TextField(verbose_name="why there is no other way")),
                ("until_at", models.DateTimeField(blank=True, null=True, verbose_name="no longer than until")),
                ("is_emergency", models.BooleanField(default=False, verbose_name="emergency")),
                ("denial", models.UUIDField(unique=True, verbose_name="denial")),
                ("asked", models.JSONField(verbose_name="asked")),
                ("made_at", models.DateTimeField(verbose_name="drafted")),
                ("expires_at", models.DateTimeField(verbose_name="ends")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="requests_app.client",
                        verbose_name="client",
                    ),
                ),
                (
                    "engineer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="engineer",
                    ),
                ),
                (
                    "resource",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.resource"
                    ),
                ),
                (
                    "service",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.service"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.tenant"
                    ),
                ),
                (
                    "ticket",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="requests_app.ticket"
                    ),
                ),
            ],
            options={
                "verbose_name": "draft of an access request",
                "verbose_name_plural": "drafts of access requests",
                "ordering": ["made_at"],
                "indexes": [models.Index(fields=["engineer", "ended_at"], name="access_draft_by_engineer")],
            },
        ),
        migrations.RunPython(hide, migrations.RunPython.noop),
    ]
