import django.db.models.deletion
from django.db import migrations, models

TABLE = "requests_app_accesstask"


def hide(apps, schema_editor):
    """Hide the clients' handles from a connection that works for a customer. Only clients of the provider have any."""
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
        ("requests_app", "0063_gate_sessions"),
    ]

    operations = [
        migrations.AddField(
            model_name="accessrequest",
            name="raised_by",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=120,
                verbose_name="raised by the API client",
            ),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="until_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="no longer than until"),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="is_emergency",
            field=models.BooleanField(db_default=False, default=False, editable=False, verbose_name="emergency"),
        ),
        migrations.CreateModel(
            name="AccessTask",
            fields=[
                (
                    "access_request",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="task",
                        serialize=False,
                        to="requests_app.accessrequest",
                        verbose_name="access request",
                    ),
                ),
                ("denial", models.UUIDField(unique=True, verbose_name="denial")),
                ("asked", models.JSONField(verbose_name="asked")),
                ("expires_at", models.DateTimeField(verbose_name="can be read until")),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="requests_app.client",
                        verbose_name="client",
                    ),
                ),
            ],
            options={
                "verbose_name": "access request of a client",
                "verbose_name_plural": "access requests of clients",
            },
        ),
        migrations.RunPython(hide, migrations.RunPython.noop),
    ]
