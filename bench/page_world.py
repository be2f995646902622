"""Fill a database with one large customer: a million access requests with all that belongs to them, and a long log.

The world stays, so that the same pages can be measured again after a change. The database makes the rows.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from audit_app import checkpoints, keys, recorder, search_index
from audit_app.models import AuditEntry
from bench import entries, world
from bench.grants import _drop_indexes, _run
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import AccessRequest
from tests.cast import Cast
from tests.isolation.world import World

#: How many engineers, people of the customer, and mailboxes there are.
ENGINEERS, MEMBERS, RESOURCES = 1_000, 300, 200
#: How many of the access requests have an open window, wait for the customer, and wait for the provider.
OPEN, FOR_CUSTOMER, FOR_PROVIDER = 300, 100, 100
#: One of this number of access requests belongs to one and the same ticket. The others share a ticket by threes.
HOT, SHARED = 100, 3
#: One of this number of access requests is Priya's, whose pages are measured.
PRIYAS = 50
#: How many items were opened in the first window.
LOOKS = 5_000
STEP, BATCH = 250_000, 500
#: The log covers this time.
AGE = dt.timedelta(days=350)
_TABLES = [
    "requests_app_ticket",
    "requests_app_accessrequest",
    "requests_app_accessrequestresource",
    "requests_app_grant",
    "requests_app_decision",
    "requests_app_contentaccess",
]
Rows = dict[str, list[str]]


def make(content: Path, total: int, log: int, bar: Any) -> Rows:
    """Make the world, and return the ids of rows of each collection, by the collection's name in addresses.

    `content` gets its files. `total` is the number of access requests, and `log` that of entries in the customer's log.
    """
    cast = world.make(content)
    ticking = bar.add_task(f"writing {total:,} access requests", total=total)
    _people(cast)
    _fill(cast, total, lambda made: bar.update(ticking, completed=made))
    ticking = bar.add_task(f"writing {log:,} entries", total=log)
    _log(cast, log, lambda made: bar.update(ticking, completed=made))
    return _rows(World(cast), cast)


def _rows(small: World, cast: Cast) -> Rows:
    """Return ids of rows of each collection: one that operations have made, and some of the large world."""
    bulk = {name: AccessRequest.objects.get(reference=reference("AR", n)) for name, n in _NAMED.items()}
    requests = [bulk["first"], bulk["waits"], bulk["ended"]]
    names = ("tickets", "people", "resources", "clients", "addresses", "webhooks", "deliveries", "tokens", "comments",
             "domains", "identities", "imports", "invitations", "mutes", "out-of-office", "passkeys", "plans",
             "proxies", "proposals", "proposed-changes", "signal-streams", "witnesses", "members", "Users", "grants",
             "requests", "evidence", "log", "tenant", "tenants", "streams", "Groups", "subscriptions",
             "tenantOptedIn")  # fmt: skip
    found = {name: [str(small.id_of(name))] for name in names}
    found["access-requests"] = [str(row.pk) for row in (small.pending, *requests)]
    found["tickets"] += [str(bulk["ended"].ticket_id), str(bulk["hot"].ticket_id)]
    found["windows"] = [str(small.grant.pk), str(bulk["first"].grant.pk)]
    found["grants"] += [str(bulk["first"].grant.pk)]
    found["resources"] += [str(cast.resource().pk)]
    return found


def reference(prefix: str, number: int) -> str:
    """Return the reference of a row of the large world. It has no zeros and ones, as no reference has."""
    digits = f"{number:08d}".replace("0", "A").replace("1", "B")
    return f"{prefix}-{digits[:4]}-{digits[4:]}"


def _reference(prefix: str, number: str) -> str:
    """Return the SQL expression that makes the same reference."""
    digits = f"lpad(({number})::text, 8, '0')" if connection.vendor == "postgresql" else f"printf('%08d', {number})"
    digits = f"replace(replace({digits}, '0', 'A'), '1', 'B')"
    return f"'{prefix}-' || substr({digits}, 1, 4) || '-' || substr({digits}, 5, 4)"


#: The numbers of some access requests of the large world.
_NAMED = {"first": 0, "waits": OPEN + 10, "ended": 5_003, "hot": HOT * 9 + 7}


# --- The log -------------------------------------------------------------------------------------------------


def _log(cast: Cast, total: int, progress: Callable[[int], None]) -> None:
    """Write the customer's log. Its entries are copies of those that operations write about another customer."""
    with suppress(keys.NoKey):  # There is one already.
        keys.create()
    samples, now = _samples(cast), clock.now()
    made = _entries(cast, samples)
    for first in range(0, total, BATCH):
        batch = list(itertools.islice(made, min(BATCH, total - first)))
        at = now - AGE + AGE * first / total
        with transaction.atomic():
            recorder.record(batch, at=at)
        if not first % (100 * BATCH):
            progress(first)
    checkpoints.sign(cast.contoso.pk, at=now)
    index(cast)


