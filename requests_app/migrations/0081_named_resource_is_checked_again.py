from importlib import import_module

from django.db import migrations

#: Migration 0076 describes the function. One thing is new. It finds a resource by its locator, external id or name
#: before it waits for the head of the log. If the resource is called otherwise when the head is locked, it is not the
#: resource of the question any more.
_BEFORE = import_module("requests_app.migrations.0076_evaluations_of_one_window").EVALUATIONS
_ASKED = (
    """
            SELECT one.n, one.asker, one.token, array_position(held, owners[one.n]) AS place
            FROM jsonb_to_recordset(asked) AS one(n integer, asker uuid, token uuid) OFFSET 0
""",
    """
            SELECT one.n, one.asker, one.token, one.by_key, one.by_place, array_position(held, owners[one.n]) AS place
            FROM jsonb_to_recordset(asked) AS one(n integer, asker uuid, token uuid, by_key uuid, by_place text)
            OFFSET 0
""",
)
_RESOURCE = (
    """
        LEFT JOIN requests_app_resource r ON r.id = things[asked_for.n]
        LEFT JOIN requests_app_service s ON s.id = r.service_id
        LEFT JOIN requests_app_tenant t ON t.id = r.tenant_id
        LEFT JOIN LATERAL unnest(
""",
    """
        LEFT JOIN requests_app_resource r ON r.id = things[asked_for.n]
            AND (r.id = asked_for.by_key OR asked_for.by_place IN (r.locator, r.external_id, r.name))
        LEFT JOIN requests_app_service s ON s.id = r.service_id
        LEFT JOIN requests_app_tenant t ON t.id = r.tenant_id
        LEFT JOIN LATERAL unnest(
""",
)


def _changed(text, before, after):
    assert text.count(before) == 1
    return text.replace(before, after)


EVALUATIONS = _changed(_changed(_BEFORE, *_ASKED), *_RESOURCE)


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATIONS)


def make_the_one_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(_BEFORE)


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0080_fewer_indexes"),
    ]

    operations = [migrations.RunPython(make, make_the_one_before)]
