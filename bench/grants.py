"""Fills a database with millions of grants, and leaves a few thousand of them open. The database makes the rows."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import F, Max

from bench.world import key
from requests_app.domain import clock
from requests_app.domain.evaluation import Question
from requests_app.models import Grant
from requests_app.queries.evaluation import evaluate
from tests.caller import service_of
from tests.cast import Cast

#: Numbers of tenants (bench.world makes them), engineers, and live grants.
TENANTS, ENGINEERS, LIVE = 1_000, 1_000, 4_000
#: Resources of each tenant, in a world of few grants and in one of a million or more.
FEW, MANY = 10, 100
#: How many access requests after each other are about the same ticket and resource, by the same engineer.
SHARED = 3
#: A multiple of SHARED, so that no ticket belongs to two steps.
STEP = 300_000
#: How many live grants, and how many ended ones, are checked after they were made.
CHECKED = 50
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


def make(cast: Cast, total: int, bar: Any) -> list[Pair]:
    """Add `total` grants to a database that has none, and return the live pairs.

    The rows are written without indexes and, on PostgreSQL, without checks of foreign keys. With them, the work would
    take ten times as long. Both are restored at the end, and some of the rows are checked.
    """
    _people(cast, MANY if total >= 1_000_000 else FEW)
    ticking = bar.add_task(f"writing {total:,} grants", total=total)
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        if is_postgresql:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("SET maintenance_work_mem = '1GB'")
        indexes = _drop_indexes(cursor, _TABLES)
        for first in range(0, total, STEP):
            end = min(first + STEP, total)
            _insert(cursor, cast, first, end)
            bar.update(ticking, completed=end)
        for made in indexes:
            cursor.execute(made)
        if is_postgresql:
            cursor.execute("SET session_replication_role = origin")
            # A test has a transaction around it, in which there is nothing to clean up.
            cursor.execute("ANALYZE" if connection.in_atomic_block else "VACUUM (ANALYZE)")
            cursor.execute("CHECKPOINT")
        # On SQLite, the product makes no statistics. With them, the plans are others.
    pairs = _pairs()
    _check(cast, pairs, total)
    return pairs


def due(cast: Cast, count: int, *, windows: bool, start: int = 0) -> None:
    """Add access requests that nobody has expired though they are overdue, or windows that have ended unclosed."""
    with connection.cursor() as cursor:
        _insert(cursor, cast, start, start + count, due="E" if windows else "O")


def open_again() -> list[Pair]:
    """Open the windows of the live pairs again, as in a world that was made today, and return the pairs."""
    live = Grant.objects.filter(closed_at=None)
    newest = live.aggregate(newest=Max("opens_at"))["newest"]
    later = clock.now() - dt.timedelta(seconds=60) - newest
    live.update(opens_at=F("opens_at") + later, closes_at=F("closes_at") + later)
    return _pairs()


def _people(cast: Cast, resources: int) -> None:
    """Create the engineers of one queue, and mailboxes for every tenant."""
    numbers = {"service": key(cast.exchange.pk), "engineers": ENGINEERS, "resources": resources}
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


#: The number of an engineer and of a resource for each ticket, spread as if they were drawn by lot. A few tenants have
#: many grants, and many tenants have few.
_DRAWN = "(t.number * 2654435761 % 4294967296 % 1000003)"
_ENGINEER = "t.number * 2246822519 % 4294967296 % :engineers"
_RESOURCE = f":boxes * {_DRAWN} / 1000003 * {_DRAWN} / 1000003"
#: Open windows have one tenant after the other, and different resources.
_SPREAD = "n % :tenants * :resources + n / :tenants % :resources"


def _insert(cursor: Any, cast: Cast, first: int, end: int, *, due: str = "") -> None:
    """Insert grants with everything that they refer to, with one statement for each table.

    A row's number determines all of its values but the ids. The first LIVE grants are live, opened one after the other,
    each with its own ticket. The others have ended, one every three seconds, and share tickets. With `due`, all are
    overdue access requests ("O"), or windows that have elapsed ("E").
    """
    cursor.execute("SELECT count(*) FROM requests_app_resource WHERE name LIKE 'box%'")
    boxes, live, shared = cursor.fetchone()[0], 0 if due else LIVE, 1 if due else SHARED
    values = {
        "live": live, "first": first, "end": end - 1, "engineers": ENGINEERS, "boxes": boxes, "tenants": TENANTS,
        "resources": boxes // TENANTS, "shared": shared, "service": key(cast.exchange.pk), "prefix": due or "G",
        "firstticket": 0 if first < live else live + first // shared, "lastticket": live + (end - 1) // shared,
    }  # fmt: skip
    past = "60 + numbers.n - :first" if due else "numbers.n * 3 + 3660"
    state = {"": "CASE WHEN is_open THEN 'OPEN' ELSE 'CLOSED' END", "E": "'OPEN'", "O": "'PENDING_PROVIDER'"}[due]
    run = partial(_run, cursor)
    for name in ("bench_tickets", "bench_numbers"):
        run(f"DROP TABLE IF EXISTS {name}", {})
    run(
        "CREATE TEMP TABLE bench_tickets AS SELECT n AS number, {new_id} AS id"
        " FROM {series(:firstticket, :lastticket)}",
        values,
    )
    run(
        "CREATE TEMP TABLE bench_numbers AS SELECT numbers.n, {new_id} AS request, {new_id} AS grant_,"
        " t.id AS ticket, t.number AS ticket_number, e.id AS engineer, e.human_id AS human, r.id AS resource,"
        f" r.tenant_id AS tenant, {'numbers.n < :live' if not due else 'true'} AS is_open,"
        " CASE WHEN numbers.n < :live OR t.number % 2 = 0 THEN 'read' ELSE 'names' END AS level,"
        f" CASE WHEN numbers.n < :live THEN {{ago('60 + numbers.n')}} ELSE {{ago('{past} + 28800')}} END AS opens,"
        f" CASE WHEN numbers.n < :live THEN {{ago('60 + numbers.n - 28800')}} ELSE {{ago('{past}')}} END AS closes"
        " FROM {series(:first, :end)}"
        " JOIN bench_tickets AS t"
        "   ON t.number = CASE WHEN numbers.n < :live THEN numbers.n ELSE :live + numbers.n / :shared END"
        " JOIN (SELECT id, human_id, row_number() OVER (ORDER BY id) AS number FROM requests_app_person"
        "       WHERE email LIKE 'engineer%') AS e"
        f"   ON e.number = 1 + CASE WHEN numbers.n < :live THEN numbers.n % :engineers ELSE {_ENGINEER} END"
        " JOIN (SELECT id, tenant_id, row_number() OVER (ORDER BY locator) AS number FROM requests_app_resource"
        "       WHERE name LIKE 'box%') AS r"
        f"   ON r.number = 1 + CASE WHEN numbers.n < :live THEN {_SPREAD} ELSE {_RESOURCE} END",
        values,
    )
    run(
        "INSERT INTO requests_app_ticket (id, reference, tenant_id, service_id, title, body, origin, priority, state,"
        " opened_by_id, external_reference, external_url, opened_at, changed_at) SELECT ticket,"
        " :prefix || 'T' || ticket_number, tenant, :service, 'A ticket of the benchmark', 'Something is wrong.',"
        " 'customer', 'normal', CASE WHEN is_open THEN 'ASSIGNED' ELSE 'RESOLVED' END, engineer, '', '', min(opens),"
        " min(opens) FROM bench_numbers GROUP BY ticket, ticket_number, tenant, engineer, is_open",
        values,
    )
    run(
        "INSERT INTO requests_app_accessrequest (id, reference, reason_kind, authority, instrument, demand_reference,"
        " tried, justification, level, window_for, requester_human, needs_customer_approval, content_digest, state,"
        " submitted_at, state_changed_at, decide_by, requested_by_id, service_id, tenant_id, ticket_id)"
        " SELECT request, :prefix || n, 'customer_ticket', '', '', '', 'Tried.', 'Because of the benchmark.', level,"
        f" 28800, human, true, '', {state}, opens, opens, {'opens' if due != 'O' else 'closes'}, engineer, :service,"
        " tenant, ticket FROM bench_numbers",
        values,
    )
    run(
        "INSERT INTO requests_app_accessrequestresource (access_request_id, resource_id, position)"
        " SELECT request, resource, 0 FROM bench_numbers",
        values,
    )
    if due != "O":
        run(
            "INSERT INTO requests_app_grant (id, tenant_id, access_request_id, engineer_id, level, opens_at, closes_at,"
            " closed_at, close_reason) SELECT grant_, tenant, request, engineer, level, opens, closes,"
            " CASE WHEN NOT is_open THEN closes END, CASE WHEN is_open THEN '' ELSE 'elapsed' END FROM bench_numbers",
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


def _check(cast: Cast, pairs: list[Pair], total: int) -> None:
    """Compare some rows with each other, and with the answers of the decision point. Raise SystemExit if they differ.

    Nothing else has checked the rows, because the database has made them without its own checks.
    """
    asked, service = {(pair.engineer, pair.resource) for pair in pairs}, service_of(cast)
    live = Grant.objects.filter(closed_at=None)[:CHECKED]
    some = [f"G{n}" for n in range(LIVE, total, max(1, total // CHECKED))]
    ended = Grant.objects.filter(access_request__reference__in=some)
    for grant in (*live, *ended):
        row = grant.access_request
        box = row.scope.get().resource
        is_whole = (
            {grant.tenant_id, row.tenant_id, row.ticket.tenant_id, box.tenant_id} == {grant.tenant_id}
            and row.requested_by_id == grant.engineer_id
            and row.requester_human == row.requested_by.human_id
            and (row.state == "CLOSED") is (grant.closed_at is not None)
        )
        is_known = (str(grant.engineer_id), str(box.pk)) in asked
        question = Question(
            subject_type="engineer", subject=str(grant.engineer_id), action="read", service=row.service.key,
            resource=str(box.pk),
        )  # fmt: skip
        if not is_whole or evaluate(question, actor=service).decision is not is_known:
            raise SystemExit(f"the world is not what it should be: {row.reference}")


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
        return f"generate_series({first}::bigint, {last}::bigint) AS numbers(n)"
    counted = f"SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}"
    return f"(WITH RECURSIVE s(n) AS ({counted}) SELECT n FROM s) AS numbers"
