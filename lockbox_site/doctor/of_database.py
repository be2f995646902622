"""Checks of the database: version, role, row-level security, the log's tables, connections, and the clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import DatabaseError, connection

from lockbox_site import readiness
from lockbox_site.doctor.findings import Found, ok, problem, warning
from requests_app.domain import clock
from requests_app.platform import program
from requests_app.platform.database import bounds, versions

#: How long each statement may take, in seconds. Together they stay below the limit of the check.
SECONDS = 2.0
#: In seconds. The database's clock decides, so only a large difference deserves a warning.
CLOCKS_DIFFER = 2.0
#: The triggers that refuse a change of the log (audit_app's first migration).
_TRIGGERS = {
    "audit_app_auditentry": ("audit_entry_no_update", "audit_entry_no_delete"),
    "audit_app_checkpoint": ("checkpoint_no_update", "checkpoint_no_delete"),
}

_Run = Callable[[], Iterator[Found]]


def bounded(check: _Run) -> _Run:
    """Give the statements of a check short limits, so that a frozen database delays it only for some seconds."""

    @wraps(check)
    def run() -> Iterator[Found]:
        with bounds.within(bounds.probe(seconds=SECONDS)):
            yield from list(check())

    return run


@bounded
def database() -> Iterator[Found]:
    checks = readiness.base()
    if not readiness.is_fit({"database": checks["database"]}):
        why = _why_no_connection()
        yield problem(why or checks["database"]["detail"], "Start the database, or correct DATABASE_URL.")
        return
    if unapplied := checks["migrations"]["unapplied"]:
        yield problem(f"{unapplied} migrations are not applied.", f"Run: {program.command('migrate')}")
        return
    written = readiness.write()
    if not written["ok"]:
        yield problem(written["detail"], _WHY_NO_WRITE)
    yield _version()


#: What to do if the database answers, but stores nothing.
_WHY_NO_WRITE = (
    "Check whether the server is a standby (SELECT pg_is_in_recovery()), whether its disk is full, and whether the "
    "role of DATABASE_URL owns the tables."
)


def _why_no_connection() -> str:
    """Return the server's own words. They name host and role, and never the password."""
    try:
        connection.close()
        connection.ensure_connection()
    except DatabaseError as failure:
        return f"The database can't be used: {' '.join(str(failure).split())}"
    return ""


def _version() -> Found:
    if connection.vendor != "postgresql":
        return ok(f"SQLite in {settings.DATABASES['default']['NAME']}; all migrations are applied.")
    version = int(connection.pg_version)  # type: ignore[attr-defined]  # only on PostgreSQL
    shown = f"PostgreSQL {version // 10_000}.{version % 10_000}; all migrations are applied."
    why = versions.why_too_new(versions.major(version))
    return warning(why, "Install a newer version of Customer Lockbox.") if why else ok(shown)


