"""Entries are removed only as an entry says, never what tells of keys and shards; a shard begins only by a tombstone."""

from django.db import migrations

#: Read row by row while many are removed: the newest entry about a removal is one look into an index.
SQLITE = [
    "DROP TRIGGER audit_entry_no_delete",
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
]
SQLITE_BACK = [
    "DROP TRIGGER audit_shard_closed",
    "DROP TRIGGER audit_entry_no_delete",
    """
    CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_app_auditentry
    WHEN OLD.seq >= coalesce((SELECT pruned_to FROM audit_app_chainhead WHERE tenant_id = OLD.tenant_id), 0)
    BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
    """,
]
POSTGRESQL = [
    """
    CREATE OR REPLACE FUNCTION audit_entry_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
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
]
POSTGRESQL_BACK = [
    "DROP TRIGGER audit_shard_closed ON audit_app_chainhead",
    "DROP FUNCTION audit_shard_refuse",
    """
    CREATE OR REPLACE FUNCTION audit_entry_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.seq >= coalesce((SELECT pruned_to FROM audit_app_chainhead WHERE tenant_id = OLD.tenant_id), 0) THEN
            RAISE EXCEPTION 'audit entries are append-only';
        END IF;
        RETURN OLD;
    END $$
    """,
]


def seal(apps, schema_editor):
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def unseal(apps, schema_editor):
    for statement in POSTGRESQL_BACK if schema_editor.connection.vendor == "postgresql" else SQLITE_BACK:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("audit_app", "0005_guards")]

    operations = [migrations.RunPython(seal, unseal)]
