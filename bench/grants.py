"""Fill a database with millions of grants, and make a few thousand of them live. The database makes the rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connection

from bench.world import key
from requests_app.models import Grant
from tests.cast import Cast

#: Numbers of tenants (bench.world makes them), engineers, resources of each tenant, and live grants.
TENANTS, ENGINEERS, RESOURCES, LIVE = 1_000, 1_000, 10, 4_000
STEP = 250_000
_TABLES = [
    "requests_app_ticket",
    "requests_app_accessrequest",
    "requests_app_accessrequestresource",
    "requests_app_grant",
]


@dataclass(frozen=True)
class Pair:
    """An engineer with an open window, and a resource of the window.

    `until` and `level` are those of the window.
    """

    engineer: str
    resource: str
    until: float
    level: str
    tenant: str = ""


def ensure(cast: Cast, total: int, bar: Any) -> list[Pair]:
    """Add grants until the database has `total` of them, and return the live pairs."""
    there = Grant.objects.filter(access_request__reference__regex="^G[0-9]").count()
    if not there:
        _people(cast)
    ticking = bar.add_task(f"writing {total:,} grants", total=total)
    if there < total:
        _fill(cast, there, total, lambda made: bar.update(ticking, completed=made))
    elif there > total:
        raise SystemExit(f"the database has {there:,} grants already")
    return _pairs()


def open_again() -> list[Pair]:
    """Open the windows of the live pairs again, as in a world that was made today, and return the pairs."""
    with connection.cursor() as cursor:
        _run(
            cursor,
            "UPDATE requests_app_grant SET opens_at = {ago('60')}, closes_at = {ago('60 - 28800')}"
            " WHERE closed_at IS NULL",
            {},
        )
    return _pairs()


def _people(cast: Cast) -> None:
    """Create the engineers of one queue, and mailboxes for every tenant."""
    numbers = {"service": key(cast.exchange.pk), "engineers": ENGINEERS, "resources": RESOURCES}
    with connection.cursor() as cursor:
        run = partial(_run, cursor)
        run(
            "INSERT INTO requests_app_person (id, kind, password, is_superuser, email, name, side, human_id, time_zone,"
            " language, theme, is_active, is_staff, created_at) SELECT {new_id}, 'human', '!', false,"
            " 'engineer' || n || '@provider.example', 'Engineer ' || n, 'provider', {new_id}, 'UTC', 'en',"
            " 'system', true, false, {now} FROM {series(1, :engineers)}",
            numbers,
        )
        run(
            "INSERT INTO requests_app_queueassignment (service_id, person_id, role, given_at)"
            " SELECT :service, id, 'engineer', {now} FROM requests_app_person WHERE email LIKE 'engineer%'",
            numbers,
        )
        run(
            "INSERT INTO requests_app_resource (id, tenant_id, service_id, kind, name, locator, is_active)"
            " SELECT {new_id}, t.id, :service, 'mailbox', 'box' || n || '@' || t.slug || '.example',"
            " t.slug || '/mail/box' || n, true FROM requests_app_tenant t, {series(1, :resources)}"
            " WHERE t.slug LIKE 'tenant-%'",
            numbers,
        )


def _fill(cast: Cast, start: int, total: int, progress: Callable[[int], None]) -> None:
    """Add grants until there are `total`. There are `start` now, and all live grants are among them.

    The rows are written without indexes and, on PostgreSQL, without checks of foreign keys. With them, the work would
    take ten times as long. Both are restored at the end.
    """
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        if is_postgresql:
            cursor.execute("SET session_replication_role = replica")
        indexes = _drop_indexes(cursor, _TABLES) if is_postgresql and total - start > STEP else []
        for first in range(start, total, STEP):
            _insert(cursor, cast, first, min(first + STEP, total), live=LIVE if first == 0 else 0)
            progress(min(first + STEP, total))
        for made in indexes:
            cursor.execute(made)
        if is_postgresql:
            cursor.execute("SET session_replication_role = origin")
            # A test has a transaction around it, in which there is nothing to clean up.
            cursor.execute("ANALYZE" if connection.in_atomic_block else "VACUUM (ANALYZE)")
            cursor.execute("CHECKPOINT")
        else:
            cursor.execute("ANALYZE")


def _drop_indexes(cursor: Any, tables: list[str]) -> list[str]:
    """Drop all indexes of these tables that no constraint needs. Return the SQL statements that restore them."""
    run = cursor.execute
    if connection.vendor != "postgresql":
        names = ", ".join(["%s"] * len(tables))
        run(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name IN ({names})"
            " AND sql NOT LIKE 'CREATE UNIQUE%%'",
            tables,
        )
        found = cursor.fetchall()
        for name, _made in found:
            run(f'DROP INDEX "{name}"')
        return [made for _name, made in found]
    run(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid::regclass::text = ANY (%s) AND NOT indisunique",
        [tables],
    )
    found = cursor.fetchall()
    for name, _made in found:
        run(f"DROP INDEX {name}")
    return [made for _name, made in found]


def _insert(cursor: Any, cast: Cast, first: int, end: int, *, live: int) -> None:
    """Insert grants with everything that they refer to, with one statement for each table.

    A row's number determines all of its values, so the references between the tables fit. Each grant has a ticket of
    its own. The ended ones lie in the past, one every three seconds.
    """
    values = {
        "live": live, "first": first, "end": end - 1, "engineers": ENGINEERS, "boxes": TENANTS * RESOURCES,
        "service": key(cast.exchange.pk),
    }  # fmt: skip
    run = partial(_run, cursor)
    run("DROP TABLE IF EXISTS bench_numbers", {})
    run(
        "CREATE TEMP TABLE bench_numbers AS SELECT numbers.n, {new_id} AS request, {new_id} AS grant_,"
        " {new_id} AS ticket, e.id AS engineer, e.human_id AS human, r.id AS resource, r.tenant_id AS tenant,"
        " numbers.n < :live AS is_live,"
        " CASE WHEN numbers.n < :live OR numbers.n % 2 = 0 THEN 'read' ELSE 'names' END AS level,"
        " CASE WHEN numbers.n < :live THEN {ago('60')} ELSE {ago('numbers.n * 3 + 32460')} END AS opens,"
        " CASE WHEN numbers.n < :live THEN {ago('60 - 28800')} ELSE {ago('numbers.n * 3 + 3660')} END AS closes"
        " FROM {series(:first, :end)}"
        " JOIN (SELECT id, human_id, row_number() OVER (ORDER BY id) AS number FROM requests_app_person"
        "       WHERE email LIKE 'engineer%') AS e ON e.number = 1 + numbers.n % :engineers"
        " JOIN (SELECT id, tenant_id, row_number() OVER (ORDER BY name) AS number FROM requests_app_resource"
        "       WHERE name LIKE 'box%') AS r ON r.number = 1 + (numbers.n * 7) % :boxes",
        values,
    )
    run(
        "INSERT INTO requests_app_ticket (id, reference, tenant_id, service_id, title, body, origin, priority, state,"
        " opened_by_id, external_reference, external_url, opened_at, changed_at) SELECT ticket, 'GT' || n, tenant,"
        " :service, 'A ticket of the benchmark', 'Something is wrong.', 'customer', 'normal',"
        " CASE WHEN is_live THEN 'ASSIGNED' ELSE 'RESOLVED' END, engineer, '', '', opens, opens FROM bench_numbers",
        values,
    )
    run(
        "INSERT INTO requests_app_accessrequest (id, reference, reason_kind, authority, instrument, demand_reference,"
        " tried, justification, level, window_for, requester_human, needs_customer_approval, content_digest, state,"
        " submitted_at, state_changed_at, decide_by, requested_by_id, service_id, tenant_id, ticket_id)"
        " SELECT request, 'G' || n, 'customer_ticket', '', '', '', 'Tried.', 'Because of the benchmark.', level, 28800,"
        " human, true, '', CASE WHEN is_live THEN 'OPEN' ELSE 'CLOSED' END, opens, opens, opens, engineer, :service,"
        " tenant, ticket FROM bench_numbers",
        values,
    )
    run(
        "INSERT INTO requests_app_accessrequestresource (access_request_id, resource_id, position)"
        " SELECT request, resource, 0 FROM bench_numbers",
        values,
    )
    run(
        "INSERT INTO requests_app_grant (id, tenant_id, access_request_id, engineer_id, level, opens_at, closes_at,"
        " closed_at, close_reason) SELECT grant_, tenant, request, engineer, level, opens, closes,"
        " CASE WHEN NOT is_live THEN closes END, CASE WHEN is_live THEN '' ELSE 'elapsed' END FROM bench_numbers",
        values,
    )


def _pairs() -> list[Pair]:
    """Return every live pair of engineer and resource that allows reading."""
    rows = Grant.objects.filter(closed_at=None, level="read").order_by("pk")
    columns = ("engineer_id", "access_request__scope__resource", "closes_at", "level", "tenant_id")
    return [
        Pair(str(engineer), str(box), until.timestamp(), level, str(tenant))
        for engineer, box, until, level, tenant in rows.values_list(*columns)
    ]


def _run(cursor: Any, text: str, values: dict[str, Any]) -> None:
    """Run a statement on either database.

    `{new_id}`, `{now}`, `{ago(SECONDS)}` and `{series(FIRST, LAST)}` are written as the database writes them. A series
    is a table `numbers` with the column `n`. `:name` is a value.
    """
    is_postgresql = connection.vendor == "postgresql"
    for found in re.findall(r"\{(.+?)\}", text):
        text = text.replace(f"{{{found}}}", _of(found, is_postgresql=is_postgresql), 1)
    text = re.sub(r"(?<!:):([a-z]+)", r"%(\1)s", text.replace("%", "%%"))
    used = set(re.findall(r"%\((\w+)\)s", text))
    cursor.execute(text, {name: value for name, value in values.items() if name in used})


def _of(word: str, *, is_postgresql: bool) -> str:
    if word == "new_id":
        return "gen_random_uuid()" if is_postgresql else "lower(hex(randomblob(16)))"
    if word == "now":
        return "clock_timestamp()" if is_postgresql else "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    name, _bracket, given = word.removesuffix(")").partition("(")
    if name == "ago":
        seconds = given.strip("'")
        if is_postgresql:
            return f"(clock_timestamp() - ({seconds}) * interval '1 second')"
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', (-({seconds})) || ' seconds')"
    first, last = given.split(", ")
    if is_postgresql:
        return f"generate_series({first}::int, {last}::int) AS numbers(n)"
    counted = f"SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}"
    return f"(WITH RECURSIVE s(n) AS ({counted}) SELECT n FROM s) AS numbers"
