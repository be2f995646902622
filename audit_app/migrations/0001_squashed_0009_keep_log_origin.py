"""All tables of the log, with what the database itself refuses: to change entries, and to show them to other tenants."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

#: The tables that hold rows of tenants, each with the column that names the tenant.
TENANTS = dict.fromkeys(
    (
        "audit_app_auditentry",
        "audit_app_chainhead",
        "audit_app_checkpoint",
        "audit_app_closedshard",
        "audit_app_cosignature",
        "audit_app_logalarm",
        "audit_app_logcheck",
        "audit_app_signedhead",
        "audit_app_tile",
        "audit_app_witness",
    ),
    "tenant_id",
)

#: Entries are appended, and removed only as an entry says. Checkpoints and the name of the logs never change. Each row
#: is judged by itself: while many are removed, the newest entry about a removal is one look into an index.
SQLITE = [
    """
    CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_app_auditentry
    BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
    """,
    """
    CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_app_auditentry
    WHEN OLD.event IN ('log.key_rotated', 'log.tombstoned') OR NOT EXISTS (
        SELECT 1 FROM audit_app_chainhead AS head WHERE head.tenant_id = OLD.tenant_id AND OLD.seq < head.pruned_to
        AND head.pruned_to = (
            SELECT json_extract(CAST(canonical AS TEXT), '$.detail.to') FROM audit_app_auditentry
            WHERE tenant_id = OLD.tenant_id AND event = 'log.pruned' ORDER BY seq DESC LIMIT 1))
    BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
    """,
    """
    CREATE TRIGGER audit_shard_closed BEFORE UPDATE OF shard, first_seq ON audit_app_chainhead
    WHEN (NEW.shard <> OLD.shard OR NEW.first_seq <> OLD.first_seq) AND NOT (
        NEW.shard = OLD.shard + 1 AND NEW.first_seq = NEW.size AND NEW.size >= OLD.size
        AND NEW.pruned_to = OLD.pruned_to AND EXISTS (
            SELECT 1 FROM audit_app_closedshard
            WHERE tenant_id = NEW.tenant_id AND shard = OLD.shard AND end_seq = NEW.first_seq))
    BEGIN SELECT RAISE(ABORT, 'a shard begins where the one before it was closed'); END
    """,
    """
    CREATE TRIGGER audit_prune_signed BEFORE UPDATE OF pruned_to ON audit_app_chainhead
    WHEN NEW.pruned_to < OLD.pruned_to OR (NEW.pruned_to > OLD.pruned_to AND NEW.pruned_to > NEW.first_seq + coalesce(
        (SELECT max(size) FROM audit_app_checkpoint WHERE tenant_id = NEW.tenant_id AND shard = NEW.shard), 0))
    BEGIN SELECT RAISE(ABORT, 'only what a checkpoint covers is pruned'); END
    """,
    """
    CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON audit_app_checkpoint
    BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END
    """,
    """
    CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON audit_app_checkpoint
    WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.shard <> OLD.shard OR NEW.size <> OLD.size OR NEW.root <> OLD.root
        OR NEW.signed_at <> OLD.signed_at
    BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END
    """,
    """
    CREATE TRIGGER log_origin_no_update BEFORE UPDATE ON audit_app_logorigin
    BEGIN SELECT RAISE(ABORT, 'the name of the logs never changes'); END
    """,
    """
    CREATE TRIGGER log_origin_no_delete BEFORE DELETE ON audit_app_logorigin
    BEGIN SELECT RAISE(ABORT, 'the name of the logs never changes'); END
    """,
]
POSTGRESQL = [
    """
    CREATE FUNCTION audit_entry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'audit entries are append-only'; END $$
    """,
    """
    CREATE FUNCTION audit_entry_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.event IN ('log.key_rotated', 'log.tombstoned') OR NOT EXISTS (
            SELECT 1 FROM audit_app_chainhead AS head WHERE head.tenant_id = OLD.tenant_id AND OLD.seq < head.pruned_to
            AND head.pruned_to::text = (
                SELECT convert_from(canonical, 'UTF8')::jsonb #>> '{detail,to}' FROM audit_app_auditentry
                WHERE tenant_id = OLD.tenant_id AND event = 'log.pruned' ORDER BY seq DESC LIMIT 1))
        THEN RAISE EXCEPTION 'audit entries are append-only';
        END IF;
        RETURN OLD;
    END $$
    """,
    """
    CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_app_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_refuse()
    """,
    """
    CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_app_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_refuse_delete()
    """,
    """
    CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_app_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_refuse()
    """,
    """
    CREATE FUNCTION audit_shard_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT (NEW.shard = OLD.shard + 1 AND NEW.first_seq = NEW.size AND NEW.size >= OLD.size
            AND NEW.pruned_to = OLD.pruned_to AND EXISTS (
                SELECT 1 FROM audit_app_closedshard
                WHERE tenant_id = NEW.tenant_id AND shard = OLD.shard AND end_seq = NEW.first_seq))
        THEN RAISE EXCEPTION 'a shard begins where the one before it was closed';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER audit_shard_closed BEFORE UPDATE ON audit_app_chainhead FOR EACH ROW
    WHEN ((NEW.shard, NEW.first_seq) IS DISTINCT FROM (OLD.shard, OLD.first_seq))
    EXECUTE FUNCTION audit_shard_refuse()
    """,
    """
    CREATE FUNCTION audit_prune_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.pruned_to < OLD.pruned_to OR NEW.pruned_to > NEW.first_seq + coalesce(
            (SELECT max(size) FROM audit_app_checkpoint WHERE tenant_id = NEW.tenant_id AND shard = NEW.shard), 0)
        THEN RAISE EXCEPTION 'only what a checkpoint covers is pruned';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER audit_prune_signed BEFORE UPDATE ON audit_app_chainhead
    FOR EACH ROW WHEN (NEW.pruned_to IS DISTINCT FROM OLD.pruned_to) EXECUTE FUNCTION audit_prune_refuse()
    """,
    """
    CREATE FUNCTION checkpoint_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'checkpoints are append-only'; END $$
    """,
    """
    CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON audit_app_checkpoint
    FOR EACH ROW EXECUTE FUNCTION checkpoint_refuse()
    """,
    """
    CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON audit_app_checkpoint FOR EACH ROW
    WHEN ((NEW.tenant_id, NEW.shard, NEW.size, NEW.root, NEW.signed_at)
        IS DISTINCT FROM (OLD.tenant_id, OLD.shard, OLD.size, OLD.root, OLD.signed_at))
    EXECUTE FUNCTION checkpoint_refuse()
    """,
    """
    CREATE TRIGGER checkpoint_no_truncate BEFORE TRUNCATE ON audit_app_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION checkpoint_refuse()
    """,
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
#: The turn at a tenant's log, for a statement that reads more than the head. It does what recorder.lock() does: two
#: writers may both find no head; ON CONFLICT makes one of them create it, and both then lock it.
LOCK_HEAD = """
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
TRIGGERS = {
    "audit_app_auditentry": ("audit_entry_no_update", "audit_entry_no_delete", "audit_entry_no_truncate"),
    "audit_app_chainhead": ("audit_shard_closed", "audit_prune_signed"),
    "audit_app_checkpoint": ("checkpoint_no_delete", "checkpoint_no_update", "checkpoint_no_truncate"),
    "audit_app_logorigin": ("log_origin_no_change", "log_origin_no_truncate"),
}
FUNCTIONS = (
    "audit_lock_head",
    "audit_entry_refuse",
    "audit_entry_refuse_delete",
    "audit_shard_refuse",
    "audit_prune_refuse",
    "checkpoint_refuse",
    "log_origin_refuse",
)


