from django.db import migrations, models

_LINKS = "requests_app_invitation_named_to"
_OWN = (
    "coalesce(current_setting('lockbox.tenants', true), '') = ''"
    " OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
)


def hide(apps, schema_editor):
    """Hide the links of other tenants from a connection that serves one tenant."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(f"ALTER TABLE {_LINKS} ENABLE ROW LEVEL SECURITY")
    schema_editor.execute(f"ALTER TABLE {_LINKS} FORCE ROW LEVEL SECURITY")
    schema_editor.execute(f"CREATE POLICY own_tenants ON {_LINKS} USING ({_OWN})")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0052_announced_held_rows"),
    ]

    operations = [
        migrations.AddField(
            model_name="invitation",
            name="named_to",
            field=models.ManyToManyField(editable=False, related_name="+", to="requests_app.tenant"),
        ),
        migrations.RunPython(hide, migrations.RunPython.noop),
    ]
