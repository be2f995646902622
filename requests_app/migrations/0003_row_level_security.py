"""PostgreSQL itself hides other tenants' rows from a connection that is told whose request it serves."""

from django.db import migrations

TABLES = {
    "requests_app_tenant": "id",
    "requests_app_membership": "tenant_id",
    "requests_app_notificationaddress": "tenant_id",
    "requests_app_resource": "tenant_id",
    "requests_app_ticket": "tenant_id",
    "requests_app_ticketcomment": "tenant_id",
    "requests_app_accessrequest": "tenant_id",
    "requests_app_decision": "tenant_id",
    "requests_app_grant": "tenant_id",
    "requests_app_contentaccess": "tenant_id",
    "requests_app_outboxmessage": "tenant_id",
}


def seal(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    for table, column in TABLES.items():
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # FORCE: the application owns its tables, and an owner would be let past.
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        schema_editor.execute(
            f"CREATE POLICY own_tenants ON {table} USING ("
            "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
            f" OR {column} = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
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
    dependencies = [("requests_app", "0002_django_q_indexes")]

    operations = [migrations.RunPython(seal, unseal)]