def _is_postgresql(schema_editor):
    return schema_editor.connection.vendor == "postgresql"


def hide(apps, schema_editor):
    """Hide the rows of other tenants from a connection that is told for whom it works."""
    if not _is_postgresql(schema_editor):
        return
    for table, column in TENANTS.items():
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # FORCE: the application owns its tables, and PostgreSQL exempts an owner otherwise.
        schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        schema_editor.execute(
            f"CREATE POLICY own_tenants ON {table} USING ("
            "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
            f" OR {column} = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
            ")"
        )


def guard(apps, schema_editor):
    for statement in (*POSTGRESQL, LOCK_HEAD) if _is_postgresql(schema_editor) else SQLITE:
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    """SQLite drops a table's triggers with the table, and PostgreSQL its policies."""
    if not _is_postgresql(schema_editor):
        return
    for table, names in TRIGGERS.items():
        for name in names:
            schema_editor.execute(f"DROP TRIGGER {name} ON {table}")
    for name in FUNCTIONS:
        schema_editor.execute(f"DROP FUNCTION {name}")


class Migration(migrations.Migration):
    initial = True

    replaces = [
        ("audit_app", "0001_initial"),
        ("audit_app", "0002_append_only"),
        ("audit_app", "0003_row_level_security"),
        ("audit_app", "0004_verifiable_log"),
        ("audit_app", "0005_guards"),
        ("audit_app", "0006_said_in_the_log"),
        ("audit_app", "0007_lock_head"),
        ("audit_app", "0008_log_origin"),
        ("audit_app", "0009_keep_log_origin"),
    ]

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="LogAlarm",
            fields=[
                ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                ("since", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("code", models.CharField(max_length=32)),
                ("detail", models.JSONField(default=dict)),
            ],
            options={
                "verbose_name": "log alarm",
                "ordering": ["since"],
            },
        ),
        migrations.CreateModel(
            name="LogKey",
            fields=[
                ("public", models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ("first_used_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "log key",
                "ordering": ["first_used_at"],
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("seq", models.PositiveBigIntegerField()),
                ("at", models.DateTimeField()),
                ("event", models.CharField(max_length=64)),
                ("door", models.CharField(max_length=16)),
                ("actor_kind", models.CharField(max_length=16)),
                ("actor_id", models.UUIDField(null=True)),
                ("actor_name", models.CharField(max_length=200)),
                ("subject_type", models.CharField(max_length=32)),
                ("subject_id", models.CharField(max_length=64)),
                ("correlation_id", models.UUIDField(null=True)),
                ("text", models.TextField(default="")),
                ("canonical", models.BinaryField()),
                ("leaf_hash", models.BinaryField(max_length=32)),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "ordering": ["tenant_id", "seq"],
                "indexes": [
                    models.Index(fields=["tenant_id", "event", "-seq"], name="audit_entry_by_event"),
                    models.Index(fields=["tenant_id", "actor_id", "-seq"], name="audit_entry_by_actor"),
                    models.Index(fields=["tenant_id", "correlation_id", "seq"], name="audit_entry_by_request"),
                    models.Index(fields=["tenant_id", "at"], name="audit_entry_by_time"),
                ],
                "constraints": [models.UniqueConstraint(fields=("tenant_id", "seq"), name="audit_entry_dense")],
            },
        ),
        migrations.CreateModel(
            name="ChainHead",
            fields=[
                ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                ("size", models.PositiveBigIntegerField(default=0)),
                ("last_at", models.DateTimeField(null=True)),
                ("shard", models.PositiveIntegerField(default=0)),
                ("first_seq", models.PositiveBigIntegerField(default=0)),
                ("pruned_to", models.PositiveBigIntegerField(default=0)),
                ("unsigned_since", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "chain head",
                "indexes": [
                    models.Index(
                        condition=models.Q(("unsigned_since__isnull", False)),
                        fields=["unsigned_since"],
                        name="chain_head_unsigned",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("shard", models.PositiveIntegerField()),
                ("size", models.PositiveBigIntegerField()),
                ("root", models.BinaryField(max_length=32)),
                ("signed_at", models.DateTimeField()),
                ("dated_at", models.DateTimeField()),
                ("note", models.TextField()),
            ],
            options={
                "verbose_name": "checkpoint",
                "ordering": ["tenant_id", "shard", "size"],
                "constraints": [models.UniqueConstraint(fields=("tenant_id", "shard", "size"), name="checkpoint_once")],
            },
        ),
        migrations.CreateModel(
            name="ClosedShard",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("shard", models.PositiveIntegerField()),
                ("first_seq", models.PositiveBigIntegerField()),
                ("end_seq", models.PositiveBigIntegerField()),
                ("found_size", models.PositiveBigIntegerField()),
                ("checkpoint", models.TextField(default="")),
                ("closed_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "closed shard",
                "ordering": ["tenant_id", "shard"],
                "constraints": [models.UniqueConstraint(fields=("tenant_id", "shard"), name="closed_shard_once")],
            },
        ),
        migrations.CreateModel(
            name="LogCheck",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("asked_by", models.UUIDField(null=True)),
                ("asked_at", models.DateTimeField()),
                ("size", models.PositiveBigIntegerField()),
                ("done", models.PositiveBigIntegerField(default=0)),
                ("kept", models.JSONField(default=dict)),
                ("worked_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("flaw_seq", models.PositiveBigIntegerField(null=True)),
                ("flaw", models.CharField(blank=True, default="", max_length=200)),
            ],
            options={
                "verbose_name": "log check",
                "ordering": ["tenant_id", "-asked_at"],
                "indexes": [models.Index(fields=["tenant_id", "-asked_at"], name="log_check_by_tenant")],
            },
        ),
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
        migrations.CreateModel(
            name="SignedHead",
            fields=[
                ("tenant_id", models.UUIDField(primary_key=True, serialize=False)),
                ("shard", models.PositiveIntegerField(default=0)),
                ("size", models.PositiveBigIntegerField(default=0)),
                ("dated_at", models.DateTimeField(null=True)),
                ("key", models.BinaryField(default=b"", max_length=32)),
                ("checked_to", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "verbose_name": "signed head",
                "indexes": [models.Index(fields=["dated_at"], name="signed_head_by_time")],
            },
        ),
        migrations.CreateModel(
            name="Tile",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("shard", models.PositiveIntegerField()),
                ("level", models.PositiveSmallIntegerField()),
                ("number", models.PositiveBigIntegerField()),
                ("hashes", models.BinaryField()),
            ],
            options={
                "verbose_name": "tile",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id", "shard", "level", "number"), name="tile_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Witness",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("vkey", models.CharField(max_length=300)),
                ("url", models.CharField(max_length=300)),
                ("added_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("failures", models.PositiveIntegerField(default=0)),
                ("held_size", models.PositiveBigIntegerField(default=0)),
                ("cosigned_at", models.DateTimeField(null=True)),
                ("problem", models.CharField(blank=True, default="", max_length=200)),
            ],
            options={
                "verbose_name": "witness",
                "verbose_name_plural": "witnesses",
                "ordering": ["tenant_id", "added_at"],
                "indexes": [models.Index(fields=["due_at"], name="witness_by_due")],
                "constraints": [models.UniqueConstraint(fields=("tenant_id", "vkey"), name="witness_once")],
            },
        ),
        migrations.CreateModel(
            name="Cosignature",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("vkey", models.CharField(max_length=300)),
                ("line", models.TextField()),
                ("at", models.DateTimeField()),
                (
                    "checkpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cosignatures",
                        to="audit_app.checkpoint",
                    ),
                ),
            ],
            options={
                "verbose_name": "cosignature",
                "ordering": ["tenant_id", "checkpoint_id", "at"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id", "checkpoint", "vkey"), name="cosignature_once")
                ],
            },
        ),
        migrations.RunPython(guard, unguard),
        migrations.RunPython(hide, migrations.RunPython.noop),
    ]
