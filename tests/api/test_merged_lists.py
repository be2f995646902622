"""A page of a list is read from the beginning of an index. Some orders have an index only for each part of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.states import TICKET_LIVE, State, TicketState
from requests_app.models import AccessRequest, Grant, Ticket
from requests_app.queries import merging
from tests.api.test_access_requests import Calling
from tests.caller import Caller
from tests.cast import Cast

pytestmark = pytest.mark.django_db

LISTS: dict[str, tuple[Any, str]] = {
    "access-requests?order=decide_by": (AccessRequest, "decide_by"),
    "tickets?order=changed_at": (Ticket, "changed_at"),
    "tickets?order=-changed_at": (Ticket, "-changed_at"),
    "grants?order=closes_at": (Grant, "closes_at"),
    "grants?order=-closes_at": (Grant, "-closes_at"),
}
#: The parts that are read for each tenant. Windows are open or closed.
PARTS = {AccessRequest: len(State), Ticket: len(TicketState), Grant: 2}
#: Orders that an index has for all rows, and its name.
INDEXED: dict[str, tuple[Any, str, str]] = {
    "access-requests?order=-submitted_at": (AccessRequest, "-submitted_at", "access_request_newest"),
    "access-requests?order=submitted_at": (AccessRequest, "submitted_at", "access_request_newest"),
    "tickets?order=-opened_at": (Ticket, "-opened_at", "ticket_newest"),
    "grants?order=-opens_at": (Grant, "-opens_at", "grant_newest"),
}


@pytest.fixture
def many(cast: Cast) -> None:
    for tenant in ("contoso", "fabrikam"):
        cast.submitted(tenant)
        for _ in range(3):
            cast.opened(tenant)
        for minutes in (60, 30):
            grant = cast.opened(tenant, window_for=minutes * 60)
            operations.revoke(grant.access_request_id, actor=cast.as_("pat"), note="No longer needed.")
        operations.deny_as_provider(cast.submitted(tenant).pk, actor=cast.as_("pat"), note="Ask the customer first.")
        operations.withdraw(cast.confirmed(tenant).pk, actor=cast.as_("priya"))
    operations.close_ticket(cast.ticket().pk, actor=cast.as_("priya"), note="It works again.")


def _pages(caller: Caller, path: str) -> Iterator[list[str]]:
    while path:
        page = caller.get(path).json()
        yield [item["id"] for item in page["items"]]
        path = (page["next"] or "").partition("/v1/")[2]


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("who", ["ada", "priya", "stella"])
@pytest.mark.parametrize("path", [*LISTS, *INDEXED])
def test_the_pages_have_each_row_once_and_in_order(cast: Cast, calling: Calling, who: str, path: str) -> None:
    model, order = LISTS[path] if path in LISTS else INDEXED[path][:2]
    rows = model.objects.visible_to(cast.as_(who)).order_by(order, "-pk" if order.startswith("-") else "pk")
    wanted = [str(pk) for pk in rows.values_list("pk", flat=True)]
    assert len(wanted) >= 4
    found = list(_pages(calling(who), f"{path}&limit=2"))
    assert [pk for page in found for pk in page] == wanted
    assert {len(page) for page in found[:-1]} == {2}


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("path", LISTS)
def test_no_part_is_read_to_its_end(calling: Calling, path: str) -> None:
    ada = calling("ada")
    with CaptureQueriesContext(connection) as captured:
        assert len(ada.get(f"{path}&limit=2").json()["items"]) == 2
    [keys] = [query["sql"] for query in captured.captured_queries if " UNION ALL " in query["sql"]]
    parts = keys.split(" UNION ALL ")
    assert len(parts) == PARTS[LISTS[path][0]]
    assert all("LIMIT 3" in part and " JOIN " not in part for part in parts)


@pytest.mark.usefixtures("many")
def test_filters_hold_in_each_part(cast: Cast, calling: Calling) -> None:
    stella = calling("stella")
    for path in LISTS:
        [page] = _pages(stella, f"{path}&limit=200&tenant={cast.fabrikam.pk}")
        model, _order = LISTS[path]
        assert set(page) == {str(row.pk) for row in model.objects.filter(tenant=cast.fabrikam)}
    [denied] = _pages(stella, "access-requests?order=decide_by&state=DENIED")
    assert set(denied) == {str(row.pk) for row in AccessRequest.objects.filter(state=State.DENIED)}


def _plan(caller: Caller, path: str, part: str, table: str) -> list[str]:
    """Return the steps of the one statement about a table whose text has this part."""
    asked: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, *rest)

    with connection.execute_wrapper(note):
        assert len(caller.get(f"{path}&limit=2").json()["items"]) == 2
    [(sql, params)] = [each for each in asked if part in each[0] and table in each[0]]
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(f"{'EXPLAIN' if is_postgresql else 'EXPLAIN QUERY PLAN'} {sql}", params)
        return [row[0] if is_postgresql else row[3] for row in cursor.fetchall()]


@pytest.mark.usefixtures("many")
@pytest.mark.dialect
@pytest.mark.parametrize(
    ("who", "closed"),
    [("ada", "grant_closed_of_tenant"), ("pat", "grant_closed_in_order"), ("stella", "grant_closed_in_order")],
)
@pytest.mark.parametrize("order", ["closes_at", "-closes_at"])
def test_windows_in_the_order_of_their_ends_are_read_with_two_indexes(
    calling: Calling, who: str, closed: str, order: str
) -> None:
    if connection.vendor == "postgresql":
        # It would read and sort a table as small as this one.
        with connection.cursor() as cursor:
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
    steps = _plan(calling(who), f"grants?order={order}", " UNION ALL ", Grant._meta.db_table)
    # Both indexes of the first part have only windows that are not closed.
    ended = {closed}
    if connection.vendor == "postgresql":
        # In a table as small as this one, both indexes cost the same.
        ended = {"grant_closed_of_tenant", "grant_closed_in_order"}
    for indexes in ({"grant_unclosed", "grant_open_by_end"}, ended):
        assert [step for step in steps if not indexes.isdisjoint(step.split())], "\n".join(steps)


@pytest.mark.usefixtures("many")
@pytest.mark.sqlite
@pytest.mark.parametrize("who", ["priya", "stella"])
@pytest.mark.parametrize("path", INDEXED)
def test_sqlite_follows_the_index_of_the_order_for_the_provider(calling: Calling, who: str, path: str) -> None:
    """Without statistics, it would take the index of a queue or of a tenant, and read and sort all of its rows."""
    model, _order, index = INDEXED[path]
    steps = _plan(calling(who), path, " LIMIT 3", model._meta.db_table)
    assert f"SCAN U0 USING INDEX {index}" in steps
    assert not [step for step in steps if step.startswith("SCAN") and "U0" not in step]


@pytest.mark.usefixtures("many")
@pytest.mark.sqlite
@pytest.mark.parametrize("who", ["priya", "stella"])
@pytest.mark.parametrize("path", INDEXED)
def test_sqlite_looks_for_the_keys_of_a_page_alone(cast: Cast, calling: Calling, who: str, path: str) -> None:
    """With the tenant as a second condition, it would read all rows of the tenant."""
    model = INDEXED[path][0]
    path = f"{path}&tenant={cast.contoso.pk}"
    steps = _plan(calling(who), path, " LIMIT 3", model._meta.db_table)
    assert [step for step in steps if step.startswith(f"SEARCH {model._meta.db_table} USING") and "(id=?)" in step]
    found = list(_pages(calling(who), f"{path}&limit=2"))
    rows = model.objects.visible_to(cast.as_(who)).filter(tenant=cast.contoso)
    assert {pk for page in found for pk in page} == {str(pk) for pk in rows.values_list("pk", flat=True)}


@pytest.mark.usefixtures("many")
@pytest.mark.sqlite
@pytest.mark.parametrize("order", ["opened_at", "-opened_at"])
def test_sqlite_follows_an_index_of_the_tenant_for_a_customer(calling: Calling, order: str) -> None:
    steps = _plan(calling("ada"), f"tickets?order={order}", " LIMIT 3", Ticket._meta.db_table)
    assert f"SEARCH {Ticket._meta.db_table} USING INDEX ticket_by_age (tenant_id=?)" in steps
    assert "USE TEMP B-TREE FOR ORDER BY" not in steps


# --- Lists of one state --------------------------------------------------------------------------------------

#: The indexes that find few rows in one state, of a tenant or of a queue, and the tenant's in the order of the list.
OF_STATES = {
    "access-requests": ("access_request_by_tenant", "access_request_by_queue", "access_request_by_age"),
    "tickets": ("ticket_by_tenant", "ticket_by_queue", "ticket_by_age"),
}


def _of_state(cast: Cast, who: str, path: str, state: str) -> list[str]:
    """Return the ids of the rows in this state, in the order of the list."""
    if path == "tickets":
        tickets = Ticket.objects.visible_to(cast.as_(who)).filter(state=state).order_by("-opened_at", "-pk")
        return [str(row.pk) for row in tickets]
    if path == "grants":
        grants = Grant.objects.visible_to(cast.as_(who)).order_by("-opens_at", "-pk")
        return [str(row.pk) for row in grants if row.is_live(clock.now()) == (state == "open")]
    rows = AccessRequest.objects.visible_to(cast.as_(who)).order_by("-submitted_at", "-pk")
    return [str(row.pk) for row in rows if row.state_at(clock.now()) == state]


@pytest.mark.usefixtures("many")
@pytest.mark.dialect
@pytest.mark.parametrize("few", [0, merging.FEW])
@pytest.mark.parametrize("who", ["ada", "priya"])
def test_a_list_of_one_state_has_each_row_once_and_in_order(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch, who: str, few: int
) -> None:
    monkeypatch.setattr(merging, "FEW", few)
    # No sweep has stored the new states of these.
    AccessRequest.objects.filter(state=State.PENDING_PROVIDER).update(decide_by=clock.now())
    caller, sizes = calling(who), {}
    known = {"access-requests": State.values, "tickets": TicketState.values, "grants": ["open", "closed"]}
    for path, states in known.items():
        for state in states:
            wanted = _of_state(cast, who, path, state)
            assert [pk for page in _pages(caller, f"{path}?state={state}&limit=2") for pk in page] == wanted, state
            sizes[path, state] = len(wanted)
    requests = {state for path, state in sizes if path == "access-requests" and sizes[path, state]}
    assert requests == set(State.values) - {"PENDING_PROVIDER", "PENDING_CUSTOMER"}
    live = [pk for page in _pages(caller, "tickets?is_live=true&limit=100") for pk in page]
    ended = [pk for page in _pages(caller, "tickets?is_live=false&limit=100") for pk in page]
    assert len(live) == sum(sizes["tickets", state] for state in TICKET_LIVE)
    assert len(ended) == sizes["tickets", "CLOSED"] > 0


@pytest.mark.usefixtures("many")
@pytest.mark.sqlite
@pytest.mark.parametrize("who", ["ada", "priya", "stella"])
@pytest.mark.parametrize(("path", "state"), [("access-requests", "CLOSED"), ("tickets", "ASSIGNED")])
def test_sqlite_finds_few_rows_by_their_state_and_many_in_the_order_of_the_list(
    calling: Calling, monkeypatch: pytest.MonkeyPatch, who: str, path: str, state: str
) -> None:
    """Without statistics, it would sort all rows of the table, or read all to find a few."""
    of_tenant, of_queue, by_age = OF_STATES[path]
    table = (AccessRequest if path == "access-requests" else Ticket)._meta.db_table
    steps = _plan(calling(who), f"{path}?state={state}", " LIMIT 3", table)
    found = f"{of_tenant} (tenant_id=? AND state=?)" if who == "ada" else f"{of_queue} (service_id=? AND state=?)"
    assert f"SEARCH U0 USING INDEX {found}" in steps, "\n".join(steps)
    assert not [step for step in steps if step.startswith("SCAN") or "(tenant_id=?)" in step], "\n".join(steps)
    monkeypatch.setattr(merging, "FEW", 1)
    steps = _plan(calling(who), f"{path}?state={state}", " LIMIT 3", table)
    newest = f"SCAN U0 USING INDEX {by_age.replace('by_age', 'newest')}"
    in_order = f"SEARCH U0 USING INDEX {by_age} (tenant_id=?)" if who == "ada" else newest
    assert in_order in steps, "\n".join(steps)


@pytest.mark.usefixtures("many")
@pytest.mark.sqlite
def test_sqlite_finds_a_customers_open_windows_without_the_closed_ones(
    calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _plan(calling("ada"), "grants?state=open", " LIMIT 3", "requests_app_grant")
    assert "SEARCH U0 USING INDEX grant_open_by_end (tenant_id=?)" in steps, "\n".join(steps)
    assert not [step for step in steps if "grant_by_tenant" in step], "\n".join(steps)
    monkeypatch.setattr(merging, "FEW", 1)
    steps = _plan(calling("ada"), "grants?state=open", " LIMIT 3", "requests_app_grant")
    assert [step for step in steps if "grant_by_tenant" in step], "\n".join(steps)


@pytest.mark.usefixtures("many")
@pytest.mark.sqlite
def test_rows_that_are_added_after_the_count_push_out_none(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, state = AccessRequest.objects.all(), State.PENDING_PROVIDER
    monkeypatch.setattr(merging, "FEW", rows.filter(tenant=cast.contoso, state=state).count())
    found = merging.few(rows.filter(state=state), actor=cast.as_("ada"))
    for _ in range(2):
        cast.submitted()
    assert len(found) == merging.FEW + 2


@pytest.mark.usefixtures("many")
def test_only_the_parts_of_the_wanted_states_are_read(calling: Calling) -> None:
    wanted = {"access-requests?order=decide_by&state=CLOSED": 2, "tickets?order=changed_at&state=NEW": 1}
    for path, parts in wanted.items():
        with CaptureQueriesContext(connection) as captured:
            assert calling("ada").get(path).status_code == 200
        [keys] = [query["sql"] for query in captured.captured_queries if ") parts ORDER BY " in query["sql"]]
        assert keys.count(" part UNION ALL ") == parts - 1