def index(cast: Cast) -> None:
    """Make what is missing of the log's search index, as workers do in the background."""
    search_index.work(lambda: False, tenant_id=cast.contoso.pk)


def _samples(cast: Cast) -> list[AuditEntry]:
    """Return the entries of some acts about another customer."""
    for _ in range(3):
        grant = cast.opened("fabrikam")
        operations.release(grant.access_request_id, actor=cast.as_("priya"))
        operations.deny_as_provider(cast.submitted("fabrikam").pk, actor=cast.as_("pat"), note="Ask the customer.")
    operations.withdraw(cast.submitted("fabrikam").pk, actor=cast.as_("priya"))
    return list(AuditEntry.objects.filter(tenant_id=cast.fabrikam.pk).order_by("seq"))


def _entries(cast: Cast, samples: list[AuditEntry]) -> Iterator[recorder.Witnessed]:
    """Yield entries about access requests. Each has the same acts, and twenty items that were opened."""
    ended = AccessRequest.objects.filter(tenant=cast.contoso).order_by("submitted_at").values_list("pk", "reference")
    for about, reference in ended.iterator():
        for row in samples:
            record = json.loads(bytes(row.canonical))
            yield recorder.Witnessed(
                tenant_id=cast.contoso.pk, event=row.event, door=row.door, actor=record["actor"],
                subject_type=row.subject_type, subject_id=str(about), correlation_id=about,
                detail=record.get("detail", {}), text=f"{row.text} {reference}",
            )  # fmt: skip
        for item in range(20):
            yield replace(entries.entry(cast.contoso.pk, 3 + item), correlation_id=about)


# --- Access requests, and what belongs to them --------------------------------------------------------------


def _people(cast: Cast) -> None:
    """Create engineers of one queue, people of the customer, and mailboxes."""
    values = {
        "service": world.key(cast.exchange.pk), "tenant": world.key(cast.contoso.pk), "engineers": ENGINEERS,
        "members": MEMBERS, "resources": RESOURCES,
    }  # fmt: skip
    person = (
        "INSERT INTO requests_app_person (id, kind, password, is_superuser, email, name, side, human_id, time_zone,"
        " language, theme, is_active, is_staff, created_at) SELECT {new_id}, 'human', '!', false,"
    )
    with connection.cursor() as cursor:
        run = partial(_run, cursor)
        run(
            f"{person} 'engineer' || n || '@provider.example', 'Engineer ' || n, 'provider', {{new_id}}, 'UTC', 'en',"
            " 'system', true, false, {now} FROM {series(1, :engineers)}",
            values,
        )
        run(
            f"{person} 'member' || n || '@contoso.example', 'Member ' || n, 'customer', {{new_id}}, 'UTC', 'en',"
            " 'system', true, false, {now} FROM {series(1, :members)}",
            values,
        )
        run(
            "INSERT INTO requests_app_queueassignment (service_id, person_id, role, given_at)"
            " SELECT :service, id, 'engineer', {now} FROM requests_app_person WHERE email LIKE 'engineer%'",
            values,
        )
        run(
            "INSERT INTO requests_app_membership (tenant_id, person_id, role, given_at)"
            " SELECT :tenant, id, 'member', {now} FROM requests_app_person WHERE email LIKE 'member%'",
            values,
        )
        run(
            "INSERT INTO requests_app_resource (id, tenant_id, service_id, kind, name, locator, is_active)"
            " SELECT {new_id}, :tenant, :service, 'mailbox', 'box' || n || '@contoso.example', 'contoso/mail/box' || n,"
            " true FROM {series(1, :resources)}",
            values,
        )


