import functools
from importlib import import_module

from django.conf import settings
from django.db import migrations, models
from django.db.models import PROTECT, Index, Q

from audit_app.migrations._indexes import is_beside

AddIndexBeside = import_module("requests_app.migrations.0075_indexes_of_evaluations").AddIndexBeside
RemoveIndexBeside = import_module("requests_app.migrations.0077_indexes_of_pages").RemoveIndexBeside

Key = functools.partial(models.ForeignKey, on_delete=PROTECT, db_index=False)
PERSON = settings.AUTH_USER_MODEL


class RemoveColumnIndex(migrations.RunPython):
    """Remove the index that Django made for a column. The table is not written again.

    On PostgreSQL, people work meanwhile. The index is found by its column, because its name has a hash.
    """

    def __init__(self, model_name, name, field):
        self._alter = migrations.AlterField(model_name, name, field)
        super().__init__(self._remove, self._make)

    def state_forwards(self, app_label, state):
        self._alter.state_forwards(app_label, state)

    def _found(self, apps):
        model = apps.get_model("requests_app", self._alter.model_name)
        return model, model._meta.get_field(self._alter.name)

    def _remove(self, apps, schema_editor):
        model, field = self._found(apps)
        named = {index.name for index in model._meta.indexes}
        for name in _indexes_of(schema_editor, model._meta.db_table, field.column):
            if name not in named:
                schema_editor.execute(f"DROP INDEX {_beside(schema_editor)}IF EXISTS {schema_editor.quote_name(name)}")

    def _make(self, apps, schema_editor):
        model, field = self._found(apps)
        schema_editor.execute(schema_editor._create_index_sql(model, fields=[field]))


def _beside(schema_editor):
    return "CONCURRENTLY " if is_beside(schema_editor.connection) else ""


def _indexes_of(schema_editor, table, column):
    """Return the names of the indexes that have this column alone, and are not unique."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            found = connection.introspection.get_constraints(cursor, table).items()
            is_it = {"columns": [column], "index": True, "unique": False}
            return [name for name, about in found if {key: about[key] for key in is_it} == is_it]
        # Django can't read the definitions of all tables here.
        cursor.execute(
            "SELECT made.name FROM pragma_index_list(%s) AS made WHERE made.origin = 'c' AND NOT made.\"unique\""
            " AND (SELECT group_concat(part.name) FROM pragma_index_info(made.name) AS part) = %s",
            [table, column],
        )
        return [name for (name,) in cursor.fetchall()]


#: On PostgreSQL, Django makes an index for LIKE for each unique text. No query here uses these.
PATTERNS = (("requests_app_accessrequest", "reference"), ("requests_app_outboxmessage", "key"))


def remove_patterns(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table, column in PATTERNS:
            name = schema_editor._create_index_name(table, [column], suffix="_like")
            schema_editor.execute(f"DROP INDEX {_beside(schema_editor)}IF EXISTS {name}")


def make_patterns(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table, column in PATTERNS:
            name = schema_editor._create_index_name(table, [column], suffix="_like")
            schema_editor.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({column} varchar_pattern_ops)")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("requests_app", "0079_calls_at_gates"),
    ]

    operations = [
        # The new ones first, so that there is always an index for the column.
        AddIndexBeside(
            "accessrequest",
            Index(fields=["previous"], condition=Q(previous__isnull=False), name="access_request_following"),
        ),
        AddIndexBeside(
            "grant", Index(fields=["closed_by"], condition=Q(closed_by__isnull=False), name="grant_closed_by")
        ),
        AddIndexBeside(
            "outboxmessage", Index(fields=["person"], condition=Q(person__isnull=False), name="outbox_by_person")
        ),
        RemoveIndexBeside("grant", "grant_unclosed_in_tenant"),
        *(
            RemoveColumnIndex(model, name, field)
            for model, name, field in (
                (
                    "accessrequest",
                    "previous",
                    Key("requests_app.accessrequest", blank=True, null=True, related_name="following"),
                ),
                ("accessrequest", "requested_by", Key(PERSON, related_name="access_requests")),
                ("accessrequest", "service", Key("requests_app.service", related_name="access_requests")),
                ("accessrequest", "tenant", Key("requests_app.tenant", related_name="access_requests")),
                ("accessrequestresource", "access_request", Key("requests_app.accessrequest", related_name="scope")),
                ("accessrequestresource", "resource", Key("requests_app.resource", related_name="+")),
                ("contentaccess", "tenant", Key("requests_app.tenant", related_name="content_accesses")),
                ("decision", "access_request", Key("requests_app.accessrequest", related_name="decisions")),
                ("decision", "tenant", Key("requests_app.tenant", related_name="+")),
                ("grant", "closed_by", Key(PERSON, blank=True, null=True, related_name="+")),
                ("grant", "engineer", Key(PERSON, related_name="grants")),
                ("grant", "tenant", Key("requests_app.tenant", related_name="grants")),
                ("outboxmessage", "person", Key(PERSON, blank=True, null=True, related_name="+")),
                ("outboxmessage", "tenant", Key("requests_app.tenant", null=True, related_name="outbox_messages")),
            )
        ),
        migrations.RunPython(remove_patterns, make_patterns),
    ]