@bounded
def role() -> Iterator[Found]:
    if connection.vendor != "postgresql":
        return
    name, is_super, bypasses, creates = _row(
        "SELECT quote_ident(rolname), rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )
    limit = f"In psql, as another superuser: ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS NOCREATEROLE;"
    if is_super or bypasses:
        what = "is a superuser" if is_super else "has BYPASSRLS"
        yield problem(f"The role {name} {what}, so row-level security does not limit it.", limit)
    elif creates:
        yield warning(f"The role {name} may create roles.", limit)
    else:
        yield ok(f"The role {name} is limited by row-level security.")


@bounded
def row_security() -> Iterator[Found]:
    """Check that each table with tenants' rows is protected, and try to read a row of another tenant."""
    if connection.vendor != "postgresql":
        return
    open_tables = [name for [name] in _rows(_UNPROTECTED, [_tenants_tables()])]
    if open_tables:
        on = " ".join(
            f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;" for name in open_tables
        )
        yield problem(
            f"Row-level security is off for {', '.join(open_tables)}.",
            f"Find out who switched it off. In psql, as the role of DATABASE_URL: {on}",
        )
    # As a connection that serves a tenant which does not exist: every row belongs to another one.
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT set_config('lockbox.tenants', %s, false)", [str(uuid4())])
            seen = [table for table in _tenants_tables() if _has_row(cursor, table)]
        finally:
            cursor.execute("SELECT set_config('lockbox.tenants', '', false)")
    if seen:
        yield problem(
            f"A connection of one tenant can read rows of others in {', '.join(seen)}.",
            "Correct the role or the tables as the lines above say. If there are no such lines, somebody has changed "
            "the policies (in psql: \\d and the table's name): compare them with those of a new, empty database.",
        )
    elif not open_tables:
        yield ok("A connection of one tenant reads no row of another one.")


#: Of the tables that have a policy or need one, those where it does not hold for the owner of the tables.
_UNPROTECTED = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    AND NOT (relrowsecurity AND relforcerowsecurity)
    AND (oid IN (SELECT polrelid FROM pg_policy) OR relname = ANY(%s)) ORDER BY relname
"""


def _tenants_tables() -> list[str]:
    return [
        "requests_app_tenant", "requests_app_accessrequest", "requests_app_ticket", "requests_app_resource",
        "requests_app_membership", "audit_app_auditentry",
    ]  # fmt: skip


def _has_row(cursor: Any, table: str) -> bool:
    cursor.execute(f'SELECT EXISTS (SELECT 1 FROM "{table}")')  # noqa: S608 - names from the list above
    return bool(cursor.fetchone()[0])


@bounded
def log_tables() -> Iterator[Found]:
    """Check that the log's triggers refuse changes, and that no other role may change the log."""
    missing = [(name, table) for table, names in _TRIGGERS.items() for name in sorted(set(names) - _active(table))]
    if missing:
        yield problem(
            f"The log can be changed: {', '.join(f'{name} on {table}' for name, table in missing)} is missing or "
            "switched off.",
            f"Find out who did this, and whether the logs are whole: {program.command('verify_audit')}. "
            f"{_again(missing)}",
        )
    others = [] if connection.vendor != "postgresql" else [name for [name] in _rows(_OTHERS)]
    if others:
        yield warning(
            f"Other roles may change the log's tables: {', '.join(others)}.",
            "In psql, as the role of DATABASE_URL: REVOKE UPDATE, DELETE, TRUNCATE ON audit_app_auditentry, "
            f"audit_app_checkpoint FROM {', '.join(others)};",
        )
    if not missing and not others:
        yield ok("The database refuses changes of the log.")


def _again(missing: list[tuple[str, str]]) -> str:
    """Say how the triggers are switched on again. A trigger that was removed needs its definition."""
    if connection.vendor == "postgresql":
        on = " ".join(f"ALTER TABLE {table} ENABLE TRIGGER {name};" for name, table in missing)
        missing_one = "If a trigger does not exist, copy it from a new, empty database."
        return f"In psql, as the role of DATABASE_URL: {on} {missing_one}"
    return "Then copy the triggers from the database of a new installation (sqlite3: .schema and the table's name)."


_OTHERS = """
    SELECT DISTINCT quote_ident(grantee) AS grantee FROM information_schema.role_table_grants
    WHERE table_name IN ('audit_app_auditentry', 'audit_app_checkpoint') AND grantee <> current_user
    AND privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE') ORDER BY grantee
"""


def _active(table: str) -> set[str]:
    if connection.vendor == "postgresql":
        sql = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled <> 'D'"
    else:
        sql = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
    return {name for [name] in _rows(sql, [table])}


def connections_needed() -> int:
    """Return how many connections the processes on this machine may open at most (docs/operators.md)."""
    threads, workers, clusters = settings.WEB_THREADS, settings.Q_CLUSTER["workers"], settings.CLUSTERS
    web = settings.WEB_WORKERS * (threads + max(2, threads // 4) + 14)
    tools = threads + 6 if settings.TOOL_PROXY_PORT else 0
    return int(web + clusters * (workers + 3) + 2 + tools + 1)


@bounded
def connections() -> Iterator[Found]:
    if connection.vendor != "postgresql":
        return
    role, database, *limits = _row(_ALLOWED)
    statements = (
        "ALTER SYSTEM SET max_connections = <the sum>; Then restart PostgreSQL.",
        f"ALTER ROLE {role} CONNECTION LIMIT <the sum>;",
        f"ALTER DATABASE {database} CONNECTION LIMIT <the sum>;",
    )
    most, statement = min(zip(limits, statements, strict=True))
    [used] = _row("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    needed = connections_needed()
    shown = f"The server allows {most} connections, {used} are open, and the processes here can open {needed}."
    if needed > most:
        yield warning(
            shown,
            f"Add what your other machines need to {needed + 20}. In psql, as a superuser: {statement} "
            "Or lower WEB_WORKERS, WEB_THREADS or CLUSTERS.",
        )
    else:
        yield ok(shown)


#: The limits of connections: of the server, of the role and of the database.
_ALLOWED = """
    SELECT quote_ident(rolname), quote_ident(datname),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    coalesce(nullif(rolconnlimit, -1), 100000), coalesce(nullif(datconnlimit, -1), 100000)
    FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""


@bounded
def clocks() -> Iterator[Found]:
    """Compare this machine's clock with the database's, which decides."""
    before, at, after = clock.here(), clock.now(), clock.here()
    ahead = (before + (after - before) / 2 - at).total_seconds()
    if abs(ahead) > CLOCKS_DIFFER:
        yield warning(
            f"This machine's clock is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} the database's.",
            "Synchronise the clocks of both machines: timedatectl set-ntp true. Codes of authenticator apps need the "
            "right time.",
        )
    else:
        yield ok("This machine and the database have the same time.")


def _row(sql: str) -> Any:
    return _rows(sql)[0]


def _rows(sql: str, values: list[Any] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
