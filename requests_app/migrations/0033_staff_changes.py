"""Changes by staff that weaken a customer: what the proposal says of them, and who was staff from when until when."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_OWN = "tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
_NOT_TOLD = "coalesce(current_setting('lockbox.tenants', true), '') = ''"
_TOUCHED = "requests_app_proposal_touched"


def seal(apps, schema_editor):
    """A tenant's people see which changes touch them, and those changes; a tenant's own proposals as before."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(f"ALTER TABLE {_TOUCHED} ENABLE ROW LEVEL SECURITY")
    schema_editor.execute(f"ALTER TABLE {_TOUCHED} FORCE ROW LEVEL SECURITY")
    schema_editor.execute(f"CREATE POLICY own_tenants ON {_TOUCHED} USING ({_NOT_TOLD} OR {_OWN})")
    # Only read: nobody of a tenant writes what staff proposed.
    schema_editor.execute(
        "CREATE POLICY announced ON requests_app_proposal FOR SELECT USING (tenant_id IS NULL AND EXISTS ("
        "SELECT 1 FROM requests_app_proposal_touched link WHERE link.proposal_id = requests_app_proposal.id))"
    )


def unseal(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute("DROP POLICY announced ON requests_app_proposal")
    schema_editor.execute(f"DROP POLICY own_tenants ON {_TOUCHED}")
    schema_editor.execute(f"ALTER TABLE {_TOUCHED} NO FORCE ROW LEVEL SECURITY")
    schema_editor.execute(f"ALTER TABLE {_TOUCHED} DISABLE ROW LEVEL SECURITY")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0032_webhooks_hear_of_downloads"),
    ]

    operations = [
        migrations.CreateModel(
            name="StaffTerm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("human_id", models.UUIDField()),
                ("from_at", models.DateTimeField(verbose_name="from")),
                ("until_at", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="staff_terms",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "time as staff",
                "verbose_name_plural": "times as staff",
                "ordering": ["from_at"],
                "indexes": [models.Index(fields=["until_at"], name="staff_term_by_end")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("until_at", None)), fields=("person",), name="staff_term_open_once"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="tenant",
            name="lockbox_first_on_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="Lockbox first on"),
        ),
        migrations.AlterField(
            model_name="proposal",
            name="tenant",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="proposals",
                to="requests_app.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="touched",
            field=models.ManyToManyField(editable=False, related_name="+", to="requests_app.tenant"),
        ),
        migrations.AddField(
            model_name="proposal",
            name="confirmed_human",
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="proposal",
            name="confirmed_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="confirmed"),
        ),
        migrations.AddField(
            model_name="proposal",
            name="effective_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="takes effect"),
        ),
        migrations.AddField(
            model_name="proposal",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[("applied", "took effect"), ("withdrawn", "withdrawn"), ("lapsed", "lapsed")],
                db_default="",
                default="",
                max_length=12,
                verbose_name="outcome",
            ),
        ),
        migrations.AddIndex(
            model_name="proposal",
            index=models.Index(
                condition=models.Q(("ended_at", None), ("tenant", None)),
                fields=["effective_at"],
                name="proposal_of_staff_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("confirmed_human", None),
                    models.Q(("confirmed_human", models.F("proposed_human")), _negated=True),
                    _connector="OR",
                ),
                name="proposal_confirmed_by_another_human",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("outcome", "applied"), _negated=True),
                    models.Q(("effective_at__isnull", False), ("ended_at__gte", models.F("effective_at"))),
                    _connector="OR",
                ),
                name="proposal_applied_when_due",
            ),
        ),
        migrations.RunPython(seal, unseal),
    ]
