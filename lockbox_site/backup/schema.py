"""Makes the tables that a backup needs, with the migrations of this version. No backup contains a schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.management.sql import emit_post_migrate_signal
from django.db.migrations.loader import MigrationLoader

from lockbox_site.backup import BackupRefused, tables
from lockbox_site.backup.contents import Header
from requests_app.management.commands import migrate

Node = tuple[str, str]


def targets(header: Header) -> list[Node]:
    """Return the migrations that lead to the backup's schema. Raise BackupRefused if this version can't make it.

    This needs no database.
    """
    loader = MigrationLoader(None)
    applied = set(header.migrations)
    replaced = {each for migration in loader.disk_migrations.values() for each in migration.replaces}
    if unknown := sorted(applied - set(loader.disk_migrations) - replaced):
        raise BackupRefused(
            f"This backup was made by a newer version, {header.version}: this version does not know the migration "
            f"{'.'.join(unknown[0])}. Install that version, and restore with it."
        )
    wanted = {
        node
        for node in loader.graph.nodes
        if node in applied or (loader.graph.nodes[node].replaces and set(loader.graph.nodes[node].replaces) <= applied)
    }
    # A migration is a target unless another wanted migration of its app builds on it.
    below = {
        parent.key for node in wanted for parent in loader.graph.node_map[node].parents if parent.key[0] == node[0]
    }
    found = sorted(wanted - below)
    if {app for app, _name in applied} - {app for app, _name in found}:
        raise BackupRefused(
            f"This backup was made by version {header.version}, which is too old for this version. Restore with that "
            "version, and then upgrade."
        )
    return found


def make(wrapper: Any, wanted: Iterable[Node]) -> None:
    """Apply migrations to an empty database."""
    executor = migrate._Executor(wrapper, _after_each(wrapper))
    executor.migrate(list(wanted))


def upgrade(wrapper: Any) -> None:
    """Apply all migrations that are missing, and what Django does after migrations."""
    executor = migrate._Executor(wrapper, _after_each(wrapper))
    executor.migrate(executor.loader.graph.leaf_nodes())
    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")


def _after_each(wrapper: Any) -> Any:
    def reached(action: str, *_rest: Any) -> None:
        if action == "apply_success" and wrapper.vendor == "postgresql":
            # All migrations are one transaction here. PostgreSQL changes no table that waits for the check of its rows.
            with wrapper.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")

    return reached


def require_fits(wrapper: Any, header: Header) -> None:
    """Raise BackupRefused unless the backup has exactly these tables and columns.

    So each name that is later part of a statement is the name of a table or column of this product.
    """
    read_columns = tables.sqlite_columns if wrapper.vendor == "sqlite" else tables.postgresql_columns
    made, read = read_columns(wrapper.connection), header.columns
    differing = sorted(set(made) ^ set(read)) or [
        table for table in sorted(made) if sorted(made[table]) != sorted(read[table])
    ]
    if differing:
        raise BackupRefused(f"The backup does not fit its migrations: the table {differing[0]!r} is another one.")


def empty(wrapper: Any, names: Iterable[str]) -> None:
    """Delete the rows that migrations have made, because the backup has them too."""
    with wrapper.cursor() as cursor:
        for table in names:
            name = wrapper.ops.quote_name(table)
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {name})")  # noqa: S608 - the name of a table that was made
            if cursor.fetchone()[0]:
                cursor.execute(f"DELETE FROM {name}")  # noqa: S608 - as above
