"""PostgreSQL itself hides other tenants' logs from a connection that is told whose request it serves."""

from django.db import migrations

TABLES = ("audit_app_auditentry", "audit_app_chainhead")


def seal(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table in TABLES:
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        schema_editor.execute(
            f"CREATE POLICY own_tenants ON {table} USING ("
            "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
            "  OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
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
    dependencies = [("audit_app", "0002_append_only")]

    operations = [migrations.RunPython(seal, unseal)]
