from importlib import import_module

from django.db import migrations, models

from requests_app.migrations._evaluation import before

#: The function of the decision point. A window whose level the tenant has ruled out gives nothing, even if it is open.
#: Nothing else is different from the function before it, so that the previous version of the code can call it, too.
EVALUATION = import_module("requests_app.migrations.0057_act_as").BEFORE
CHANGES = {"            AND g.level <> ALL (string_to_array(t.ruled_out, ' '))\n": ""}
BEFORE = before(EVALUATION, CHANGES)


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATION)


def make_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(BEFORE)


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0055_levels_of_services"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="ruled_out",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=40,
                verbose_name="levels that are ruled out",
            ),
        ),
        migrations.RunPython(make, make_before),
    ]
