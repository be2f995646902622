import django.db.models.deletion
from django.db import migrations, models

_LINKS = "requests_app_heldrow_touched"
_OWN = (
    "coalesce(current_setting('lockbox.tenants', true), '') = ''"
    " OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
)
#: A tenant's people read which changes without a tenant affect them, and write none.
_ANNOUNCED = (
    "CREATE POLICY announced ON requests_app_heldrow FOR SELECT USING (tenant_id IS NULL AND EXISTS ("
    "SELECT 1 FROM requests_app_heldrow_touched link WHERE link.heldrow_id = requests_app_heldrow.id))"
)


def hide(apps, schema_editor):
    """Hide the links of other tenants from a connection that serves one tenant."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(f"ALTER TABLE {_LINKS} ENABLE ROW LEVEL SECURITY")
    schema_editor.execute(f"ALTER TABLE {_LINKS} FORCE ROW LEVEL SECURITY")
    schema_editor.execute(f"CREATE POLICY own_tenants ON {_LINKS} USING ({_OWN})")
    schema_editor.execute(_ANNOUNCED)


def show(apps, schema_editor):
    """Drop the policy that reads a second table. Otherwise that table could not be dropped."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP POLICY announced ON requests_app_heldrow")


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0047_provider_directory"),
    ]

    operations = [
        migrations.AlterField(
            model_name="heldrow",
            name="tenant",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="requests_app.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddField(
            model_name="heldrow",
            name="touched",
            field=models.ManyToManyField(editable=False, related_name="+", to="requests_app.tenant"),
        ),
        migrations.RunPython(hide, show),
    ]
