"""A table for the name of the logs, of one row that is written once."""

from django.db import migrations, models

SQLITE = [
    """
    CREATE TRIGGER log_origin_no_update BEFORE UPDATE ON audit_app_logorigin
    BEGIN SELECT RAISE(ABORT, 'the name of the logs never changes'); END
    """,
    """
    CREATE TRIGGER log_origin_no_delete BEFORE DELETE ON audit_app_logorigin
    BEGIN SELECT RAISE(ABORT, 'the name of the logs never changes'); END
    """,
]
SQLITE_BACK = ["DROP TRIGGER log_origin_no_delete", "DROP TRIGGER log_origin_no_update"]
POSTGRESQL = [
    """
    CREATE FUNCTION log_origin_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the name of the logs never changes'; END $$
    """,
    """
    CREATE TRIGGER log_origin_no_change BEFORE UPDATE OR DELETE ON audit_app_logorigin
    FOR EACH ROW EXECUTE FUNCTION log_origin_refuse()
    """,
    """
    CREATE TRIGGER log_origin_no_truncate BEFORE TRUNCATE ON audit_app_logorigin
    FOR EACH STATEMENT EXECUTE FUNCTION log_origin_refuse()
    """,
]
POSTGRESQL_BACK = [
    "DROP TRIGGER log_origin_no_truncate ON audit_app_logorigin",
    "DROP TRIGGER log_origin_no_change ON audit_app_logorigin",
    "DROP FUNCTION log_origin_refuse",
]


def seal(apps, schema_editor):
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def unseal(apps, schema_editor):
    for statement in POSTGRESQL_BACK if schema_editor.connection.vendor == "postgresql" else SQLITE_BACK:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("audit_app", "0007_lock_head")]

    operations = [
        migrations.CreateModel(
            name="LogOrigin",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("origin", models.CharField(max_length=300)),
                ("is_mixed", models.BooleanField(default=False)),
                ("kept_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "log origin",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="log_origin_once")],
            },
        ),
        migrations.RunPython(seal, unseal),
    ]
