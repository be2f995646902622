"""Write the policies of row-level security so that PostgreSQL expects them to hide few rows.

A connection without a list of tenants sees all rows, and a statement of a customer names the tenants itself. PostgreSQL
can't know this. It took each policy for a condition that hides 99 of 100 rows, so it expected nearly no rows after a few
joins, and often joined and sorted whole tables for one page of a list. It expects `IS NOT NULL` to be true in 199 of
200 rows.

The policies hide exactly the same rows as before. For a row without a tenant, the comparison is NULL, which hides it.
"""

import re

from django.db import migrations
from django.db.transaction import atomic

#: A side of an OR, as PostgreSQL writes it: the column and the list of tenants.
TENANTS = r"\(string_to_array\(current_setting\('lockbox\.tenants'::text, true\), ','::text\)\)::uuid\[\]"
IS_IN_LIST = re.compile(rf"OR (\((?:tenant_id|id) = ANY \({TENANTS}\)\))")
IS_EXPECTED = re.compile(rf"OR \(NULLIF\((\((?:tenant_id|id) = ANY \({TENANTS}\)\)), false\) IS NOT NULL\)")

_ALL = "SELECT tablename, policyname, qual FROM pg_policies WHERE schemaname = current_schema() ORDER BY 1, 2"


def _replace(before, after):
    def change(apps, schema_editor):
        connection = schema_editor.connection
        if connection.vendor != "postgresql":
            return
        with connection.cursor() as cursor:
            cursor.execute(_ALL)
            policies = cursor.fetchall()
        for table, name, condition in policies:
            changed = before.sub(after, condition)
            if changed == condition:
                continue
            # Everybody waits for a table whose policy changes, so there is a transaction for each. If a table is not
            # free, the next attempt continues with it.
            with atomic(connection.alias):
                schema_editor.execute(f"ALTER POLICY {name} ON {table} USING ({changed})")

    return change


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0082_evaluations_read_one_queue"),
        ("audit_app", "0004_search_index"),
    ]

    operations = [
        migrations.RunPython(
            _replace(IS_IN_LIST, r"OR (NULLIF(\1, false) IS NOT NULL)"), _replace(IS_EXPECTED, r"OR \1")
        )
    ]