def _fill(cast: Cast, total: int, progress: Callable[[int], None]) -> None:
    """Write the access requests without indexes and, on PostgreSQL, without checks of foreign keys.

    With them, it would take ten times as long. Both are restored at the end.
    """
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        if is_postgresql:
            cursor.execute("SET session_replication_role = replica")
        else:
            cursor.execute("PRAGMA cache_size = -400000")
        indexes = _drop_indexes(cursor, _TABLES)
        values = _values(cast, total)
        _tickets(partial(_run, cursor), values)
        # The newest have the lowest numbers, and are written last, as in a real table.
        for done, first in enumerate(reversed(range(0, total, STEP)), start=1):
            _insert(cursor, values | {"first": first, "end": min(first + STEP, total) - 1})
            progress(min(done * STEP, total))
        for made in indexes:
            cursor.execute(made)
        if is_postgresql:
            cursor.execute("SET session_replication_role = origin")
            # A test has a transaction around it, in which there is nothing to clean up.
            cursor.execute("ANALYZE" if connection.in_atomic_block else "VACUUM (ANALYZE)")
        # On SQLite, the product makes no statistics. With them, the plans are others.


_DECIDED = """
    INSERT INTO requests_app_decision (id, tenant_id, access_request_id, stage, verdict, decider_id, decider_human,
    requester_human, comment, door, manifest_digest, at) SELECT {{new_id}}, :tenant, request, '{stage}', {verdict},
    :{who}, :{who}human, human, 'Agreed.', 'pages', '', asked FROM bench_numbers WHERE {where}
"""


def _values(cast: Cast, total: int) -> dict[str, Any]:
    waits = OPEN + FOR_CUSTOMER
    return {
        "tenant": world.key(cast.contoso.pk), "service": world.key(cast.exchange.pk),
        "engineers": ENGINEERS, "members": MEMBERS, "boxes": RESOURCES, "priya": world.key(cast.priya.pk),
        "priyahuman": world.key(cast.priya.human_id), "finance": world.key(cast.resource().pk), "open": OPEN,
        "asked": waits, "live": waits + FOR_PROVIDER, "hot": HOT, "shared": SHARED, "priyas": PRIYAS,
        "pat": world.key(cast.pat.pk), "pathuman": world.key(cast.pat.human_id), "looks": LOOKS,
        "ada": world.key(cast.ada.pk), "adahuman": world.key(cast.ada.human_id), "tickets": total // SHARED + 1,
    }  # fmt: skip


