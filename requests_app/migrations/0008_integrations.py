"""Clients and tokens of the API, keys of repeated calls, and what a ticket is called elsewhere."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def seal(apps, schema_editor):
    """As 0003 does it. A client of the provider's, which has no tenant, is nothing that a customer sees."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute("ALTER TABLE requests_app_client ENABLE ROW LEVEL SECURITY")
    schema_editor.execute("ALTER TABLE requests_app_client FORCE ROW LEVEL SECURITY")
    schema_editor.execute(
        "CREATE POLICY own_tenants ON requests_app_client USING ("
        "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
        " OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
        ")"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("requests_app", "0007_outbox_without_tenant"),
    ]

    operations = [
        migrations.CreateModel(
            name="Client",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("scopes", models.JSONField(default=list, verbose_name="scopes")),
                ("secret_hash", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("secret_at", models.DateTimeField(verbose_name="secret since")),
            ],
            options={
                "verbose_name": "client",
                "verbose_name_plural": "clients",
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=255)),
                ("asked", models.CharField(max_length=64)),
                ("claim", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("begun_at", models.DateTimeField()),
                ("claimed_until", models.DateTimeField()),
                ("done_at", models.DateTimeField(null=True)),
                ("subject_type", models.CharField(blank=True, max_length=40)),
                ("subject_id", models.CharField(blank=True, max_length=64)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("headers", models.JSONField(default=dict)),
                ("body", models.BinaryField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Token",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("personal", "personal token"), ("access", "access token of a client")],
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=80, verbose_name="name")),
                ("scopes", models.JSONField(default=list, verbose_name="scopes")),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("hint", models.CharField(max_length=4, verbose_name="ends with")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("last_used_at", models.DateTimeField(blank=True, null=True, verbose_name="last used")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                ("stepped_up_at", models.DateTimeField(blank=True, null=True, verbose_name="confirmed")),
            ],
            options={
                "verbose_name": "token",
                "verbose_name_plural": "tokens",
                "ordering": ["-created_at"],
            },
        ),
        migrations.AddField(
            model_name="person",
            name="kind",
            field=models.CharField(
                choices=[("human", "Person"), ("client", "Client")],
                default="human",
                editable=False,
                max_length=8,
                verbose_name="kind",
            ),
        ),
        migrations.AddField(
            model_name="ticket",
            name="external_reference",
            field=models.CharField(blank=True, max_length=120, verbose_name="reference elsewhere"),
        ),
        migrations.AddField(
            model_name="ticket",
            name="external_url",
            field=models.URLField(blank=True, max_length=500, verbose_name="address elsewhere"),
        ),
        migrations.AddConstraint(
            model_name="person",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind", "human"), models.Q(("is_staff", False), ("is_superuser", False)), _connector="OR"
                ),
                name="person_client_is_no_staff",
            ),
        ),
        migrations.AddConstraint(
            model_name="ticket",
            constraint=models.UniqueConstraint(
                condition=models.Q(("external_reference", ""), _negated=True),
                fields=("tenant", "external_reference"),
                name="ticket_external_reference_once",
            ),
        ),
        migrations.AddField(
            model_name="client",
            name="account",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="client", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="client",
            name="created_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="client",
            name="decides_for",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="decides for",
            ),
        ),
        migrations.AddField(
            model_name="client",
            name="tenant",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="clients",
                to="requests_app.tenant",
            ),
        ),
        migrations.AddField(
            model_name="decision",
            name="client",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="requests_app.client",
                verbose_name="through",
            ),
        ),
        migrations.AddField(
            model_name="idempotencykey",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="token",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="tokens", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="token",
            name="revoked_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="client",
            constraint=models.CheckConstraint(
                condition=models.Q(("decides_for", None), ("tenant__isnull", False), _connector="OR"),
                name="client_decides_for_a_tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="idempotencykey",
            index=models.Index(fields=["begun_at"], name="idempotency_key_by_age"),
        ),
        migrations.AddConstraint(
            model_name="idempotencykey",
            constraint=models.UniqueConstraint(fields=("account", "key"), name="idempotency_key_once"),
        ),
        migrations.AddIndex(
            model_name="token",
            index=models.Index(fields=["account", "-created_at"], name="token_by_account"),
        ),
        migrations.AddIndex(
            model_name="token",
            index=models.Index(fields=["-created_at"], name="token_newest"),
        ),
        migrations.AddIndex(
            model_name="token",
            index=models.Index(fields=["expires_at"], name="token_by_expiry"),
        ),
        migrations.RunPython(seal, migrations.RunPython.noop),
    ]
