from importlib import import_module

from django.db import migrations

#: Migration 0076 describes the function. One thing is new. Whether the engineer is in the queue is read by the key of
#: that row. For EXISTS, PostgreSQL chose to read the queues of all engineers into a hash table, at each call.
_BEFORE = import_module("requests_app.migrations.0081_named_resource_is_checked_again").EVALUATIONS
_EXISTS = """EXISTS (
                SELECT 1 FROM requests_app_queueassignment hat
                WHERE hat.person_id = p.id AND hat.service_id = q.service_id AND hat.role = 'engineer'),
"""
_ONE = """(SELECT true FROM requests_app_queueassignment hat
             WHERE hat.person_id = p.id AND hat.service_id = q.service_id AND hat.role = 'engineer'
             LIMIT 1) IS NOT NULL,
"""
assert _BEFORE.count(_EXISTS) == 1
EVALUATIONS = _BEFORE.replace(_EXISTS, _ONE)


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(EVALUATIONS)


def make_the_one_before(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(_BEFORE)


class Migration(migrations.Migration):
    dependencies = [
        ("requests_app", "0081_named_resource_is_checked_again"),
    ]

    operations = [migrations.RunPython(make, make_the_one_before)]
