"""Some orders have no index with all rows. Then a page is read from the beginning of each part that has one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from requests_app import operations
from requests_app.domain.states import State, TicketState
from requests_app.models import AccessRequest, Ticket
from tests.api.test_access_requests import Calling
from tests.caller import Caller
from tests.cast import Cast

pytestmark = pytest.mark.django_db

LISTS: dict[str, tuple[Any, str]] = {
    "access-requests?order=decide_by": (AccessRequest, "decide_by"),
    "tickets?order=changed_at": (Ticket, "changed_at"),
    "tickets?order=-changed_at": (Ticket, "-changed_at"),
}


@pytest.fixture
def many(cast: Cast) -> None:
    for tenant in ("contoso", "fabrikam"):
        cast.submitted(tenant)
        cast.opened(tenant)
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
@pytest.mark.parametrize("path", LISTS)
def test_the_pages_have_each_row_once_and_in_order(cast: Cast, calling: Calling, who: str, path: str) -> None:
    model, order = LISTS[path]
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
    assert len(parts) == len(State if path.startswith("access") else TicketState)
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