def _insert(cursor: Any, values: dict[str, Any]) -> None:
    """Insert access requests with all that belongs to them, with one statement for each table.

    A row's number determines all of its values, so the references between the tables fit. The ended ones lie in the
    past, one every thirty seconds.
    """
    is_postgresql = connection.vendor == "postgresql"
    cast_id = "::uuid" if is_postgresql else ""
    run = partial(_run, cursor)
    ticket = "CASE WHEN numbers.n % :hot = 7 THEN 0 ELSE 1 + numbers.n / :shared END"
    run("DROP TABLE IF EXISTS bench_numbers", {})
    run(
        "CREATE TEMP TABLE bench_numbers AS SELECT numbers.n, {new_id} AS request, {new_id} AS grant_, t.id AS ticket,"
        f" CASE WHEN numbers.n % :priyas = 0 THEN :priya{cast_id} ELSE e.id END AS engineer,"
        f" CASE WHEN numbers.n % :priyas = 0 THEN :priyahuman{cast_id} ELSE e.human_id END AS human,"
        f" CASE WHEN numbers.n < :live THEN :finance{cast_id} ELSE r.id END AS resource,"
        " CASE WHEN numbers.n < :open THEN 'OPEN' WHEN numbers.n < :asked THEN 'PENDING_CUSTOMER'"
        " WHEN numbers.n < :live THEN 'PENDING_PROVIDER' WHEN numbers.n % 20 = 0 THEN 'DENIED'"
        " WHEN numbers.n % 20 = 1 THEN 'WITHDRAWN' WHEN numbers.n % 20 = 2 THEN 'EXPIRED' ELSE 'CLOSED' END AS state,"
        " CASE WHEN numbers.n < :live THEN {ago('600 + numbers.n')} ELSE {ago('numbers.n * 30 + 90000')} END AS asked,"
        " CASE WHEN numbers.n < :live THEN {ago('numbers.n - 28800')} ELSE {ago('numbers.n * 30 + 82800')} END AS ends"
        " FROM {series(:first, :end)}"
        " JOIN (SELECT id, human_id, row_number() OVER (ORDER BY id) AS number FROM requests_app_person"
        "       WHERE email LIKE 'engineer%') AS e ON e.number = 1 + numbers.n % :engineers"
        " JOIN (SELECT id, row_number() OVER (ORDER BY name) AS number FROM requests_app_resource"
        "       WHERE name LIKE 'box%') AS r ON r.number = 1 + (numbers.n * 7) % :boxes"
        f" JOIN requests_app_ticket AS t ON t.reference = {_reference('T', ticket)}",
        values,
    )
    run(
        "INSERT INTO requests_app_accessrequest (id, reference, reason_kind, authority, instrument, demand_reference,"
        " tried, justification, level, window_for, requester_human, needs_customer_approval, content_digest, state,"
        " submitted_at, state_changed_at, decide_by, requested_by_id, service_id, tenant_id, ticket_id)"
        f" SELECT request, {_reference('AR', 'n')}, 'customer_ticket', '', '', '', 'Rebuilt the index.',"
        " 'The invoices of November are missing from the index of the mailbox.', 'read', 7200,"
        " human, true, '', state, asked, ends, ends, engineer, :service, :tenant, ticket FROM bench_numbers",
        values,
    )
    run(
        "INSERT INTO requests_app_accessrequestresource (access_request_id, resource_id, position)"
        " SELECT request, resource, 0 FROM bench_numbers ORDER BY n DESC",
        values,
    )
    run(
        "INSERT INTO requests_app_grant (id, tenant_id, access_request_id, engineer_id, level, opens_at, closes_at,"
        " closed_at, close_reason) SELECT grant_, :tenant, request, engineer, 'read', asked, ends,"
        " CASE WHEN state = 'CLOSED' THEN ends END, CASE WHEN state = 'CLOSED' THEN 'elapsed' ELSE '' END"
        " FROM bench_numbers WHERE state IN ('OPEN', 'CLOSED')",
        values,
    )
    given = "state IN ('OPEN', 'CLOSED', 'PENDING_CUSTOMER', 'DENIED')"
    run(_DECIDED.format(stage="provider", verdict="'approve'", who="pat", where=given), values)
    verdict = "CASE WHEN state = 'DENIED' THEN 'deny' ELSE 'approve' END"
    given = "state IN ('OPEN', 'CLOSED', 'DENIED')"
    run(_DECIDED.format(stage="customer", verdict=verdict, who="ada", where=given), values)
    read = (
        "INSERT INTO requests_app_contentaccess (id, tenant_id, grant_id, resource_id, kind, item_id, item_ref, part,"
        " count, new_names, listed_ids, at) SELECT {new_id}, :tenant, grant_, resource, 'opened',"
    )
    empty = "''::bytea" if is_postgresql else "x''"
    run(
        f"{read} n || '.mail', 'Invoice ' || n, '', 0, 0, {empty}, asked FROM bench_numbers"
        " WHERE state = 'CLOSED' AND n % 2 = 0",
        values,
    )
    if values["first"] == 0:
        run(
            f"{read} numbers.n || '.mail', 'Invoice ' || numbers.n, '', 0, 0, {empty}, {{ago('numbers.n / 10.0')}}"
            " FROM bench_numbers b, {series(1, :looks)} WHERE b.n = 0",
            values,
        )


def _tickets(run: Callable[[str, dict[str, Any]], None], values: dict[str, Any]) -> None:
    """Insert the tickets. Ticket 0 has one of a hundred access requests, and is open."""
    run(
        "INSERT INTO requests_app_ticket (id, reference, tenant_id, service_id, title, body, origin, priority, state,"
        " opened_by_id, external_reference, external_url, opened_at, changed_at)"
        f" SELECT {{new_id}}, {_reference('T', 'n')}, :tenant, :service, 'The search finds no invoice, case ' || n,"
        " 'Since Monday the search finds no invoice of November.', 'customer', 'normal',"
        " CASE WHEN n < 400 THEN 'ASSIGNED' WHEN n < 600 THEN 'NEW' WHEN n % 9 = 0 THEN 'RESOLVED' ELSE 'CLOSED' END,"
        " p.id, '', '', {ago('numbers.n * 90 + 3600')}, {ago('numbers.n * 90')}"
        " FROM {series(0, :tickets)}"
        " JOIN (SELECT id, row_number() OVER (ORDER BY id) AS number FROM requests_app_person"
        "       WHERE email LIKE 'member%') AS p ON p.number = 1 + numbers.n % :members",
        values,
    )
