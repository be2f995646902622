"""Entries go only where their hashes are signed, checkpoints never; tenants' new tables are hidden from each other."""

from django.db import migrations, models

TABLES = ("closedshard", "tile", "signedhead", "checkpoint", "logalarm", "witness", "cosignature", "logcheck")

SQLITE = [
    "DROP TRIGGER audit_entry_no_delete",
    """
    CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_app_auditentry
    WHEN OLD.seq >= coalesce((SELECT pruned_to FROM audit_app_chainhead WHERE tenant_id = OLD.tenant_id), 0)
    BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
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
]
SQLITE_BACK = [
    "DROP TRIGGER checkpoint_no_update",
    "DROP TRIGGER checkpoint_no_delete",
    "DROP TRIGGER audit_prune_signed",
    "DROP TRIGGER audit_entry_no_delete",
    """
    CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_app_auditentry
    BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
    """,
]
POSTGRESQL = [
    "DROP TRIGGER audit_entry_no_change ON audit_app_auditentry",
    """
    CREATE FUNCTION audit_entry_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.seq >= coalesce((SELECT pruned_to FROM audit_app_chainhead WHERE tenant_id = OLD.tenant_id), 0) THEN
            RAISE EXCEPTION 'audit entries are append-only';
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
]
POSTGRESQL_BACK = [
    "DROP TRIGGER checkpoint_no_truncate ON audit_app_checkpoint",
    "DROP TRIGGER checkpoint_no_update ON audit_app_checkpoint",
    "DROP TRIGGER checkpoint_no_delete ON audit_app_checkpoint",
    "DROP FUNCTION checkpoint_refuse",
    "DROP TRIGGER audit_prune_signed ON audit_app_chainhead",
    "DROP FUNCTION audit_prune_refuse",
    "DROP TRIGGER audit_entry_no_delete ON audit_app_auditentry",
    "DROP TRIGGER audit_entry_no_update ON audit_app_auditentry",
    "DROP FUNCTION audit_entry_refuse_delete",
    """
    CREATE TRIGGER audit_entry_no_change BEFORE UPDATE OR DELETE ON audit_app_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_refuse()
    """,
]


def seal(apps, schema_editor):
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in POSTGRESQL if is_postgresql else SQLITE:
        schema_editor.execute(statement)
    if is_postgresql:
        for name in TABLES:
            table = f"audit_app_{name}"
            schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            schema_editor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            schema_editor.execute(
                f"CREATE POLICY own_tenants ON {table} USING ("
                "  coalesce(current_setting('lockbox.tenants', true), '') = ''"
                "  OR tenant_id = ANY (string_to_array(current_setting('lockbox.tenants', true), ',')::uuid[])"
                ")"
            )


def unseal(apps, schema_editor):
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    if is_postgresql:
        for name in TABLES:
            table = f"audit_app_{name}"
            schema_editor.execute(f"DROP POLICY own_tenants ON {table}")
            schema_editor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
            schema_editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    for statement in POSTGRESQL_BACK if is_postgresql else SQLITE_BACK:
        schema_editor.execute(statement)


def mark_unsigned(apps, schema_editor):
    """Every log that is there already waits for its first checkpoint."""
    apps.get_model("audit_app", "ChainHead").objects.filter(size__gt=0).update(unsigned_since=models.F("last_at"))


class Migration(migrations.Migration):
    dependencies = [("audit_app", "0004_verifiable_log")]

    operations = [
        migrations.RunPython(mark_unsigned, migrations.RunPython.noop),
        migrations.RunPython(seal, unseal),
    ]
