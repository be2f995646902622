"""PostgreSQL: the turn at a tenant's log as a function, for a statement that reads more than the head on the way."""

from django.db import migrations

#: As recorder.lock() does it. Two writers may both find no head; ON CONFLICT lets one make it, and both then lock it.
FUNCTION = """
    CREATE FUNCTION audit_lock_head(of_tenant uuid) RETURNS audit_app_chainhead LANGUAGE plpgsql AS $$
    DECLARE head audit_app_chainhead;
    BEGIN
        SELECT * INTO head FROM audit_app_chainhead WHERE tenant_id = of_tenant FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO audit_app_chainhead (tenant_id, size, shard, first_seq, pruned_to)
            VALUES (of_tenant, 0, 0, 0, 0) ON CONFLICT DO NOTHING;
            SELECT * INTO head FROM audit_app_chainhead WHERE tenant_id = of_tenant FOR UPDATE;
        END IF;
        RETURN head;
    END $$
"""


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(FUNCTION)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION audit_lock_head")


class Migration(migrations.Migration):
    dependencies = [("audit_app", "0006_said_in_the_log")]

    operations = [migrations.RunPython(make, drop)]
