"""Fill a database with millions of grants, and make a few thousand of them live. PostgreSQL makes the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from tests.cast import Cast

#: Numbers of tenants (bench.world makes them), engineers, resources of each tenant, and live grants.
TENANTS, ENGINEERS, RESOURCES, LIVE = 1_000, 1_000, 10, 4_000
STEP = 250_000
_TABLES = ("requests_app_accessrequest", "requests_app_accessrequestresource", "requests_app_grant")


@dataclass(frozen=True)
class Pair:
    """An engineer with an open window, and a resource of the window.

    `until` and `level` are those of the window.
    """

    engineer: str
    resource: str
    until: float
    level: str


def people(cast: Cast) -> None:
    """Create the engineers of one queue, and mailboxes for every tenant."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO requests_app_person (id, kind, password, is_superuser, email, name, side, human_id, time_zone,"
            " language, theme, is_active, is_staff, created_at) SELECT gen_random_uuid(), 'human', '!', false,"
            " 'engineer' || n || '@provider.example', 'Engineer ' || n, 'provider', gen_random_uuid(), 'UTC', 'en',"
            " 'system', true, false, clock_timestamp() FROM generate_series(1, %s) AS n",
            [ENGINEERS],
        )
        cursor.execute(
            "INSERT INTO requests_app_queueassignment (service_id, person_id, role, given_at)"
            " SELECT %s, id, 'engineer', clock_timestamp() FROM requests_app_person WHERE email LIKE 'engineer%%'",
            [cast.exchange.pk],
        )
        cursor.execute(
            "INSERT INTO requests_app_resource (id, tenant_id, service_id, kind, name, locator, is_active)"
            " SELECT gen_random_uuid(), t.id, %s, 'mailbox', 'box' || n || '@' || t.slug || '.example',"
            " t.slug || '/mail/box' || n, true FROM requests_app_tenant t, generate_series(1, %s) AS n"
            " WHERE t.slug LIKE 'tenant-%%'",
            [cast.exchange.pk, RESOURCES],
        )


def fill(cast: Cast, start: int, total: int, progress: Callable[[int], None]) -> None:
    """Add grants until there are `total`. There are `start` now, and all live grants are among them.

    The rows are written without indexes and without checks of foreign keys. With them, the work would take ten
    times as long. Both are restored at the end.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        indexes = _drop_indexes(cursor) if total - start > STEP else []
        for first in range(start, total, STEP):
            _insert(cursor, cast, first, min(first + STEP, total), live=LIVE if first == 0 else 0)
            progress(min(first + STEP, total))
        for made in indexes:
            cursor.execute(made)
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")


def _drop_indexes(cursor: Any) -> list[str]:
    """Drop all indexes that no constraint needs. Return the SQL statements that restore them."""
    run = cursor.execute
    run(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid::regclass::text = ANY (%s) AND NOT indisunique",
        [list(_TABLES)],
    )
    found = cursor.fetchall()
    for name, _made in found:
        run(f"DROP INDEX {name}")
    return [made for _name, made in found]


def _insert(cursor: Any, cast: Cast, first: int, end: int, *, live: int) -> None:
    """Insert grants with everything that they refer to, with one statement for each table.

    A row's number determines all of its values, so the references between the tables fit.
    """
    run = cursor.execute
    run("DROP TABLE IF EXISTS bench_numbers")
    run(
        "CREATE TEMP TABLE bench_numbers AS SELECT n, gen_random_uuid() AS request, gen_random_uuid() AS grant_,"
        " e.id AS engineer, e.human_id AS human, r.id AS resource, r.tenant_id AS tenant, n < %s AS is_live,"
        " CASE WHEN n %% 2 = 0 THEN 'read' ELSE 'names' END AS level,"
        " clock_timestamp() - interval '1 minute' - CASE WHEN n < %s THEN interval '0'"
        " ELSE n * interval '3 seconds' + interval '9 hours' END AS opens"
        " FROM generate_series(%s::int, %s::int) AS n"
        " JOIN (SELECT id, human_id, row_number() OVER (ORDER BY id) AS number FROM requests_app_person"
        "       WHERE email LIKE 'engineer%%') AS e ON e.number = 1 + n %% %s"
        " JOIN (SELECT id, tenant_id, row_number() OVER (ORDER BY id) AS number FROM requests_app_resource"
        "       WHERE name LIKE 'box%%') AS r ON r.number = 1 + (n * 7) %% %s",
        [live, live, first, end - 1, ENGINEERS, TENANTS * RESOURCES],
    )
    run(
        "INSERT INTO requests_app_accessrequest (id, reference, reason_kind, authority, instrument, demand_reference,"
        " demand_date, tried, justification, level, window_for, requester_human, needs_customer_approval,"
        " content_digest, state, submitted_at, state_changed_at, decide_by, requested_by_id, service_id, tenant_id)"
        " SELECT request, 'G' || n, 'legal_demand', 'A court', 'An order', 'No. ' || n, opens::date, 'Tried.',"
        " 'Because of the benchmark.', level, 28800, human, true, '', CASE WHEN is_live THEN 'OPEN' ELSE 'CLOSED' END,"
        " opens, opens, opens, engineer, %s, tenant FROM bench_numbers",
        [cast.exchange.pk],
    )
    run(
        "INSERT INTO requests_app_accessrequestresource (access_request_id, resource_id, position)"
        " SELECT request, resource, 0 FROM bench_numbers"
    )
    run(
        "INSERT INTO requests_app_grant (id, tenant_id, access_request_id, engineer_id, level, opens_at, closes_at,"
        " closed_at, close_reason) SELECT grant_, tenant, request, engineer, level, opens, opens + interval '8 hours',"
        " CASE WHEN NOT is_live THEN opens + interval '8 hours' END, CASE WHEN is_live THEN '' ELSE 'elapsed' END"
        " FROM bench_numbers"
    )


def pairs() -> list[Pair]:
    """Return every live pair of engineer and resource that allows reading."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT g.engineer_id::text, line.resource_id::text, extract(epoch FROM g.closes_at)::float8, g.level"
            " FROM requests_app_grant g JOIN requests_app_accessrequestresource line"
            " ON line.access_request_id = g.access_request_id WHERE g.closed_at IS NULL AND g.level = 'read'"
        )
        return [Pair(*row) for row in cursor.fetchall()]
