"""Where a tenant's people sign in, its domains, and who somebody is at an issuer."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

#: As migration 0003 does for the tables that it knew.
TABLES = ("requests_app_signon", "requests_app_domain", "requests_app_identity")


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
        ("requests_app", "0018_two_person_control"),
    ]

    operations = [
        migrations.CreateModel(
            name="Domain",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=253, verbose_name="domain")),
                ("challenge", models.CharField(max_length=64)),
                ("claimed_at", models.DateTimeField(verbose_name="added")),
                ("verified_at", models.DateTimeField(blank=True, null=True, verbose_name="proven")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="domains", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "domain",
                "verbose_name_plural": "domains",
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "name"), name="domain_once_in_a_tenant"),
                    models.UniqueConstraint(
                        condition=models.Q(("verified_at__isnull", False)), fields=("name",), name="domain_proven_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("issuer", models.CharField(max_length=300, verbose_name="issuer")),
                ("subject", models.CharField(max_length=255, verbose_name="subject")),
                ("linked_at", models.DateTimeField(verbose_name="since")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="identities",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="identities",
                        to="requests_app.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "identity",
                "verbose_name_plural": "identities",
                "indexes": [models.Index(fields=["issuer", "subject"], name="identity_by_subject")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("tenant__isnull", False)),
                        fields=("tenant", "issuer", "subject"),
                        name="identity_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("tenant", None)),
                        fields=("issuer", "subject"),
                        name="identity_once_at_the_provider",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SignOn",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("issuer", models.CharField(max_length=300, verbose_name="issuer")),
                ("client_id", models.CharField(max_length=254, verbose_name="client id")),
                ("sealed", models.TextField(verbose_name="sealed secret")),
                ("scopes", models.CharField(default="openid profile email", max_length=200, verbose_name="scopes")),
                ("groups_claim", models.CharField(blank=True, max_length=80, verbose_name="claim with the groups")),
                (
                    "key_claim",
                    models.CharField(default="sub", max_length=80, verbose_name="claim with the directory’s key"),
                ),
                ("role_map", models.JSONField(default=dict, verbose_name="roles by group")),
                ("is_on", models.BooleanField(default=False, verbose_name="on")),
                ("is_only", models.BooleanField(default=False, verbose_name="the only way in")),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
                (
                    "break_glass",
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
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="sign_on", to="requests_app.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "single sign-on",
                "verbose_name_plural": "single sign-on",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("is_only", False),
                            models.Q(("break_glass__isnull", False), ("is_on", True)),
                            _connector="OR",
                        ),
                        name="sign_on_only_has_a_way_back",
                    )
                ],
            },
        ),
        migrations.RunPython(seal, unseal),
    ]
