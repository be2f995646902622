"""Fills a database with a million access requests, with a few SQL statements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from requests_app.domain import clock
from requests_app.models import AccessRequest, Tenant
from tests.cast import Cast, gather

TENANTS = 1_000
#: One of this number of access requests belongs to Contoso, whose list is measured.
HOT_SHARE = 10
STEP = 50_000

_COLUMNS = (
    "id, reference, reason_kind, authority, instrument, demand_reference, tried, justification, level, window_for, "
    "requester_human, needs_customer_approval, content_digest, state, submitted_at, state_changed_at, decide_by, "
    "requested_by_id, service_id, tenant_id, ticket_id"
)


def make(mailbox: Path) -> Cast:
    """Write the cast of the tests, many other tenants, and a mailbox with 200 messages. Return the cast."""
    cast = gather()
    at = clock.now()
    plan = cast.contoso.plan
    Tenant.objects.bulk_create(
        Tenant(name=f"Tenant {n}", slug=f"tenant-{n}", plan=plan, lockbox_on=True, created_at=at)
        for n in range(TENANTS)
    )
    settings.CONTENT_ROOT = mailbox
    folder = mailbox / cast.resource().locator
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)
    for n in range(200):
        (folder / "cur" / f"{n}.mail:2,S").write_bytes(
            b"From: a@contoso.example\r\nTo: b@contoso.example\r\nSubject: Invoice %d\r\n"
            b"Message-ID: <%d@contoso.example>\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n\r\n"
            % (n, n)
            + b"Dear all, please find the invoice attached.\r\n" * 40
        )
    return cast


def crowd(cast: Cast, total: int, progress: Callable[[int], None]) -> None:
    """Add `total` access requests that ended long ago. Most rows of a real table are of this kind."""
    ticket = cast.ticket()
    done = 0
    while done < total:
        step = min(STEP, total - done)
        _insert(cast, ticket.pk, done, step, state="DENIED", decide_by=clock.now() - dt.timedelta(days=30))
        done += step
        progress(done)
    _scope_of_contoso(cast)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def overdue(cast: Cast, count: int, *, start: int = 0) -> None:
    """Add access requests whose deadline has passed but which no sweep has expired yet."""
    past = clock.now() - dt.timedelta(minutes=1)
    ticket = AccessRequest.objects.filter(state="DENIED").values_list("ticket_id", flat=True)[0]
    _insert(cast, ticket, 900_000_000 + start, count, state="PENDING_PROVIDER", decide_by=past)


def elapsed(cast: Cast, count: int, *, start: int = 0) -> None:
    """Add windows that have ended but which no sweep has closed yet."""
    past = clock.now() - dt.timedelta(minutes=1)
    ticket = AccessRequest.objects.filter(state="DENIED").values_list("ticket_id", flat=True)[0]
    _insert(cast, ticket, 800_000_000 + start, count, state="OPEN", decide_by=past)
    new_id = "gen_random_uuid()" if connection.vendor == "postgresql" else "lower(hex(randomblob(16)))"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO requests_app_grant (id, tenant_id, access_request_id, engineer_id, level, opens_at, closes_at,"
            f" close_reason) SELECT {new_id}, tenant_id, id, requested_by_id, 'read', submitted_at, decide_by, ''"
            " FROM requests_app_accessrequest WHERE state = 'OPEN' AND reference LIKE 'B8%'"
        )


def _insert(cast: Cast, ticket: object, start: int, count: int, *, state: str, decide_by: dt.datetime) -> None:
    postgres = connection.vendor == "postgresql"
    series = (
        "SELECT generate_series(%(start)s::int, %(end)s::int) AS n"
        if postgres
        else "WITH RECURSIVE s(n) AS (SELECT %(start)s UNION ALL SELECT n + 1 FROM s WHERE n < %(end)s) SELECT n FROM s"
    )
    new_id = "gen_random_uuid()" if postgres else "lower(hex(randomblob(16)))"
    tenant = f"(CASE WHEN n %% {HOT_SHARE} = 0 THEN %(hot)s ELSE t.id END)" + ("::uuid" if postgres else "")
    # One of a thousand is Priya's, whose home page is measured. No real engineer has a million.
    engineer = "(CASE WHEN n %% 1000 = 0 THEN %(priya)s ELSE %(erik)s END)" + ("::uuid" if postgres else "")
    # One second apart. If thousands had the same time, the pages of a list would have no order.
    before = (
        "(%(by)s::timestamptz - (n - %(start)s::int) * interval '1 second')"
        if postgres
        else "strftime('%%Y-%%m-%%d %%H:%%M:%%S.000000', %(by)s, '-' || (n - %(start)s) || ' seconds')"
    )
    sql = f"""
        INSERT INTO requests_app_accessrequest ({_COLUMNS})
        SELECT {new_id}, 'B' || n, 'customer_ticket', '', '', '', 'Tried.', 'Because of the benchmark.', 'read', 7200,
               %(human)s, %(yes)s, '', %(state)s, %(at)s, %(at)s, {before},
               {engineer}, %(service)s, {tenant}, %(ticket)s
        FROM ({series}) AS numbers
        JOIN (SELECT id, row_number() OVER (ORDER BY id) AS number FROM requests_app_tenant) AS t
          ON t.number = 1 + n %% {TENANTS}
    """
    values: dict[str, Any] = {
        "start": start,
        "end": start + count - 1,
        "hot": key(cast.contoso.pk),
        "human": key(cast.priya.human_id),
        "yes": True,
        "state": state,
        "at": decide_by - dt.timedelta(days=60),
        "by": decide_by,
        "priya": key(cast.priya.pk),
        "erik": key(cast.erik.pk),
        "service": key(cast.exchange.pk),
        "ticket": key(ticket),
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def _scope_of_contoso(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO requests_app_accessrequestresource (access_request_id, resource_id, position) "
            "SELECT id, %s, 0 FROM requests_app_accessrequest WHERE tenant_id = %s AND state = 'DENIED'",
            [key(cast.resource().pk), key(cast.contoso.pk)],
        )


def key(value: object) -> str:
    """Return a UUID as the database stores it. SQLite has no type for UUIDs."""
    return str(value) if connection.vendor == "postgresql" else str(value).replace("-", "")
