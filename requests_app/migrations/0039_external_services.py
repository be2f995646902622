"""External services: their application, link template and guidance; resources without a locator."""

from importlib import import_module

from django.db import migrations, models

#: The function of the decision point. It also finds a resource by its external id. Nothing else is different from the
#: function before it, so that the previous version of the code can call it, too.
EVALUATION = import_module("requests_app.migrations.0051_switches_and_letter_case").BEFORE
BEFORE = import_module("requests_app.migrations.0001_squashed_0036_idempotency_key_holder").EVALUATION


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATION)


def make_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(BEFORE)


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0038_practice"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="resource",
            name="resource_once",
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="enforced_by",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=80, verbose_name="enforced by"
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="application",
            field=models.CharField(blank=True, db_default="", default="", max_length=80, verbose_name="application"),
        ),
        migrations.AddField(
            model_name="service",
            name="guidance",
            field=models.TextField(
                blank=True, db_default="", default="", max_length=1000, verbose_name="how to find a resource"
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="link_template",
            field=models.CharField(blank=True, db_default="", default="", max_length=400, verbose_name="link template"),
        ),
        migrations.AlterField(
            model_name="resource",
            name="kind",
            field=models.CharField(
                choices=[
                    ("mailbox", "mailbox"),
                    ("library", "document library"),
                    ("database", "database"),
                    ("workspace", "workspace"),
                    ("other", "other"),
                ],
                max_length=16,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="resource",
            name="locator",
            field=models.CharField(blank=True, db_default="", default="", max_length=400, verbose_name="locator"),
        ),
        migrations.AddIndex(
            model_name="resource",
            index=models.Index(fields=["service", "external_id"], name="resource_by_external_id"),
        ),
        migrations.AddConstraint(
            model_name="resource",
            constraint=models.UniqueConstraint(
                condition=models.Q(("locator", ""), _negated=True),
                fields=("tenant", "service", "locator"),
                name="resource_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="resource",
            constraint=models.CheckConstraint(
                condition=models.Q(("external_id", ""), ("locator", ""), _negated=True),
                name="resource_has_locator_or_external_id",
            ),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("connector", "external"), models.Q(("application", ""), _negated=True)),
                    models.Q(
                        models.Q(("connector", "external"), _negated=True),
                        ("application", ""),
                        ("guidance", ""),
                        ("link_template", ""),
                    ),
                    _connector="OR",
                ),
                name="service_external_has_application",
            ),
        ),
        migrations.RunPython(make, make_before),
    ]
