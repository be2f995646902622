"""No page reads a whole large table: each of its queries can follow an index, on both databases.

PostgreSQL scans a small table anyway, so scans are switched off here. It then scans only if no index helps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from requests_app.models import ContentAccess
from requests_app.queries import access, home, review
from requests_app.queries.inbox import Cursor
from tests import practice
from tests.cast import Cast
from tests.web.pages import look, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.dialect]

#: These tables have millions of rows in a large installation.
LARGE = (
    "requests_app_accessrequest",
    "requests_app_accessrequestresource",
    "requests_app_grant",
    "requests_app_decision",
    "requests_app_contentaccess",
    "requests_app_ticket",
    "audit_app_auditentry",
)
#: Nearly all access requests and tickets are in these states.
ENDED = {"CLOSED", "DENIED", "EXPIRED", "WITHDRAWN", "RESOLVED"}

#: The lists of the administration that have millions of rows.
LISTS = ("accessrequest", "grant", "decision", "contentaccess", "ticket")


def plan(sql: str, params: Any) -> list[str]:
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(("EXPLAIN " if is_postgresql else "EXPLAIN QUERY PLAN ") + sql, params)
        return [row[0] if is_postgresql else row[3] for row in cursor.fetchall()]


def scans(sql: str, params: Any) -> list[str]:
    """Return the steps of the plan that read a whole large table."""
    is_postgresql = connection.vendor == "postgresql"
    steps = plan(sql, params)
    found = [step.strip() for step in steps if _is_scan(step.split(), is_postgresql=is_postgresql)]
    return found if is_postgresql else found + _of_a_whole_tenant(steps, sql, params)


def _of_a_whole_tenant(steps: list[str], sql: str, params: Any) -> list[str]:
    """Return the steps of SQLite that read all rows of a tenant or of a queue, or all that have ended.

    A tenant can have nearly all rows of the table. Without statistics, SQLite expects ten.
    """
    sorts = any(step.startswith("USE TEMP B-TREE FOR ORDER BY") for step in steps)
    # Only a few of the rows before the limit have one of the ids.
    is_short = " LIMIT " in sql and not (sorts or '"id" IN (' in sql)
    if " UNION ALL " in sql or is_short:
        return []  # The parts of a union have their own orders and limits, which the steps do not show.
    keys = ["(tenant_id=?)", "(service_id=?)", "(tenant_id=? AND seq<?)"]
    if not ENDED.isdisjoint(str(getattr(value, "value", value)) for value in params or ()):
        keys += ["(tenant_id=? AND state=?)", "(service_id=? AND state=?)"]
    return [step for step in steps if step.split()[1] in LARGE and step.endswith(tuple(keys))]


def _is_scan(words: list[str], *, is_postgresql: bool) -> bool:
    if is_postgresql:
        return "Seq Scan on " in " ".join(words) and any(table in words for table in LARGE)
    # "SCAN table USING INDEX" follows the index's order, and stops at the limit.
    return words[0] == "SCAN" and words[1] in LARGE and "USING" not in words


def reads_of(client: Client, path: str) -> list[tuple[str, Any]]:
    """Open a page, and return its queries with their parameters."""
    asked: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, *rest)

    with connection.execute_wrapper(note):
        assert client.get(path).status_code == 200, path
    return [(sql, params) for sql, params in asked if sql.lstrip("( ").startswith("SELECT")]


def scans_of(client: Client, path: str) -> list[tuple[str, str]]:
    """Open a page, and return each scan with the beginning of its query."""
    reads = reads_of(client, path)
    return [(step, f"{path}: {_of(sql)}") for sql, params in reads for step in scans(sql, params)]


def _of(sql: str) -> str:
    """Return a query without its columns."""
    return sql[sql.find(" FROM ") :][:1500]


@pytest.fixture
def without_scans() -> Any:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")


def paths(cast: Cast) -> list[tuple[str, str]]:
    """Return the lists, searches and pages of rows, each with a person who can open it."""
    grant = cast.opened()
    look(cast, grant, "1.mail")
    row, ticket = cast.confirmed(), grant.access_request.ticket
    log = reverse("web:log", args=[cast.contoso.pk])
    older = Cursor(row.submitted_at, row.pk)
    here = Cursor(ticket.changed_at, ticket.pk)
    found = f"?q={row.reference}", f"?q={ticket.reference}", "?q=finance", "?q=priya@provider.example"
    requests = ["", "?state=waiting", "?state=closed", "?state=expired", *found]
    tickets = ["", "?state=any", "?state=CLOSED", "?state=any&text=invoices", f"?state=any&text={ticket.reference}"]
    about = "?person=priya", "?person=priya@provider.example", f"?request={row.reference}"
    entries = ["", "?before=5", "?after=1", "?event=content.opened", "?since=2026-01-01&until=2026-12-31", *about]
    one = [
        reverse("web:access_request", args=[row.pk]),
        reverse("web:access_request", args=[grant.access_request_id]),
        reverse("web:live", args=[grant.access_request_id]),
        reverse("web:ticket", args=[ticket.pk]),
        reverse("web:ticket_act", args=[ticket.pk, "close_ticket"]),
    ]
    opened = []
    for who in ("ada", "priya", "pat", "stella"):
        opened += [(who, path) for path in ("/", *one[:2], one[3])]
        opened += [(who, f"/access-requests/{query}") for query in requests]
        opened += [(who, f"/tickets/{query}") for query in tickets]
    opened += [("ada", reverse("web:log_evidence", args=[cast.contoso.pk]))]
    opened += [("ada", "/tickets/?view=mine&state=any"), ("priya", "/tickets/?view=queue&state=any"), ("ines", "/")]
    opened += [("ada", f"/access-requests/?before={older}".replace("+", "%2B")), ("ada", one[2]), ("ada", one[4])]
    opened += [("ada", f"/tickets/?state=any&after={here}".replace("+", "%2B"))]
    opened += [("ada", reverse("web:mutes", args=[cast.contoso.pk]) + query) for query in ("", "?find=priya")]
    opened += [("stella", "/admin/"), *(("stella", f"/admin/requests_app/{name}/") for name in LISTS)]
    log_of_staff = f"/admin/audit_app/auditentry/?tenant_id={cast.contoso.pk}"
    opened += [
        ("stella", log_of_staff + query) for query in ("", "&at__year=2026", "&at__year=2026&at__month=1&at__day=2")
    ]
    return opened + [("otto", log + query) for query in entries]


def test_no_page_reads_a_whole_large_table(cast: Cast, without_scans: None) -> None:
    wrong = [found for who, path in paths(cast) for found in scans_of(signed_in(cast, who), path)]
    assert not wrong, "\n\n".join(f"{step}\n    {sql}" for step, sql in wrong)


@pytest.mark.parametrize(("who", "name"), [("otto", "practice"), ("ines", "guide"), ("stella", "practice")])
def test_sqlite_finds_open_practice_tickets_without_the_others_of_the_tenant(cast: Cast, who: str, name: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL has statistics")
    practice.started(cast)
    asked = reads_of(signed_in(cast, who), reverse(f"web:{name}", args=[cast.contoso.pk]))
    steps = [plan(sql, params) for sql, params in asked if '_ticket"."is_practice" AND' in sql]
    assert len(steps) == 1
    assert [step for step in steps[0] if step.endswith("USING INDEX ticket_practice")], steps


@pytest.mark.sqlite
def test_sqlite_reads_the_accesses_of_a_window_by_its_index(cast: Cast) -> None:
    """Without statistics, it could take the index of the tenant or of the resource, which can have most accesses."""
    grant = cast.opened()
    look(cast, grant, "1.mail")
    asked: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, *rest)

    with connection.execute_wrapper(note):
        list(access.looks(grant)[:5])
        review.live(grant)
        review.resource_activity(grant, access.looks_by_resource([grant.pk]), with_items=True)
        access.seen_resources([grant.pk])
        home.latest_looks([grant.pk], lines=2)
        ContentAccess.objects.columns_of_list(grant, grant.access_request.scope.get().resource, ["1.mail"])
    found = [
        step
        for sql, params in asked
        for step in plan(sql, params)
        if step.startswith("SEARCH ") and "content_access" in step
    ]
    assert len(found) == 8
    assert [step for step in found if "content_access_of_grant (grant_id=?)" not in step] == []


@pytest.mark.sqlite
@pytest.mark.parametrize("name", ["list", "page", "act"])
def test_sqlite_finds_access_requests_that_have_not_ended_without_the_others_of_their_tickets(
    cast: Cast, name: str
) -> None:
    ticket = cast.opened().access_request.ticket
    opened = {
        "list": "/tickets/?state=any",
        "page": reverse("web:ticket", args=[ticket.pk]),
        "act": reverse("web:ticket_act", args=[ticket.pk, "close_ticket"]),
    }
    asked = reads_of(signed_in(cast, "ada"), opened[name])
    steps = [step for sql, params in asked for step in plan(sql, params)]
    wanted = "USING INDEX access_request_under_way (ticket_id=? AND state=?)"
    assert [step for step in steps if step.endswith(wanted)], steps


@pytest.mark.parametrize("chosen", ["year", "month", "day"])
def test_the_administration_reads_only_the_entries_of_the_chosen_dates(
    cast: Cast, without_scans: None, chosen: str
) -> None:
    at = timezone.localtime(cast.opened().opens_at)
    dates = {part: getattr(at, part) for part in ("year", "month", "day")}
    query = {f"at__{part}": dates[part] for part in list(dates)[: list(dates).index(chosen) + 1]}
    path = f"/admin/audit_app/auditentry/?{urlencode({'tenant_id': cast.contoso.pk, **query})}"
    asked = [(sql, params) for sql, params in reads_of(signed_in(cast, "stella"), path) if '."at" >= ' in sql]
    assert asked
    bounds = (
        r"\(tenant_id=\? AND seq>\? AND seq<\?\)" if connection.vendor == "sqlite" else "Index Cond: .*seq >= .*seq < "
    )
    plans = ["\n".join(plan(sql, params)) for sql, params in asked]
    assert [steps for steps in plans if not re.search(bounds, steps)] == []


def test_a_query_without_an_index_is_found(db: None, without_scans: None) -> None:
    """This shows that the test above can fail."""
    assert scans("SELECT id FROM requests_app_accessrequest WHERE justification = %s", ["x"])
    assert scans("SELECT id FROM audit_app_auditentry WHERE text = %s", ["x"])
    assert not scans("SELECT id FROM requests_app_ticket WHERE reference = %s", ["x"])
    if connection.vendor == "sqlite":
        of_tenant = "SELECT id FROM requests_app_ticket WHERE tenant_id = %s AND "
        assert scans(of_tenant + "id IN (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", ["x"] * 13)
        assert scans(of_tenant + "state = %s ORDER BY resolved_at LIMIT 1", ["x", "CLOSED"])
        assert not scans(of_tenant + "state = %s ORDER BY changed_at DESC LIMIT 1", ["x", "CLOSED"])
